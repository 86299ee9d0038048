"""Reports of an account's entries: register, statement of account, movements by day."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal, NamedTuple

from ledger.domain.account import on_normal_side
from ledger.domain.transaction import shown_time
from ledger.gl.lookups import Register, RegisterLine, Sides
from ledger.reports.report import Amount, Cell, Column, Condition, Report, Row

OPENING = "Opening balance"
CLOSING = "Closing balance"
SEVERAL = "several"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

STATEMENT = (
    Column("label", "date"),
    Column("transaction_id", "id"),
    Column("description", "description"),
    Column("debit", "debit", "amount"),
    Column("credit", "credit", "amount"),
    Column("balance", "balance", "amount", adds=False),
    Column("currency", "currency"),
)
REGISTER = (
    *STATEMENT,
    Column("kind", "kind"),
    Column("other_side", "other side"),
    Column("effective_at", "effective", "time"),
    Column("recorded_at", "recorded", "time"),
    Column("shard", "shard"),
    Column("offset", "offset"),
    Column("entry", "entry"),
)
MOVEMENTS = (
    Column("label", "day"),
    Column("currency", "currency"),
    Column("opening", "opening", "amount", adds=False),
    Column("debits", "debits", "amount"),
    Column("credits", "credits", "amount"),
    Column("change", "change", "amount"),
    Column("closing", "closing", "amount", adds=False),
    Column("entries", "entries", "count"),
)


@dataclass(frozen=True, slots=True)
class Entries:
    """The registers of accounts, by account, and what they are of.

    `by`: the time of the dates, which are those of `zone`. `is_whole`: whether every entry is in
    them, so that nothing may come before the first.
    """

    registers: Mapping[str, Register]
    by: Literal["effective", "recorded"] = "effective"
    zone: tzinfo = UTC
    is_whole: bool = False
    conditions: Sequence[Condition] = ()
    positions: Mapping[int, int] = field(default_factory=dict)

    def date_of(self, line: RegisterLine) -> str:
        """The date of a line."""
        at = line.effective_at if self.by == "effective" else line.recorded_at
        return str((EPOCH + timedelta(microseconds=at)).astimezone(self.zone).date())

    def differences(self) -> Iterator[str]:
        """A sentence for each account whose entries are not its balance."""
        for account, found in self.registers.items():
            for currency, sides in found.opening().items():
                if self.is_whole and (sides.net or sides.debits):
                    yield (
                        f"The entries of {account} in {currency} do not add up to its balance. "
                        "`faust-ledger verify` and `faust-ledger reconcile --full` show what "
                        "differs."
                    )


def register(entries: Entries) -> Report:
    """Every entry with all that is known of it, and the balance after each."""
    return _report("register", "Account register", REGISTER, entries)


def statement(entries: Entries) -> Report:
    """What a client is sent: opening balance, entries with the balance after each, closing one."""
    return _report("statement", "Statement of account", STATEMENT, entries)


def _report(name: str, title: str, columns: Sequence[Column], entries: Entries) -> Report:
    rows: list[Row] = []
    for account, found in entries.registers.items():
        rows += _of_account(account, found, entries, len(columns))
    return Report(
        name, title, columns, rows, conditions=entries.conditions, positions=entries.positions,
        differences=list(entries.differences()),
    )  # fmt: skip


def _of_account(account: str, found: Register, entries: Entries, width: int) -> Iterator[Row]:
    opening = found.opening()
    yield Row(_filled((account,), width), "heading")
    for currency, sides in sorted(opening.items()):
        before: tuple[Cell, ...] = (OPENING, *(None,) * 4, _net(account, currency, sides), currency)
        yield Row(_filled(before, width), depth=1, section=f"{account} {currency}")
    for line, net in found.running():
        yield Row(
            _line(account, line, net, entries.date_of(line))[:width],
            depth=1,
            section=f"{account} {line.currency}",
        )
    for currency, sides in sorted(found.closing.items()):
        start = opening[currency]
        debits, credits = sides.debits - start.debits, sides.credits - start.credits
        cells = (
            CLOSING, None, None, Amount(debits, currency, sides.scale),
            Amount(credits, currency, sides.scale), _net(account, currency, sides), currency,
        )  # fmt: skip
        sums = ((f"{account} {currency}", 1),)
        yield Row(_filled(cells, width), "total", sums=sums)


def _filled(cells: Sequence[Cell], width: int) -> tuple[Cell, ...]:
    return (*cells, *(None,) * (width - len(cells)))


def _net(account: str, currency: str, sides: Sides) -> Amount:
    return Amount(on_normal_side(account, debits=sides.net, credits=0), currency, sides.scale)


def _line(account: str, line: RegisterLine, net: int, date: str) -> tuple[Cell, ...]:
    amount = Amount(abs(line.amount), line.currency, line.scale)
    balance = Amount(on_normal_side(account, debits=net, credits=0), line.currency, line.scale)
    return (
        date,
        line.transaction_id,
        line.description or None,
        amount if line.amount > 0 else None,
        amount if line.amount < 0 else None,
        balance,
        line.currency,
        line.kind,
        line.others[0] if len(line.others) == 1 else SEVERAL,
        shown_time(line.effective_at),
        shown_time(line.recorded_at),
        str(line.shard),
        str(line.offset),
        str(line.entry),
    )


class _Day(NamedTuple):
    """What moved on a day in a currency; minor units."""

    debits: int = 0
    credits: int = 0
    entries: int = 0

    def with_line(self, line: RegisterLine) -> "_Day":
        """And this line."""
        return _Day(
            self.debits + max(line.amount, 0),
            self.credits + max(-line.amount, 0),
            self.entries + 1,
        )


def movements(entries: Entries) -> Report:
    """By day and currency: what all of the accounts had, what moved, and what they have."""
    days: dict[tuple[str, str], _Day] = {}
    opening: dict[str, int] = {}
    scales: dict[str, int] = {}
    for found in entries.registers.values():
        for currency, sides in found.opening().items():
            opening[currency] = opening.get(currency, 0) + sides.net
            scales[currency] = sides.scale
        for line in found.lines:
            key = line.currency, entries.date_of(line)
            days[key] = days.get(key, _Day()).with_line(line)
    # They share their first segment, and so their normal side.
    side = next(iter(entries.registers), "assets:none")
    rows: list[Row] = []
    totals: list[Row] = []
    for currency in sorted(scales):
        net = opening[currency]
        of_currency = [
            (day, each) for (code, day), each in sorted(days.items()) if code == currency
        ]
        made = _Movement(side, currency, scales[currency])
        for day, each in of_currency:
            rows.append(Row(made.cells(day, net, each), section=currency))
            net += each.debits - each.credits
        whole = _Day(*map(sum, zip(*(each for _, each in of_currency), strict=True)))
        cells = made.cells("All days", opening[currency], whole)
        totals.append(Row(cells, "total", sums=((currency, 1),)))
    return Report(
        "movements", "Movements by day", MOVEMENTS, rows, totals, entries.conditions,
        entries.positions, list(entries.differences()),
    )  # fmt: skip


class _Movement(NamedTuple):
    """How the movements of a currency are shown: on the normal side of `account`."""

    account: str
    currency: str
    scale: int

    def cells(self, label: str, net: int, day: _Day) -> tuple[Cell, ...]:
        """`net`: debits less credits before it."""
        change = day.debits - day.credits
        return (
            label, self.currency, self._on_side(net), self._amount(day.debits),
            self._amount(day.credits), self._on_side(change), self._on_side(net + change),
            day.entries,
        )  # fmt: skip

    def _on_side(self, net: int) -> Amount:
        return self._amount(on_normal_side(self.account, debits=net, credits=0))

    def _amount(self, minor: int) -> Amount:
        return Amount(minor, self.currency, self.scale)


LINES = {"register": register, "statement": statement, "movements": movements}
"""Reports of entries, by name."""
