"""What a publisher returns for a transaction that Kafka has, and raises for one that it may not."""

from dataclasses import dataclass

from ledger.errors import LedgerError

MANY = 10_000
"""Transactions of `publish_many` that may be pending at once."""


class PublishFailed(LedgerError):
    """A transaction was not acknowledged. It is always safe to publish it again with its id."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The log has the transaction, at `offset` of `shard`; the ledger decides it later."""

    shard: int
    offset: int
