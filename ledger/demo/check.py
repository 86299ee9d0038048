"""Whether the public balances and the general ledger agree, account by account."""

from collections.abc import Mapping
from typing import NamedTuple

from ledger.client.balances import BalanceReader
from ledger.domain import money
from ledger.domain.balance import Balance
from ledger.gl.journal import BalanceRow
from ledger.gl.postgresql import PostgresJournal
from ledger.settings import Settings

Key = tuple[str, str]


class Reconciliation(NamedTuple):
    """Numbers of accounts, and the (account, currency) on which the two sides differ."""

    accounts: int
    reconciled: int
    breaks: list[Key]


async def reconcile(settings: Settings) -> Reconciliation:
    """Read both sides as they are now, when nothing is under way."""
    async with BalanceReader(settings) as reader:
        public = await reader.snapshot()
    journal = PostgresJournal(settings.database_url)
    try:
        rows = {(row.account, row.currency): row for row in journal.balances()}
    finally:
        journal.close()
    return compared(public, rows)


def compared(public: Mapping[Key, Balance], rows: Mapping[Key, BalanceRow]) -> Reconciliation:
    """A balance on one side alone is a break too."""
    keys = public.keys() | rows.keys()
    breaks = sorted(key for key in keys if not _agree(public.get(key), rows.get(key)))
    accounts = {account for account, _ in keys}
    broken = {account for account, _ in breaks}
    return Reconciliation(len(accounts), len(accounts - broken), breaks)


def _agree(balance: Balance | None, row: BalanceRow | None) -> bool:
    if balance is None or row is None:
        return False
    debits, credits = money.show(row.debits, row.scale), money.show(row.credits, row.scale)
    return balance.status == "reconciled" and (
        balance.debits,
        balance.credits,
        balance.entries,
    ) == (debits, credits, row.entries)
