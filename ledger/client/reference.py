"""Reference data and policy, as a client needs them to check what the service will check."""

import logging
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from aiokafka import ConsumerRecord, TopicPartition

from ledger.client.reading import Follower, Reader
from ledger.client.records import Records
from ledger.domain.reference import Account, Asset, Reference, ScaleChanged
from ledger.domain.transaction import DAY, MINUTE, Policy
from ledger.settings import Settings
from ledger.streaming.topics import topics
from ledger.streaming.waiting import waited_for

IDLE_FETCH_MS = 500

log = logging.getLogger(__name__)


def policy_of(settings: Settings) -> Policy:
    """What a decision needs of the settings."""
    return Policy(
        window=settings.window_days * DAY,
        early=settings.early_minutes * MINUTE,
        open_unknown_accounts=settings.unknown_accounts == "open",
        max_bytes=settings.max_transaction_bytes,
    )


class ReferenceFollower:
    """`known` is read to the topic's end on entry and followed from then on."""

    def __init__(self, settings: Settings, records: Records) -> None:
        self.known = Reference()
        self._records = records
        self._partition = TopicPartition(topics(settings).reference.name, 0)
        self._reader = Reader(settings.bootstrap_servers, fetch_wait_ms=IDLE_FETCH_MS)
        self._follower = Follower(self._reader, self._take)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._reader)
            stack.push_async_callback(self._follower.close)
            bounds = await self._reader.bounds([self._partition])
            self._follower.start({tp: first for tp, (first, _) in bounds.items()})
            await self.catch_up()
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    async def catch_up(self) -> None:
        """Return once everything that is in the topic now is in `known`."""
        await self._follower.caught_up()

    async def _take(self, records: list[ConsumerRecord]) -> None:
        rows = await waited_for(
            lambda: self._records.decode("Reference", records), "read reference data"
        )
        for record, row in rows:
            try:
                self.known.add([item_of(row)])
            except (ScaleChanged, ValueError) as error:
                # The service does the same, and alarms.
                log.warning("Reference data at %s is ignored: %s", record.offset, error)
        self.known.offset = records[-1].offset + 1


def item_of(row: dict[str, Any]) -> Asset | Account:
    """The asset or account that a Reference record tells of. Raises ValueError for neither."""
    if row["type"] == "asset" and row["scale"] is not None:
        return Asset(row["code"], row["scale"], row["name"])
    if row["type"] == "account":
        return Account(
            row["code"], row["name"], row["currency"], row["opened_at"], row["closed_at"]
        )
    raise ValueError(f"neither an asset with a scale nor an account: {row}")


def key_and_row(item: Asset | Account) -> tuple[bytes, dict[str, Any]]:
    """The record's key and its row, the reverse of `item_of`."""
    if isinstance(item, Asset):
        row = {"type": "asset", "code": item.code, "name": item.name, "scale": item.scale}
    else:
        row = {
            "type": "account", "code": item.code, "name": item.name, "currency": item.currency,
            "opened_at": item.opened_at, "closed_at": item.closed_at,
        }  # fmt: skip
    return f"{row['type']}:{item.code}".encode(), row
