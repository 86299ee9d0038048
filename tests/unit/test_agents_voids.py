"""A shard whose decision cannot be posted: it waits, and goes on once a run ahead voids it."""

import asyncio
from collections import defaultdict

import pytest
from aiokafka import ConsumerRecord
from faust.types import TP

from agents.deciding import IntakeShard
from agents.poster import Poster
from agents.posting import PostingShard
from agents.publisher import ShardPublisher
from agents.reconciliation import ReconciliationShard
from agents.runtime.room import Room
from agents.runtime.runs import Run
from ledger.domain.balance import NOTHING, Totals
from ledger.domain.compare import Comparison, Mark
from ledger.domain.fold import NO_ROW, Row, ScalesMixed, fold
from ledger.domain.policy import Policy
from ledger.domain.reference import Leave
from ledger.domain.run import Outcomes, Stripe, Watermark
from ledger.domain.valid_run import ValidRun
from ledger.gl.journal import NotPostable, Superseded
from ledger.gl.memory import MemoryJournal
from ledger.settings import Settings
from ledger.streaming import messages
from ledger.streaming.messages import posted_in
from ledger.streaming.registry import Codec
from ledger.streaming.topics import topics
from tests.integration.gl_runs import CASH, DEPOSIT, Chain, Leg, made, moved, void_of, without
from tests.runtimes import runtime

CODEC = Codec({"Decision": 1, "Posted": 2, "Progress": 3, "Stripe": 4})
NAMES = topics(Settings())
CAD_CASH, CAD_DEPOSIT, FEES = Stripe(CASH, "CAD"), Stripe(DEPOSIT, "CAD"), "income:fees"
BAD = 666


class Log:
    """Topics in memory: what of `Log` posting asks for."""

    def __init__(self):
        self.records, self.read_from = defaultdict(list), []

    def put(self, topic, value):
        held = self.records[topic]
        held.append(ConsumerRecord(topic, 0, len(held), 0, 1, None, value, None, 0, 0, ()))
        return held[-1]

    async def append_absolute(self, topic, shard, pairs):
        for _, value in pairs:
            self.put(topic, value)

    async def bounds(self, topic, shard):
        return 0, len(self.records[topic])

    async def last_of(self, topic, shards):
        return self.records[topic][-1:]

    async def read(self, topic, shard, start, end=None):
        self.read_from.append(start)
        if found := self.records[topic][start:end]:
            yield found


class Consumer:
    """Opens again what it is asked to, unless it is `busy`."""

    def __init__(self):
        self.busy, self.opened = False, []

    def assignment(self):
        return {TP(NAMES.decisions.name, 0)}

    def reopen(self, tp):
        if self.busy:
            return False
        self.opened.append(tp)
        return True


class Picky(MemoryJournal):
    """Takes no entry of BAD minor units, as a database that refuses a value."""

    def prepare(self, posting):
        for run in posting.runs:
            if BAD in run.posted.entry_amounts:
                raise NotPostable(f"no {BAD}")
        return super().prepare(posting)


class World:
    """A shard, its decision log, and the posting application; `say` takes what is on `posted`."""

    def __init__(self, journal=None):
        self.log, self.consumer, self.chain = Log(), Consumer(), Chain(outcomes=Outcomes().encode())
        self.app = runtime(None, codec=CODEC, log=self.log, consumer=self.consumer)
        self.journal = journal or Picky()
        self.shard = PostingShard(self.app, 0, Poster(self.journal))

    def decide(self, *transactions, **each):
        run = self.chain.run(*transactions, **each)
        self.log.put(NAMES.decisions.name, CODEC.encode("Decision", run.decision.row()))
        return run

    def void(self, run, offset, **each):
        """A run that voids what `run` accepted there."""
        at = self.chain.watermark.end
        return self.decide(voided=[void_of(run, offset, at=at)], end=at + 1, **each)

    async def take(self, start=None):
        at = self.shard._read if start is None else start
        records = self.log.records[NAMES.decisions.name][at:]
        return await self.shard.take(
            Run(TP(NAMES.decisions.name, 0), at, at + len(records), records)
        )

    def compare(self, watermark):
        row = {
            "shard": 0, "end": watermark.end, "decisions_offset": watermark.decisions_offset,
            "digest": watermark.digest, "recorded_until": 0, "open_breaks": 0,
        }  # fmt: skip
        self.log.put(NAMES.progress.name, CODEC.encode("Progress", row))

    def said(self):
        """(after, decisions_offset, {stripe: entries}) of every message."""
        rows = [CODEC.decode("Posted", each.value) for each in self.log.records[NAMES.posted.name]]
        return [
            (
                row["after"], row["decisions_offset"],
                dict(zip(map(Stripe, row["accounts"], row["currencies"]), row["entries"], strict=True)),
            )
            for row in rows
        ]  # fmt: skip


