"""The public client: publish transactions, read and follow balances (docs/producers.md).

The names exported here are stable; the modules may change.
"""

from ledger.client.appender import PublishFailed, Receipt
from ledger.client.balances import BalanceReader
from ledger.client.blocking import BlockingPublisher
from ledger.client.drafts import credit, debit, transaction
from ledger.client.publisher import Publisher
from ledger.domain.balance import Balance
from ledger.domain.refusal import Reason, Refused
from ledger.domain.transaction import Draft

__all__ = [
    "Balance",
    "BalanceReader",
    "BlockingPublisher",
    "Draft",
    "PublishFailed",
    "Publisher",
    "Reason",
    "Receipt",
    "Refused",
    "credit",
    "debit",
    "transaction",
]
