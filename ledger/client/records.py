"""Our public records, read whatever registered version of their schema they were written with."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

from aiokafka import ConsumerRecord

from ledger.settings import Settings
from ledger.streaming.registry import Codec, Registry, schema_id_of

NO_SCHEMA = 0
"""The id of none: registries count from 1."""

log = logging.getLogger(__name__)


class Records:
    """`codec` writes them and reads this version's; `decode` reads any version's."""

    def __init__(self, registry: Registry, codec: Codec) -> None:
        self._registry, self.codec = registry, codec

    @classmethod
    async def of(cls, settings: Settings, *names: str) -> "Records":
        """For the records `names`, whose schemas must be registered.

        Raises LedgerError when one is not, Unavailable when the registry does not answer.
        """
        registry = Registry(settings)
        return cls(registry, Codec(await asyncio.to_thread(registry.ids, names), registry.writer))

    @classmethod
    def of_any_version(cls, settings: Settings, name: str) -> "Records":
        """Only to read records `name`: whatever version the registry has them in."""
        registry = Registry(settings)
        return cls(registry, Codec({name: NO_SCHEMA}, registry.writer))

    async def decode(
        self, name: str, records: Iterable[ConsumerRecord], *, log_foreign: bool = True
    ) -> list[tuple[ConsumerRecord, dict[str, Any]]]:
        """Each record with its row. Those without a value, or not a `name` at all, are left out.

        `log_foreign`: log an error for each of them. Raises Unavailable when a newer schema must be
        looked up and the registry does not answer.
        """
        rows = []
        for record in records:
            if record.value is None:
                continue
            try:
                rows.append((record, await self._decode(name, record.value)))
            except ValueError as error:
                where = f"{record.topic}[{record.partition}] at {record.offset}"
                level = logging.ERROR if log_foreign else logging.DEBUG
                log.log(level, "A foreign record is left out, %s: %s", where, error)
        return rows

    async def _decode(self, name: str, value: bytes) -> dict[str, Any]:
        await self.learn(name, schema_id_of(value))
        return self.codec.decode(name, value)

    async def learn(self, name: str, schema_id: int) -> None:
        """Look the schema up with which records `name` were written, unless it is known.

        Raises ValueError for one that the registry does not know, Unavailable when it does not
        answer.
        """
        if schema_id != self.codec.ids[name]:
            # Not in `codec.decode`, which would hold up the event loop.
            await self._registry.learn(schema_id)
