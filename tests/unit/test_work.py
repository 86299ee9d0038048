"""How often things are done: a run must not cost more than it has to.

Counted and not timed, so that it shows on a noisy machine too. Kafka is a list here: what is looked
at is what our own code asks of it and of its tables.
"""

import asyncio
import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest
from aiokafka import ConsumerRecord
from faust.types import TP

from agents.deciding import DECODED, IntakeShard
from agents.poster import Poster
from agents.posting import PostingShard
from agents.publisher import ShardPublisher
from agents.reconciliation import ReconciliationShard
from agents.runtime.room import Room
from agents.runtime.runs import Run
from agents.summing import BalancesPart
from ledger.domain import avro, decide
from ledger.domain.balance import NOTHING, Totals
from ledger.domain.fold import Row
from ledger.domain.reference import Reference
from ledger.domain.run import Content, Outcomes, Stripe
from ledger.domain.valid_run import ValidRun
from ledger.gl.memory import MemoryJournal
from ledger.settings import Settings
from ledger.streaming import transactions as reading
from ledger.streaming.registry import Codec
from ledger.streaming.store import Store
from ledger.streaming.stripe_rows import RowCodec
from ledger.streaming.table import Overtaken
from tests.builders import NOW, KnownReader, draft, wire
from tests.integration.gl_runs import Chain, moved
from tests.runtimes import runtime

SHARDS = 1
PARTS = 2
TRANSACTIONS = 300
ACCOUNTS = 40
CODEC = Codec(
    {name: number for number, name in enumerate(
        ("Transaction", "Decision", "Stripe", "Balance", "Posted", "Progress"), 1)}
)  # fmt: skip


class Topic(list):
    """Batches of one partition."""

    def records(self):
        return [record for batch in self for record in batch]


class Kafka:
    """What is appended, by topic and partition."""

    def __init__(self):
        self.topics = {}

    def of(self, topic, partition=0):
        return self.topics.setdefault((topic, partition), Topic())

    def batches(self, topic):
        return sum(len(kept) for (name, _), kept in self.topics.items() if name == topic)

    def records(self, topic):
        return sum(len(kept.records()) for (name, _), kept in self.topics.items() if name == topic)

    async def append(self, topic, partition, records):
        kept = self.of(topic, partition)
        first = len(kept.records())
        kept.append(list(records))
        return first

    append_absolute = append

    def require_lease(self):
        pass

    async def last_of(self, topic, partitions):
        return []

    async def topic_id(self, topic):
        return topic

    async def bounds(self, topic, partition):
        return 0, len(self.of(topic, partition).records())

    async def read(self, topic, partition, start, until=None):
        records = self.of(topic, partition).records()[start:until]
        if records:
            yield [
                ConsumerRecord(topic, partition, offset, 0, 0, key, value, None, 0, 0, ())
                for offset, (key, value) in enumerate(records, start)
            ]


class Progress:
    def __init__(self):
        self.position = 0

    def on_move(self, listener):
        pass

    async def loaded(self, generation):
        pass

    def end(self, shard):
        return self.position

    def ends(self):
        return [self.position]

    def publish(self, shard, progress, end):
        pass


class Consumer:
    """Every partition is this process's, and open."""

    def __init__(self, opened):
        self.opened = opened

    def assignment(self):
        return self.opened

    def reached(self, tp, position):
        pass


class Receiver:
    """What stages hand on, in order."""

    def __init__(self):
        self.runs, self.rows = [], []

    async def has_room(self, shard):
        pass

    def offer(self, shard, run):
        self.runs.append(run)

    def receive(self, *rows):
        self.rows.append(rows)


class App(SimpleNamespace):
    """A runtime, and what the parts of its stages are made with."""

    def intake(self):
        reader = KnownReader.of(self.runtime.settings)
        reference = SimpleNamespace(data=Reference(), require_whole=lambda: None)
        return IntakeShard(self.runtime, 0, reader, reference, self.receiver, lambda: 0)

    def fold(self):
        publisher = ShardPublisher(self.runtime, 0, self.receiver)
        return ReconciliationShard(self.runtime, 0, self.progress, publisher, Room(1 << 30))

    def part(self, partition):
        return BalancesPart(self.runtime, partition, self.progress)


