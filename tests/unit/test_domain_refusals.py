"""Every refusal: reachable, with its code, its field and a sentence that says what to do."""

from itertools import combinations_with_replacement
from typing import Any

import pytest

from ledger.domain.account import MAX_ACCOUNT
from ledger.domain.checks import check_content
from ledger.domain.policy import DAY, MINUTE, Policy
from ledger.domain.reference import Account, Asset
from ledger.domain.refusal import Reason, Refused
from ledger.domain.run import Watermark
from ledger.domain.transaction import EARLIEST, LATEST, Draft
from tests.builders import (
    CASH,
    DEPOSIT,
    NOW,
    KeptMemory,
    content_of,
    draft,
    entry,
    id_in_shard,
    no_memory,
    outcomes_of,
    pair,
    received,
    reference,
    refusal_of,
    reversal,
    settle,
    unreadable,
    verdicts,
    void_of,
)

MAX = 2**63 - 1
YEAR_0, YEAR_9999 = -62_167_219_200_000_000, 253_402_300_799_000_000
STRICT = Policy(open_unknown_accounts=False)
ORIGINAL = draft("t-0")
DECLARED = reference(
    Account(CASH, opened_at=NOW - DAY, closed_at=NOW + DAY),
    Account(DEPOSIT, currency="CAD"),
)


def accepted(*drafts: Draft, recorded_at: int = NOW) -> KeptMemory:
    """What is remembered once `drafts` were accepted at offsets 100, 101 …"""
    kept, memory = KeptMemory(), no_memory()
    records = [
        received(each, 100 + index, recorded_at=recorded_at) for index, each in enumerate(drafts)
    ]
    verdict = verdicts(settle(records, memory=memory, watermark=Watermark(end=100)))
    assert set(verdict.values()) == {"accepted"}, verdict
    kept.keep(memory)
    return kept


def legs(count: int) -> list[Any]:
    """`count` entries that balance: one debit, credits of one cent."""
    return [
        entry(CASH, "debit", f"0.{count - 1:02}" if count < 101 else f"{(count - 1) / 100}")
    ] + [entry(DEPOSIT, "credit", "0.01") for _ in range(count - 1)]


