"""One shard's checks: clean input has no break, and each corruption is found and named."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ledger.audit.check import ShardCheck
from ledger.audit.findings import Break, BreakKind, Findings, Party
from ledger.audit.ids import Ids
from ledger.audit.journal import OrderedRows
from ledger.audit.log_records import LogRecord
from ledger.audit.stated import _MARK, Changelog, TableRow
from ledger.domain import avro
from ledger.domain.balance import Totals, totals_after
from ledger.domain.run import Content, Decision, Outcomes, Stripe, Watermark
from ledger.domain.transaction import Draft
from ledger.gl.journal import PostingRun
from ledger.gl.memory import MemoryJournal
from ledger.gl.rows import PostedRun, PostedTransaction
from tests.builders import (
    CASH,
    DEPOSIT,
    FEES,
    NOW,
    KeptMemory,
    draft,
    entry,
    numbered,
    reversal,
    settle,
    stripe,
    unreadable,
    wire,
)

LAST = Stripe(FEES, "CAD")
SPLIT = [
    entry(CASH, "debit", "10", "CAD"),
    entry(DEPOSIT, "credit", "9.5", "CAD"),
    entry(FEES, "credit", "0.50", "CAD"),
]


class World:
    """A shard in which everything is right, made by the code under audit; tests tamper with it.

    Three runs of transactions and one without; `table`, `stripes` and `database` are at the end.
    """

    def __init__(self, shard: int = 0, prefix: str = "t") -> None:
        self.shard = shard
        first = draft(f"{prefix}-0", metadata={"b": "1", "a": "ä"}, ordering_key="k", at=NOW - 5)
        self.runs_of: list[list[Draft | Any]] = [
            [first, draft(f"{prefix}-1", currency="JPY", amount="7"), unreadable()],
            [draft(f"{prefix}-2", entries=SPLIT), first, reversal(first, f"{prefix}-3")],
            [],
            [draft(f"{prefix}-4", debit="expenses:rent"), draft(f"{prefix}-5", amount="0.01")],
        ]
        self.originals: list[LogRecord] = []
        self.decisions: list[dict[str, Any]] = []
        self.compared = Watermark()
        self.ids, self.findings = Ids(), Findings()
        journal = MemoryJournal()
        self._settle(journal)
        self.posted, self.database = journal.snapshot(shard, 0)
        self.runs: list[PostedRun] = list(journal.runs(shard))
        self.transactions: list[PostedTransaction] = list(journal.transactions(shard))
        self.stripes = {
            each: TableRow(2, totals, totals, False) for each, totals in self.database.items()
        }
        self.rows = {each: (2, totals, totals, 0) for each, totals in self.database.items()}
        self.mark = [self.posted, self.posted, 0, 0]
        self.written = self.posted.end

    def _settle(self, journal: MemoryJournal) -> None:
        kept, mark = KeptMemory(), Watermark()
        for offset, drafts in enumerate(self.runs_of):
            records = numbered(drafts, mark.end)
            memory = kept.memory()
            # With one shard of many every key is at home.
            decision = settle(records, watermark=mark, memory=memory)
            decision = dataclasses.replace(decision, shard=self.shard)
            kept.keep(memory)
            journal.post(self.shard, mark, [self.posting(decision, offset)])
            mark = decision.after(mark, decisions_offset=offset)
            self.decisions.append(decision.row())
            self.originals += [
                LogRecord(
                    each.offset, each.recorded_at, each.key, each.value,
                    each.draft if isinstance(each.draft, dict) else None,
                )
                for each in records
            ]  # fmt: skip
        self.compared = mark

    @staticmethod
    def posting(decision: Decision, offset: int) -> PostingRun:
        return PostingRun(decision, offset, Content.decode(decision.content))

    def decide_again(self, run: int, content: Callable[[Content], None] | None = None,
                     outcomes: Callable[[Outcomes], None] | None = None) -> None:  # fmt: skip
        """Forge a run and chain the later ones to it: log, journal and marks know nothing of it."""
        row = self.decisions[run]
        columns, rest = Content.decode(row["content"]), Outcomes.decode(row["outcomes"])
        (content or _leave)(columns)
        (outcomes or _leave)(rest)
        changed = {"content": columns.encode(), "outcomes": rest.encode()}
        row |= changed | {"accepted": len(columns.offsets)}
        mark = Watermark()
        for offset, each in enumerate(self.decisions):
            each["follows"] = mark.digest
            mark = Decision(**each).after(mark, decisions_offset=offset)
        self.follow_to(mark)

    def follow_to(self, mark: Watermark) -> None:
        """Move every party's position to there."""
        self.compared = self.posted = mark
        self.mark[:2] = [mark, mark]

    def changelog(self) -> Changelog:
        made = Changelog()
        for (account, currency), (scale, live, posted, broken) in self.rows.items():
            texts = {"live": live.text(), "posted": posted.text()}
            value = {"scale": scale, "broken": bool(broken)} | texts
            made.take(f"s{account} {currency}".encode(), avro.encode("Stripe", value, bytes(5)))
        stream, compared, posted, breaks = self.mark
        made.take(b"w", _MARK.pack(*_numbers(stream), *_numbers(compared), posted, breaks))
        return made

    def audit(self) -> list[Break]:
        """Everything, as the reading part does it."""
        check = ShardCheck(self.shard, self.ids, self.findings)
        check.state_stripes(self.compared, self.stripes)
        check.state_table(self.changelog())
        check.state_database(self.posted, self.database)
        check.begin()
        runs = OrderedRows(iter(self.runs), lambda run: run.decisions_offset)
        transactions = OrderedRows(iter(self.transactions), lambda each: each.offset)
        for offset, row in enumerate(self.decisions):
            settled = check.follow(offset, row)
            if settled is None:
                continue
            head = settled.head
            found = [each for each in self.originals if head.start <= each.offset < head.end]
            posted = None
            if offset < self.posted.decisions_offset:
                posted = runs.below(offset + 1), transactions.below(head.end)
            check.take(settled, found, posted)
        check.finish(self.written)
        return self.findings.breaks()

    def original(self, offset: int, **changes: Any) -> None:
        """Change the log's record at an offset."""
        at = next(i for i, each in enumerate(self.originals) if each.offset == offset)
        made = {**self.originals[at].draft, **changes}
        self.originals[at] = self.originals[at]._replace(draft=made)


