"""Public balances against the stripes they are the sum of, and against the general ledger."""

from typing import Any

import pytest

from ledger.audit import balances, quick
from ledger.audit.findings import AuditReport, Break, BreakKind, Findings, Party, decimal_text
from ledger.audit.stated import (
    Balances,
    Changelog,
    OpenBreaks,
    StripedAccount,
    StripedAccounts,
    take_balance,
    take_stripe,
)
from ledger.domain import avro
from ledger.domain.balance import NOTHING, Totals
from ledger.domain.balance import AccountStripes as AgentsHolding
from ledger.domain.run import Stripe, Watermark
from ledger.gl.rows import PostedRun

CASH, DEPOSIT = Stripe("assets:cash", "CAD"), Stripe("liabilities:deposits:1", "CAD")
ALL, NONE = {0: 10**9}, dict[int, int]()


Record = tuple[Stripe, int, dict[str, Any]]


def stripe_row(
    stripe: Stripe, shard: int, live: Totals, posted: Totals = NOTHING, *, broken: bool = False
) -> Record:
    """A Stripe record: what its key names, and its value."""
    value = {"scale": 2, "live": live.text(), "posted": posted.text(), "broken": broken}
    return stripe, shard, value


class Side:
    """Balances as the agent makes them of the stripes topic, up to `summed`."""

    def __init__(self, *records: Record, summed: int | None = None) -> None:
        self.holdings: StripedAccounts = {}
        self.balances: Balances = {}
        self.findings = Findings()
        self.summed = {0: len(records) if summed is None else summed}
        for offset, (stripe, shard, value) in enumerate(records):
            key = f"{stripe.account} {stripe.currency} {shard}".encode()
            take_stripe(self.holdings, 0, offset, key, value)
            if offset < self.summed[0]:
                self.publish(stripe)

    def publish(self, stripe: Stripe) -> None:
        made = AgentsHolding(self.holdings[stripe].scale)
        for shard, row in self.holdings[stripe].parts.items():
            made.reconcile(shard, row.live)
        take_balance(self.balances, made.balance(*stripe)._asdict())

    def pending(self) -> set[Stripe]:
        return balances.compare_balances(self.holdings, self.balances, self.summed, self.findings)

    def altered(self, stripe: Stripe, **changes: Any) -> None:
        self.balances[stripe] = {**self.balances[stripe], **changes}

    def only(self) -> Break:
        assert len(self.findings.kept) == 1, [each.sentence for each in self.findings.kept]
        return self.findings.kept[0]


ROWS = [
    stripe_row(CASH, 0, Totals(1234, 0, 2, 5)),
    stripe_row(CASH, 3, Totals(100, 2**70, 3, 9)),
    stripe_row(DEPOSIT, 3, Totals(0, 5, 1, 9)),
]


def test_balances_that_are_sums_are_right() -> None:
    side = Side(*ROWS)
    assert side.pending() == set()
    assert side.findings.breaks() == []


@pytest.mark.parametrize(
    "changes",
    [
        {"posted": "1.00"}, {"pending": "0.01"}, {"debits": "13.35"}, {"credits": "0.00"},
        {"entries": 4}, {"status": "break"}, {"version": 1}, {"version": 10**6}, {"scale": 3},
        {"debits": "13.340"},
    ],
    ids=str,
)  # fmt: skip
def test_a_balance_off_in_anything(changes: dict[str, Any]) -> None:
    side = Side(*ROWS)
    side.altered(CASH, **changes)
    assert side.pending() == set()
    found = side.only()
    assert (found.kind, found.between) == (BreakKind.DIFFERS, (Party.STRIPES, Party.BALANCES))
    assert found.as_json()["account"] == "assets:cash"


def test_a_missing_and_an_extra_balance() -> None:
    side = Side(*ROWS)
    side.balances[Stripe("assets:ghost", "CAD")] = side.balances.pop(DEPOSIT)
    assert side.pending() == set()
    assert {(each.kind, each.stripes[0].account) for each in side.findings.kept} == {
        (BreakKind.MISSING, DEPOSIT.account), (BreakKind.EXTRA, "assets:ghost")
    }  # fmt: skip


def test_a_balance_that_is_behind_is_pending_as_long_as_it_may_be() -> None:
    side = Side(*ROWS, summed=1)
    assert side.pending() == {CASH, DEPOSIT}
    assert side.findings.breaks() == []
    side.summed = {0: 2}
    assert side.pending() == {DEPOSIT}
    assert side.only().stripes == (CASH,)