REFUSED: list[tuple[str, Draft, str, str]] = [
    # code, what was published, field, part of the sentence that says what to do
    ("FIELD_MISSING", draft(""), "transaction_id", "give it a value"),
    ("FIELD_MISSING", draft(kind=""), "kind", "give it a value"),
    ("FIELD_MISSING", draft(ordering_key=""), "ordering_key", "give it a value"),
    ("FIELD_MISSING", draft(reverses=""), "reverses", "give it a value"),
    ("FIELD_TOO_LONG", draft("x" * 129), "transaction_id", "at most 128"),
    ("FIELD_TOO_LONG", draft(kind="x" * 65), "kind", "at most 64"),
    ("FIELD_TOO_LONG", draft(ordering_key="x" * 129), "ordering_key", "at most 128"),
    ("FIELD_TOO_LONG", draft(reverses="x" * 129), "reverses", "at most 128"),
    ("FIELD_TOO_LONG", draft(description="x" * 1_001), "description", "at most 1000"),
    (
        "FIELD_TOO_LONG",
        draft(metadata={str(n): "" for n in range(33)}),
        "metadata",
        "at most 32",
    ),
    ("FIELD_TOO_LONG", draft(metadata={"a": "x" * 3_993}), "metadata", "at most 4000"),
    ("FIELD_TOO_LONG", draft(metadata={"a": "\u00e9" * 1_997}), "metadata", "at most 4000"),
    ("FIELD_MALFORMED", draft("t\x00"), "transaction_id", "remove it"),
    ("FIELD_MALFORMED", draft("t\x1f"), "transaction_id", "remove it"),
    ("FIELD_MALFORMED", draft(kind="\x7f"), "kind", "remove it"),
    ("FIELD_MALFORMED", draft(description="\x1b[31m"), "description", "remove it"),
    ("FIELD_MALFORMED", draft(ordering_key="\x00"), "ordering_key", "remove it"),
    ("FIELD_MALFORMED", draft(reverses="\x00"), "reverses", "remove it"),
    ("FIELD_MALFORMED", draft("pay-9\r"), "transaction_id", "character 6 of 6 (U+000D); remove it"),
    ("FIELD_MALFORMED", draft(" "), "transaction_id", "begins with a blank, character 1 of 1"),
    ("FIELD_MALFORMED", draft(kind="fee "), "kind", "ends with a blank, character 4 of 4"),
    ("FIELD_MALFORMED", draft(kind="cafe\u0301"), "kind", "publish it in NFC"),
    ("FIELD_MALFORMED", draft(ordering_key="k\n"), "ordering_key", "character 2 of 2 (U+000A)"),
    ("FIELD_MALFORMED", draft(reverses="t-0\t"), "reverses", "character 4 of 4 (U+0009)"),
    ("FIELD_MALFORMED", draft(metadata={"": "x"}), "metadata", "remove it"),
    ("FIELD_MALFORMED", draft(metadata={"a\x00": "x"}), "metadata", "remove it"),
    ("FIELD_MALFORMED", draft(metadata={"a": "\x00"}), "metadata", "remove it"),
    ("TIME_OUT_OF_RANGE", draft(effective_at=YEAR_0), "effective_at", "1900 to 2199"),
    ("TIME_OUT_OF_RANGE", draft(effective_at=YEAR_9999), "effective_at", "1900 to 2199"),
    ("TIME_OUT_OF_RANGE", draft(effective_at=EARLIEST - 1), "effective_at", "1900 to 2199"),
    ("TIME_OUT_OF_RANGE", draft(effective_at=LATEST), "effective_at", "1900 to 2199"),
    ("TIME_OUT_OF_RANGE", draft(created_at=YEAR_0), "created_at", "1900 to 2199"),
    ("TIME_OUT_OF_RANGE", draft(created_at=MAX), "created_at", "1900 to 2199"),
    ("TIME_OUT_OF_RANGE", draft(created_at=-MAX - 1), "created_at", "1900 to 2199"),
    ("TOO_LATE", draft(created_at=NOW - 30 * DAY - 1), "created_at", "publish it with the present"),
    ("TOO_LATE", draft(created_at=EARLIEST), "created_at", "publish it with the present"),
    ("TOO_EARLY", draft(created_at=NOW + 5 * MINUTE + 1), "created_at", "Set the producer's clock"),
    ("TOO_EARLY", draft(created_at=LATEST - 1), "created_at", "Set the producer's clock"),
    ("TOO_FEW_ENTRIES", draft(entries=[]), "entries", "at least 2"),
    ("TOO_FEW_ENTRIES", draft(entries=pair()[:1]), "entries", "at least 2"),
    ("TOO_MANY_ENTRIES", draft(entries=legs(1_001)), "entries", "Split it"),
    ("UNKNOWN_CURRENCY", draft(currency="ZZZ"), "entries[0].currency", "assets import"),
    ("UNKNOWN_CURRENCY", draft(currency=""), "entries[0].currency", "assets import"),
    ("UNKNOWN_CURRENCY", draft(currency="cad"), "entries[0].currency", "Mend the code"),
    ("UNKNOWN_CURRENCY", draft(currency="cAd"), "entries[0].currency", "and CAD is one"),
    ("UNKNOWN_CURRENCY", draft(currency="XAU"), "entries[0].currency", "assets import"),
    ("UNKNOWN_CURRENCY", draft(currency="\x00" * 99), "entries[0].currency", "assets import"),
    ("TOO_MANY_DECIMALS", draft(amount="1.234"), "entries[0].amount", "CAD has 2 decimals"),
    ("TOO_MANY_DECIMALS", draft(amount="1.0", currency="JPY"), "entries[0].amount", "has 0"),
    ("AMOUNT_MALFORMED", draft(amount="1e3"), "entries[0].amount", "such as 12.34"),
    ("AMOUNT_MALFORMED", draft(amount=""), "entries[0].amount", "such as 12.34"),
    ("AMOUNT_NOT_POSITIVE", draft(amount="0.00"), "entries[0].amount", "the side says"),
    ("AMOUNT_NOT_POSITIVE", draft(amount="-5.00"), "entries[0].amount", "the side says"),
    (
        "AMOUNT_TOO_LARGE",
        draft(amount="92233720368547758.08"),
        "entries[0].amount",
        "at most 92233720368547758.07",
    ),
    (
        "SUM_TOO_LARGE",
        draft(entries=pair("92233720368547758.07") + pair("0.01")),
        "entries",
        "Split it",
    ),
    (
        # Not balanced either; that its sum does not fit comes first.
        "SUM_TOO_LARGE",
        draft(entries=[entry(CASH, "debit", "92233720368547758.07")] * 2),
        "entries",
        "Split it",
    ),
    (
        "NOT_BALANCED",
        draft(entries=[entry(CASH, "debit", "12.00"), entry(DEPOSIT, "credit", "11.00")]),
        "entries",
        "CAD: debits 12.00, credits 11.00",
    ),
    (
        "NOT_BALANCED",
        draft(entries=[entry(CASH, "debit"), entry(DEPOSIT, "credit", "10.00", "USD")]),
        "entries",
        "USD: debits 0.00, credits 10.00",
    ),
    (
        "NOT_BALANCED",
        draft(entries=[entry(CASH, "debit"), entry(DEPOSIT, "debit")]),
        "entries",
        "CAD: debits 20.00, credits 0.00",
    ),
    ("ACCOUNT_MALFORMED", draft(debit="cash"), "entries[0].account", "after colons"),
    ("ACCOUNT_MALFORMED", draft(credit="assets"), "entries[1].account", "after colons"),
    (
        "ACCOUNT_MALFORMED",
        draft(debit="assets:" + "x" * MAX_ACCOUNT),
        "entries[0].account",
        "255 characters at most",
    ),
    ("REVERSAL_UNKNOWN", draft(reverses="t-?"), "reverses", "has the ordering key of what it"),
    ("REVERSAL_UNKNOWN", draft("t-1", reverses="t-1"), "reverses", "has the ordering key"),
]


