"""Voids: who may, what becomes of what is void, and what is left of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ledger.domain.balance import NOTHING, Totals, taken_back, totals_after
from ledger.domain.memory import Memory
from ledger.domain.policy import Policy
from ledger.domain.run import (
    Content,
    Decision,
    Stripe,
    Voided,
    Watermark,
    voids_encoded,
    voids_of,
)
from ledger.domain.transaction import Draft
from ledger.domain.valid_run import ValidRun
from ledger.streaming.accepted import AcceptedIds
from tests.builders import (
    CASH,
    DEPOSIT,
    FEES,
    NOW,
    KeptMemory,
    content_of,
    draft,
    entry,
    numbered,
    outcomes_of,
    pair,
    reference,
    reversal,
    settle,
    verdicts,
    void_of,
)

STUCK = draft("t-0", entries=[*pair("12.34"), *pair("5", "JPY", credit=FEES)])
OTHER = draft("t-9")
MORE = Stripe(FEES, "JPY")


class Shard:
    """Decides runs, one after another; `leave` is for what a run before has accepted."""

    def __init__(self) -> None:
        self.kept, self.mark = KeptMemory(), Watermark()
        self.runs: list[ValidRun] = []

    def decide(self, *drafts: Draft) -> dict[int, str]:
        memory, before, at = self.kept.memory(), self.mark, len(self.runs)
        records = numbered(drafts, before.end)
        decision = settle(records, watermark=before, memory=memory, reference=reference())
        self.kept.keep(memory)
        self.mark = decision.after(before, decisions_offset=at)
        self.runs.append(ValidRun(decision, at, before, self.mark))
        return verdicts(decision)

    def leave(self, offset: int) -> None:
        run = next(each for each in self.runs if offset in each.content.offsets)
        self.kept.give_leave(run.decision, offset, run=run.decisions_offset)

    def voids(self) -> list[Voided]:
        return list(self.runs[-1].voided)


@pytest.fixture
def shard() -> Shard:
    made = Shard()
    assert made.decide(STUCK, OTHER) == {0: "accepted", 1: "accepted"}
    return made


def test_leave_and_a_record_that_asks_void_it(shard: Shard) -> None:
    assert shard.decide(void_of(STUCK)) == {2: "VOID_WITHOUT_LEAVE"}
    assert shard.voids() == []
    shard.leave(0)
    assert shard.decide(void_of(STUCK), draft("t-1")) == {3: "void", 4: "accepted"}
    (void,) = shard.voids()
    assert (void.offset, void.recorded_at, void.run, void.authority) == (3, NOW, 0, 7)
    assert void.reason == "me: it is stuck"
    assert void.transaction == shard.runs[0].content.part({0})
    assert list(void.scales) == [2, 2, 0, 0]


def test_asking_again_is_a_repetition_in_the_same_run_and_later(shard: Shard) -> None:
    shard.leave(0)
    assert shard.decide(void_of(STUCK), void_of(STUCK, "v-2")) == {2: "void", 3: "duplicate"}
    assert shard.decide(void_of(STUCK)) == {4: "duplicate"}
    # As an owner that begins anew has it: what is void already is not read again.
    shard.kept.voidable.clear()
    assert shard.decide(void_of(STUCK, "v-3")) == {5: "duplicate"}


def test_the_id_of_what_is_void_is_not_free_again(shard: Shard) -> None:
    shard.leave(0)
    said = shard.decide(void_of(STUCK), STUCK, reversal(STUCK), STUCK | {"description": "x"})  # type: ignore[arg-type]
    assert list(said.values()) == ["void", "VOIDED", "VOIDED", "ID_REUSED"]
    assert list(shard.decide(STUCK, reversal(STUCK)).values()) == ["VOIDED", "VOIDED"]


def test_what_was_reversed_is_void_only_after_its_reversal(shard: Shard) -> None:
    back = reversal(STUCK, "r-1")
    shard.decide(back)
    shard.leave(0)
    shard.leave(2)
    assert shard.decide(void_of(STUCK)) == {3: "REVERSED_ALREADY"}
    (refusal,) = outcomes_of(shard.runs[-1].decision).refused
    assert refusal.reason == "'t-0' was reversed at offset 2. Void that one first."
    assert shard.decide(void_of(back, "v-2"), void_of(STUCK, "v-3")) == {4: "void", 5: "void"}


def test_an_original_whose_reversal_is_void_is_reversed_again(shard: Shard) -> None:
    back = reversal(STUCK, "r-1")
    shard.decide(back)
    shard.leave(2)
    assert shard.decide(void_of(back)) == {3: "void"}
    assert shard.decide(back, reversal(back, "r-3")) == {4: "VOIDED", 5: "VOIDED"}
    assert shard.decide(reversal(STUCK, "r-2")) == {6: "accepted"}
    assert shard.decide(reversal(STUCK, "r-4")) == {7: "REVERSED_ALREADY"}


def test_leave_is_for_the_last_use_of_an_id(shard: Shard) -> None:
    shard.leave(0)
    seen = shard.kept.ids["t-0"]
    shard.kept.ids["t-0"] = seen._replace(offset=1)
    assert shard.decide(void_of(STUCK)) == {2: "VOID_WITHOUT_LEAVE"}


def test_leave_ends(shard: Shard) -> None:
    """What was posted after all is not voided by somebody who finds it months later."""
    shard.leave(0)
    shard.kept.voidable["t-0"] = shard.kept.voidable["t-0"]._replace(until=NOW - 1)
    assert shard.decide(void_of(STUCK)) == {2: "VOID_WITHOUT_LEAVE"}
    (refusal,) = outcomes_of(shard.runs[-1].decision).refused
    assert "has ended" in refusal.reason
    shard.kept.voidable["t-0"] = shard.kept.voidable["t-0"]._replace(until=NOW)
    assert shard.decide(void_of(STUCK)) == {3: "void"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "deposit"}, "TOO_FEW_ENTRIES"),
        ({"reverses": None}, "VOID_WITHOUT_LEAVE"),
        ({"reverses": "t-9"}, "VOID_WITHOUT_LEAVE"),
        ({"reverses": "t-nobody"}, "VOID_WITHOUT_LEAVE"),
        ({"transaction_id": "t-9"}, "ID_REUSED"),
        ({"created_at": 0}, "TOO_LATE"),
    ],
)
def test_what_asks_for_something_else_voids_nothing(
    shard: Shard, changes: dict[str, Any], said: str
) -> None:
    shard.leave(0)
    assert shard.decide(void_of(STUCK) | changes) == {2: said}  # type: ignore[arg-type]


def test_a_transaction_of_that_kind_is_one_like_any_other(shard: Shard) -> None:
    shard.leave(0)
    assert shard.decide(draft("t-2", kind="ledger.void")) == {2: "accepted"}
    assert shard.decide(reversal(STUCK, "r-2", kind="ledger.void")) == {3: "accepted"}


def test_a_table_made_from_the_log_knows_what_is_void(shard: Shard, tmp_path: Path) -> None:
    shard.leave(0)
    shard.decide(void_of(STUCK))
    shard.decide(draft("t-5"))
    ids = AcceptedIds(tmp_path / "ids")
    for run in shard.runs:
        memory = ids.memory()
        memory.remember(run.content, run.outcomes, run.voided)
        ids.write(memory, run, Policy())
    assert ids.voided == shard.kept.voided == {0}
    ids.close()
    again = AcceptedIds(tmp_path / "ids")
    assert again.voided == {0}
    assert list(verdicts_with(again.memory(), STUCK, OTHER).values()) == ["VOIDED", "duplicate"]
    again.close()


def verdicts_with(memory: Memory, *drafts: Draft) -> dict[int, str]:
    """What becomes of them at offset 50 and on."""
    return verdicts(settle(numbered(drafts, 50), memory=memory, watermark=Watermark(end=50)))


# What a run says of it.


def test_what_is_void_comes_back_as_it_was_said(shard: Shard) -> None:
    shard.leave(0)
    shard.leave(1)
    shard.decide(void_of(STUCK), void_of(OTHER, "v-2"))
    decision = shard.runs[-1].decision
    assert voids_of(voids_encoded(shard.voids())) == shard.voids()
    assert (voids_encoded([]), voids_of(b"")) == (b"", [])
    assert Decision(**decision.row()) == decision
    touched = {each for run in shard.runs[:1] for each in run.content.stripes()}
    assert set(shard.runs[-1].stripes()) == touched


def test_nonsense_is_no_list_of_voids() -> None:
    for garbage in (b"x", b"\2", voids_encoded([Voided(1, 2, 3, 4, "", [2], b"")]) + b"\0"):
        with pytest.raises(ValueError, match=r"."):
            voids_of(garbage)


def test_the_digest_covers_what_is_void_apart_from_the_outcomes(shard: Shard) -> None:
    decision = shard.runs[0].decision
    void = replace(decision, voids=b"x")
    assert void.digest != decision.digest
    # Neither can be taken for the other.
    moved = replace(decision, outcomes=decision.outcomes + b"x")
    assert moved.digest not in (void.digest, decision.digest)


def test_a_part_is_a_run_of_its_own(shard: Shard) -> None:
    whole = shard.runs[0].content
    assert whole.part({0, 1}) == whole
    assert whole.part(()) == Content()
    assert whole.part({1}) == content_of(settle(numbered([OTHER], 1)))
    part = whole.part({0})
    assert (part.offsets, part.entry_counts, part.scales) == ([0], [4], [2, 2, 0, 0])
    assert Content.decode(part.encode()) == part
    assert whole.part({0, 77}) == part


# What is left.


def test_what_is_taken_back_was_never_there() -> None:
    both = content_of(settle(numbered([OTHER, STUCK])))
    start = totals_after(both.part({0}), {})
    after = totals_after(both, {})
    taken = taken_back(both.part({1}), 5, after, after)
    assert {name: each[:3] for name, each in (after | taken).items()} == {
        name: start.get(name, NOTHING)[:3] for name in after
    }
    assert {each.offset for each in taken.values()} == {5}
    # An account whose only entry is void stays, with nothing in it.
    assert taken[MORE] == Totals(0, 0, 0, 5)


def test_it_is_taken_back_once() -> None:
    content = content_of(settle(numbered([STUCK])))
    before = totals_after(content, {})
    taken = taken_back(content, 5, before, before)
    assert taken_back(content, 5, taken, taken) == {}
    assert taken_back(content, 6, taken, taken) != {}


def test_two_entries_of_a_stripe_are_both_taken_back() -> None:
    legs = [entry(CASH, "debit", "3"), entry(CASH, "credit", "1"), entry(DEPOSIT, "credit", "2")]
    content = content_of(settle(numbered([draft(entries=legs)])))
    before = totals_after(content, {})
    assert taken_back(content, 9, before, before) == {
        Stripe(CASH, "CAD"): Totals(0, 0, 0, 9), Stripe(DEPOSIT, "CAD"): Totals(0, 0, 0, 9)
    }  # fmt: skip


def test_what_came_in_the_same_run_behind_it_keeps_the_last_offset() -> None:
    content = content_of(settle(numbered([OTHER])))
    before = totals_after(content, {})
    later = {name: each._replace(offset=9) for name, each in before.items()}
    assert {each.offset for each in taken_back(content, 5, before, later).values()} == {9}
