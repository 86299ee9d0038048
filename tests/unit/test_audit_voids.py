"""Table voids against the decisions, and against the runs that the journal has."""

from collections.abc import Callable

import pytest

from ledger.audit.chain import Chain as DecisionChain
from ledger.audit.chain import ChainedRun
from ledger.audit.check import ShardCheck
from ledger.audit.findings import Break, BreakKind, Findings, Party
from ledger.audit.fold import ShardFold, StatedPosition
from ledger.audit.ids import Ids
from ledger.audit.journal import JournalCheck, OrderedRows
from ledger.domain.run import Outcomes, Watermark
from ledger.gl.memory import MemoryJournal
from ledger.gl.rows import PostedVoid, RowKey
from ledger.gl.verify import verify_journal
from tests.integration.gl_runs import Chain, moved, void_of, without

FEES = "income:fees"


class World:
    """Offset 1 was left out, and is void; offset 2 was posted, and is void. `upto`: runs posted."""

    def __init__(self, upto: int = 4) -> None:
        chain = Chain(outcomes=Outcomes().encode())
        first = chain.run(moved(0, 1), moved(1, 2, credit=FEES), moved(2, 4))
        between = chain.run(moved(3, 8))
        voids = [void_of(first, 1, at=4), void_of(first, 2, at=5)]
        last = chain.run(end=6, voided=voids)
        rest = chain.run(moved(7, 16))
        runs = [without(first, voids[0], last.decisions_offset), between, last, rest]
        check = DecisionChain(0, Findings())
        taken = [check.take(each.decisions_offset, each.decision.row()) for each in runs]
        self.decided: list[ChainedRun] = [each for each in taken if each]
        self.journal = MemoryJournal()
        for run in runs[:upto]:
            self.journal.post(0, self.journal.watermark(0), [run])
        self.voids = self.journal._shards[0].voids

    def audit(self) -> list[Break]:
        """As reconcile --full compares the journal."""
        findings, journal = Findings(), self.journal
        posted, totals = journal.snapshot(0, -1)
        voids = journal.voids(0)
        check = JournalCheck(0, findings, {each.offset: each for each in voids})
        stated = ShardCheck(0, Ids(), findings, voids=voids)
        stated.state_database(posted, totals)
        stated.begin()
        runs = OrderedRows(journal.runs(0), lambda run: run.decisions_offset)
        rows = OrderedRows(journal.transactions(0), lambda each: each.offset)
        for settled in self.decided:
            head = settled.head
            if head.decisions_offset < posted.decisions_offset:
                check.take(settled, runs.below(head.decisions_offset + 1), rows.below(head.end))
            else:
                check.beyond(settled)
            stated._fold.take(settled)
        stated._fold.finish()
        check.finish()
        return findings.breaks()

    def verify(self) -> set[tuple[str, object]]:
        found = verify_journal(self.journal, [self.journal.watermark(0)]).findings
        return {
            (each.row.table, dict(each.row.columns).get("log_offset")) for each in found if each.row
        }


@pytest.mark.parametrize("upto", [0, 1, 2, 3, 4])
def test_no_breaks_at_any_position_of_posting(upto: int) -> None:
    world = World(upto)
    assert [each.sentence for each in world.audit()] == []
    assert world.verify() == set()


def voids_named(breaks: list[Break]) -> list[tuple[BreakKind, object]]:
    return [
        (each.kind, dict(each.row.columns)["log_offset"])
        for each in breaks
        if each.row is not None and each.row.table == "voids"
    ]


def test_a_row_that_is_lost() -> None:
    world = World()
    lost = world.voids.pop(0)
    assert voids_named(world.audit()) == [(BreakKind.MISSING, lost.offset)]
    # Its transaction is missing now, and verify cannot make the digest of its run.
    assert ("runs", None) in world.verify()


@pytest.mark.parametrize(
    "change",
    [
        lambda void: void._replace(void_offset=void.void_offset + 1),
        lambda void: void._replace(recorded_at=1),
        lambda void: void._replace(run=1),
        lambda void: void._replace(decisions_offset=1),
        lambda void: void._replace(authority=1),
        lambda void: void._replace(reason="somebody else"),
        lambda void: void._replace(content=void.content[:-1]),
        lambda void: void._replace(content=b""),
        lambda void: void._replace(content=b"\\xff" * 20),
        lambda void: void._replace(content=void_of(Chain().run(moved(1, 3)), 1, at=4).content),
    ],
)
def test_a_row_that_is_changed(change: Callable[[PostedVoid], PostedVoid]) -> None:
    world = World()
    for index in range(2):
        world.voids[index] = change(world.voids[index])
    assert voids_named(world.audit()) == [(BreakKind.DIFFERS, 1), (BreakKind.DIFFERS, 2)]
    world.verify()
    assert all(isinstance(each.as_json()["transaction"], str) for each in world.voids)


def test_rows_of_what_is_void_are_there_or_not_as_it_says() -> None:
    world = World()
    state = world.journal._shards[0]
    (posted,) = [each for each in state.transactions if each.offset == 2]
    state.transactions.remove(posted)
    assert [(each.kind, each.row) for each in world.audit()] == [
        (BreakKind.MISSING, RowKey.of("transactions", shard=0, log_offset=2))
    ]
    assert ("voids", 2) in world.verify()
    state.transactions.insert(1, posted._replace(offset=1))
    found = world.audit()[0]
    assert (found.kind, found.row) == (
        BreakKind.EXTRA,
        RowKey.of("transactions", shard=0, log_offset=1),
    )
    assert "is in the journal and is void, and was left out" in found.sentence
    assert ("voids", 1) in world.verify()


@pytest.mark.parametrize("was_posted", [False, True])
@pytest.mark.parametrize("decisions_offset", [2, 3, 10**6])
@pytest.mark.parametrize("upto", [1, 2, 4])
def test_a_row_that_hides_what_is_posted(
    decisions_offset: int, upto: int, was_posted: bool
) -> None:
    world = World(upto)
    forged = world.voids[0]._replace(
        offset=0, decisions_offset=decisions_offset, was_posted=was_posted
    )
    chain = Chain().run(moved(0, 1))
    world.voids.append(forged._replace(content=void_of(chain, 0, at=4).content))
    assert (BreakKind.EXTRA, 0) in voids_named(world.audit())
    if not was_posted or upto < 4 or decisions_offset != 2:
        assert ("voids", 0) in world.verify()
    else:
        # The run is there, and what it voided is in the log alone: the sums differ.
        assert any(table == "stripes" for table, _ in world.verify())


def test_the_sums_of_a_stripe_that_waits_for_a_void_are_compared_after_it() -> None:
    world = World(2)
    assert [each.sentence for each in world.audit()] == []
    world = World(3)
    stripe, totals = next(iter(world.journal._shards[0].stripes.items()))
    world.journal._shards[0].stripes[stripe] = totals._replace(debits=totals.debits + 1)
    assert [each.kind for each in world.audit()] == [BreakKind.DIFFERS]


def test_the_fold_takes_back_between_the_runs_own_transactions() -> None:
    world, found = World(), Findings()
    fold = ShardFold(0, {"CAD": 2}, found)
    marks = Watermark()
    fold.expect(StatedPosition(Party.DATABASE, "nothing", marks, lambda sums: ()))
    fold.begin()
    for settled in world.decided:
        fold.take(settled)
    fold.finish()
    assert fold.sums[FEES, "CAD"] == [0, 0, 0, 4]
    assert found.breaks() == []
