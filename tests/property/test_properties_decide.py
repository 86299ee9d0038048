"""The decision over a run: total, deterministic, blind to how the records were cut into runs."""

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.domain import avro
from ledger.domain.checks import check_content, check_fields
from ledger.domain.decide import Received
from ledger.domain.partition import partition_of
from ledger.domain.policy import DAY, MINUTE, Policy
from ledger.domain.reference import Account, Asset, Reference
from ledger.domain.refusal import Reason, Refused
from ledger.domain.run import Decision, Watermark
from ledger.domain.transaction import Draft
from tests.builders import (
    CASH,
    DEPOSIT,
    FEES,
    NOW,
    KeptMemory,
    content_of,
    draft,
    entry,
    outcomes_of,
    received,
    reference,
    reversal,
    settle,
    unreadable,
    verdicts,
)

POLICY = Policy(window=2 * DAY)
LONG = st.integers(-(2**63), 2**63 - 1)
NOTABLE = st.sampled_from([NOW - 3 * DAY, NOW - 2 * DAY, NOW, NOW + 5 * MINUTE, NOW + 2 * DAY, 0])
TIME = NOTABLE | LONG
# Avro carries no lone surrogates (tests/unit/test_domain_run.py); the client's checks meet them.
CARRIED = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
ODD = [
    "",
    "\x00",
    "\x1f",
    "t-1\r",
    " ",
    "e\u0301",
    "\u200b",
    "\u202e",
    "t-1\u3164",
    "t\u00a01",
    "\U0001f600" * 130,
    "x" * 200,
]
WILD = CARRIED | st.sampled_from(ODD)
IDS = st.sampled_from(["t-1", "t-2", "t-3", "t-4"])
ACCOUNTS = st.sampled_from([CASH, DEPOSIT, FEES, "assets:closed", "expenses:strict"])
CODES = ACCOUNTS | WILD | st.sampled_from(["assets", "assets:" + "x" * 300])
CURRENCIES = st.sampled_from(["CAD", "USD", "JPY", "BTC"])
AMOUNTS = st.sampled_from(
    ["1", "1.00", "0.01", "12.34", "0", "-1", "1e3", "1.234", "92233720368547758.07", "9" * 70]
)
REFERENCE = reference(
    Asset("BTC", 8),
    Account("assets:closed", closed_at=NOW),
    Account("expenses:strict", currency="CAD", opened_at=NOW),
)


@st.composite
def right(draw: Callable[..., Any]) -> Draft:
    """A valid transaction, over so few ids, accounts and amounts that they meet."""
    currency = draw(CURRENCIES)
    amount = draw(st.integers(1, 3))
    return draft(
        draw(IDS),
        debit=draw(ACCOUNTS),
        credit=draw(ACCOUNTS),
        amount=str(amount),
        currency=currency,
        ordering_key="client" if draw(st.booleans()) else None,
        metadata={"a": "b"} if draw(st.booleans()) else {},
    )


@st.composite
def backwards(draw: Callable[..., Any]) -> Draft:
    """A reversal of something that may or may not be there, of another or of itself."""
    made = reversal(draw(right()), draw(IDS), ordering_key="client")
    made["effective_at"] += draw(st.sampled_from([0, 0, 1, -1]))
    if draw(st.booleans()):
        made["reverses"] = draw(IDS)
    return made


def entries(amounts: Any, currencies: Any) -> Any:
    return st.lists(
        st.builds(entry, CODES, st.sampled_from(["debit", "credit"]), amounts, currencies),
        max_size=5,
    )


@st.composite
def subtly_broken(draw: Callable[..., Any]) -> Draft:
    """A valid transaction with one thing changed."""
    made: dict[str, Any] = dict(draw(right() | backwards()))
    field, values = draw(
        st.sampled_from(
            [
                ("transaction_id", WILD),
                ("kind", WILD),
                ("description", WILD | st.just("x" * 1_001)),
                ("effective_at", TIME),
                ("created_at", TIME),
                ("ordering_key", st.none() | WILD),
                ("reverses", st.none() | IDS | WILD),
                ("entries", entries(AMOUNTS, CURRENCIES)),
                ("entries", entries(AMOUNTS | WILD, CURRENCIES | WILD)),
                ("metadata", st.dictionaries(WILD, WILD, max_size=3)),
            ]
        )
    )
    made[field] = draw(values)
    return made  # type: ignore[return-value]