def test_it_stops_and_goes_on_once_what_stopped_it_is_void():
    async def story():
        world = World()
        await world.shard.open()
        first = world.decide(moved(0, 1), moved(1, BAD), moved(2, 2))
        with pytest.raises(NotPostable):
            await world.take()
        await world.shard.look_for_voids()
        assert (world.consumer.opened, world.said()) == ([], [])
        world.decide(moved(3, 4))
        world.void(first, 1)
        await world.shard.look_for_voids()
        assert world.consumer.opened == [TP(NAMES.decisions.name, 0)]
        assert await world.shard.open() == 0
        assert await world.take() == 3
        assert world.said() == [(0, 3, {CAD_CASH: 3, CAD_DEPOSIT: 3})]
        assert world.journal.snapshot(0, 0).totals[CAD_CASH] == Totals(7, 0, 3, 4)
        await world.shard.look_for_voids()
        assert len(world.consumer.opened) == 1, "it is stuck no more"

    asyncio.run(story())


def test_of_two_that_cannot_be_posted_both_must_be_void():
    async def story():
        world = World()
        await world.shard.open()
        first = world.decide(moved(0, BAD), moved(1, BAD))
        world.void(first, 0)
        with pytest.raises(NotPostable):
            await world.take()
        world.void(first, 1)
        await world.shard.look_for_voids()
        assert len(world.consumer.opened) == 1
        await world.shard.open()
        assert await world.take() == 3
        assert len(world.said()) == 1

    asyncio.run(story())


def test_a_void_that_is_found_while_it_is_being_opened_is_not_forgotten():
    async def story():
        world = World()
        await world.shard.open()
        first = world.decide(moved(0, BAD))
        with pytest.raises(NotPostable):
            await world.take()
        world.void(first, 0)
        world.consumer.busy = True
        await world.shard.look_for_voids()
        world.consumer.busy = False
        await world.shard.look_for_voids()
        assert len(world.consumer.opened) == 1

    asyncio.run(story())


def test_what_was_looked_through_is_not_again():
    async def story():
        world = World()
        await world.shard.open()
        world.decide(moved(0, BAD))
        with pytest.raises(NotPostable):
            await world.take()
        for offset in range(1, 5):
            world.decide(moved(offset, 1))
        await world.shard.look_for_voids()
        world.log.read_from.clear()
        await world.shard.look_for_voids()
        assert world.log.read_from == [5]

    asyncio.run(story())


def test_it_is_silent_until_the_run_that_takes_it_back():
    async def story():
        world = World()
        await world.shard.open()
        world.decide(moved(0, 1))
        await world.take()
        first = world.decide(moved(1, BAD, credit=FEES), moved(2, 2))
        world.decide(moved(3, 4))
        world.void(first, 1)
        world.decide(moved(5, 8))
        log, records = world.log, list(world.log.records[NAMES.decisions.name])
        said = world.said()
        # One at a time, as it is when they come one by one.
        for at in (1, 2):
            await world.shard.take(Run(TP(log, 0), at, at + 1, records[at : at + 1]))
            assert world.said() == said
            assert world.journal.watermark(0).decisions_offset == at + 1
            # Opened again in between, it knows from the database that it must be silent.
            world.compare(Watermark(1, 1, CODEC.decode("Decision", records[1].value)["follows"]))
            world.shard = PostingShard(world.app, 0, Poster(world.journal))
            assert await world.shard.open() == at + 1
            assert world.said() == said
        for at in (3, 4):
            await world.shard.take(Run(TP(log, 0), at, at + 1, records[at : at + 1]))
        assert world.said()[1:] == [
            (1, 4, {CAD_CASH: 3, CAD_DEPOSIT: 3, Stripe(FEES, "CAD"): 0}),
            (4, 5, {CAD_CASH: 4, CAD_DEPOSIT: 4}),
        ]

    asyncio.run(story())


