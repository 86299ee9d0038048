"""The reference data of an API process: read to the end of its topic, and followed from then on."""

import asyncio
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from aiokafka import ConsumerRecord

from ledger.api.problems import Problem
from ledger.client.records import Records
from ledger.client.resource import cancel
from ledger.domain.reference import Asset, Reference, asset_problem
from ledger.errors import LedgerError, Unavailable
from ledger.health.waiting import waited_for
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.reference import item_of, row_of
from ledger.streaming.reference_follower import ReferenceReader
from ledger.streaming.registry import Codec
from ledger.streaming.topics import topics

AGAIN_SECONDS = 5.0
"""Before what cannot be read is tried again from its beginning."""

log = logging.getLogger(__name__)


class NamesReader(ReferenceReader):
    """Reads the names of assets as well, which no decision needs."""

    def __init__(self, log_: Log, codec: Codec, topic: str, data: Reference) -> None:
        super().__init__(log_, codec, topic, data)
        self.assets: dict[str, Asset] = {}

    def _add(self, records: list[ConsumerRecord]) -> None:
        for record in records:
            row = row_of(self._codec, record)
            if row is not None and row["type"] == "asset" and row["scale"] is not None:
                asset = item_of(row)
                assert isinstance(asset, Asset), "it is of that type"
                if asset_problem(asset.code, asset.scale) is None:
                    # The first record of a code counts.
                    self.assets.setdefault(asset.code, asset)
        super()._add(records)


class ApiReference:
    """`known` and `assets` grow as records come; before `problem()` is None they lack some.

    Its own topic lost or made anew does not end it: it says so, and begins again.
    """

    def __init__(self, settings: Settings) -> None:
        self.known = Reference()
        self.assets: Mapping[str, Asset] = {}
        self._settings = settings
        self._log = Log(settings)
        self._topic = topics(settings).reference.name
        self._whole = False
        self._why = "the reference data is not read yet"
        self._known_records: Records | None = None
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="follow reference data")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        assert self._task is not None, "it was entered"
        await cancel(self._task)
        await self._log.close()

    def require(self) -> None:
        """Raises Problem unless it is read to its end."""
        if not self._whole:
            raise Problem("KAFKA_UNAVAILABLE", f"The reference data is not read yet: {self._why}")

    def problem(self) -> str | None:
        """Why `known` lacks something; None once it was read to its end."""
        return None if self._whole else self._why

    async def _follow(self) -> None:
        while True:
            try:
                await self._read()
            except LedgerError as error:
                self._whole, self._why = False, str(error)
                log.error("The reference data cannot be followed: %s", error)
            # Not at once: what is wrong is mended outside of this process.
            await asyncio.sleep(AGAIN_SECONDS)

    async def _read(self) -> None:
        records = await waited_for(self._records, "look up the schema of the reference data")
        known = Reference()
        reader = NamesReader(self._log, records.codec, self._topic, known)

        async def to_end() -> None:
            try:
                known.offset, _ = await self._log.bounds(self._topic, 0)
                await reader.read_on()
            except Unavailable as error:
                self._why = str(error)
                raise

        await waited_for(to_end, "read the reference data")
        self.known, self.assets, self._whole = known, reader.assets, True
        await waited_for(reader.follow_on, "follow the reference data", endless=True)

    async def _records(self) -> Records:
        # Kept: when it begins again, the registry may be away.
        if self._known_records is None:
            try:
                self._known_records = await Records.of(self._settings, "Reference")
            except Unavailable as error:
                self._why = str(error)
                raise
        return self._known_records
