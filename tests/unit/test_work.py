"""How often things are done: a run must not cost more than it has to.

Counted and not timed, so that it shows on a noisy machine too. Kafka is a list here: what is looked
at is what our own code asks of it and of its tables.
"""

import asyncio
import time
from collections import Counter
from types import SimpleNamespace

import pytest
from aiokafka import ConsumerRecord
from faust.types import TP

from agents.balances import BalancesPart
from agents.intake import DECODED, IntakeShard
from agents.posting import Poster, PostingShard
from agents.reconciliation import ReconciliationShard, Room
from agents.runtime.runs import Run
from ledger.domain import avro, intake, published
from ledger.domain.balance import NOTHING, Totals
from ledger.domain.reference import Reference
from ledger.domain.run import Content, Outcomes, Stripe
from ledger.gl.memory import MemoryJournal
from ledger.health.application import Health
from ledger.settings import Settings
from ledger.streaming.decisions import ValidRun
from ledger.streaming.registry import Codec
from ledger.streaming.store import Store
from ledger.streaming.stripe_rows import Row, Rows
from ledger.streaming.table import Overtaken
from ledger.streaming.topics import topics
from tests.builders import NOW, KnownReader, draft, wire
from tests.integration.gl_runs import Chain, moved

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

    async def last_of(self, topic, partitions):
        return []

    async def bounds(self, topic, partition):
        return 0, len(self.of(topic, partition).records())

    async def read(self, topic, partition, start, until=None):
        records = self.of(topic, partition).records()[start:until]
        if records:
            yield [
                ConsumerRecord(topic, partition, offset, 0, 0, key, value, None, 0, 0, ())
                for offset, (key, value) in enumerate(records, start)
            ]


class Compared:
    def __init__(self):
        self.position, self.said = 0, 0

    async def loaded(self, generation):
        pass

    def end(self, shard):
        return self.position

    def say(self, shard, progress, end):
        self.said += 1


