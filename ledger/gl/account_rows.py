"""Balances as a list: chosen by currency, summed by a part of the path, and their totals."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.domain import money
from ledger.domain.account import on_normal_side

if TYPE_CHECKING:
    from ledger.domain.balance import Balance
    from ledger.gl.books import BalanceRow

WORST_FIRST = ("break", "pending", "posted", "reconciled")
"""Statuses; a sum has the worst of what it sums."""
TYPES = ("assets", "liabilities", "equity", "income", "expenses")
"""In the order of a trial balance."""


class Sums(NamedTuple):
    """What an account, or all accounts under a path, have in a currency; amounts in minor units.

    `posted` and `pending` are on the normal side.
    """

    account: str
    currency: str
    scale: int
    posted: int
    pending: int
    debits: int
    credits: int
    entries: int
    status: str

    @property
    def net(self) -> tuple[int, int]:
        """The balance as a debit and as a credit; one of them is 0."""
        more = self.debits - self.credits
        return max(more, 0), max(-more, 0)

    @property
    def is_zero(self) -> bool:
        """Whether the balance is zero, with what is pending and without it."""
        return not self.posted and not self.pending

    def fields(self) -> dict[str, Any]:
        """The JSON fields, with decimal text for amounts."""
        # By hand: a trial balance has tens of thousands of them.
        scale, show = self.scale, money.show
        return {
            "account": self.account,
            "currency": self.currency,
            "posted": show(self.posted, scale),
            "pending": show(self.pending, scale),
            "debits": show(self.debits, scale),
            "credits": show(self.credits, scale),
            "entries": self.entries,
            "status": self.status,
        }

    def net_fields(self) -> dict[str, str]:
        """The JSON fields of `net`."""
        debit, credit = self.net
        return {
            "net_debit": money.show(debit, self.scale),
            "net_credit": money.show(credit, self.scale),
        }


def of_balance(balance: "Balance") -> Sums:
    """The live balance of an account."""
    texts = (balance.posted, balance.pending, balance.debits, balance.credits)
    posted, pending, debits, credits = (int(each.replace(".", "")) for each in texts)
    return Sums(balance.account, balance.currency, balance.scale, posted, pending, debits, credits,
                balance.entries, balance.status)  # fmt: skip


def of_row(row: "BalanceRow") -> Sums:
    """A balance of the general ledger; nothing in it is pending."""
    posted = on_normal_side(row.account, debits=row.debits, credits=row.credits)
    return Sums(row.account, row.currency, row.scale, posted, 0, row.debits, row.credits,
                row.entries, "posted")  # fmt: skip


def rolled_up(rows: Iterable[Sums], depth: int) -> list[Sums]:
    """The sums of the accounts that share the first `depth` segments of their path, sorted.

    They share their first segment, and so their normal side.
    """
    found: dict[tuple[str, str], Sums] = {}
    for row in rows:
        top = row._replace(account=":".join(row.account.split(":")[:depth]))
        key = (top.account, top.currency)
        found[key] = _added(found[key], top) if key in found else top
    return [found[key] for key in sorted(found)]


def _added(one: Sums, other: Sums) -> Sums:
    scale = max(one.scale, other.scale)
    first, second = _scaled(one, scale), _scaled(other, scale)
    return first._replace(
        posted=first.posted + second.posted,
        pending=first.pending + second.pending,
        debits=first.debits + second.debits,
        credits=first.credits + second.credits,
        entries=first.entries + second.entries,
        status=min(first.status, second.status, key=WORST_FIRST.index),
    )


def _scaled(row: Sums, scale: int) -> Sums:
    """With more decimals: a currency whose scale differs is a fault that an audit names."""
    times = 10 ** (scale - row.scale)
    return row._replace(
        scale=scale,
        posted=row.posted * times,
        pending=row.pending * times,
        debits=row.debits * times,
        credits=row.credits * times,
    )


class Total(NamedTuple):
    """The columns of some rows of a trial balance added up; `type` None: of all types."""

    type: str | None
    currency: str
    scale: int
    net_debit: int
    net_credit: int
    debits: int
    credits: int
    entries: int

    def fields(self) -> dict[str, Any]:
        """The JSON fields, with decimal text for amounts."""
        amounts = ("net_debit", "net_credit", "debits", "credits")
        row = self._asdict()
        scale = row.pop("scale")
        return row | {name: money.show(row[name], scale) for name in amounts}


def totals(rows: Iterable[Sums]) -> list[Total]:
    """By currency, the totals of each type of account that has rows, and last of all types."""
    added: dict[tuple[str, str, int], list[int]] = {}
    for row in rows:
        key = row.currency, row.account.partition(":")[0], row.scale
        sums = added.get(key)
        if sums is None:
            sums = added[key] = [0, 0, 0, 0, 0]
        debits, credits = row.debits, row.credits
        if debits > credits:
            sums[0] += debits - credits
        else:
            sums[1] += credits - debits
        sums[2] += debits
        sums[3] += credits
        sums[4] += row.entries
    found: dict[tuple[str, int], Total] = {}
    for (currency, type_, scale), sums in added.items():
        for place, name in ((TYPES.index(type_), type_), (len(TYPES), None)):
            total = Total(name, currency, scale, *sums)
            before = found.get((currency, place))
            found[currency, place] = total if before is None else _total_of(before, total)
    return [found[key] for key in sorted(found)]


def _total_of(one: Total, other: Total) -> Total:
    """Both, with the decimals of the one that has more."""
    scale = max(one.scale, other.scale)
    first, second = 10 ** (scale - one.scale), 10 ** (scale - other.scale)
    return Total(
        one.type,
        one.currency,
        scale,
        one.net_debit * first + other.net_debit * second,
        one.net_credit * first + other.net_credit * second,
        one.debits * first + other.debits * second,
        one.credits * first + other.credits * second,
        one.entries + other.entries,
    )