@pytest.mark.parametrize(("code", "made", "field", "remedy"), REFUSED)
def test_refused_with_code_field_and_remedy(
    code: str, made: Draft, field: str, remedy: str
) -> None:
    got, where, sentence = refusal_of(made)
    assert (got, where) == (code, field), sentence
    assert remedy in sentence
    assert len(sentence) < 1_000
    assert sentence.endswith(".")
    sentence.encode()


def test_key_that_is_not_the_ordering_key() -> None:
    for made, key in (
        (draft("t-1"), None),
        (draft("t-1"), b""),
        (draft("t-1"), b"t-2"),
        (draft("t-1", ordering_key="k"), b"t-1"),
        (draft("t-\u00e9"), "t-\u00e9".encode("latin-1")),
        (draft("t-1"), b"\xff\xfe"),
    ):
        outcomes = outcomes_of(settle([received(made, key=key)]))
        assert [(each.code, each.field) for each in outcomes.refused] == [("WRONG_KEY", "key")]
        assert "The record's key is not the ordering key" in outcomes.refused[0].reason
        assert outcomes.refused[0].key == key


def test_record_in_the_wrong_partition() -> None:
    made = draft(id_in_shard(5, 8))
    assert verdicts(settle([received(made)], shard=5, shards=8)) == {0: "accepted"}
    code, field, sentence = refusal_of(made, shard=3, shards=8)
    assert (code, field) == ("WRONG_PARTITION", "partition")
    assert "partition 3 and belongs in 5: use murmur2" in sentence


@pytest.mark.parametrize(
    "reason",
    [Reason.TOO_LARGE, Reason.UNREADABLE, Reason.UNKNOWN_SCHEMA, Reason.FOREIGN_SCHEMA],
)
def test_what_could_not_be_decoded_is_passed_on_with_its_bytes(reason: Reason) -> None:
    refused = unreadable(reason)
    record = received(refused, key=b"\xff", value=b"garbage")
    (refusal,) = outcomes_of(settle([record])).refused
    assert (refusal.code, refusal.field, refusal.reason) == (reason.value, "", refused.sentence)
    assert (refusal.transaction_id, refusal.key, refusal.value) == (None, b"\xff", b"garbage")


def test_null_value_and_null_key_are_kept_as_null() -> None:
    (refusal,) = outcomes_of(settle([received(unreadable())])).refused
    assert refusal.key is None
    assert refusal.value is None


def test_id_used_again_with_other_content() -> None:
    memory = accepted(ORIGINAL).memory()
    code, field, sentence = refusal_of(draft("t-0", amount="10.01"), memory=memory)
    assert (code, field) == ("ID_REUSED", "transaction_id")
    assert "offset 100" in sentence
    assert "new id" in sentence


@pytest.mark.parametrize(
    ("made", "code", "field", "remedy"),
    [
        (draft(debit="assets:x"), "ACCOUNT_UNKNOWN", "entries[0].account", "accounts import"),
        (
            draft(effective_at=NOW - DAY - 1),
            "ACCOUNT_NOT_OPEN",
            "entries[0].account",
            "before it was opened",
        ),
        (
            draft(effective_at=NOW + DAY),
            "ACCOUNT_CLOSED",
            "entries[0].account",
            "takes reversals of originals and nothing else",
        ),
        (draft(currency="USD"), "ACCOUNT_CURRENCY", "entries[1].account", "takes CAD only"),
    ],
)
def test_declared_accounts(made: Draft, code: str, field: str, remedy: str) -> None:
    got, where, sentence = refusal_of(made, reference=DECLARED, policy=STRICT)
    assert (got, where) == (code, field)
    assert remedy in sentence