def test_what_was_posted_before_it_was_void_is_taken_back_without_silence():
    async def story():
        world = World()
        await world.shard.open()
        first = world.decide(moved(0, 1), moved(1, 2))
        await world.take()
        world.void(first, 1)
        await world.take()
        assert world.said() == [
            (0, 1, {CAD_CASH: 2, CAD_DEPOSIT: 2}), (1, 2, {CAD_CASH: 1, CAD_DEPOSIT: 1}),
        ]  # fmt: skip
        assert world.journal.snapshot(0, 0).totals[CAD_CASH] == Totals(1, 0, 1, 2)

    asyncio.run(story())


@pytest.mark.parametrize("back_to", [0, 1, 2])
def test_a_database_put_back_leaves_it_out_again_and_says_what_it_posts_anew(back_to):
    """To before it, to between it and what takes it back; everything was compared before."""

    async def story():
        world = World()
        await world.shard.open()
        first = world.decide(moved(0, BAD), moved(1, 1))
        world.decide(moved(2, 2))
        last = world.void(first, 0)
        await world.take()
        world.compare(world.chain.watermark)
        old = Picky()
        void = last.voided[0]
        kept = [without(first, void, last.decisions_offset)][:back_to]
        if back_to == 2:
            second = world.log.records[NAMES.decisions.name][1:2]
            (run,) = valid(second, old.post(0, Watermark(), kept) and old.watermark(0))
            kept = [run]
        if kept:
            old.post(0, old.watermark(0), kept)
        world.journal = old
        world.shard = PostingShard(world.app, 0, Poster(old))
        before = len(world.said())
        assert await world.shard.open() == back_to
        assert world.said()[before:] == []
        await world.take()
        (again,) = world.said()[before:]
        assert again == (back_to, 3, {CAD_CASH: 2, CAD_DEPOSIT: 2})

    asyncio.run(story())


def valid(records, mark):
    from ledger.gl.journal import PostingRun
    from ledger.streaming.decisions import valid_runs

    return [PostingRun(run.decision, run.decisions_offset, run.content)
            for run in valid_runs(CODEC, records, mark)]  # fmt: skip


def test_a_database_put_back_without_a_void_says_each_run_as_it_is_posted_anew():
    async def story():
        world = World()
        await world.shard.open()
        world.decide(moved(0, 1))
        world.decide(moved(1, 2))
        await world.take()
        world.compare(world.chain.watermark)
        world.shard = PostingShard(world.app, 0, Poster(Picky()))
        assert await world.shard.open() == 0
        await world.take()
        assert world.said() == [(0, 2, {CAD_CASH: 2, CAD_DEPOSIT: 2})] * 2

    asyncio.run(story())


def test_what_another_worker_has_left_out_is_not_said_either():
    class Overtaken(Picky):
        """Another posts first, and leaves something out."""

        first = None

        def post_all(self, prepared):
            if self.first is not None:
                first, self.first = self.first, None
                super().post(0, Watermark(), [first])
                raise Superseded("another was there")
            return super().post_all(prepared)

    async def story():
        world = World(Overtaken())
        await world.shard.open()
        first = world.decide(moved(0, 7), moved(1, 1))
        world.decide(moved(2, 2))
        last = world.void(first, 0)
        world.journal.first = without(first, last.voided[0], last.decisions_offset)
        records = world.log.records[NAMES.decisions.name]
        await world.shard.take(Run(TP("decisions", 0), 0, 1, records[:1]))
        assert world.said() == []
        await world.take()
        assert world.said() == [(0, 3, {CAD_CASH: 2, CAD_DEPOSIT: 2})]

    asyncio.run(story())


# Reconciliation.


class Folding:
    """A shard's folds, run by run, without what they are written to."""

    def __init__(self, tmp_path):
        self.log = Log()
        self.consumer = Consumer()
        made = runtime(tmp_path, codec=CODEC, log=self.log, consumer=self.consumer)
        publisher = ShardPublisher(made, 0, None)
        self.shard = ReconciliationShard(made, 0, None, publisher, Room(1))
        self.rows, self.mark, self.ahead = {}, Watermark(), []

    def put(self, run):
        self.log.put(NAMES.decisions.name, CODEC.encode("Decision", run.decision.row()))
        after = run.decision.after(self.mark, decisions_offset=run.decisions_offset)
        made = ValidRun(run.decision, run.decisions_offset, self.mark, after)
        self.mark = after
        return made

    def fold(self, run):
        def rows_of(stripes):
            return [self.rows.get(stripe, NO_ROW) for stripe in stripes]

        self.rows |= fold([run], rows_of, 0, self.ahead).rows
        self.shard.state.mark = Mark(stream=run.after)

    def totals(self):
        return {stripe: row.live for stripe, row in self.rows.items()}


