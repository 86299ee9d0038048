"""The public client: publish transactions, read and follow balances (docs/producers.md).

The names exported here are stable; the modules may change. A name's module is imported when the
name is used: Kafka's client takes half a second, and a program may start without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ledger.client.balances import BalanceReader
    from ledger.client.blocking import BlockingBalanceReader, BlockingPublisher
    from ledger.client.drafts import credit, debit, transaction
    from ledger.client.publisher import Publisher
    from ledger.client.receipt import PublishFailed, Receipt
    from ledger.domain.balance import Balance
    from ledger.domain.refusal import Reason, Refused
    from ledger.domain.transaction import Draft

__all__ = [
    "Balance",
    "BalanceReader",
    "BlockingBalanceReader",
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

_MODULES = {
    "client.balances": ("BalanceReader",),
    "client.blocking": ("BlockingBalanceReader", "BlockingPublisher"),
    "client.drafts": ("credit", "debit", "transaction"),
    "client.publisher": ("Publisher",),
    "client.receipt": ("PublishFailed", "Receipt"),
    "domain.balance": ("Balance",),
    "domain.refusal": ("Reason", "Refused"),
    "domain.transaction": ("Draft",),
}
_PLACES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"ledger.{_PLACES[name]}"), name)
    return found