def test_accounts_are_open_from_and_closed_at() -> None:
    for made in (draft(effective_at=NOW - DAY), draft(effective_at=NOW + DAY - 1)):
        assert verdicts(settle([received(made)], reference=DECLARED, policy=STRICT)) == {
            0: "accepted"
        }


def test_a_back_dated_transaction_does_not_enter_a_closed_account() -> None:
    """Closed means closed now, whatever the business time says."""
    late = draft(effective_at=NOW, created_at=NOW + DAY)
    code, _, _ = refusal_of_at(late, NOW + DAY)
    assert code == "ACCOUNT_CLOSED"
    assert refusal_of_at(late, NOW + DAY - 1) is None


def refusal_of_at(made: Draft, recorded_at: int) -> Any:
    """Like refusal_of, at a time; None when accepted."""
    outcomes = outcomes_of(settle([received(made, recorded_at=recorded_at)], reference=DECLARED))
    return next(((each.code, each.field, each.reason) for each in outcomes.refused), None)


def test_unknown_accounts_open_themselves_beside_declared_ones() -> None:
    made = draft(debit="assets:never-declared")
    assert verdicts(settle([received(made)], reference=DECLARED)) == {0: "accepted"}


def test_reversals() -> None:
    kept = accepted(ORIGINAL, draft("t-9"), reversal(draft("t-9"), "r-9"))
    other = reversal(ORIGINAL, entries=pair("9.99", debit=DEPOSIT, credit=CASH))
    early = {"effective_at": NOW - 1}
    for made, at, code, field, remedy in (
        (reversal(ORIGINAL), NOW + 30 * DAY + 1, "REVERSAL_TOO_OLD", "reverses", "an adjustment"),
        (reversal(draft("t-9"), "r-10"), NOW, "REVERSED_ALREADY", "reverses", "reverse that one"),
        (reversal(draft("t-9"), "r-10", **early), NOW, "REVERSED_ALREADY", "reverses", "reverse"),
        (other | early, NOW, "REVERSAL_BEFORE_ORIGINAL", "effective_at",
         "2025-12-31T23:59:59.999999Z is before that of 't-0', 2026-01-01T00:00:00.000000Z"),
        (other, NOW, "REVERSAL_NOT_MIRRORED", "entries", "Reverse the whole transaction"),
        (reversal(ORIGINAL, entries=ORIGINAL["entries"]), NOW, "REVERSAL_NOT_MIRRORED", "entries",
         "debit and credit exchanged"),
    ):  # fmt: skip
        record = received(made | {"created_at": at}, recorded_at=at)  # type: ignore[arg-type]
        (refusal,) = outcomes_of(settle([record], memory=kept.memory())).refused
        assert (refusal.code, refusal.field) == (code, field)
        assert remedy in refusal.reason


def test_voids() -> None:
    decision = settle([received(ORIGINAL)])
    kept, learnt = KeptMemory(), no_memory()
    learnt.remember(content_of(decision), outcomes_of(decision))
    kept.keep(learnt)
    code, field, sentence = refusal_of(void_of(ORIGINAL), memory=kept.memory())
    assert (code, field) == ("VOID_WITHOUT_LEAVE", "reverses")
    assert "to take back anything else, reverse it" in sentence
    kept.voided = {0}
    for made, where in ((ORIGINAL, "transaction_id"), (reversal(ORIGINAL), "reverses")):
        code, field, sentence = refusal_of(made, memory=kept.memory())
        assert (code, field) == ("VOIDED", where)
        assert "'t-0' was accepted at offset 0 and voided since" in sentence
        assert "under a new id" in sentence


def test_every_reason_has_a_test_here() -> None:
    tested = {code for code, *_ in REFUSED} | {
        "TOO_LARGE", "UNREADABLE", "UNKNOWN_SCHEMA", "FOREIGN_SCHEMA", "WRONG_KEY",
        "WRONG_PARTITION", "ID_REUSED", "ACCOUNT_UNKNOWN", "ACCOUNT_NOT_OPEN", "ACCOUNT_CLOSED",
        "ACCOUNT_CURRENCY", "REVERSAL_TOO_OLD", "REVERSED_ALREADY", "REVERSAL_BEFORE_ORIGINAL",
        "REVERSAL_NOT_MIRRORED", "SCALE_CHANGED", "VOID_WITHOUT_LEAVE", "VOIDED",
    }  # fmt: skip
    assert tested == set(Reason)