@pytest.fixture
def counted(monkeypatch):
    """Calls, by name."""
    calls = Counter()

    def count(owner, name):
        real = getattr(owner, name)

        def counting(*args, **kwargs):
            calls[name] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)

    count(reading, "usual")
    count(avro.fastavro, "schemaless_reader")
    count(avro.fastavro, "schemaless_writer")
    count(Store, "write")
    real = Store.__init__

    def opened(store, path):
        real(store, path)
        get, get_all = store.get, store.get_all

        def counting(key):
            calls["get"] += 1
            return get(key)

        def counting_all(keys):
            calls["get_all"] += 1
            calls["looked up"] += len(keys)
            return get_all(keys)

        store.get, store.get_all = counting, counting_all

    monkeypatch.setattr(Store, "__init__", opened)
    return calls


@pytest.fixture
def app(tmp_path):
    settings = Settings(shards=SHARDS, balance_partitions=PARTS)
    opened = {TP("ledger.stripes", each) for each in range(PARTS)} | {TP("ledger.transactions", 0)}
    log = Kafka()
    made = runtime(
        tmp_path, codec=CODEC, log=log, consumer=Consumer(opened), settings=settings
    )  # fmt: skip
    return App(
        runtime=made, names=made.topics, log_=log, progress=Progress(), receiver=Receiver()
    )  # fmt: skip


