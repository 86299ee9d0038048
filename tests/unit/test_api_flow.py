"""The flow of one shard: what becomes of transactions, for those who wait for them."""

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.api.flow.fate import Fate, Level
from ledger.api.flow.flow import SEARCHED_BYTES, Flow
from ledger.api.flow.runs import FRAME_BYTES, HeldRun, RecentRuns
from ledger.api.flow.shard import MARKS, Marks, ShardFlow, Waiter
from ledger.api.positions import Position
from ledger.client.outcomes import OpenBreak, Outcome
from ledger.domain.decide import Received
from ledger.domain.refusal import Reason
from ledger.domain.run import Watermark
from ledger.domain.valid_run import ValidRun
from ledger.settings import Settings
from tests.builders import (
    CASH,
    KeptMemory,
    draft,
    numbered,
    received,
    settle,
    verdicts,
    void_of,
)


@dataclass
class Log:
    """The decision log of a shard, decided by the ledger's own rules, and the flow that follows."""

    flow: ShardFlow = field(default_factory=lambda: ShardFlow.at(0, RecentRuns(), Watermark()))
    memory: KeptMemory = field(default_factory=KeptMemory)
    mark: Watermark = field(default_factory=Watermark)
    told: dict[int, str] = field(default_factory=dict)

    def run(self, *records: Received) -> ValidRun:
        learnt = self.memory.memory()
        decision = settle(records, watermark=self.mark, memory=learnt)
        self.memory.keep(learnt)
        self.told |= verdicts(decision)
        after = decision.after(self.mark, decisions_offset=self.mark.decisions_offset)
        run = ValidRun(decision, self.mark.decisions_offset, self.mark, after)
        self.mark = after
        self.flow.take_run(run, at=1_000 + after.end)
        return run


def waited(log: Log, offset: int, level: Level) -> Waiter:
    return log.flow.begin(offset, level)


def in_loop(test):
    """A test whose futures need a running loop."""

    async def run(*args, **kwargs):
        test(*args, **kwargs)

    def started(*args, **kwargs):
        asyncio.run(run(*args, **kwargs))

    started.__name__ = test.__name__
    return started


@in_loop
def test_each_level_is_reached_in_its_turn():
    log = Log()
    waiters = {level: waited(log, 0, level) for level in Level}
    done = lambda: [level for level, each in waiters.items() if each.done.done()]  # noqa: E731
    assert done() == []
    log.run(received(draft()))
    assert done() == [Level.DECIDED]
    log.flow.take_posted(1, 2_000)
    assert done() == [Level.DECIDED, Level.POSTED]
    log.flow.take_compared(1, 3_000)
    assert done() == list(Level)
    fate = log.flow.fate(waiters[Level.RECONCILED])
    assert (fate.outcome, fate.level) == (Outcome.ACCEPTED, Level.RECONCILED)
    assert (fate.posted_at, fate.compared_at) == (2_000, 3_000)
    assert fate.verdict.run == (0, 0, 1, 1_001)
    assert log.flow.waiting == 0


@in_loop
def test_progress_may_come_before_the_run_and_before_what_is_posted():
    log = Log()
    waiter = waited(log, 0, Level.RECONCILED)
    log.flow.take_compared(1, 3_000)
    assert not waiter.done.done()
    log.run(received(draft()))
    assert waiter.done.done()
    assert log.flow.fate(waiter).posted_at == 3_000


@in_loop
def test_what_is_refused_is_not_waited_for_any_further():
    log = Log()
    waiter = waited(log, 0, Level.RECONCILED)
    log.run(received(draft(amount="0")))
    assert waiter.done.done()
    fate = log.flow.fate(waiter)
    assert (fate.outcome, fate.level) == (Outcome.REFUSED, Level.DECIDED)
    assert fate.verdict.refusal.code == Reason.AMOUNT_NOT_POSITIVE
    assert fate.verdict.refusal.field == "entries[0].amount"


@in_loop
def test_a_duplicate_waits_for_what_it_repeats():
    log = Log()
    log.run(received(draft()))
    waiter = waited(log, 1, Level.RECONCILED)
    log.run(received(draft(), offset=1))
    assert not waiter.done.done()
    log.flow.take_compared(2, 3_000)
    assert waiter.done.done()
    assert log.flow.fate(waiter).outcome is Outcome.DUPLICATE


