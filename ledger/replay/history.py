"""History folded again: emptied at once, and filled by the workers from the decision log."""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import NamedTuple

from ledger.domain.run import Watermark
from ledger.errors import LedgerError
from ledger.gl.databases import open_history_writer
from ledger.gl.history.tables import metadata, schema_of
from ledger.gl.postgresql import history_schema
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.topics import topics

LOOK_SECONDS = 0.5

Positions = Mapping[int, Watermark]


class Refolded(NamedTuple):
    """How far history was, and is again: positions in the transactions by shard."""

    before: Mapping[int, int]
    after: Mapping[int, int]

    @property
    def left(self) -> int:
        """Positions that history had before, and has not again yet."""
        return sum(max(end - self.after.get(shard, 0), 0) for shard, end in self.before.items())


async def refold_history(
    settings: Settings, seconds: float, progress: Callable[[int], None]
) -> Refolded:
    """Empty history, and wait until the workers have folded it as far as it was, or `seconds`.

    `progress` is called with the positions that are folded again. Raises LedgerError, with nothing
    changed, where the owner of history is unknown or the beginning of the decision log was deleted.
    """
    require_owner(settings)
    await require_whole_log(settings)
    with closing(open_history_writer(settings.service_database_url)) as reader:
        before = await asyncio.to_thread(reader.positions)
        await asyncio.to_thread(history_schema.empty, settings.database_url)
        until = time.monotonic() + seconds
        while True:
            found = _refolded(before, await asyncio.to_thread(reader.positions))
            progress(sum(found.before.values()) - found.left)
            if not found.left or time.monotonic() > until:
                return found
            await asyncio.sleep(LOOK_SECONDS)


def _refolded(before: Positions, after: Positions) -> Refolded:
    ends = ({shard: mark.end for shard, mark in found.items()} for found in (before, after))
    return Refolded(*ends)


async def require_whole_log(settings: Settings) -> None:
    """A LedgerError where the beginning of the decision log was deleted: history has more."""
    log, topic = Log(settings), topics(settings).decisions
    try:
        firsts = [(await log.bounds(topic.name, shard))[0] for shard in range(topic.partitions)]
    finally:
        await log.close()
    if any(firsts):
        shard = next(shard for shard, first in enumerate(firsts) if first)
        raise LedgerError(
            f"{topic.name}[{shard}] begins at {firsts[shard]}: what history has of before that "
            "could not be folded again. Nothing was changed. See docs/runbooks/log-cut.md."
        )


def require_owner(settings: Settings) -> None:
    """A LedgerError where history is in a database whose owner no setting names."""
    if settings.history_database_url:
        schema = schema_of("public")
        tables = ", ".join(f"{schema}.{table.name}" for table in metadata.sorted_tables)
        raise LedgerError(
            "History is in a database of its own (history_database_url), whose owner is in no "
            f"setting. Nothing was changed. As the owner of its tables: TRUNCATE {tables} RESTART "
            "IDENTITY; workers notice within seconds and fold it again."
        )