def test_what_is_void_is_taken_back_once_however_often_it_is_folded(tmp_path):
    folding, chain = Folding(tmp_path), Chain(outcomes=Outcomes().encode())
    first = chain.run(moved(0, 1), moved(1, 2, credit=FEES))
    voids = [void_of(first, 1, at=2), void_of(first, 0, at=3)]
    runs = [
        folding.put(each)
        for each in (first, chain.run(moved(4, 8), end=6, voided=voids))
    ]  # fmt: skip
    for run in (*runs, runs[-1]):
        folding.fold(run)
        if run is not runs[0]:
            assert folding.totals() == {
                CAD_CASH: Totals(8, 0, 1, 4), CAD_DEPOSIT: Totals(0, 8, 1, 4),
                Stripe(FEES, "CAD"): Totals(0, 0, 0, 2),
            }  # fmt: skip
    assert set(runs[1].stripes()) == folding.rows.keys()


def test_mixed_decimals_stop_it_until_they_are_void_further_on(tmp_path):
    folding, chain = Folding(tmp_path), Chain(outcomes=Outcomes().encode())
    odd = made(1, Leg(CASH, 5, scale=4), Leg(DEPOSIT, -5, scale=4))
    first, mixed = chain.run(moved(0, 1)), chain.run(odd)
    later = chain.run(moved(2, 2))
    last = chain.run(end=4, voided=[void_of(mixed, 1, at=3, scales=[2, 2])])
    runs = [folding.put(each) for each in (first, mixed, later, last)]
    folding.fold(runs[0])
    with pytest.raises(ScalesMixed, match=r"CAD had 2 decimals and has 4 .* \[1\]"):
        folding.fold(runs[1])
    folding.ahead = list(runs[3].voided)
    for run in runs[1:]:
        folding.fold(run)
    folding.ahead = []
    assert folding.rows[CAD_CASH] == Row(2, Totals(3, 0, 2, 3), NOTHING, broken=False)
    folding.fold(folding.put(chain.run(moved(5, 1))))


def test_a_shard_that_could_not_be_opened_for_them_is_opened_by_a_void(tmp_path):
    folding, chain = Folding(tmp_path), Chain(outcomes=Outcomes().encode())
    shard, first = folding.shard, chain.run(moved(0, 1))
    run = folding.put(chain.run(end=2, voided=[void_of(first, 0, at=1)]))

    async def fail():
        raise ScalesMixed("no")

    shard._open = fail
    with pytest.raises(ScalesMixed):
        asyncio.run(shard.open())
    shard.offer(run)
    assert folding.consumer.opened == [TP(NAMES.posted.name, 0)]


# Intake.


class Leaving:
    """What intake makes of leaves; the table of ids has all runs."""

    def __init__(self, tmp_path):
        self.log, self.chain, self.before = Log(), Chain(outcomes=Outcomes().encode()), Watermark()
        made = runtime(tmp_path, codec=CODEC, log=self.log)
        self.shard = IntakeShard(made, 0, None, None, None, lambda: 0)

    def decide(self, *transactions, known=True, **each):
        run = self.chain.run(*transactions, **each)
        self.log.put(NAMES.decisions.name, CODEC.encode("Decision", run.decision.row()))
        made = ValidRun(run.decision, run.decisions_offset, self.before, self.chain.watermark)
        self.before = made.after
        if known:
            self.know(made)
        return made

    def know(self, run):
        ids = self.shard._ids
        memory = ids.memory()
        fingerprints = bytes(16 * len(run.content.offsets))
        memory.remember(run.content, Outcomes(fingerprints=fingerprints), run.voided)
        ids.write(memory, run, Policy())

    def read(self, *leaves):
        found = asyncio.run(self.shard._leaves.voidable({each.offset: each for each in leaves}))
        return {name: (each.run, each.authority) for name, each in found.items()}


def test_a_leave_is_read_once_and_not_where_it_is_void_already(tmp_path):
    leaving = Leaving(tmp_path)
    first = leaving.decide(moved(0, 1), moved(1, 2))
    leaves = [Leave(0, each, 0, at=7 + each) for each in (0, 1)]
    assert leaving.read(*leaves) == {"t-0": (0, 7), "t-1": (0, 8)}
    leaving.log.read_from.clear()
    assert len(leaving.read(*leaves)) == 2
    assert leaving.log.read_from == []
    leaving.decide(voided=[void_of(first, 0, at=2)], end=3)
    assert leaving.read(*leaves) == {"t-1": (0, 8)}
    # After a restart too: an old leave must not have the whole log read again.
    leaving.shard._leaves._read.clear()
    assert leaving.read(leaves[0]) == {}
    assert leaving.log.read_from == []


