"""Leaves to void: the accepted transactions that reference data allows a shard to void."""

import logging
from collections.abc import Mapping
from functools import partial
from operator import attrgetter

from agents.runtime.runtime import Runtime
from ledger.domain.memory import Voidable
from ledger.domain.reference import Leave
from ledger.domain.run import Content, Watermark
from ledger.health.waiting import waited_for
from ledger.streaming.accepted import AcceptedIds
from ledger.streaming.decisions import decision_in, valid_runs

log = logging.getLogger(__name__)


class Leaves:
    """Those of one shard; each transaction is read from the decision log once."""

    def __init__(self, runtime: Runtime, shard: int, ids: AcceptedIds) -> None:
        self._runtime, self._shard, self._ids = runtime, shard, ids
        self._read: dict[int, tuple[int, Voidable | None]] = {}

    async def voidable(self, leaves: Mapping[int, Leave]) -> dict[str, Voidable]:
        """The transactions that may be voided, by id; each is read once, and not if it is void."""
        found, end = dict[str, Voidable](), self._ids.watermark.decisions_offset
        for leave in sorted(leaves.values(), key=attrgetter("offset")):
            # An owner that was paused may not know the run yet: it reads that before it decides.
            if leave.offset in self._ids.voided or leave.run >= end:
                continue
            at, voidable = self._read.get(leave.offset, (-1, None))
            if at != leave.at:
                voidable = await self._read_leave(leave)
            if voidable is not None:
                found[voidable.content.transaction_ids[0]] = voidable
        return found

    async def _read_leave(self, leave: Leave) -> Voidable | None:
        read = partial(self._voidable_by, leave)
        voidable = await waited_for(read, f"read what may be voided in shard {self._shard}")
        self._read[leave.offset] = leave.at, voidable
        if voidable is None:
            log.critical(
                "The leave at %s of the reference data, to void offset %s of shard %s, counts "
                "for nothing: no run that counts, at decision offset %s, has accepted it.",
                leave.at, leave.offset, leave.shard, leave.run,
            )  # fmt: skip
        return voidable

    async def _voidable_by(self, leave: Leave) -> Voidable | None:
        """What it may void; None unless the run that it names is one of the shard's chain."""
        known, log_, topic = (
            self._ids.watermark,
            self._runtime.log,
            self._runtime.topics.decisions.name,
        )
        first, _ = await log_.bounds(topic, self._shard)
        if leave.run < first:
            return None
        mark, named = Watermark(), None
        async for records in log_.read(topic, self._shard, leave.run, known.decisions_offset):
            if named is None:
                named = decision_in(self._runtime.codec, records[0])
                if named is None or records[0].offset != leave.run:
                    return None
                mark = Watermark(leave.run, named.start, named.follows)
            for run in valid_runs(self._runtime.codec, records, mark):
                mark = run.after
        if named is None or mark != known:
            return None
        content = Content.decode(named.content).part({leave.offset})
        if not content.offsets:
            return None
        return Voidable(leave.run, leave.at, leave.reason, content, leave.until)