def _leave(_: object) -> None:
    """As it is."""


def _numbers(mark: Watermark) -> tuple[Any, ...]:
    return mark.decisions_offset, mark.end, mark.digest, mark.recorded_until


def kinds_and_parties(breaks: Sequence[Break]) -> set[tuple[BreakKind, Party]]:
    """Kinds, and who disagrees with what is believed."""
    return {(each.kind, each.between[1]) for each in breaks}


def only(breaks: Sequence[Break]) -> Break:
    """The single break."""
    assert len(breaks) == 1, [each.sentence for each in breaks]
    return breaks[0]


@pytest.fixture
def world() -> World:
    return World()


def test_a_correct_world_has_no_breaks(world: World) -> None:
    assert world.audit() == []


def test_the_world_has_every_kind_of_decision(world: World) -> None:
    outcomes = [Outcomes.decode(row["outcomes"]) for row in world.decisions]
    assert sum(row["accepted"] for row in world.decisions) == len(world.transactions) == 6
    assert [each.duplicates for each in outcomes] == [[], [4], [], []]
    assert [len(each.refused) for each in outcomes] == [1, 0, 0, 0]
    assert world.decisions[2]["start"] == world.decisions[2]["end"]


def test_an_empty_shard_is_right() -> None:
    check = ShardCheck(0, Ids(), findings := Findings())
    check.state_stripes(Watermark(), {})
    check.state_table(Changelog())
    check.state_database(Watermark(), {})
    check.begin()
    assert check.finish(0) == {}
    assert findings.breaks() == []


# The journal.


def test_an_altered_amount_in_the_journal(world: World) -> None:
    posted = world.transactions[0]
    account, currency, scale, amount = posted.entries[0]
    world.transactions[0] = posted._replace(
        entries=[(account, currency, scale, amount + 1), *posted.entries[1:]]
    )
    found = only(world.audit())
    assert (found.kind, found.between) == (BreakKind.DIFFERS, (Party.DECISIONS, Party.JOURNAL))
    assert found.as_json()["account"] == CASH
    assert found.stream == {
        "entries": [[CASH, "CAD", "debit", "10.00"], [DEPOSIT, "CAD", "credit", "10.00"]]
    }
    assert found.ledger is not None
    assert found.ledger["entries"][0] == [CASH, "CAD", "debit", "10.01"]


