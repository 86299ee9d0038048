"""A table of one partition: RocksDB beside a compacted changelog, a run's rows as one batch.

Faust's own tables write the changelog a record at a time, apart from the row, and restore without
looking at what is newer. Here every row carries its version, so that what a paused predecessor
still writes cannot win: not on restoring, and not by being the last in the changelog.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from aiokafka import ConsumerRecord

from ledger.domain.portions import portions
from ledger.errors import LedgerError
from ledger.health.waiting import waited_for
from ledger.streaming.log import PORTION, Log, log_dropped
from ledger.streaming.store import Store

_RESTORED = b"\x00changelog"

log = logging.getLogger(__name__)


def begin_anew(path: Path, end: int) -> None:
    """Make an empty table that takes nothing from its changelog before `end`.

    Its owner folds all of it from the decision log, and appends every row to the changelog again.
    """
    store = Store(path)
    store.write([(_RESTORED, b"%d" % end)])
    store.close()


class Overtaken(LedgerError):
    """Somebody else writes this table and is ahead: this process no longer owns it."""


class ChangelogTable:
    """Rows by key; `version` says how new a row is, as a number that only rises.

    It raises ValueError for what is no row: such records, of whoever may write to the changelog,
    are left out, and what they came after is said again.
    """

    def __init__(
        self,
        path: Path,
        log_: Log,
        topic: str,
        partition: int,
        version: Callable[[bytes, bytes], int],
    ) -> None:
        self._store = Store(path)
        self._log, self._topic, self._partition, self._version = log_, topic, partition, version
        self._end = 0
        self._stale: set[bytes] = set()
        self.get, self.get_all = self._store.get, self._store.get_all

    async def open(self) -> None:
        """Take from the changelog what this disk does not have yet.

        Raises InvariantBroken when the changelog ends before what was restored from it.
        """
        self._end = int(self._store.get(_RESTORED) or 0)
        _, end = await self._log.bounds(self._topic, self._partition)
        async for records in self._log.read(self._topic, self._partition, self._end, end):
            newest: dict[bytes, bytes] = {}
            keys = list({record.key or b"" for record in records} - {_RESTORED})
            here = self.held(keys)
            for record in records:
                key, value = record.key or b"", record.value
                known, version = newest.get(key) or here.get(key), self._version_of(record)
                if version is not None and (known is None or version >= self._version(key, known)):
                    newest[key] = value
                    self._stale.discard(key)
                elif known is not None:
                    self._stale.add(key)
            self._write(newest.items(), records[-1].offset + 1)
        self._end = max(self._end, end)
        # What an older record came after, and whoever wrote it did not get to saying again.
        for some in portions(sorted(self._stale), count=PORTION):
            await self.write(self.held(some))
        self._stale.clear()

    def _version_of(self, record: ConsumerRecord) -> int | None:
        """How new a record of the changelog is; None for one that no table like this wrote."""
        try:
            return self._version(record.key or b"", record.value or b"")
        except ValueError as error:
            log_dropped(record, error)
            return None

    def held(self, keys: list[bytes]) -> dict[bytes, bytes]:
        """The rows that there are, of many."""
        rows = zip(keys, self.get_all(keys), strict=True)
        return {key: row for key, row in rows if row is not None}

    def scan(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows whose keys begin with `prefix`, which does not end in a byte of 255."""
        return self._store.scan(prefix, prefix[:-1] + bytes([prefix[-1] + 1]))

    async def write(self, rows: dict[bytes, bytes]) -> None:
        """Durable in the changelog first, then on this disk; waits for Kafka if need be."""
        said = rows
        while said:
            first = await self._log.append_absolute(self._topic, self._partition, said.items())
            found = await self._looked_through(first, rows)
            self._end, said = first + len(said), found
        self._write(rows.items(), self._end)

    def write_here(self, rows: dict[bytes, bytes]) -> None:
        """On this disk alone: what a successor finds out again by itself."""
        self._store.write(rows.items())

    async def _looked_through(self, until: int, rows: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Our rows of which others have appended older ones, before `until`, after our last.

        Compaction keeps the last of a key, so ours must come last again.
        """
        if until <= self._end:
            return {}
        what = f"read what others wrote to {self._topic}"
        again = await waited_for(lambda: self._overwritten(until, rows), what)
        if again:
            log.warning("%s[%s]: %d rows set right", self._topic, self._partition, len(again))
        return again

    async def _overwritten(self, until: int, rows: dict[bytes, bytes]) -> dict[bytes, bytes]:
        again: dict[bytes, bytes] = {}
        async for records in self._log.read(self._topic, self._partition, self._end, until):
            for record in records:
                key, version = record.key or b"", self._version_of(record)
                ours = None if key == _RESTORED else rows.get(key) or self._store.get(key)
                if version is not None and (ours is None or version > self._version(key, ours)):
                    raise Overtaken(
                        f"{self._topic}[{self._partition}] was written by another worker that is "
                        "ahead of this one, which stops and starts again from what is there."
                    )
                if ours is not None and record.value != ours:
                    again[key] = ours
        return again

    def _write(self, rows: Iterable[tuple[bytes, bytes]], end: int) -> None:
        self._store.write([*rows, (_RESTORED, b"%d" % end)])
        self._end = end