def test_a_balance_ahead_of_its_stripes_is_a_break_at_once() -> None:
    side = Side(*ROWS, summed=1)
    side.altered(CASH, version=1_000)
    assert side.pending() == {DEPOSIT}
    assert side.only().stripes == (CASH,)


def test_balances_of_one_version_are_equal_while_records_arrive() -> None:
    side = Side(*ROWS)
    side.summed = {}
    assert side.pending() == set()
    side.altered(CASH, posted="9.99")
    side.pending()
    assert side.only().stripes == (CASH,)


def test_what_is_not_reconciled_yet_is_pending() -> None:
    side = Side(*ROWS, stripe_row(CASH, 0, Totals(5000, 0, 3, 12)), summed=3)
    assert side.pending() == {CASH}
    assert side.findings.breaks() == []
    side.altered(CASH, version=2 * 13 + 2 * 10, pending="0.05")
    side.pending()
    assert side.only().kind is BreakKind.DIFFERS


def test_an_open_break_is_a_balance_s_status() -> None:
    side = Side(ROWS[1], stripe_row(CASH, 0, Totals(1234, 0, 2, 5), broken=True))
    side.pending()
    assert side.only().kind is BreakKind.DIFFERS
    side = Side(ROWS[1], stripe_row(CASH, 0, Totals(1234, 0, 2, 5), broken=True))
    side.altered(CASH, status="break")
    assert side.pending() == set()
    assert side.findings.breaks() == []


def test_an_older_record_of_a_stripe_counts_for_nothing() -> None:
    new = stripe_row(CASH, 0, Totals(9, 0, 3, 8))
    old = stripe_row(CASH, 0, Totals(5, 0, 2, 3), Totals(1, 0, 1, 2), broken=True)
    side = Side(new, old)
    assert side.holdings[CASH].parts[0] == (2, Totals(9, 0, 3, 8), NOTHING, False)
    assert side.pending() == set()
    assert side.findings.breaks() == []


def test_an_older_balance_counts_for_nothing() -> None:
    side = Side(*ROWS)
    take_balance(side.balances, {**side.balances[CASH], "version": 1, "posted": "7.00"})
    assert side.pending() == set()
    assert side.findings.breaks() == []


def test_the_changelog_keeps_the_newest_whatever_came_last() -> None:
    changelog = Changelog()
    key = b"sassets:cash CAD"

    def value(record: Record) -> bytes:
        return avro.encode("Stripe", record[2], bytes(5))

    new, old = Totals(9, 0, 2, 7), Totals(1, 0, 1, 3)
    changelog.take(key, value(stripe_row(CASH, 0, new, old)))
    changelog.take(key, value(stripe_row(CASH, 0, Totals(5, 0, 1, 3))))
    assert changelog.rows() == {CASH: (2, new, old, False)}
    changelog.take(key, value(stripe_row(CASH, 0, new, old, broken=True)))
    assert changelog.rows()[CASH].broken


def test_open_breaks_are_the_latest_of_each() -> None:
    def row(end: int, state: str, shard: int = 0) -> dict[str, Any]:
        return {"account": "assets:cash", "currency": "CAD", "shard": shard, "end": end,
                "state": state}  # fmt: skip

    breaks = OpenBreaks()
    for each in (row(5, "open"), row(5, "open", 1), row(9, "closed"), row(7, "open")):
        breaks.take(each)
    assert [each["shard"] for each in breaks.open()] == [1]


@pytest.mark.parametrize(
    ("minor", "scale", "text"),
    [(0, 2, "0.00"), (-5, 2, "-0.05"), (7, 0, "7"), (-(10**40), 18, "-1" + 22 * "0" + "." + 18 * "0")],
)  # fmt: skip
def test_minor_units_as_text(minor: int, scale: int, text: str) -> None:
    assert decimal_text(minor, scale) == text


# Without --full: balances against the database.


def balance(stripe: Stripe, *parts: Totals, status: str = "reconciled") -> dict[str, Any]:
    """The public balance of what was compared."""
    made = AgentsHolding(2)
    for shard, totals in enumerate(parts):
        made.reconcile(shard, totals)
    return made.balance(*stripe)._replace(status=status)._asdict()


OLD, NEW = Totals(1234, 0, 2, 5), Totals(2234, 0, 3, 15)
OTHER = Totals(0, 7, 1, 8)