def test_the_last_leave_counts_also_where_it_is_wrong(tmp_path):
    leaving = Leaving(tmp_path)
    leaving.decide(moved(0, 1))
    leaving.decide(moved(1, 1))
    assert leaving.read(Leave(0, 0, 0, at=7)) == {"t-0": (0, 7)}
    assert leaving.read(Leave(0, 0, 1, at=8)) == {}
    assert leaving.read(Leave(0, 0, 0, at=9)) == {"t-0": (0, 9)}


def test_a_leave_for_a_run_that_is_not_known_yet_is_read_later(tmp_path):
    """An owner that was paused while another one decided catches up, and has it then."""
    leaving = Leaving(tmp_path)
    leaving.decide(moved(0, 1))
    run = leaving.decide(moved(1, 1), known=False)
    leave = Leave(0, 1, 1, at=7)
    assert leaving.read(leave) == {}
    leaving.know(run)
    assert leaving.read(leave) == {"t-1": (1, 7)}


@pytest.mark.parametrize("run", [-1, 1, 2])
def test_a_leave_that_names_no_run_of_the_chain_counts_for_nothing(tmp_path, run, caplog):
    leaving = Leaving(tmp_path)
    leaving.decide(moved(0, 1))
    # Appended by an owner that no longer was one; everybody drops it.
    other = Chain(outcomes=Outcomes().encode()).run(moved(0, 5))
    leaving.log.put(NAMES.decisions.name, CODEC.encode("Decision", other.decision.row()))
    leaving.chain.watermark = leaving.before
    late = leaving.chain.run(moved(1, 1), skipped=1)
    leaving.log.put(NAMES.decisions.name, CODEC.encode("Decision", late.decision.row()))
    leaving.know(ValidRun(late.decision, 2, leaving.before, leaving.chain.watermark))
    assert leaving.read(Leave(0, 0, run, at=7)) == {}
    assert "counts for nothing" in caplog.text
    assert leaving.read(Leave(0, 1, 2, at=8)) == {"t-1": (2, 8)}


def test_it_looks_ahead_for_what_mixes_decimals_and_only_then(tmp_path):
    folding, chain = Folding(tmp_path), Chain(outcomes=Outcomes().encode())
    odd = made(1, Leg(CASH, 5, scale=4), Leg(DEPOSIT, -5, scale=4))
    first, mixed = chain.run(moved(0, 1)), chain.run(odd)
    runs = [folding.put(first), folding.put(mixed)]

    assert asyncio.run(folding.shard.folding._folded(runs[:1])).rows[CAD_CASH].live.entries == 1
    assert folding.log.read_from == []
    with pytest.raises(ScalesMixed):
        asyncio.run(folding.shard.folding._folded(runs))
    assert folding.log.read_from == [0]
    runs.append(folding.put(chain.run(end=4, voided=[void_of(mixed, 1, at=3, scales=[2, 2])])))
    folded = asyncio.run(folding.shard.folding._folded(runs))
    assert folded.rows[CAD_CASH].live == Totals(1, 0, 1, 3)


def test_many_stripes_are_published_in_parts_and_compared_as_one(monkeypatch):
    """After a silence all that was touched meanwhile is published at once; a message has a limit."""
    monkeypatch.setattr(messages, "POSTED_STRIPES", 2)

    async def story():
        world = World()
        await world.shard.open()
        world.decide(*(moved(each, 1, debit=f"assets:{each}") for each in range(4)))
        await world.take()
        return world

    world = asyncio.run(story())
    records = world.log.records[NAMES.posted.name]
    rows = [CODEC.decode("Posted", each.value) for each in records]
    assert [(len(row["accounts"]), row["more"]) for row in rows] == [
        (2, True),
        (2, True),
        (1, False),
    ]
    comparison = Comparison(Mark(), {})
    parts = [posted_in(CODEC, each) for each in records]
    # One that died after its first message publishes everything again.
    whole = [comparison.whole(each) for each in [parts[0], *parts]]
    assert whole[:3] == [None] * 3
    assert whole[3].totals == world.journal.snapshot(0, 0).totals
    assert comparison.whole(parts[0]._replace(digest=bytes(32))) is None
    assert comparison.whole(parts[2]) == parts[2]
