"""What a record of `ledger.balances` or `ledger.coverage` says, and which say nothing of ours."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord

from ledger.api.view.coverage import Claim
from ledger.api.view.figures import balance_of
from ledger.api.view.kept import Change, Kept, decoded
from ledger.client.records import Records
from ledger.domain.account import well_formed
from ledger.domain.partition import partition_of
from ledger.streaming.registry import HEADER, schema_id_of

BALANCE, COVERAGE = "Balance", "Coverage"
LONGEST_CODE = 64
"""Characters of a currency; the ledger takes none that is longer."""


class Foreign(NamedTuple):
    """A record that no worker of the ledger wrote."""

    why: str


class Decoding:
    """Decodes what was written with any version of the schemas that the registry knows."""

    def __init__(self, records: Records, partitions: int) -> None:
        self._records, self._partitions = records, partitions
        self._head = records.codec.head(BALANCE)
        self._unknown: set[int] = set()

    async def learn(self, name: str, found: Iterable[ConsumerRecord]) -> None:
        """Look up the schemas that the records were written with, before they are decoded.

        Raises Unavailable when the registry does not answer.
        """
        self._unknown.clear()
        for schema_id in {id_of(record) for record in found}:
            if schema_id is not None:
                try:
                    await self._records.learn(name, schema_id)
                except ValueError:
                    self._unknown.add(schema_id)

    def _decode(self, name: str, record: ConsumerRecord) -> dict[str, Any]:
        if id_of(record) in self._unknown:
            # To ask the registry again would hold up the event loop.
            raise ValueError("the registry does not know its schema")
        return self._records.codec.decode(name, record.value or b"")

    def change_in(self, record: ConsumerRecord) -> Change | Foreign:
        """What a record of the balances topic changes."""
        try:
            account, currency = self._named(record)
            value = record.value
            if value is None:
                return Change(account, currency)
            if value.startswith(self._head):
                balance = decoded(value, HEADER.size)
                kept = Kept.of(balance, value[HEADER.size :])
            else:
                balance = balance_of(self._decode(BALANCE, record))
                kept = Kept.of(balance)
        except ValueError as error:
            return Foreign(str(error))
        if balance.account != account or balance.currency != currency:
            return Foreign(f"its key is of {account}, and its value of {balance.account}")
        return Change(account, currency, balance, kept)

    def _named(self, record: ConsumerRecord) -> tuple[str, str]:
        """The account and currency in its key. Raises ValueError."""
        account, space, currency = (record.key or b"").decode().partition(" ")
        if not well_formed(account) or not space or not _is_code(currency):
            raise ValueError("its key is no account and currency")
        if partition_of(account.encode(), self._partitions) != record.partition:
            raise ValueError(f"{account} belongs to another partition")
        return account, currency

    def claim_in(self, record: ConsumerRecord) -> Claim | Foreign:
        """What a record of the coverage topic says of its own partition."""
        try:
            row = self._decode(COVERAGE, record)
        except ValueError as error:
            return Foreign(str(error))
        ends: Sequence[int] = row["ends"]
        if row["partition"] != record.partition or row["offset"] < 0 or min(ends, default=-1) < 0:
            return Foreign(f"it is of partition {row['partition']}, or of no offset")
        return Claim(row["offset"], tuple(ends), row["topic"], row["start"])


def _is_code(currency: str) -> bool:
    return 0 < len(currency) <= LONGEST_CODE and currency.isprintable()


def id_of(record: ConsumerRecord) -> int | None:
    """The id of the schema in a record, None where there is none."""
    try:
        return schema_id_of(record.value or b"")
    except ValueError:
        return None
