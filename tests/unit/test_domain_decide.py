"""The decision over a run: repetitions, the window, reversals, times, cutting."""

import pytest

from ledger.domain import decide
from ledger.domain.memory import FINGERPRINT, AcceptedId, Memory
from ledger.domain.policy import DAY, MINUTE, Policy
from ledger.domain.reference import Account, Asset
from ledger.domain.run import NO_DIGEST, Outcomes, Watermark
from ledger.domain.transaction import Draft, fingerprint, shown_time
from tests.builders import (
    CASH,
    DEPOSIT,
    FEES,
    NOW,
    KeptMemory,
    content_of,
    draft,
    entry,
    no_memory,
    numbered,
    outcomes_of,
    pair,
    received,
    reference,
    reversal,
    settle,
    unreadable,
    verdicts,
)

ORIGINAL = draft("t-0", entries=[*pair("12.34"), *pair("5", "JPY", credit=FEES)])
WINDOW = Policy().window


# What is accepted


def test_an_accepted_transaction_is_kept_whole() -> None:
    made = draft(
        "t-1",
        kind="order_fill",
        description="caf\u00e9",
        effective_at=NOW - DAY,
        created_at=NOW - MINUTE,
        ordering_key="client-7",
        entries=[*pair("12.34"), *pair("5", "JPY", credit=FEES)],
        metadata={"b": "2", "a": '"1"'},
    )
    content = content_of(settle([received(made, 41, recorded_at=NOW + 1)]))
    assert list(zip(content.accounts, content.currencies, content.scales, strict=True)) == [
        (CASH, "CAD", 2),
        (DEPOSIT, "CAD", 2),
        (CASH, "JPY", 0),
        (FEES, "JPY", 0),
    ]
    assert content.entry_stripes == [0, 1, 2, 3]
    assert content.entry_amounts == [1234, -1234, 5, -5]
    assert content.entry_counts == [4]
    assert (content.offsets, content.transaction_ids, content.kinds) == (
        [41],
        ["t-1"],
        ["order_fill"],
    )
    assert (content.recorded_at, content.effective_at, content.created_at) == (
        [NOW + 1],
        [NOW - DAY],
        [NOW - MINUTE],
    )
    assert (content.descriptions, content.ordering_keys) == (["caf\u00e9"], ["client-7"])
    assert content.reverses == [""]
    assert content.metadata == ['{"a":"\\"1\\"","b":"2"}']


def test_a_run_names_what_it_follows_and_what_it_knew() -> None:
    watermark = Watermark(7, 40, b"d" * 32, NOW + 5)
    made = reference(Account(CASH))
    made.offset = 12
    decision = settle([received(draft(), 41)], watermark=watermark, end=50, reference=made)
    assert (decision.start, decision.end, decision.follows) == (40, 50, b"d" * 32)
    assert (decision.reference_offset, decision.accepted, decision.shard) == (12, 1, 0)
    assert decision.continues(watermark)


def test_an_empty_run_settles_positions_all_the_same() -> None:
    decision = settle([], end=9)
    assert (decision.start, decision.end, decision.accepted) == (0, 9, 0)
    assert verdicts(decision) == {}


def test_recorded_at_is_the_running_maximum() -> None:
    times = [NOW, NOW - DAY, NOW + 2, NOW + 1]
    records = [received(draft(f"t-{n}"), n, recorded_at=time) for n, time in enumerate(times)] + [
        received(unreadable(), 4, recorded_at=0)
    ]
    decision = settle(records, watermark=Watermark(recorded_until=NOW + 1))
    assert content_of(decision).recorded_at == [NOW + 1, NOW + 1, NOW + 2, NOW + 2]
    assert [each.recorded_at for each in outcomes_of(decision).refused] == [NOW + 2]
    assert decision.recorded_until == NOW + 2