ANYTHING = st.builds(
    draft,
    IDS | WILD,
    kind=WILD,
    description=WILD,
    effective_at=TIME,
    created_at=TIME,
    ordering_key=st.none() | WILD,
    reverses=st.none() | IDS | WILD,
    entries=entries(AMOUNTS | WILD, CURRENCIES | WILD),
    metadata=st.dictionaries(WILD, WILD, max_size=3),
)
DRAFTS = right() | right() | backwards() | subtly_broken() | ANYTHING
UNREAD = st.sampled_from([Reason.TOO_LARGE, Reason.UNREADABLE, Reason.FOREIGN_SCHEMA])


@st.composite
def logs(draw: Callable[..., Any]) -> list[Received]:
    """Records of a shard, with holes between offsets, times that jump, keys that lie."""
    made: list[Received] = []
    offset = 0
    for what in draw(st.lists(DRAFTS | UNREAD.map(unreadable), max_size=12)):
        offset += draw(st.sampled_from([1, 1, 1, 4]))
        key = draw(st.sampled_from(["right"] * 9 + [None, b"x"]))
        at = draw(st.sampled_from([NOW, NOW + 1, NOW - DAY, NOW + 2 * DAY, NOW + 3 * DAY]))
        made.append(received(what, offset, recorded_at=at, key=key, value=b"value"))
    return made


def around(**changes: Any) -> dict[str, Any]:
    return {"reference": REFERENCE, "policy": POLICY} | changes


def decided(records: Sequence[Received], cuts: Sequence[int]) -> tuple[list[Decision], KeptMemory]:
    """The records as runs that begin at `cuts` as well, one after the other."""
    kept, mark, decisions = KeptMemory(), Watermark(), []
    places = sorted({0, *(cut for cut in cuts if cut < len(records)), len(records)})
    for start, end in zip(places, places[1:], strict=False):
        part = records[start:end]
        memory = kept.memory()
        decisions.append(settle(part, memory=memory, watermark=mark, **around()))
        kept.keep(memory)
        mark = decisions[-1].after(mark, decisions_offset=mark.decisions_offset)
    return decisions, kept


@given(logs())
def test_every_record_gets_exactly_one_outcome(records: list[Received]) -> None:
    decision = settle(records, **around())
    assert list(verdicts(decision)) == [each.offset for each in records]
    content, outcomes = content_of(decision), outcomes_of(decision)
    assert decision.accepted == len(content.offsets) == len(set(content.transaction_ids)) or (
        # An id may come again once the window has passed.
        decision.accepted == len(content.offsets)
    )
    assert len(outcomes.fingerprints) == 16 * decision.accepted
    for refusal in outcomes.refused:
        assert refusal.code in set(Reason)
        assert refusal.reason.endswith(".")
        assert len(refusal.reason) < 2_000


@given(logs())
def test_names_that_are_accepted_have_one_spelling(records: list[Received]) -> None:
    """Unicode's word for it, and not the table that decides."""
    content = content_of(settle(records, **around()))
    for name in (*content.transaction_ids, *content.kinds, *content.ordering_keys):
        assert name == unicodedata.normalize("NFC", name).strip()
        assert not {unicodedata.category(each) for each in name} & {"Cc", "Cf", "Zl", "Zp", "Cs"}
        assert not any(each != " " and unicodedata.category(each) == "Zs" for each in name)


@given(logs())
def test_deciding_again_decides_the_same(records: list[Received]) -> None:
    first, second = settle(records, **around()), settle(list(records), **around())
    assert first == second
    assert first.digest == second.digest


@given(logs())
def test_what_is_accepted_balances_in_every_currency(records: list[Received]) -> None:
    content = content_of(settle(records, **around()))
    scales = dict(zip(content.stripes(), content.scales, strict=True))
    assert len(scales) == len(content.scales), "a stripe is named once"
    for legs in content.legs():
        sums: dict[str, int] = {}
        for account, currency, amount in legs:
            assert amount
            assert abs(amount) <= 2**63 - 1
            assert scales[account, currency] == REFERENCE.scales[currency]
            sums[currency] = sums.get(currency, 0) + amount
        assert len(legs) >= 2
        assert not any(sums.values())


