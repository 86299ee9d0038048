"""What a publisher refuses before anything is sent, by the service's own rules."""

import asyncio
import os
from types import SimpleNamespace

import pytest

from ledger.client.drafts import credit, debit, transaction
from ledger.client.publisher import Publisher
from ledger.domain.policy import DAY, MINUTE
from ledger.domain.reference import Asset, Reference
from ledger.domain.refusal import Reason
from ledger.settings import Settings
from ledger.streaming.reference import policy_of
from ledger.streaming.registry import Codec
from tests.builders import CASH, DEPOSIT, NOW, draft, entry, pair


class FakeAppender:
    """Keeps the records instead of appending them."""

    def __init__(self):
        self.sent = []

    async def put(self, key, value):
        self.sent.append((key, value))
        future = asyncio.get_running_loop().create_future()
        future.set_result(len(self.sent) - 1)
        return future


def publisher(*, check=True, lanes=1, arriving=(), **settings):
    """One that is entered, with nothing behind it; `arriving` is read when it catches up."""
    made = Publisher(Settings(**settings), check=check, clock=lambda: NOW)
    made._records = SimpleNamespace(codec=Codec({"Transaction": 1}))
    known = Reference()

    async def catch_up():
        known.add(arriving)

    made._reference = SimpleNamespace(
        known=known, catch_up=catch_up, policy=policy_of(made._settings)
    )
    made._appenders = [FakeAppender() for _ in range(lanes)]
    made._opened_by = os.getpid()
    return made


def refusal(made, found):
    return asyncio.run(made.check(found))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"transaction_id": ""}, Reason.FIELD_MISSING),
        ({"transaction_id": "\ud800"}, Reason.FIELD_MALFORMED),
        ({"kind": "k" * 65}, Reason.FIELD_TOO_LONG),
        ({"effective_at": 10**17}, Reason.TIME_OUT_OF_RANGE),
        ({"effective_at": 2**63}, Reason.TIME_OUT_OF_RANGE),
        ({"created_at": NOW - 30 * DAY - 1}, Reason.TOO_LATE),
        ({"created_at": NOW + 5 * MINUTE + 1}, Reason.TOO_EARLY),
        ({"entries": [entry(CASH, "debit")]}, Reason.TOO_FEW_ENTRIES),
        ({"currency": "XXZ"}, Reason.UNKNOWN_CURRENCY),
        ({"amount": "1.234"}, Reason.TOO_MANY_DECIMALS),
        ({"entries": [*pair(), entry(CASH, "debit")]}, Reason.NOT_BALANCED),
        ({"debit": "cash"}, Reason.ACCOUNT_MALFORMED),
        ({"description": "x" * 1_001}, Reason.FIELD_TOO_LONG),
        ({"entries": pair() * 8_000}, Reason.TOO_LARGE),
    ],
)
def test_it_refuses_what_the_service_would_refuse(changes, reason):
    assert refusal(publisher(), draft(**changes)).reason is reason


def test_it_publishes_a_good_draft():
    assert refusal(publisher(), draft()) is None


def test_without_checks_only_what_cannot_be_encoded_is_refused():
    made = publisher(check=False)
    assert refusal(made, draft(entries=[], created_at=0)) is None
    assert refusal(made, draft(transaction_id="\ud800")).reason is Reason.FIELD_MALFORMED
    assert refusal(made, draft(effective_at=2**63)).reason is Reason.FIELD_MALFORMED
    assert refusal(made, draft(description="x" * 300_000)) is None
    assert refusal(made, draft(description="x" * 1_100_000)).reason is Reason.TOO_LARGE


def test_the_setting_refuses_undeclared_accounts():
    made = publisher(unknown_accounts="refuse")
    assert refusal(made, draft()).reason is Reason.ACCOUNT_UNKNOWN


def test_it_reads_the_newest_reference_data_before_it_refuses_by_them():
    made = publisher(arriving=[Asset("BTC", 8)])
    assert refusal(made, draft(currency="BTC", amount="0.00000001")) is None


def test_key_and_partition_follow_the_ordering_key():
    async def scenario():
        made = publisher(lanes=8)
        await made.submit(draft("order-4711"))
        await made.submit(draft("t", ordering_key="order-4711"))
        return made

    lanes = asyncio.run(scenario())._appenders
    assert [key for key, _ in lanes[3].sent] == [b"order-4711", b"order-4711"]


def test_publish_many_yields_each_outcome_in_order():
    async def scenario():
        made = publisher()
        drafts = [draft("t-1"), draft("t-2", amount="0"), draft("t-3")]
        return [(found["transaction_id"], each) async for found, each in made.publish_many(drafts)]

    (_, first), (_, second), (_, third) = asyncio.run(scenario())
    assert (first, second.reason, third) == (0, Reason.AMOUNT_NOT_POSITIVE, 1)


def test_drafts_made_in_python():
    from datetime import UTC, datetime
    from decimal import Decimal

    at = datetime(2026, 1, 1, tzinfo=UTC)
    made = transaction(
        transaction_id="t-1",
        kind="deposit",
        effective_at=at,
        created_at=at,
        entries=[debit(CASH, Decimal("10.00"), "CAD"), credit(DEPOSIT, "10.00", "CAD")],
    )
    assert made == draft()
    assert debit(CASH, Decimal("1E+2"), "JPY")["amount"] == "100"
    with pytest.raises(TypeError, match="never money"):
        debit(CASH, 10.0, "CAD")
    with pytest.raises(ValueError, match="time zone"):
        transaction(
            transaction_id="t", kind="k", effective_at=at.replace(tzinfo=None), created_at=at,
            entries=[],
        )  # fmt: skip


def test_created_at_has_no_default():
    """A program that builds a draft again after the window would book the money twice."""
    from datetime import UTC, datetime
    from time import time_ns

    made = {
        "transaction_id": "t-1", "kind": "deposit", "effective_at": datetime(2026, 1, 1, tzinfo=UTC),
        "entries": [debit(CASH, "10.00", "CAD"), credit(DEPOSIT, "10.00", "CAD")],
    }  # fmt: skip
    for missing in (
        {},
        {"created_at": None},
        {"created_at": 1_700_000_000},
        {"created_at": "then"},
    ):
        with pytest.raises(TypeError, match=r'the stored time at which.*created_at="now"'):
            transaction(**made, **missing)
    before = time_ns() // 1_000
    assert before <= transaction(**made, created_at="now")["created_at"] <= time_ns() // 1_000
    with pytest.raises(ValueError, match="time zone"):
        transaction(**made, created_at=made["effective_at"].replace(tzinfo=None))