def test_bad_records_leave_their_neighbours_untouched() -> None:
    drafts = [draft("t-1"), unreadable(), draft("t-2"), draft("t-3", kind=""), draft("t-1")]
    assert list(verdicts(settle(numbered(drafts))).values()) == [
        "accepted",
        "UNREADABLE",
        "accepted",
        "FIELD_MISSING",
        "duplicate",
    ]


# Repetitions


@pytest.mark.parametrize("same_run", [True, False])
def test_the_same_content_again_is_a_duplicate(same_run: bool) -> None:
    again = draft("t-0", entries=ORIGINAL["entries"], created_at=NOW + MINUTE)
    assert outcomes_in(same_run, ORIGINAL, ORIGINAL, again) == [
        "accepted",
        "duplicate",
        "duplicate",
    ]


@pytest.mark.parametrize("same_run", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "fee"},
        {"description": "x"},
        {"effective_at": NOW + 1},
        {"ordering_key": "t-0"},
        {"reverses": "t-?"},
        {"metadata": {"a": "b"}},
        {"entries": ORIGINAL["entries"][::-1]},
        {"entries": pair("12.340")},  # malformed now; that the id is taken comes first
        {"entries": []},
        {"entries": [entry("?", "debit", "?", "?")]},
    ],
)
def test_anything_else_under_its_id_is_a_reuse(changes: dict, same_run: bool) -> None:
    other: Draft = ORIGINAL | changes  # type: ignore[assignment, operator]
    assert outcomes_in(same_run, ORIGINAL, other) == ["accepted", "ID_REUSED"]


def test_content_that_only_reads_alike_is_a_reuse() -> None:
    """Entries with the separator inside are told from more entries without."""
    joined = "\x1f".join([DEPOSIT, "credit", "10.00", "CAD"])
    alike = draft("t-1", entries=[entry(CASH, "debit", "10.00", "CAD\x1f" + joined)])
    assert fingerprint(alike) != fingerprint(draft("t-1"))
    assert outcomes_in(True, draft("t-1"), alike) == ["accepted", "ID_REUSED"]


def test_created_at_is_not_content_and_everything_else_is() -> None:
    base = draft("t-1", metadata={"a": "1", "b": "2"})
    assert fingerprint(base) == fingerprint(base | {"created_at": 0})  # type: ignore[arg-type]
    reordered = base | {"metadata": {"b": "2", "a": "1"}}
    assert fingerprint(base) == fingerprint(reordered)  # type: ignore[arg-type]
    assert len(fingerprint(base)) == FINGERPRINT


def test_a_refused_id_may_come_again() -> None:
    bad = draft("t-1", amount="1.001")
    assert outcomes_in(True, bad, draft("t-1"), bad) == [
        "TOO_MANY_DECIMALS",
        "accepted",
        "ID_REUSED",
    ]


def test_idempotence_comes_before_every_check_of_content() -> None:
    """What was accepted stays a duplicate when the account closes or becomes unknown."""
    kept = KeptMemory()
    learnt = no_memory()
    settle([received(draft("t-1"))], memory=learnt)
    kept.keep(learnt)
    decision = settle(
        [received(draft("t-1"), 1)],
        memory=kept.memory(),
        reference=reference(Account(CASH, closed_at=0), Account(DEPOSIT, currency="USD")),
        policy=Policy(open_unknown_accounts=False),
    )
    assert verdicts(decision) == {1: "duplicate"}


# The window


@pytest.mark.parametrize(
    ("created", "again_at", "outcome"),
    [
        # The window counts from the later of created_at and recorded_at.
        (NOW, NOW + WINDOW, "ID_REUSED"),
        (NOW, NOW + WINDOW + 1, "accepted"),
        (NOW - DAY, NOW + WINDOW, "ID_REUSED"),
        (NOW - DAY, NOW + WINDOW + 1, "accepted"),
        (NOW + MINUTE, NOW + WINDOW + MINUTE, "ID_REUSED"),
        (NOW + MINUTE, NOW + WINDOW + MINUTE + 1, "accepted"),
    ],
)
def test_an_id_is_remembered_for_a_window(created: int, again_at: int, outcome: str) -> None:
    memory = no_memory()
    settle([received(draft("t-1", created_at=created), recorded_at=NOW)], memory=memory)
    other = draft("t-1", amount="0.01", created_at=again_at)
    decision = settle(
        [received(other, 1, recorded_at=again_at)], memory=memory, watermark=Watermark(end=1)
    )
    assert verdicts(decision) == {1: outcome}


