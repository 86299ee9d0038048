"""Refused records, as the topic of refusals has them, with the transaction where it decodes."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from aiokafka import TopicPartition

from ledger.client.drafts import rfc3339
from ledger.client.partitions import partition_counts
from ledger.client.records import Records
from ledger.domain.transaction import Draft, DraftEntry
from ledger.settings import Settings
from ledger.streaming.reader import Reader
from ledger.streaming.registry import schema_id_of
from ledger.streaming.topics import topics

PRODUCER = "producer"
"""The metadata in which a product gives its name."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A choice of refusals; times in microseconds, half-open. Empty or None selects all.

    `accounts`: those named, and those below them. `producers`: by the transaction's metadata.
    """

    codes: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    accounts: frozenset[str] = frozenset()
    producers: frozenset[str] = frozenset()
    start: int | None = None
    end: int | None = None

    @property
    def by_content(self) -> bool:
        """Whether it asks for what only the transaction has."""
        return bool(self.accounts or self.producers)

    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether it selects this Reject row, as far as the row says."""
        return (
            (not self.codes or row["code"] in self.codes)
            and (not self.ids or row["transaction_id"] in self.ids)
            and (self.start is None or row["recorded_at"] >= self.start)
            and (self.end is None or row["recorded_at"] < self.end)
        )

    def has_content(self, draft: Draft | None) -> bool:
        """Whether it selects a record with this transaction, None for one that does not decode."""
        if not self.by_content:
            return True
        if draft is None:
            return False
        named = not self.producers or draft["metadata"].get(PRODUCER) in self.producers
        return named and (not self.accounts or any(map(self._touches, draft["entries"])))

    def _touches(self, entry: DraftEntry) -> bool:
        path = entry["account"] + ":"
        return any(path.startswith(each.rstrip(":") + ":") for each in self.accounts)


class Rejected(NamedTuple):
    """A Reject row, and its transaction where that was asked for and decodes."""

    row: dict[str, Any]
    draft: Draft | None


class RejectReader:
    """Reads all refusals that are in the topic when it begins."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._transactions = Records.of_any_version(settings, "Transaction")
        self._unknown: set[int] = set()

    async def read(self, wanted: Selection) -> AsyncIterator[Rejected]:
        """Those selected, each once, in order within a shard. Raises LedgerError."""
        name = topics(self._settings).rejects.name
        counts = await partition_counts(self._settings, name)
        records = await Records.of(self._settings, "Reject")
        last: dict[int, int] = {}
        async with Reader(self._settings) as reader:
            bounds = await reader.bounds(TopicPartition(name, each) for each in range(counts[name]))
            starts = {tp: first for tp, (first, _) in bounds.items()}
            ends = {tp: end for tp, (_, end) in bounds.items()}
            async for fetched in reader.between(starts, ends):
                for _, row in await records.decode("Reject", fetched):
                    # They are in order; after a crash the topic may have some twice.
                    if row["offset"] <= last.get(row["shard"], -1):
                        continue
                    last[row["shard"]] = row["offset"]
                    if not wanted.has(row):
                        continue
                    draft = await self.draft_of(row) if wanted.by_content else None
                    if wanted.has_content(draft):
                        yield Rejected(row, draft)

    async def draft_of(self, row: Mapping[str, Any]) -> Draft | None:
        """The transaction in a row's value; None where it is none that can be decoded."""
        return await self.draft_in(row["value"])

    async def draft_in(self, value: bytes | None) -> Draft | None:
        """The transaction in a record's value; None where it is none that can be decoded."""
        value = value or b""
        try:
            schema_id = schema_id_of(value)
            if schema_id in self._unknown:
                return None
            await self._learn(schema_id)
            return cast("Draft", self._transactions.codec.decode("Transaction", value))
        except ValueError:
            return None

    async def _learn(self, schema_id: int) -> None:
        try:
            await self._transactions.learn("Transaction", schema_id)
        except ValueError:
            # The registry is asked once, and not for each record of a flood.
            self._unknown.add(schema_id)
            raise


def line_of(draft: Draft) -> dict[str, Any]:
    """The JSON object that `faust-ledger publish` takes for this transaction."""
    optional = ("description", "ordering_key", "reverses", "metadata")
    return {
        "transaction_id": draft["transaction_id"],
        "kind": draft["kind"],
        "effective_at": _time(draft["effective_at"]),
        "created_at": _time(draft["created_at"]),
        "entries": [dict(each) for each in draft["entries"]],
        **{name: draft[name] for name in optional if draft[name]},  # type: ignore[literal-required]
    }


def _time(micros: int) -> str | int:
    """RFC 3339; the number itself where that has no such year."""
    try:
        return rfc3339(micros)
    except (OverflowError, ValueError):
        return micros
