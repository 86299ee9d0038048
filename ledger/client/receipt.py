"""What a publisher returns for a transaction that Kafka has, and raises for one that it may not."""

from dataclasses import dataclass
from typing import NamedTuple

from ledger.domain.refusal import Refused
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


class LineOutcome(NamedTuple):
    """What became of a line; `receipt`: Kafka has it; `refused`: it was not sent, and why.

    `failure`: it is not known whether Kafka has it, and why. A good line that was only checked has
    none of them. `transaction_id`: None where the line has none that can be read.
    """

    line: int
    transaction_id: str | None
    receipt: Receipt | None = None
    refused: Refused | None = None
    failure: str | None = None