@pytest.mark.parametrize("late", [-1, 0, 1, DAY])
def test_a_repetition_is_never_accepted_twice(late: int) -> None:
    """With its own created_at it is a duplicate up to the window and too late after it."""
    for created in (NOW - WINDOW, NOW - DAY, NOW, NOW + 5 * MINUTE):
        memory = no_memory()
        made = draft("t-1", created_at=created)
        settle([received(made, recorded_at=NOW)], memory=memory)
        at = max(created + WINDOW + late, NOW)
        verdict = verdicts(settle([received(made, 1, recorded_at=at)], memory=memory))[1]
        assert verdict == ("TOO_LATE" if at - created > WINDOW else "duplicate")


# Reversals


def test_a_reversal_in_the_run_of_its_original_and_one_of_the_reversal() -> None:
    back = reversal(ORIGINAL, "r-1")
    again = reversal(back, "r-2", ordering_key="t-0")
    more = reversal(again, "r-3", ordering_key="t-0")
    for same_run in (True, False):
        assert outcomes_in(same_run, ORIGINAL, back, again, more) == ["accepted"] * 4


def test_a_reversal_before_its_original_is_unknown() -> None:
    back = reversal(ORIGINAL, "r-1")
    assert outcomes_in(True, back, ORIGINAL, back) == ["REVERSAL_UNKNOWN", "accepted", "accepted"]


def test_a_reversal_again_is_a_duplicate_and_a_second_one_is_refused() -> None:
    back, other = reversal(ORIGINAL, "r-1"), reversal(ORIGINAL, "r-2")
    for same_run in (True, False):
        outcomes = outcomes_in(same_run, ORIGINAL, back, back, other)
        assert outcomes == ["accepted", "accepted", "duplicate", "REVERSED_ALREADY"]


def test_a_reversal_again_with_another_reason_says_that_nothing_is_to_be_done() -> None:
    back = reversal(ORIGINAL, "r-1")
    other: Draft = back | {"description": "another reason"}  # type: ignore[assignment, operator]
    [refused] = outcomes_of(settle(numbered([ORIGINAL, back, other]))).refused
    assert (refused.code, refused.field) == ("ID_REUSED", "transaction_id")
    assert f"'t-0' was reversed already, by 'r-1' at {shown_time(NOW)}" in refused.reason
    assert "Nothing more is to be done" in refused.reason
    assert "reverse it" not in refused.reason
    taken: Draft = reversal(ORIGINAL, "t-1")
    [refused] = outcomes_of(settle(numbered([ORIGINAL, draft("t-1"), taken]))).refused
    assert (refused.code, "reversed already" in refused.reason) == ("ID_REUSED", False)


def test_a_refused_reversal_does_not_count() -> None:
    wrong = reversal(ORIGINAL, "r-1", entries=pair())
    right = reversal(ORIGINAL, "r-2")
    outcomes = outcomes_in(True, ORIGINAL, wrong, right)
    assert outcomes == ["accepted", "REVERSAL_NOT_MIRRORED", "accepted"]


def test_entries_may_be_mirrored_in_any_order_and_notation() -> None:
    entries = reversal(ORIGINAL)["entries"][::-1]
    rewritten = [
        each | {"amount": "012.34"} if each["amount"] == "12.34" else each for each in entries
    ]
    assert outcomes_in(True, ORIGINAL, reversal(ORIGINAL, entries=rewritten)) == ["accepted"] * 2