@pytest.mark.parametrize(
    "changes",
    [
        {"transaction_id": "t-9"}, {"kind": "fee"}, {"description": "x"}, {"effective_at": 1},
        {"recorded_at": 1}, {"created_at": 1}, {"ordering_key": "x"}, {"reverses": "x"},
        {"metadata": "{}"}, {"entries": []},
    ],
    ids=str,
)  # fmt: skip
def test_any_field_of_the_journal(world: World, changes: dict[str, Any]) -> None:
    world.transactions[1] = world.transactions[1]._replace(**changes)
    found = only(world.audit())
    assert found.ledger is not None
    assert found.ledger.keys() == changes.keys()
    assert "'t-1' at offset 1" in found.sentence


def test_a_missing_transaction_in_the_journal(world: World) -> None:
    lost = world.transactions.pop(2)
    found = only(world.audit())
    assert (found.kind, found.between[1]) == (BreakKind.MISSING, Party.JOURNAL)
    assert found.stripes == (Stripe(CASH, "CAD"), Stripe(DEPOSIT, "CAD"), Stripe(FEES, "CAD"))
    assert lost.transaction_id in found.sentence


def test_an_extra_transaction_in_the_journal(world: World) -> None:
    # The offset is that of a refused record.
    made_up = world.transactions[0]._replace(offset=2, transaction_id="t-2b")
    world.transactions.insert(2, made_up)
    found = only(world.audit())
    assert (found.kind, found.between[1]) == (BreakKind.EXTRA, Party.JOURNAL)
    assert found.ledger is not None
    assert found.ledger["offset"] == 2


def test_missing_altered_and_extra_runs_of_the_journal(world: World) -> None:
    lost, altered = world.runs[:2]
    made_up = lost._replace(decisions_offset=-1)
    world.runs[:2] = [made_up, altered._replace(digest=bytes(32))]
    breaks = world.audit()
    assert [each.kind for each in breaks] == [BreakKind.MISSING, BreakKind.EXTRA, BreakKind.DIFFERS]
    assert breaks[2].ledger == {"digest": "00" * 32}


def test_a_journal_that_is_behind_is_compared_where_it_is(world: World) -> None:
    first = world.decisions[0]
    world.posted = Decision(**first).after(Watermark(), decisions_offset=0)
    world.runs, world.transactions = world.runs[:1], world.transactions[:2]
    world.database = dict(totals_after(Content.decode(first["content"]), {}))
    assert world.audit() == []


# The database's stripes.


def test_a_stripe_of_the_database_off_by_one(world: World) -> None:
    totals = world.database[LAST]
    world.database[LAST] = totals._replace(credits=totals.credits + 1)
    found = only(world.audit())
    assert (found.kind, found.between) == (BreakKind.DIFFERS, (Party.DECISIONS, Party.DATABASE))
    assert found.as_json()["account"] == FEES
    assert found.stream is not None
    assert found.ledger is not None
    assert (found.stream["credits"], found.ledger["credits"]) == ("0.50", "0.51")


def test_a_missing_and_an_extra_stripe_of_the_database(world: World) -> None:
    world.database[stripe("assets:ghost")] = world.database.pop(LAST)
    assert kinds_and_parties(world.audit()) == {
        (BreakKind.MISSING, Party.DATABASE), (BreakKind.EXTRA, Party.DATABASE)
    }  # fmt: skip


def test_a_database_at_another_chain(world: World) -> None:
    world.posted = dataclasses.replace(world.posted, digest=b"x" * 32)
    assert kinds_and_parties(world.audit()) == {(BreakKind.POSITION, Party.DATABASE)}


def test_a_database_ahead_of_the_decisions(world: World) -> None:
    world.decisions.pop()
    kinds = kinds_and_parties(world.audit())
    assert (BreakKind.POSITION, Party.DATABASE) in kinds
    assert (BreakKind.POSITION, Party.TABLE) in kinds
    assert (BreakKind.POSITION, Party.PROGRESS) in kinds


# The table and the stripes topic.


