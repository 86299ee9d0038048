"""The open breaks by age."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from ledger.domain.transaction import shown_time
from ledger.reports.report import Amount, Column, Condition, Report, Row

DAY = 86_400_000_000
"""Microseconds."""
BUCKETS = ((1, "less than 1 day"), (7, "1 to 7 days"), (30, "7 to 30 days"), (None, "over 30 days"))
"""Days below which a break is in each, and its name."""
COLUMNS = (
    Column("account", "account"),
    Column("currency", "currency"),
    Column("shard", "shard"),
    Column("detected_at", "detected", "time"),
    Column("days", "days", "count", adds=False),
    Column("age", "age"),
    Column("stream", "stream", "amount"),
    Column("ledger", "general ledger", "amount"),
    Column("difference", "difference", "amount"),
    Column("breaks", "breaks", "count"),
)


class AgedBreak(NamedTuple):
    """An open break: debits less credits on each side, minor units; detected at microseconds."""

    account: str
    currency: str
    scale: int
    shard: int
    detected_at: int
    stream: int
    ledger: int


class Side(Protocol):
    """The totals of a stripe as one side has them, minor units."""

    @property
    def debits(self) -> int:
        """Minor units."""

    @property
    def credits(self) -> int:
        """Minor units."""


def aged(
    account: str, currency: str, scale: int, shard: int, detected_at: int,
    stream: Side | None, ledger: Side | None,
) -> AgedBreak:  # fmt: skip
    """The break of a stripe; a side is None without rows."""
    sides = (0 if each is None else each.debits - each.credits for each in (stream, ledger))
    return AgedBreak(account, currency, scale, shard, detected_at, *sides)


def ageing(breaks: Iterable[AgedBreak], now: int, conditions: Sequence[Condition] = ()) -> Report:
    """The oldest first, with totals by age in each currency; empty where nothing is open."""
    found = sorted(breaks, key=lambda each: (each.detected_at, each[:4]))
    rows = [_row(each, max(now - each.detected_at, 0) // DAY) for each in found]
    parts: dict[tuple[str, str], list[AgedBreak]] = {}
    for each in found:
        age = bucket(max(now - each.detected_at, 0) // DAY)
        parts.setdefault((each.currency, age), []).append(each)
    totals = [
        _total(age, currency, part)
        for currency in sorted({each.currency for each in found})
        for _, age in BUCKETS
        if (part := parts.get((currency, age)))
    ]
    return Report("breaks", "Open breaks by age", COLUMNS, rows, totals, conditions)


def bucket(days: int) -> str:
    """The name of an age."""
    return next(name for end, name in BUCKETS if end is None or days < end)


def _row(each: AgedBreak, days: int) -> Row:
    age = bucket(days)
    return Row(
        (each.account, each.currency, str(each.shard), shown_time(each.detected_at), days, age,
         *_sides([each]), 1),
        section=f"{each.currency} {age}",
    )  # fmt: skip


def _total(age: str, currency: str, part: Sequence[AgedBreak]) -> Row:
    return Row((age, currency, None, None, None, age, *_sides(part), len(part)), "total",
               sums=((f"{currency} {age}", 1),))  # fmt: skip


def _sides(part: Sequence[AgedBreak]) -> tuple[Amount, ...]:
    scale = max(each.scale for each in part)
    stream = sum(each.stream * 10 ** (scale - each.scale) for each in part)
    ledger = sum(each.ledger * 10 ** (scale - each.scale) for each in part)
    currency = part[0].currency
    return tuple(Amount(each, currency, scale) for each in (stream, ledger, stream - ledger))