@in_loop
def test_a_void_shows_on_what_it_takes_back_however_long_that_waits():
    log = Log()
    first = draft("stuck")
    run = log.run(received(first))
    waiter = waited(log, 0, Level.POSTED)
    log.memory.give_leave(run.decision, 0)
    log.run(received(void_of(first), offset=1))
    assert waiter.verdict.outcome is Outcome.VOIDED
    log.flow.take_posted(2, 5)
    assert waiter.done.done()
    assert waited(log, 0, Level.DECIDED).verdict.outcome is Outcome.VOIDED
    assert waited(log, 1, Level.DECIDED).verdict.outcome is Outcome.VOID


@in_loop
def test_an_open_break_on_its_account_keeps_it_from_being_reconciled():
    log = Log()
    waiter = waited(log, 0, Level.RECONCILED)
    other = waited(log, 1, Level.RECONCILED)
    log.run(received(draft()), received(draft("b", debit="assets:b", credit="assets:c"), 1))
    broken = OpenBreak(0, CASH, "CAD")
    log.flow.take_break(broken, is_open=True)
    log.flow.take_compared(2, 5)
    assert log.flow.fate(waiter).breaks == [broken]
    assert log.flow.fate(waiter).level is Level.POSTED
    assert log.flow.fate(other).level is Level.RECONCILED
    log.flow.take_break(broken, is_open=False)
    assert log.flow.fate(waiter).level is Level.RECONCILED


@in_loop
def test_what_was_compared_before_the_start_is_reconciled_at_once():
    flow = ShardFlow.at(0, RecentRuns(), Watermark(end=10))
    waiter = flow.begin(9, Level.RECONCILED)
    assert waiter.done.done()
    assert (flow.fate(waiter).level, flow.fate(waiter).outcome) == (Level.RECONCILED, None)
    assert not flow.begin(10, Level.RECONCILED).done.done()


@in_loop
def test_nothing_is_kept_of_those_who_gave_up():
    log = Log()
    waiters = [waited(log, offset, level) for offset in (3, 3, 1) for level in Level]
    log.run(*numbered([draft("a"), draft("b"), draft("c"), draft("d")]))
    for waiter in waiters:
        log.flow.end(waiter)
    assert log.flow.waiting == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), st.lists(st.sampled_from("abcde0"), min_size=1, max_size=4)),
        st.tuples(st.just("posted"), st.integers(0, 30)),
        st.tuples(st.just("compared"), st.integers(0, 30)),
        st.tuples(st.just("wait"), st.tuples(st.integers(0, 30), st.sampled_from(Level))),
    ),
    max_size=30,
)


@given(STEPS)
def test_whatever_comes_in_whatever_order(steps):
    """Against the definition: a wait is over once the shard is decided and at its level."""
    in_loop(lambda: take_all(steps))()


def take_all(steps) -> None:
    log, posted, compared = Log(), 0, 0
    waiters: list[Waiter] = []
    for what, value in steps:
        if what == "run":
            # A name that begins with 0 has an amount of zero, and is refused.
            drafts = [draft(name, amount="0" if name == "0" else "1.00") for name in value]
            log.run(*numbered(drafts, start=log.mark.end))
        elif what == "posted":
            posted = max(posted, value)
            log.flow.take_posted(value, 1)
        elif what == "compared":
            compared = max(compared, value)
            log.flow.take_compared(value, 1)
        else:
            waiters.append(waited(log, *value))
        for each in waiters:
            check(each, log, max(posted, compared), compared)
    assert log.flow.waiting == sum(not each.done.done() for each in waiters)


def check(waiter: Waiter, log: Log, posted: int, compared: int) -> None:
    decided = waiter.offset < log.mark.end
    told = log.told.get(waiter.offset)
    refused = decided and told not in ("accepted", "duplicate")
    reached = {Level.DECIDED: True, Level.POSTED: waiter.offset < posted,
               Level.RECONCILED: waiter.offset < compared}[waiter.level]  # fmt: skip
    assert waiter.done.done() == (decided and (refused or reached))
    fate = log.flow.fate(waiter)
    expected = {None: Outcome.UNDECIDED, "accepted": Outcome.ACCEPTED,
                "duplicate": Outcome.DUPLICATE}.get(told, Outcome.REFUSED)  # fmt: skip
    assert fate.outcome is expected
    if decided and not refused:
        assert (fate.level is Level.RECONCILED) == (waiter.offset < compared)


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(0, 60))
def test_marks_name_when_a_position_was_passed(ends, offset):
    marks, passed = Marks(10), None
    for at, end in enumerate(ends, 1):
        before = marks.last.end
        assert marks.reach(end, at) == (end > before)
        if passed is None and end > before and offset < end:
            passed = at
    expected = 0 if offset < 10 else passed
    assert marks.passed(offset) == expected