def test_a_stale_row_of_the_table(world: World) -> None:
    cash = Stripe(CASH, "CAD")
    before = totals_after(Content.decode(world.decisions[0]["content"]), {})[cash]
    world.rows[cash] = (2, before, before, 0)
    found = only(world.audit())
    assert (found.kind, found.between[1]) == (BreakKind.DIFFERS, Party.TABLE)
    assert "complete" in found.sentence


def test_a_row_of_the_table_off_by_one_at_its_own_offset(world: World) -> None:
    scale, live, posted, broken = world.rows[LAST]
    world.rows[LAST] = (scale, live._replace(debits=1), posted, broken)
    assert kinds_and_parties(world.audit()) == {(BreakKind.DIFFERS, Party.TABLE)}


def test_a_missing_and_an_extra_row_of_the_table(world: World) -> None:
    world.rows[stripe("assets:ghost")] = world.rows.pop(LAST)
    assert kinds_and_parties(world.audit()) == {
        (BreakKind.MISSING, Party.TABLE),
        (BreakKind.EXTRA, Party.TABLE),
    }


def test_a_table_that_is_behind_is_compared_where_it_is(world: World) -> None:
    first = world.decisions[0]
    mark = Decision(**first).after(Watermark(), decisions_offset=0)
    totals = totals_after(Content.decode(first["content"]), {})
    world.mark[:2] = [mark, Watermark()]
    world.rows = {each: (2, live, Totals(), 0) for each, live in totals.items()}
    assert world.audit() == []


def test_a_table_that_miscounts_its_breaks(world: World) -> None:
    world.mark[3] = 1
    assert kinds_and_parties(world.audit()) == {(BreakKind.DIFFERS, Party.TABLE)}


def test_a_stripe_topic_that_lost_one_or_is_behind_progress(world: World) -> None:
    del world.stripes[LAST]
    cash = Stripe(CASH, "CAD")
    before = totals_after(Content.decode(world.decisions[0]["content"]), {})[cash]
    world.stripes[cash] = TableRow(2, before, before, False)
    assert kinds_and_parties(world.audit()) == {
        (BreakKind.MISSING, Party.STRIPES),
        (BreakKind.DIFFERS, Party.STRIPES),
    }


def test_a_stripe_not_yet_compared_is_compared_by_its_live_totals(world: World) -> None:
    cash = Stripe(CASH, "CAD")
    before = totals_after(Content.decode(world.decisions[0]["content"]), {})[cash]
    for changes, found in (({}, set()), ({"entries": 9}, {(BreakKind.DIFFERS, Party.STRIPES)})):
        again = World()
        again.compared = Watermark()
        again.stripes[cash] = TableRow(2, world.database[cash]._replace(**changes), before, False)
        assert kinds_and_parties(again.audit()) == found


def test_a_stripe_that_was_compared_with_other_totals(world: World) -> None:
    cash = Stripe(CASH, "CAD")
    before = totals_after(Content.decode(world.decisions[0]["content"]), {})[cash]
    forged = before._replace(debits=before.debits + 1)
    world.stripes[cash] = TableRow(2, world.database[cash], forged, False)
    assert kinds_and_parties(world.audit()) == {(BreakKind.DIFFERS, Party.STRIPES)}


# The log and the decisions.


def test_an_undecided_offset(world: World) -> None:
    world.decide_again(0, outcomes=lambda rest: rest.refused.clear())
    assert (BreakKind.UNDECIDED, Party.DECISIONS) in kinds_and_parties(world.audit())


def test_an_offset_decided_twice(world: World) -> None:
    world.decide_again(1, outcomes=lambda rest: rest.duplicates.append(3))
    found = [each for each in world.audit() if each.kind is BreakKind.DECIDED_TWICE]
    assert "Offset 3 was decided twice" in only(found).sentence


def test_a_decision_without_a_record(world: World) -> None:
    world.decide_again(1, outcomes=lambda rest: rest.duplicates.append(99))
    assert (BreakKind.EXTRA, Party.DECISIONS) in kinds_and_parties(world.audit())


def test_a_repetition_of_no_accepted_transaction_is_a_break(world: World) -> None:
    world.original(4, transaction_id="t-lost")
    found = only(world.audit())
    assert found.kind is BreakKind.FALSE_DUPLICATE
    assert "t-lost" in found.sentence