def quickly(
    row: dict[str, Any] | None,
    *,
    ends: tuple[int, int] = (10, 10),
    summed: bool = True,
    **held: Totals,
) -> tuple[set[Stripe], list[Break]]:
    """One account: its public balance, and its stripes by shard."""
    findings = Findings()
    parts = {CASH: {int(name[1:]): totals for name, totals in held.items()}} if held else {}
    pending = quick.compare_with_database(
        {CASH: row} if row else {}, parts, ends, findings, summed=summed
    )
    return pending, findings.breaks()


def test_a_balance_that_the_database_has_too() -> None:
    assert quickly(balance(CASH, OLD, OTHER), s0=OLD, s1=OTHER) == (set(), [])


@pytest.mark.parametrize(
    "altered",
    [{"debits": 1235}, {"credits": 1}, {"entries": 3}, {"offset": 4}, {"offset": 6}],
    ids=str,
)
def test_an_altered_stripe(altered: dict[str, int]) -> None:
    pending, breaks = quickly(balance(CASH, OLD, OTHER), s0=OLD._replace(**altered), s1=OTHER)
    assert pending == set()
    assert [(each.kind, each.between) for each in breaks] == [
        (BreakKind.DIFFERS, (Party.BALANCES, Party.DATABASE))
    ]


def test_a_stripe_or_an_account_that_is_missing() -> None:
    _, breaks = quickly(balance(CASH, OLD, OTHER), s0=OLD)
    assert [each.kind for each in breaks] == [BreakKind.DIFFERS]
    _, breaks = quickly(balance(CASH, OLD))
    assert [each.kind for each in breaks] == [BreakKind.MISSING]
    _, breaks = quickly(None, s0=OLD)
    assert [each.kind for each in breaks] == [BreakKind.MISSING]


def test_a_stripe_that_is_too_much() -> None:
    _, breaks = quickly(balance(CASH, OLD), s0=OLD, s1=OTHER)
    assert [each.kind for each in breaks] == [BreakKind.DIFFERS]
    _, breaks = quickly(balance(CASH, OLD), s0=OLD, s7=OTHER)
    assert [each.kind for each in breaks] == [BreakKind.EXTRA]


def test_what_is_posted_and_not_compared_is_pending() -> None:
    assert quickly(balance(CASH, OLD), s0=NEW) == ({CASH}, [])
    assert quickly(None, s0=NEW) == ({CASH}, [])


def test_what_is_compared_and_not_summed_up_is_pending() -> None:
    assert quickly(balance(CASH, OLD), s0=NEW, ends=(20, 20), summed=False) == ({CASH}, [])
    assert quickly(None, s0=NEW, ends=(20, 20), summed=False) == ({CASH}, [])
    _, breaks = quickly(balance(CASH, OLD), s0=NEW, ends=(20, 20))
    assert [each.kind for each in breaks] == [BreakKind.DIFFERS]


def test_a_balance_that_calls_itself_pending_is() -> None:
    assert quickly(balance(CASH, NEW, status="pending"), s0=OLD) == ({CASH}, [])


def test_an_account_with_a_break_is_not_reported_again() -> None:
    findings = Findings()
    findings.broken.add(CASH)
    assert quick.compare_with_database({}, {CASH: {0: OLD}}, [10], findings, summed=True) == set()
    assert findings.breaks() == []


def test_a_published_head_must_be_in_the_journal() -> None:
    head = Watermark(decisions_offset=4, end=9, digest=b"d" * 32)
    run = PostedRun(0, 3, 5, 9, b"c" * 32, b"d" * 32, b"o" * 32, 0, 0, 4)
    assert quick.lost_head(0, head, run) is None
    for other in (None, run._replace(digest=b"x" * 32), run._replace(decisions_offset=5)):
        found = quick.lost_head(0, head, other)
        assert found is not None
        assert found.kind is BreakKind.POSITION


def test_an_account_is_reconciled_or_pending_or_broken() -> None:
    findings = Findings()
    findings.add(Break(BreakKind.OPEN, (Party.DECISIONS, Party.DATABASE), 0, "…", (CASH,)))
    accounts = {CASH, DEPOSIT, Stripe("assets:other", "CAD")}
    report = AuditReport.of(accounts, stripes=5, pending={CASH, DEPOSIT}, findings=findings)
    assert report.as_json() | {"breaks": len(report.breaks)} == {
        "accounts": 3, "stripes": 5, "reconciled": 1, "pending": 1, "breaks": 1,
        "voided": [],
    }  # fmt: skip


def test_a_striped_account_has_the_offset_of_its_last_record() -> None:
    side = Side(*ROWS)
    assert (side.holdings[CASH].last, side.holdings[DEPOSIT].last) == (1, 2)
    assert isinstance(side.holdings[CASH], StripedAccount)