@pytest.mark.parametrize(
    "entries",
    [
        pair("12.34", debit=DEPOSIT, credit=CASH),
        [*pair("12.34", debit=DEPOSIT, credit=CASH), *pair("6", "JPY", debit=FEES, credit=CASH)],
        [*pair("24.68", debit=DEPOSIT, credit=CASH), *pair("10", "JPY", debit=FEES, credit=CASH)],
        [*pair("12.34", debit=FEES, credit=CASH), *pair("5", "JPY", debit=DEPOSIT, credit=CASH)],
        [*pair("12.34", debit=DEPOSIT, credit=CASH), *pair("5", "JPY", debit=FEES, credit=CASH)]
        * 2,
        ORIGINAL["entries"],
    ],
)
def test_any_other_entries_are_no_mirror(entries: list) -> None:
    wrong = reversal(ORIGINAL, entries=entries)
    assert outcomes_in(True, ORIGINAL, wrong) == ["accepted", "REVERSAL_NOT_MIRRORED"]


def test_a_closed_account_takes_reversals_only() -> None:
    memory = no_memory()
    settle([received(ORIGINAL)], memory=memory)
    closed = reference(*(Account(code, closed_at=NOW) for code in (CASH, DEPOSIT, FEES)))
    drafts = [draft("t-1"), reversal(ORIGINAL, "r-1"), reversal(draft("t-?"), "r-2")]
    decision = settle(
        numbered(drafts, 1), memory=memory, reference=closed, watermark=Watermark(end=1)
    )
    assert list(verdicts(decision).values()) == ["ACCOUNT_CLOSED", "accepted", "REVERSAL_UNKNOWN"]


@pytest.mark.parametrize("rebuilt", [False, True])
def test_a_closed_account_takes_no_reversal_of_a_reversal(rebuilt: bool) -> None:
    """It would book the original once more."""
    back, kept = reversal(ORIGINAL, "r-1"), KeptMemory()
    memory = kept.memory()
    first = settle(numbered([ORIGINAL, back]), memory=memory)
    if rebuilt:
        memory = kept.memory()
        memory.remember(content_of(first), outcomes_of(first))
    kept.keep(memory)
    again = reversal(back, "r-2", ordering_key="t-0")
    for state, outcome in (
        ({"closed_at": NOW}, "ACCOUNT_CLOSED"),
        ({"opened_at": NOW + 1}, "ACCOUNT_NOT_OPEN"),
        ({"closed_at": NOW + 1}, "accepted"),
    ):
        known = reference(*(Account(code, **state) for code in (CASH, DEPOSIT, FEES)))
        decision = settle(
            [received(again, 2)], memory=kept.memory(), reference=known, watermark=Watermark(end=2)
        )
        assert verdicts(decision) == {2: outcome}


def test_the_reversals_own_refusals_come_before_the_accounts_state() -> None:
    back = reversal(ORIGINAL, "r-1")
    memory = no_memory()
    settle(numbered([ORIGINAL, back]), memory=memory)
    closed = reference(*(Account(code, closed_at=NOW) for code in (CASH, DEPOSIT, FEES)))
    again = reversal(back, "r-2", ordering_key="t-0")
    drafts = [again | {"effective_at": NOW - 1}, again | {"entries": pair()}]
    decision = settle(
        numbered(drafts, 2), memory=memory, reference=closed, watermark=Watermark(end=2)
    )
    codes = ["REVERSAL_BEFORE_ORIGINAL", "REVERSAL_NOT_MIRRORED"]
    assert list(verdicts(decision).values()) == codes


def test_a_reversal_is_effective_with_its_original_or_later() -> None:
    for earlier, outcome in ((0, "accepted"), (1, "REVERSAL_BEFORE_ORIGINAL")):
        back = reversal(ORIGINAL, effective_at=NOW - earlier)
        for same_run in (True, False):
            assert outcomes_in(same_run, ORIGINAL, back) == ["accepted", outcome]


# What was accepted before names had rules


OLD = draft("pay-9\r", kind="fee ")