class App(SimpleNamespace):
    """As much of a LedgerApp as the agents' parts ask for."""

    health, lease = Health(), staticmethod(lambda: None)

    def fault(self, error, doing):
        raise AssertionError(doing) from error


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

    count(published, "usual")
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
    names = topics(settings)
    return App(
        ledger=settings, names=names, codec=CODEC, data=tmp_path, log_=Kafka(),
        compared=Compared(), shards=lambda: {0},
        consumer=SimpleNamespace(
            opened={TP(names.stripes.name, each) for each in range(PARTS)},
            reached=lambda tp, position: None,
        ),
        consumer_generation_id=1,
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
    """The shard is compared so far, and the parts have said what follows."""
    app.compared.position = position
    for part in parts:
        part.wake()
        await part._saying


async def flowed(app, counted):
    """A run through intake, the fold and the balances; the counts of each of them."""
    settled, told = [], []

    async def room(shard):
        pass

    app.room, app.settled = room, lambda shard, run: settled.append(run)
    app.told = lambda *rows: told.append(rows)
    reader = KnownReader.of(app.ledger)
    reference = SimpleNamespace(data=Reference(), require_whole=lambda: None)
    intake = IntakeShard(app, 0, reader, reference, lambda: 0)
    fold = ReconciliationShard(app, 0, Room())
    parts = [BalancesPart(app, each) for each in range(PARTS)]
    for each in (intake, fold, *parts):
        await each.open()
    settled.clear()
    app.log_.topics.clear()
    app.log_.of(app.names.decisions.name).append([(None, b"reference")])

    run = transactions()
    counted.clear()
    await intake.take(run)
    after_intake = Counter(counted)

    counted.clear()
    for run in settled:
        fold.offer(run)
    await fold._folding
    after_fold = Counter(counted)

    counted.clear()
    for partition, shard, first, rows in told:
        parts[partition].tell(shard, first, rows)
    await compare_up_to(TRANSACTIONS, app, *parts)
    return after_intake, after_fold, Counter(counted)


@pytest.fixture
def work(app, counted):
    return asyncio.run(flowed(app, counted))


def test_intake(app, work):
    intake, _, _ = work
    names = app.names
    # Every transaction is decoded once, by hand, and what was decided is not decoded again.
    assert (intake["usual"], intake["schemaless_reader"]) == (TRANSACTIONS, 0)
    # The content's columns, outcomes and the decision: for a run, not for a transaction.
    assert intake["schemaless_writer"] == len(Content.__slots__) + 2
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
    monkeypatch.setattr(intake, "APART_STRIPES", full)
    app.told = lambda *_: None
    looked_up, entries = [], []

    async def story():
        fold, chain = ReconciliationShard(app, 0, Room()), Chain(0)
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
            await fold._folding
            looked_up.append(counted["looked up"])
            entries.append(fold._row(Stripe("assets:a:3", "CAD")).live.entries)

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
        shard = PostingShard(app, 0, Poster(journal))
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
        part = BalancesPart(app, 0)
        await part.open()
        part.tell(0, 0, rows)
        append = app.log_.append_absolute

        async def appending(*said):
            writes.append(counted["write"])
            if len(writes) < 5:
                place = 1_000 * len(writes)
                part.tell(0, place, {Stripe(f"assets:late:{place}", "CAD"): row_of(place)})
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
        part = BalancesPart(app, 0)
        await part.open()
        for first in (0, 1, 20):
            part.tell(0, first, {Stripe("assets:a", "CAD"): row_of(first)})
        assert part.goes_on_told()
        assert await part.skip_told() == 2
        assert not part.goes_on_told(), "somebody else's records are next"
        part._read = 20
        assert part.goes_on_told()
        assert await part.skip_told() == 21
        assert part.goes_on_told(), "nothing comes yet"

    asyncio.run(story())


def test_what_was_appended_together_waits_together(app):
    """As what is handed on does: of another worker's rows there are as many."""

    def appended(first, log_time):
        return [
            ConsumerRecord(
                "s", 0, place, log_time, 0, b"assets:%d CAD 0" % place,
                Rows(CODEC).encode(row_of(place)), None, 0, 0, (),
            )
            for place in range(first, first + 5)
        ]  # fmt: skip

    async def story():
        part = BalancesPart(app, 0)
        await part.open()
        await part.take(Run(part.tp, 0, 10, appended(0, 7) + appended(5, 8)))
        waiting = part._ahead[0].told
        assert [(each.place, each.end, len(each.totals)) for each in waiting] == [
            (0, 5, 5), (5, 10, 5),
        ]  # fmt: skip
        await compare_up_to(5, app, part)
        assert part._settled() == 5

    asyncio.run(story())


def test_a_position_is_not_beyond_what_waits(app):
    """Told before this part was open, and so read in the log after what was told later."""

    async def story():
        part = BalancesPart(app, 0)
        await part.open()
        part.tell(0, 1, {Stripe("assets:b", "CAD"): row_of(71)})
        row = Rows(CODEC).encode(row_of(70))
        record = ConsumerRecord("s", 0, 0, 0, 0, b"assets:a CAD 0", row, None, 0, 0, ())
        await part.take(Run(part.tp, 0, 2, [record]))
        assert part._settled() == 0
        await compare_up_to(71, app, part)
        assert part._settled() == 1

    asyncio.run(story())


def test_a_position_is_not_beyond_what_was_read(app, counted):
    """Told by this process, far beyond: what other workers said before it is still to be read."""

    async def story():
        part = BalancesPart(app, 0)
        await part.open()
        part.tell(0, 1_000, {Stripe("assets:a", "CAD"): row_of(70)})
        assert part._settled() == 0
        await compare_up_to(100, app, part)
        assert part._settled() == 0

    asyncio.run(story())


@pytest.mark.parametrize("rebalanced", [True, False])
def test_a_fold_overtaken_in_a_rebalance_ends_no_process(app, rebalanced):
    """It waited to be written; meanwhile another worker had the shard, and wrote further."""
    faults = []
    app.fault = lambda error, doing: faults.append(error)

    async def story():
        fold = ReconciliationShard(app, 0, Room())
        await fold.open()

        async def overtaken(runs):
            if rebalanced:
                fold.clear()
            raise Overtaken("others were ahead")

        fold._fold_in_order = overtaken
        fold.offer(SimpleNamespace(weight=1))
        await fold._folding
        await fold.open()

    asyncio.run(story())
    assert len(faults) == (0 if rebalanced else 1)
