"""How far each shard is: appended, decided, posted, reconciled, and in history."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from ledger.api.database import Database
from ledger.api.problems import Problem
from ledger.client.drafts import rfc3339
from ledger.client.records import Records
from ledger.clock import now
from ledger.domain.run import Watermark
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.progress import compared
from ledger.streaming.topics import topics


class Ends(NamedTuple):
    """By shard: where its log ends, and what reconciliation has published last."""

    log: Mapping[int, int]
    reconciled: Mapping[int, Watermark]


class StatusService:
    """Asks Kafka and the database; what does not answer is null, with the reason."""

    def __init__(self, settings: Settings, log: Log, database: Database) -> None:
        self._settings, self._log, self._database = settings, log, database
        self._records: Records | None = None

    async def status(self) -> dict[str, Any]:
        """{"as_of", "whole", "why", "shards": [...]}; positions are offsets of the shard's log."""
        moment = now()
        ends, posted = await asyncio.gather(self._ends(), self._posted(), return_exceptions=True)
        why = [str(each) for each in (ends, posted) if isinstance(each, BaseException)]
        for each in (ends, posted):
            if isinstance(each, BaseException) and not isinstance(each, Problem):
                raise each
        known = Ends({}, {}) if isinstance(ends, BaseException) else ends
        marks = None if isinstance(posted, BaseException) else posted
        shards = [_row(shard, known, marks) for shard in range(self._settings.shards)]
        return {
            "as_of": rfc3339(moment),
            "whole": not why and all(each["whole"] for each in shards),
            "why": why,
            "shards": shards,
        }

    async def _ends(self) -> Ends:
        names, shards = topics(self._settings), range(self._settings.shards)
        if self._records is None:
            self._records = await Records.of(self._settings, "Progress")
        found = await self._log.ends([(names.transactions.name, each) for each in shards])
        marks = await compared(self._log, self._records.codec, names.progress.name, shards)
        return Ends({shard: end for (_, shard), end in found.items()}, marks)

    async def _posted(self) -> Mapping[int, Watermark]:
        return await self._database.ask(lambda books: books.watermarks())


def _row(shard: int, ends: Ends, posted: Mapping[int, Watermark] | None) -> dict[str, Any]:
    end = ends.log.get(shard)
    reconciled = ends.reconciled.get(shard, Watermark()) if ends.log else None
    mark = None if posted is None else posted.get(shard, Watermark())
    return {
        "shard": shard,
        "log_end": end,
        "posted": mark and mark.end,
        "reconciled": reconciled and reconciled.end,
        "recorded_through": rfc3339(mark.recorded_until) if mark and mark.end else None,
        "waiting": None if end is None or reconciled is None else end - reconciled.end,
        "whole": end is not None and reconciled is not None and end == reconciled.end,
    }