def test_marks_are_bounded():
    marks = Marks()
    for end in range(1, MARKS + 10):
        marks.reach(end, end)
    assert marks.passed(3) == 0
    assert marks.passed(MARKS) == MARKS + 1
    assert marks.passed(MARKS + 9) is None


def held(shard: int, start: int, *names: str) -> HeldRun:
    made = settle(numbered([draft(each) for each in names], start=start),
                  watermark=Watermark(end=start))  # fmt: skip
    run = ValidRun(made, start, Watermark(end=start), made.after(Watermark(), decisions_offset=0))
    return HeldRun.of(run, at=7)


def test_runs_are_found_by_position_and_by_id():
    recent = RecentRuns()
    first, second = held(0, 0, "a", "b"), held(0, 2, "c")
    recent.add(0, first)
    recent.add(1, held(1, 5, "x"))
    recent.add(0, second)
    assert [recent.at(0, each) for each in (0, 1, 2, 3)] == [first, first, second, None]
    assert recent.at(1, 4) is None
    assert recent.at(2, 0) is None
    assert [shard for shard, _ in recent.newest_first()] == [0, 1, 0]
    assert (first.offset_of("b"), first.offset_of("c")) == (1, None)
    # In the text, and no id.
    assert first.offset_of("deposit") is None


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 5)), max_size=40))
def test_the_runs_that_are_kept_are_the_newest_and_bounded(sizes):
    limit = 6 * FRAME_BYTES
    recent, ends, added = RecentRuns(limit), dict.fromkeys(range(3), 0), []
    for shard, count in sizes:
        start = ends[shard]
        run = HeldRun(start, start + count, 0, 0, b"x" * 10 * count, b"", b"")
        ends[shard] += count
        recent.add(shard, run)
        added.append((shard, run))
        kept = recent.newest_first()
        assert kept == added[::-1][: len(kept)]
        assert recent.weight == sum(each.weight for _, each in kept)
        assert recent.weight <= limit or len(kept) == 1
        for where, each in kept:
            assert recent.at(where, each.start) is each


async def found(flow: Flow) -> list[Position | None]:
    shard = ShardFlow.at(3, flow._recent, Watermark())
    log = Log(flow=shard)
    log.run(received(draft("a")))
    flow.published("mine", Position(1, 9))
    wait = asyncio.create_task(flow.find("later", 60))
    await asyncio.sleep(0)
    run = log.run(received(draft("later"), offset=1))
    flow._take_run(3, HeldRun.of(run, 0))
    return [await flow.find(each) for each in ("a", "mine", "none")] + [await wait]


def test_an_id_is_found_where_it_was_published_or_accepted_and_waited_for():
    flow = Flow(Settings())
    assert asyncio.run(found(flow)) == [Position(3, 0), Position(1, 9), None, Position(3, 1)]
    assert not flow._asked


@pytest.mark.parametrize("fate, level", [
    (Fate(0, 0, None, compared_at=0), Level.RECONCILED),
    (Fate(0, 0, None, posted_at=0), Level.POSTED),
    (Fate(0, 0, None), Level.DECIDED),
])  # fmt: skip
def test_what_is_longer_ago_than_is_remembered_still_has_its_level(fate, level):
    assert fate.level is level
    assert fate.outcome is None


async def found_meanwhile() -> Position | None:
    flow = Flow(Settings())
    log = Log(flow=ShardFlow.at(0, flow._recent, Watermark()))
    for start in (10, 11):
        big = HeldRun(start, start + 1, 0, 0, b"x" * SEARCHED_BYTES, b"", b"")
        flow._recent.add(1, big)
    search = asyncio.create_task(flow.find("late", 60))
    await asyncio.sleep(0)
    run = log.run(received(draft("late")))
    flow._take_run(0, HeldRun.of(run, 0))
    return await search


def test_an_id_that_is_accepted_during_the_search_is_not_waited_for_in_vain():
    assert asyncio.run(found_meanwhile()) == Position(0, 0)


def test_who_waits_goes_on_when_the_process_stops():
    async def story():
        log = Log()
        flow = Flow(Settings())
        flow._topics = SimpleNamespace(shards=[log.flow])
        flow._opened.set()
        log.run(received(draft()))
        places = [Position(0, 0), Position(0, 1)]
        waiting = [asyncio.create_task(flow.wait(each, Level.RECONCILED, 60)) for each in places]
        await asyncio.sleep(0)
        flow.release()
        decided, unknown = await asyncio.wait_for(asyncio.gather(*waiting), 5)
        assert (decided.level, unknown.level) == (Level.DECIDED, None)

    asyncio.run(story())
