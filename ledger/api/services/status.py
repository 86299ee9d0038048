"""How far each shard is: appended, decided, posted, reconciled, and in history."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from ledger.api.database import Database
from ledger.api.flow.fate import Reached
from ledger.api.flow.flow import Flow, ShardReached
from ledger.api.problems import Problem
from ledger.client.drafts import rfc3339
from ledger.client.ends import first_waiting
from ledger.clock import now
from ledger.domain.run import Watermark
from ledger.errors import LedgerError
from ledger.gl.history.books import History
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.topics import topics

KEPT_SECONDS = 1.0
"""For which an answer is given again: Kafka is asked once for all who ask."""
DATABASE_SECONDS = 3.0
"""For which the database is waited for; then how far history is is not known."""


class StatusService:
    """Asks Kafka where the log ends, the database how far history is, the flow for the rest."""

    def __init__(
        self, settings: Settings, log: Log, flow: Flow, history: Database[History]
    ) -> None:
        self._settings, self._log, self._flow, self._history = settings, log, flow, history
        self._asking = asyncio.Lock()
        self._last: tuple[float, dict[str, Any]] | None = None

    async def status(self) -> dict[str, Any]:
        """{"as_of", "whole", "why", "shards": [...]}; positions are offsets of the shard's log."""
        async with self._asking:
            if self._last is None or time.monotonic() > self._last[0] + KEPT_SECONDS:
                found = await self._found()
                self._last = (time.monotonic(), found)
            return self._last[1]

    async def _found(self) -> dict[str, Any]:
        moment, why = now(), [each for each in (self._flow.problem(),) if each]
        try:
            ends = await self._ends()
        except LedgerError as error:
            ends = {}
            why.append(str(error))
        try:
            folded = await self._folded()
        except Problem as problem:
            folded = None
            why.append(problem.detail)
        reached = self._flow.reached()
        waiting = await self._waiting(ends, reached)
        shards = range(max([self._settings.shards, *(shard + 1 for shard in reached)]))
        rows = [
            _row(shard, ends.get(shard), reached.get(shard), waits=waiting.get(shard))
            | {"history": _folded(shard, folded)}
            for shard in shards
        ]
        whole = not why and all(each["whole"] for each in rows)
        return {"as_of": rfc3339(moment), "whole": whole, "why": why, "shards": rows}

    async def _ends(self) -> Mapping[int, int]:
        topic = topics(self._settings).transactions.name
        found = await self._log.ends([(topic, each) for each in range(self._settings.shards)])
        return {shard: end for (_, shard), end in found.items()}

    async def _folded(self) -> Mapping[int, Watermark]:
        try:
            async with asyncio.timeout(DATABASE_SECONDS):
                return await self._history.ask(lambda books: books.positions())
        except TimeoutError:
            why = f"The database has not answered for {DATABASE_SECONDS:.0f} s."
            raise Problem("DATABASE_UNAVAILABLE", why) from None

    async def _waiting(
        self, ends: Mapping[int, int], reached: Mapping[int, ShardReached]
    ) -> dict[int, bool]:
        """By shard that is behind, whether a record waits: markers of Kafka transactions do not."""
        spans = {
            shard: (each.compared.end, ends[shard])
            for shard, each in reached.items()
            if each.compared.end < ends.get(shard, 0)
        }
        found = await first_waiting(self._settings, spans)
        return {shard: each.waits is not False for shard, each in found.items()}


def _row(
    shard: int, end: int | None, reached: ShardReached | None, *, waits: bool | None
) -> dict[str, Any]:
    compared = reached and reached.compared.end
    known = end is not None and compared is not None
    return {
        "shard": shard,
        "log_end": end,
        "decided": _position(reached and reached.decided),
        "posted": _position(reached and reached.posted),
        "reconciled": _position(reached and reached.compared),
        "waiting": max(end - compared, 0) if end is not None and compared is not None else None,
        "whole": known and not waits,
    }


def _position(reached: Reached | None) -> dict[str, Any] | None:
    if reached is None:
        return None
    return {"offset": reached.end, "at": rfc3339(reached.at) if reached.at else None}


def _folded(shard: int, marks: Mapping[int, Watermark] | None) -> dict[str, Any] | None:
    if marks is None:
        return None
    mark = marks.get(shard, Watermark())
    through = rfc3339(mark.recorded_until) if mark.end else None
    return {"offset": mark.end, "recorded_through": through}