def test_a_repetition_with_another_content_is_a_break(world: World) -> None:
    world.original(
        4, entries=[each | {"amount": "10.01"} for each in world.originals[4].draft["entries"]]
    )
    assert only(world.audit()).kind is BreakKind.FALSE_DUPLICATE


@pytest.mark.parametrize(
    "changes",
    [
        {"transaction_id": "t-9"}, {"kind": "fee"}, {"description": "x"}, {"effective_at": 1},
        {"created_at": 1}, {"ordering_key": "x"}, {"reverses": "x"}, {"metadata": {"a": "b"}},
        {"entries": SPLIT},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_what_was_accepted_is_what_was_written(world: World, changes: dict[str, Any]) -> None:
    world.original(7, **changes)
    found = only(world.audit())
    assert (found.kind, found.between) == (BreakKind.DIFFERS, (Party.LOG, Party.DECISIONS))
    assert found.stream is not None
    assert changes.keys() <= found.stream.keys()


def test_a_time_of_the_log_that_the_decision_changed(world: World) -> None:
    at = world.originals[7]
    world.originals[7] = at._replace(taken_at=at.taken_at + 1000)
    assert kinds_and_parties(world.audit()) == {(BreakKind.DIFFERS, Party.DECISIONS)}


def test_an_accepted_transaction_that_does_not_balance(world: World) -> None:
    def forge(content: Content) -> None:
        content.entry_amounts[0] += 1

    world.decide_again(3, content=forge)
    assert (BreakKind.UNBALANCED, Party.DECISIONS) in kinds_and_parties(world.audit())


def test_a_refusal_that_keeps_another_value(world: World) -> None:
    world.originals[2] = world.originals[2]._replace(value=wire(draft("t-other")))
    assert kinds_and_parties(world.audit()) == {(BreakKind.DIFFERS, Party.DECISIONS)}


def test_a_run_that_contradicts_itself(world: World) -> None:
    world.decide_again(3, content=lambda content: content.entry_counts.append(2))
    assert (BreakKind.CHAIN, Party.DECISIONS) in kinds_and_parties(world.audit())


def test_an_id_accepted_twice_in_one_shard(world: World) -> None:
    world.original(7, transaction_id="t-2")

    def forge(content: Content) -> None:
        content.transaction_ids[1] = "t-2"

    world.decide_again(3, content=forge)
    found = [each for each in world.audit() if each.kind is BreakKind.ID_TWICE]
    assert "in shard 0 at offset 3, and again in shard 0 at offset 7" in only(found).sentence


def test_an_id_accepted_in_two_shards(world: World) -> None:
    other = World(shard=1, prefix="t")
    other.ids, other.findings = world.ids, world.findings
    assert world.audit() == []
    breaks = other.audit()
    assert {each.kind for each in breaks} == {BreakKind.ID_TWICE}
    assert len(breaks) == 6


def test_shards_with_their_own_ids_are_right(world: World) -> None:
    other = World(shard=1, prefix="u")
    other.ids, other.findings = world.ids, world.findings
    assert world.audit() == other.audit() == []


def test_a_run_that_does_not_follow_is_dropped_by_everybody(world: World) -> None:
    """Two owners appended; the later record is none, and nobody misses it."""
    late = world.decisions[1] | {"recorded_until": 1}
    world.decisions.append(late)
    assert world.audit() == []


def test_a_broken_chain(world: World) -> None:
    world.decisions[1]["follows"] = b"x" * 32
    kinds = kinds_and_parties(world.audit())
    assert (BreakKind.CHAIN, Party.DECISIONS) in kinds
    assert (BreakKind.POSITION, Party.DATABASE) in kinds


def test_a_log_that_was_cut_off(world: World) -> None:
    world.written = 3
    assert kinds_and_parties(world.audit()) == {(BreakKind.POSITION, Party.DECISIONS)}


def test_many_breaks_of_a_kind_are_counted(world: World) -> None:
    for number in range(250):
        world.database[stripe(f"assets:ghost:{number}")] = Totals(1, 0, 1, 0)
    breaks = world.audit()
    assert len(breaks) == 101
    assert breaks[-1].sentence.startswith("150 more like the 100 before")
    assert len(world.findings.broken) == 250