@given(logs(), st.lists(st.integers(0, 12), max_size=6))
def test_runs_may_be_cut_anywhere(records: list[Received], cuts: list[int]) -> None:
    one, kept_one = decided(records, [])
    many, kept_many = decided(records, cuts)
    assert merged(many) == merged(one)
    assert (kept_many.ids, kept_many.reversals) == (kept_one.ids, kept_one.reversals)
    accepted = [row for each in many for row in transactions_of(each)]
    assert accepted == [row for each in one for row in transactions_of(each)]


def merged(decisions: list[Decision]) -> dict[int, str]:
    return {offset: what for each in decisions for offset, what in verdicts(each).items()}


def transactions_of(decision: Decision) -> list[Any]:
    content = content_of(decision)
    return list(
        zip(
            content.offsets,
            content.transaction_ids,
            content.recorded_at,
            content.created_at,
            content.metadata,
            content.legs(),
            strict=True,
        )
    )


@given(logs(), st.lists(st.integers(0, 12), max_size=6))
def test_memory_is_rebuilt_from_the_decision_log(records: list[Received], cuts: list[int]) -> None:
    decisions, kept = decided(records, cuts)
    rebuilt = KeptMemory()
    for decision in decisions:
        memory = rebuilt.memory()
        memory.remember(content_of(decision), outcomes_of(decision))
        rebuilt.keep(memory)
    assert (rebuilt.ids, rebuilt.reversals) == (kept.ids, kept.reversals)


@given(logs())
def test_what_was_settled_is_not_settled_anew(records: list[Received]) -> None:
    """Everything again, at once: what was accepted is a duplicate or, by its own time, too late."""
    first, kept = decided(records, [])
    until = first[0].recorded_until if first else 0
    accepted = {row[0] for each in first for row in transactions_of(each)}
    again = [
        each._replace(offset=each.offset + 1_000, recorded_at=until)
        for each in records
        if each.offset in accepted
    ]
    second = settle(
        again,
        memory=kept.memory(),
        watermark=Watermark(end=1_000, recorded_until=until),
        **around(),
    )
    # ID_REUSED: the id was taken again past the window, with other content.
    assert set(verdicts(second).values()) <= {"duplicate", "TOO_LATE", "ID_REUSED"}


@given(logs())
def test_a_transaction_is_reversed_at_most_once(records: list[Received]) -> None:
    content = content_of(settle(records, **around()))
    accepted: dict[str, int] = {}
    reversed_: dict[str, int] = {}
    legs = list(content.legs())
    for index, (name, reverses) in enumerate(
        zip(content.transaction_ids, content.reverses, strict=True)
    ):
        if reverses:
            original = accepted[reverses]
            assert content.effective_at[index] >= content.effective_at[original]
            assert reversed_.get(reverses, -1) < original, "reversed twice"
            reversed_[reverses] = index
            mirrored = sorted((account, code, -amount) for account, code, amount in legs[original])
            assert sorted(legs[index]) == mirrored
        accepted[name] = index


@given(ANYTHING | subtly_broken(), st.integers(1, 16))
def test_anything_that_avro_carries_is_decided(made: Draft, shards: int) -> None:
    came = avro.decode("Transaction", avro.encode("Transaction", made))
    record = received(came)  # type: ignore[arg-type]
    shard = partition_of(record.key or b"", shards)
    verdict = verdicts(settle([record], shard=shard, shards=shards, **around()))
    assert verdict == verdicts(settle([received(made)], **around()))
    assert "WRONG_PARTITION" not in verdict.values()


SURROGATES = st.text(max_size=8)


@given(
    st.builds(
        draft,
        SURROGATES,
        kind=SURROGATES,
        description=SURROGATES,
        reverses=st.none() | SURROGATES,
        entries=st.lists(
            st.builds(entry, CODES | SURROGATES, st.just("debit"), SURROGATES, SURROGATES),
            max_size=3,
        ),
        metadata=st.dictionaries(SURROGATES, SURROGATES, max_size=2),
    )
)
def test_the_clients_checks_never_raise(made: Draft) -> None:
    plain: Reference = REFERENCE
    for refused in (
        check_fields(made, recorded_at=NOW, policy=POLICY),
        check_content(made, recorded_at=NOW, reference=plain, policy=POLICY),
    ):
        if isinstance(refused, Refused):
            refused.sentence.encode()