def of_old(*drafts: Draft) -> KeptMemory:
    """What is remembered of `drafts`, which were accepted at offsets 0, 1 … without a rule."""
    kept = KeptMemory()
    for offset, made in enumerate(drafts):
        memory = kept.memory()
        proper = made | {"transaction_id": f"p-{offset}", "kind": "fee", "ordering_key": None}
        content = content_of(settle([received(proper, offset)]))  # type: ignore[arg-type]
        content.transaction_ids = [made["transaction_id"]]
        content.ordering_keys = [made["ordering_key"] or ""]
        memory.remember(content, Outcomes(fingerprints=fingerprint(made)))
        kept.keep(memory)
    return kept


@pytest.mark.parametrize("unseen", ["\r", "\u3164", "\ufe0f", "\u2800", "\xa0-1"])
def test_its_retry_is_a_duplicate_and_nothing_else_is_taken_under_its_name(unseen: str) -> None:
    old = OLD | {"transaction_id": f"pay-9{unseen}"}
    kept = of_old(old)  # type: ignore[arg-type]
    drafts = [old, old | {"description": "other"}, draft(f"pay-8{unseen}")]
    decision = settle(
        numbered(drafts, 1),  # type: ignore[arg-type]
        memory=kept.memory(),
        watermark=Watermark(end=1),
    )
    codes = ["duplicate", "FIELD_MALFORMED", "FIELD_MALFORMED"]
    assert list(verdicts(decision).values()) == codes
    late = NOW + WINDOW + 1
    anew = received(old | {"created_at": late}, 1, recorded_at=late)  # type: ignore[arg-type]
    decision = settle([anew], memory=kept.memory(), watermark=Watermark(end=1))
    assert verdicts(decision) == {1: "FIELD_MALFORMED"}


def test_it_can_be_reversed_with_its_ordering_key_as_it_is() -> None:
    keyed = draft("t-8", ordering_key="client-7\n")
    kept = of_old(OLD, keyed)
    drafts = [
        reversal(draft("pay-8\r"), "r-1"),
        reversal(OLD, "r-2 "),
        reversal(OLD, "r-3", ordering_key="pay-8\r"),
        reversal(OLD, "r-4"),
        reversal(keyed, "r-5"),
    ]
    decision = settle(numbered(drafts, 2), memory=kept.memory(), watermark=Watermark(end=2))
    assert list(verdicts(decision).values()) == [
        "FIELD_MALFORMED", "FIELD_MALFORMED", "REVERSAL_NOT_MIRRORED", "accepted", "accepted",
    ]  # fmt: skip


def test_an_original_is_reversible_for_a_window() -> None:
    for late, outcome in ((0, "accepted"), (1, "REVERSAL_TOO_OLD")):
        memory = no_memory()
        settle([received(ORIGINAL)], memory=memory)
        at = NOW + WINDOW + late
        back = reversal(ORIGINAL, created_at=at)
        assert verdicts(settle([received(back, 1, recorded_at=at)], memory=memory)) == {1: outcome}


def test_an_id_used_again_after_the_window_can_be_reversed_again() -> None:
    memory = no_memory()
    settle(numbered([ORIGINAL, reversal(ORIGINAL, "r-1")]), memory=memory)
    later = NOW + WINDOW + DAY
    anew = draft("t-0", at=later)
    drafts = [anew, reversal(anew, "r-2"), reversal(anew, "r-3")]
    decision = settle(
        numbered(drafts, 2, recorded_at=later), memory=memory, watermark=Watermark(end=2)
    )
    assert list(verdicts(decision).values()) == ["accepted", "accepted", "REVERSED_ALREADY"]


def test_a_reversal_elsewhere_is_unknown() -> None:
    """Without the ordering key of its original it is in another shard, where nobody knows it."""
    assert outcomes_in(True, reversal(ORIGINAL, ordering_key=None)) == ["REVERSAL_UNKNOWN"]


# Runs