GROUPS: list[tuple[str, dict[str, Any]]] = [
    # one fault of each group, in order of precedence; each is still there when an earlier one is
    ("WRONG_KEY", {"key": b"another"}),
    ("FIELD_MISSING", {"kind": ""}),
    ("TOO_LATE", {"created_at": NOW - 31 * DAY}),
    ("ID_REUSED", {"transaction_id": "t-0", "description": "other than before"}),
    ("UNKNOWN_CURRENCY", {"currency": "ZZZ"}),
    ("NOT_BALANCED", {"credited": "11.00"}),
    ("ACCOUNT_MALFORMED", {"account": "cash"}),
    ("ACCOUNT_UNKNOWN", {"account": "assets:x"}),
    ("REVERSAL_UNKNOWN", {"reverses": "t-?"}),
]


@pytest.mark.parametrize(
    ("first", "second"), list(combinations_with_replacement(range(len(GROUPS)), 2))
)
def test_the_earlier_group_wins(first: int, second: int) -> None:
    faults = GROUPS[second][1] | GROUPS[first][1]
    # A reversal is spared the state of its accounts, so the two never meet.
    expected = GROUPS[first if (first, second) != (7, 8) else 8][0]
    currency = faults.get("currency", "CAD")
    made = draft(
        faults.get("transaction_id", "t-1"),
        kind=faults.get("kind", "deposit"),
        description=faults.get("description", ""),
        created_at=faults.get("created_at", NOW),
        reverses=faults.get("reverses"),
        entries=[
            entry(faults.get("account", CASH), "debit", "10.00", currency),
            entry(DEPOSIT, "credit", faults.get("credited", "10.00"), currency),
        ],
    )
    record = received(made, key=faults.get("key", "right"))
    decision = settle(
        [record],
        memory=accepted(ORIGINAL).memory(),
        reference=reference(Account(CASH), Account(DEPOSIT)),
        policy=STRICT,
    )
    assert verdicts(decision) == {0: expected}


def test_wrong_key_comes_before_wrong_partition_before_fields() -> None:
    made = draft(id_in_shard(5, 8), kind="")
    assert verdicts(settle([received(made, key=b"x")], shard=3, shards=8)) == {0: "WRONG_KEY"}
    assert verdicts(settle([received(made)], shard=3, shards=8)) == {0: "WRONG_PARTITION"}
    assert verdicts(settle([received(made)], shard=5, shards=8)) == {0: "FIELD_MISSING"}


@pytest.mark.parametrize("currency", ["JPY", "CAD", "BHD"])
def test_largest_amounts_are_taken_exactly(currency: str) -> None:
    scales = {"JPY": str(MAX), "CAD": "92233720368547758.07", "BHD": "9223372036854775.807"}
    decision = settle([received(draft(amount=scales[currency], currency=currency))])
    assert verdicts(decision) == {0: "accepted"}


def test_the_limits_themselves_are_accepted() -> None:
    for made in (
        draft("x" * 128),
        draft(kind="x" * 64),
        draft(ordering_key="\U0001f600" * 128),
        draft(description="x" * 1_000),
        draft(description="tab\tand\nline"),
        draft(metadata={str(n): "" for n in range(32)}),
        draft(metadata={"a": "x" * 3_992}),
        draft(entries=legs(1_000)),
        draft(effective_at=EARLIEST),
        draft(effective_at=LATEST - 1),
        draft(created_at=NOW - 30 * DAY),
        draft(created_at=NOW + 5 * MINUTE),
        draft(entries=pair() + pair("1", "JPY") + pair("0.000001", "SHARE")),
        draft(debit=CASH, credit=CASH),
    ):
        decision = settle([received(made)], reference=reference(Asset("SHARE", 6)))
        assert verdicts(decision) == {0: "accepted"}, outcomes_of(decision).refused


def test_client_checks_survive_what_avro_cannot_carry() -> None:
    """JSON may hold lone surrogates; our Avro never does, so only the client's checks meet them."""
    lone = "\ud800"
    for made in (
        draft(currency=lone),
        draft(debit=lone),
        draft(amount=lone),
        draft(debit="assets:" + lone),
    ):
        refused = check_content(made, recorded_at=NOW, reference=reference(), policy=Policy())
        assert isinstance(refused, Refused)
        refused.sentence.encode()
