"""How far the time of a shard's records may be ahead before the shard waits."""

import time
from collections.abc import Callable, Sequence

from aiokafka import ConsumerRecord

from agents.runtime.runtime import Runtime
from ledger.errors import Unavailable
from ledger.streaming.reference_follower import ReferenceFollower


class ClockLimit:
    """The limit of one shard; `others_until` is the latest time of all others, microseconds."""

    def __init__(
        self,
        runtime: Runtime,
        shard: int,
        reference: ReferenceFollower,
        others_until: Callable[[], int],
    ) -> None:
        self._seconds, self._shard = runtime.settings.clock_ahead_seconds, shard
        self._reference, self._others_until = reference, others_until

    def recorded_at(self, record: ConsumerRecord) -> int:
        """When a record counts as recorded, microseconds; reference data may limit it."""
        at = record.timestamp * 1000
        return self._reference.data.recorded_at(self._shard, record.offset, at)

    def first_ahead(self, records: Sequence[ConsumerRecord]) -> int | None:
        """The index of the first record that is recorded later than it may be; None for none."""
        latest = self._latest()
        if not records or max(record.timestamp for record in records) * 1000 <= latest:
            return None
        late = (at for at, each in enumerate(records) if self.recorded_at(each) > latest)
        return next(late, None)

    async def require(self, record: ConsumerRecord) -> None:
        """Raises Unavailable while its time is further ahead than the settings allow."""
        ahead = self.recorded_at(record) - self._latest()
        if ahead > 0:
            raise Unavailable(
                f"Offset {record.offset} of shard {self._shard} is recorded "
                f"{ahead // 1_000_000 + self._seconds} s ahead of this worker's clock and of its "
                "other shards. A broker's clock, or this worker's, is wrong; decided so, "
                "everything after it would be recorded as late as that. What to do: "
                "docs/runbooks/clock-ahead.md"
            )

    def _latest(self) -> int:
        """The latest time that a record may have been recorded at, microseconds."""
        present = max(time.time_ns() // 1_000, self._others_until())
        return present + self._seconds * 1_000_000