def transactions():
    """A run of them, over few accounts."""
    records = []
    for offset in range(TRANSACTIONS):
        made = draft(f"t-{offset}", debit=f"assets:a:{offset % ACCOUNTS}")
        key = made["transaction_id"].encode()
        records.append(
            ConsumerRecord("t", 0, offset, NOW // 1000, 0, key, wire(made), None, 0, 0, ())
        )
    return Run(TP("t", 0), 0, TRANSACTIONS, records)


async def compare_up_to(position, app, *parts):
    """The shard is compared so far, and the parts have published what follows."""
    app.progress.position = position
    for part in parts:
        part.wake()
        await part._publishing.idle()


async def flowed(app, counted):
    """A run through intake, the fold and the balances; the counts of each of them."""
    intake, fold = app.intake(), app.fold()
    parts = [app.part(each) for each in range(PARTS)]
    for each in (intake, fold, *parts):
        await each.open()
    app.receiver.runs.clear()
    app.log_.topics.clear()
    app.log_.of(app.names.decisions.name).append([(None, b"reference")])

    run = transactions()
    counted.clear()
    await intake.take(run)
    after_intake = Counter(counted)

    counted.clear()
    for run in app.receiver.runs:
        fold.offer(run)
    await fold.folding._folding.idle()
    after_fold = Counter(counted)

    counted.clear()
    for partition, shard, first, rows in app.receiver.rows:
        parts[partition].receive(shard, first, rows)
    await compare_up_to(TRANSACTIONS, app, *parts)
    return after_intake, after_fold, Counter(counted)


@pytest.fixture
def work(app, counted):
    return asyncio.run(flowed(app, counted))


def test_intake(app, work):
    intake, _, _ = work
    names = app.names
    # Every transaction is decoded once, without fastavro, and what was decided is not again.
    assert (intake["usual"], intake["schemaless_reader"]) == (TRANSACTIONS, 0)
    # The content's columns and the decision: for a run, not for a transaction.
    assert intake["schemaless_writer"] == len(Content.__slots__) + 1
    # One record beside the one that was there.
    assert app.log_.batches(names.decisions.name) == app.log_.records(names.decisions.name) == 2
    # Each id once, many together; one write for all.
    assert intake["looked up"] == TRANSACTIONS
    assert intake["get"] == 0
    assert intake["get_all"] == -(-TRANSACTIONS // DECODED)
    assert intake["write"] == 1


def test_the_fold(app, work):
    _, fold, _ = work
    stripes = ACCOUNTS + 1
    names = app.names
    assert (fold["schemaless_reader"], fold["schemaless_writer"]) == (0, 0)
    # Each stripe once: looked up, in the changelog, published.
    assert (fold["looked up"], fold["get_all"], fold["get"]) == (stripes, 1, 0)
    assert fold["write"] == 1
    assert app.log_.batches(names.stripes_changelog.name) == 1
    assert app.log_.records(names.stripes_changelog.name) == stripes + 1  # and the mark
    assert app.log_.records(names.stripes.name) == stripes
    assert app.log_.batches(names.stripes.name) <= PARTS


@pytest.mark.parametrize(("full", "again"), [(21, 0), (20, 20)])
def test_accounts_that_are_hardly_shared_are_not_cached(app, counted, monkeypatch, full, again):
    """Not what a run of them that is full has touched; and nothing older stays in their place."""
    monkeypatch.setattr(decide, "SPARSE_STRIPES", full)
    looked_up, entries = [], []

    async def story():
        fold, chain = app.fold(), Chain(0)
        await fold.open()
        for start in (0, 10, 20):
            before, each = chain.watermark, range(10)
            run = chain.run(
                *(moved(start + n, 1, debit=f"assets:a:{n}", credit=f"assets:b:{n}") for n in each)
            )
            valid = ValidRun(run.decision, run.decisions_offset, before, chain.watermark)
            valid.__dict__["outcomes"] = Outcomes()
            counted.clear()
            fold.offer(valid)
            await fold.folding._folding.idle()
            looked_up.append(counted["looked up"])
            entries.append(fold.state.table.rows([Stripe("assets:a:3", "CAD")])[0].live.entries)

    asyncio.run(story())
    assert looked_up == [20, again, again]
    assert entries == [1, 2, 3]


def test_a_posting(app, counted):
    """Two runs fetched together: one database transaction, one message."""
    journal, asked = MemoryJournal(), []
    post_all = journal.post_all
    journal.post_all = lambda prepared: (asked.append(len(prepared)), post_all(prepared))[1]
    names, chain = app.names, Chain(0)
    values = [CODEC.encode("Decision", chain.run(moved(start, start + 3)).decision.row())
              for start in (0, 3)]  # fmt: skip

    async def story():
        shard = PostingShard(app.runtime, 0, Poster(journal))
        await shard.open()
        counted.clear()
        records = [ConsumerRecord("d", 0, offset, 0, 0, None, value, None, 0, 0, ())
                   for offset, value in enumerate(values)]  # fmt: skip
        await shard.take(Run(TP("d", 0), 0, 2, records))

    asyncio.run(story())
    assert asked == [1]
    assert app.log_.batches(names.posted.name) == app.log_.records(names.posted.name) == 1
    # Each decision and its content once; what is said, once.
    assert counted["schemaless_reader"] == 2 * 2
    assert counted["schemaless_writer"] == 1


def test_the_balances(app, work):
    _, _, balances = work
    names = app.names
    assert app.log_.records(names.balances.name) == ACCOUNTS + 1
    assert app.log_.batches(names.balances.name) <= PARTS
    assert (balances["schemaless_reader"], balances["schemaless_writer"]) == (0, 0)
    assert (balances["looked up"], balances["get"]) == (ACCOUNTS + 1, 0)
    assert balances["get_all"] <= PARTS
    # The table is written now and then: here the first time.
    assert balances["write"] <= PARTS


def row_of(offset, entries=1):
    return Row(2, Totals(5, 0, entries, offset), NOTHING, broken=False)


def test_what_is_late_does_not_keep_the_table_from_being_written(app, counted):
    """A balance said as pending changes nothing that is kept: else, under load, nothing would be
    kept at all, and everything said would wait for it in memory."""
    rows = {Stripe(f"assets:a:{each}", "CAD"): row_of(each) for each in range(20)}
    writes = []

    async def story():
        part = app.part(0)
        await part.open()
        part.receive(0, 0, rows)
        append = app.log_.append_absolute

        async def appending(*said):
            writes.append(counted["write"])
            if len(writes) < 5:
                place = 1_000 * len(writes)
                part.receive(0, place, {Stripe(f"assets:late:{place}", "CAD"): row_of(place)})
                part.note_late(time.monotonic() + 1_000)
            return await append(*said)

        app.log_.append_absolute = appending
        counted.clear()
        await compare_up_to(100, app, part)

    asyncio.run(story())
    assert writes == [0, 1, 1, 1, 1], "once in KEPT_EACH, at once the first time"


def test_what_was_handed_on_is_not_read(app):
    """Else, under load, all of it would be fetched: there is always more."""

    async def story():
        part = app.part(0)
        await part.open()
        for first in (0, 1, 20):
            part.receive(0, first, {Stripe("assets:a", "CAD"): row_of(first)})
        assert part.goes_on_received()
        assert await part.skip_received() == 2
        assert not part.goes_on_received(), "somebody else's records are next"
        part._sums.reach(20)
        assert part.goes_on_received()
        assert await part.skip_received() == 21
        assert part.goes_on_received(), "nothing comes yet"

    asyncio.run(story())


def test_what_was_appended_together_waits_together(app):
    """As what is handed on does: of another worker's rows there are as many."""

    def appended(first, log_time):
        return [
            ConsumerRecord(
                "s", 0, place, log_time, 0, b"assets:%d CAD 0" % place,
                RowCodec(CODEC).encode(row_of(place)), None, 0, 0, (),
            )
            for place in range(first, first + 5)
        ]  # fmt: skip

    async def story():
        part = app.part(0)
        await part.open()
        await part.take(Run(part.tp, 0, 10, appended(0, 7) + appended(5, 8)))
        waiting = part._sums._backlogs[0].batches
        assert [(each.place, each.end, len(each.totals)) for each in waiting] == [
            (0, 5, 5), (5, 10, 5),
        ]  # fmt: skip
        await compare_up_to(5, app, part)
        assert part._sums.reconciled() == 5

    asyncio.run(story())


def test_a_position_is_not_beyond_what_waits(app):
    """Told before this part was open, and so read in the log after what was told later."""

    async def story():
        part = app.part(0)
        await part.open()
        part.receive(0, 1, {Stripe("assets:b", "CAD"): row_of(71)})
        row = RowCodec(CODEC).encode(row_of(70))
        record = ConsumerRecord("s", 0, 0, 0, 0, b"assets:a CAD 0", row, None, 0, 0, ())
        await part.take(Run(part.tp, 0, 2, [record]))
        assert part._sums.reconciled() == 0
        await compare_up_to(71, app, part)
        assert part._sums.reconciled() == 1

    asyncio.run(story())


def test_a_position_is_not_beyond_what_was_read(app, counted):
    """Told by this process, far beyond: what other workers said before it is still to be read."""

    async def story():
        part = app.part(0)
        await part.open()
        part.receive(0, 1_000, {Stripe("assets:a", "CAD"): row_of(70)})
        assert part._sums.reconciled() == 0
        await compare_up_to(100, app, part)
        assert part._sums.reconciled() == 0

    asyncio.run(story())


@pytest.mark.parametrize("rebalanced", [True, False])
def test_a_fold_overtaken_in_a_rebalance_ends_no_process(app, rebalanced):
    """It waited to be written; meanwhile another worker had the shard, and wrote further."""
    faults = []
    app.runtime = replace(app.runtime, fail=lambda error, doing: faults.append(error))

    async def story():
        fold = app.fold()
        await fold.open()

        async def overtaken(runs):
            if rebalanced:
                fold.clear()
            raise Overtaken("others were ahead")

        fold.folding._fold_in_order = overtaken
        fold.offer(SimpleNamespace(weight=1))
        await fold.folding._folding.idle()
        await fold.open()

    asyncio.run(story())
    assert len(faults) == (0 if rebalanced else 1)
