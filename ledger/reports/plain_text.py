"""Exports as plain-text accounting: the journal as Beancount and as hledger read it.

Both end with what each account has, which the reading program compares with its own sums.
Beancount has rules of its own for names. An account `assets:cash` becomes `Assets:Cash`, with what
it does not take replaced; its `open` has the ledger's code. So has a `commodity` for a currency.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from ledger.domain import money
from ledger.gl.rows import PostedTransaction
from ledger.reports.exports import JournalExport, Net, Nets

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST = "1900-01-01"
"""Of accounts: before everything that the ledger takes."""
MAX_CURRENCY = 24
"""Characters of a currency in Beancount."""
_OF_ACCOUNTS = re.compile(r"[^A-Za-z0-9-]")
_OF_CURRENCIES = re.compile(r"[^A-Z0-9]")
_BLANKS = re.compile(r"\s+")


class Names:
    """Names in another program's form, each of one name of the ledger; `made` has them by it."""

    def __init__(self, form: Callable[[str], str], between: str = "-") -> None:
        self.made: dict[str, str] = {}
        self._form, self._between = form, between
        self._taken: set[str] = set()

    def of(self, name: str) -> str:
        """The same each time; with a number behind it where another name has the same form."""
        if name not in self.made:
            first = form = self._form(name)
            number = 2
            while form in self._taken:
                form, number = f"{first}{self._between}{number}", number + 1
            self._taken.add(form)
            self.made[name] = form
        return self.made[name]


def beancount_account(code: str) -> str:
    """`assets:cash_1` as `Assets:Cash-1`."""
    parts = (_OF_ACCOUNTS.sub("-", each) for each in code.split(":"))
    return ":".join(f"{each[:1].upper()}{each[1:]}" for each in parts)


def beancount_currency(code: str) -> str:
    """Capitals and digits, at least two, beginning with a letter."""
    found = _OF_CURRENCIES.sub("", code.upper())[: MAX_CURRENCY - 4]
    is_one = len(found) > 1 and found[0].isalpha() and found not in {"TRUE", "FALSE", "NULL"}
    return found if is_one else f"X{found}X"


def beancount(export: JournalExport, nets: Nets) -> Iterator[str]:
    """The lines of a Beancount file: transactions, names, and what each account has at the end.

    `nets` has what is exported, once all lines are taken.
    """
    accounts, currencies = Names(beancount_account), Names(beancount_currency, "X")
    last = date.fromisoformat(FIRST)
    yield 'option "title" "faust-ledger"'
    for each in export.transactions():
        day = _day(each)
        last = max(last, day)
        nets.add(each)
        yield ""
        yield f"{day} * {_quoted(each.kind)} {_quoted(each.description)}"
        yield f"  transaction_id: {_quoted(each.transaction_id)}"
        yield f'  position: "{each.shard}:{each.offset}"'
        for account, currency, scale, amount in each.entries:
            yield (
                f"  {accounts.of(account)}  {money.show(amount, scale)} {currencies.of(currency)}"
            )
    yield ""
    for code, name in sorted(currencies.made.items()):
        yield f"{FIRST} commodity {name}"
        yield f"  code: {_quoted(code)}"
    for code, name in sorted(accounts.made.items()):
        yield f"{FIRST} open {name}"
        yield f"  code: {_quoted(code)}"
    # A balance is checked at the beginning of its day.
    yield from _balances(last + timedelta(days=1), nets.sorted(), accounts, currencies)


def _balances(day: date, nets: Sequence[Net], accounts: Names, currencies: Names) -> Iterator[str]:
    """What each account has; for Beancount an account has what is below it as well."""
    sums: dict[tuple[str, str], int] = {}
    for net in nets:
        parts = accounts.of(net.account).split(":")
        for depth in range(1, len(parts) + 1):
            key = ":".join(parts[:depth]), net.currency
            sums[key] = sums.get(key, 0) + net.amount
    for net in nets:
        name = accounts.of(net.account)
        amount = money.show(sums[name, net.currency], net.scale)
        yield f"{day} balance {name}  {amount} ~ 0 {currencies.of(net.currency)}"


def hledger(export: JournalExport, nets: Nets) -> Iterator[str]:
    """The lines of an hledger journal; it ends with a transaction that asserts each balance.

    `nets` as `beancount` has it.
    """
    last = date.fromisoformat(FIRST)
    yield "decimal-mark ."
    for each in export.transactions():
        day = _day(each)
        last = max(last, day)
        nets.add(each)
        yield ""
        about = " | ".join(filter(None, (_plain(each.kind), _plain(each.description))))
        yield f"{day} * {about}  ; transaction_id: {_plain(each.transaction_id)}"
        for account, currency, scale, amount in each.entries:
            yield f'    {account}  {money.show(amount, scale)} "{currency}"'
    yield ""
    found = nets.sorted()
    if found:
        yield f"{last} * balances at the end"
    for net in found:
        yield f"    {net.account}  {_asserted(net)}"


def _asserted(net: Net) -> str:
    """Nothing is moved; and then the account has exactly this."""
    nothing, amount = money.show(0, net.scale), money.show(net.amount, net.scale)
    return f'{nothing} "{net.currency}" = {amount} "{net.currency}"'


def _day(each: PostedTransaction) -> date:
    """The day in UTC on which it took effect."""
    return (EPOCH + timedelta(microseconds=each.effective_at)).date()


def _quoted(text: str) -> str:
    """A string of Beancount on one line."""
    escaped = _BLANKS.sub(" ", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _plain(text: str) -> str:
    """A text of hledger: on one line, and no comment begins in it."""
    return _BLANKS.sub(" ", text).replace(";", ",").replace("|", "/").strip()