def test_memory_keeps_what_it_finds_and_what_it_learns_apart() -> None:
    memory = no_memory()
    settle(numbered([ORIGINAL, reversal(ORIGINAL, "r-1"), draft("t-2", kind="")]), memory=memory)
    assert set(memory.ids) == {"t-0", "r-1"}
    assert memory.reversals == {"t-0": 1}
    known = memory.seen("t-0")
    assert known is not None
    assert (known.offset, known.known_from, memory.known_until) == (0, NOW, NOW)


def test_a_run_of_many_stripes_ends_before_its_records_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decide, "RUN_STRIPES", 4)
    accounts = [f"assets:a:{number}" for number in range(6)]
    drafts = [draft(f"t-{name}", debit=name) for name in accounts]
    records = [each._replace(offset=10 * each.offset) for each in numbered(drafts)]
    first = settle(records, end=99)
    # The cash account and three others; the next one begins where the first did not come to.
    assert (first.accepted, first.end) == (3, 30)
    rest = settle(records[3:], end=99, watermark=first.after(Watermark(), decisions_offset=0))
    assert (rest.start, rest.accepted, rest.end) == (30, 3, 99)


def test_accounts_that_are_hardly_shared_make_a_shorter_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decide, "SPARSE_STRIPES", 4)
    apart = [draft(f"t-{n}", debit=f"assets:a:{n}", credit=f"assets:b:{n}") for n in range(6)]
    assert settle(numbered(apart)).accepted == 2
    shared = [draft(f"t-{n}", debit=f"assets:a:{n}") for n in range(6)]
    assert settle(numbered(shared)).accepted == 6


def test_the_first_run_follows_nothing() -> None:
    assert settle([]).follows == NO_DIGEST


def outcomes_in(same_run: bool, *drafts: Draft) -> list[str]:
    """Outcomes of `drafts` one after the other, in one run or in a run each."""
    if same_run:
        return list(verdicts(settle(numbered(drafts))).values())
    kept, mark, found = KeptMemory(), Watermark(), []
    for record in numbered(drafts):
        memory = kept.memory()
        decision = settle([record], memory=memory, watermark=mark)
        kept.keep(memory)
        mark = decision.after(mark, decisions_offset=mark.decisions_offset)
        found += verdicts(decision).values()
    return found


def test_other_decimals_than_were_accepted_before_are_refused_and_nothing_else_is() -> None:
    memory = Memory(lambda _: None, lambda _: None, changed={"BTC": 6})
    made = [draft("t-1", currency="BTC"), draft("t-2", currency="CAD")]
    known = reference(Asset("BTC", 2))
    (refusal,) = outcomes_of(settle(numbered(made), memory=memory, reference=known)).refused
    assert (refusal.code, refusal.field) == ("SCALE_CHANGED", "entries[0].currency")
    assert "6 decimals" in refusal.reason
    assert "new code" in refusal.reason


@pytest.mark.parametrize(
    ("created_at", "verdict"), [(NOW - 5 * DAY, "accepted"), (NOW - 5 * DAY - 1, "TOO_LATE")]
)
def test_what_is_older_than_every_id_remembered_is_never_new(created_at: int, verdict: str) -> None:
    """However long the window is by now."""
    memory = Memory(lambda _: None, lambda _: None, floor=NOW - 5 * DAY)
    made = received(draft("t-1") | {"created_at": created_at})
    assert verdicts(settle([made], memory=memory)) == {0: verdict}


def test_an_id_from_before_that_counts_as_forgotten() -> None:
    """Whether its row is there still is a matter of when the table was tidied up."""
    known = AcceptedId(3, NOW - 6 * DAY, b"f" * 16, b"m" * 16, NOW - 6 * DAY, reverses=False)
    memory = Memory(lambda _: known, lambda _: None, floor=NOW - 5 * DAY)
    made = [draft("t-1"), reversal(draft("t-1"))]
    found = verdicts(settle(numbered(made), memory=memory, policy=Policy(window=90 * DAY)))
    assert found[0] == "accepted"
