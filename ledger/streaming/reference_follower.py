"""Reference data, read to the end of its topic and followed from then on.

The topic is part of the record: each run of the decision log names a position in it and the digest
of the records before that. A shard is decided only with what its chain has recorded.
"""

import asyncio
import logging
from collections.abc import Callable

from aiokafka import ConsumerRecord

from ledger.domain.reference import NO_RECORDS, Reference, digest_after
from ledger.errors import InvariantBroken, LedgerError, Unavailable
from ledger.health.waiting import waited_for
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.reader import out_of_reach
from ledger.streaming.reference import contradictions, row_of, take
from ledger.streaming.registry import Codec

CHECK_SECONDS = 15.0
"""Between two checks that the topic still has what was read of it."""
MARKED_EACH = 1_000
"""Records between two positions whose digest is kept."""

log = logging.getLogger(__name__)


class ReferenceReader:
    """Reads the topic into `data`; records that count for nothing are logged at level `ignored`.

    Every method raises Unavailable when Kafka or the registry does not answer, InvariantBroken when
    the topic no longer has what is to be read next.
    """

    def __init__(
        self, log_: Log, codec: Codec, topic: str, data: Reference, *, ignored: int = logging.DEBUG
    ) -> None:
        self.data = data
        self._log, self._codec, self._topic, self._ignored = log_, codec, topic, ignored

    async def read_on(self) -> None:
        """Return when everything that is in the topic now is in `data`."""
        async for records in self._log.read(self._topic, 0, self.data.offset):
            self._add(records)

    async def follow_on(self) -> None:
        """Read what comes, without end."""
        async for records in self._log.follow(self._topic, 0, self.data.offset):
            self._add(records)

    def _add(self, records: list[ConsumerRecord]) -> None:
        for record in records:
            # `read_on` and `follow_on` may run at once.
            if record.offset < self.data.offset:
                continue
            if (why := take(self.data, record, row_of(self._codec, record))) is not None:
                log.log(self._ignored, "Reference data at %s is ignored: %s", record.offset, why)


class ReferenceFollower(ReferenceReader):
    """A worker's reference data; `ready` is set once the topic was read to its end."""

    def __init__(self, log_: Log, codec: Codec, topic: str, settings: Settings) -> None:
        super().__init__(log_, codec, topic, Reference(scales={}), ignored=logging.CRITICAL)
        self.ready = asyncio.Event()
        self._settings = settings
        self._listeners: list[Callable[[], None]] = []
        self._moved = asyncio.Event()
        self._marks = [(0, NO_RECORDS)]
        self._since_mark = 0
        self._broken: InvariantBroken | None = None

    def on_move(self, listener: Callable[[], None]) -> None:
        """Call `listener` each time something new was read; it must not wait for anything."""
        self._listeners.append(listener)

    async def follow(self) -> None:
        """For ever. Raises LedgerError when this worker's settings contradict the policy."""
        try:
            await waited_for(self._read_on, "read the reference data")
        except InvariantBroken as error:
            # Each shard raises the alarm for itself.
            self._break(error)
            return
        self._require_settings()
        self.ready.set()
        await waited_for(self._follow_on, "follow the reference data", endless=True)

    def _break(self, error: InvariantBroken) -> None:
        log.critical("%s", error)
        self._broken = error
        self.ready.set()
        self._notify()

    async def _read_on(self) -> None:
        await self.read_on()
        if not self.data.policies:
            raise Unavailable(
                f"{self._topic} has no policy yet, without which nothing is decided. "
                "`faust-ledger up` writes it when a ledger is made or upgraded, and on servers of "
                "your own `faust-ledger policy init`."
            )

    def _require_settings(self) -> None:
        if found := contradictions(self._settings, self.data):
            raise LedgerError(
                f"This worker's settings contradict the ledger's policy: {'; '.join(found)}. Two "
                "workers that decide by different settings would make two ledgers of one. Take "
                "the setting away: the policy counts. To change that: `faust-ledger policy set`."
            )

    async def _follow_on(self) -> None:
        try:
            await self._require_same()
            await self.follow_on()
        except InvariantBroken as error:
            self._break(error)

    def _add(self, records: list[ConsumerRecord]) -> None:
        super()._add(records)
        self._since_mark += len(records)
        if self._since_mark >= MARKED_EACH:
            self._since_mark = 0
            self._marks.append((self.data.offset, self.data.digest))
        self._notify()

    def _notify(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()
        for listener in self._listeners:
            listener()

    def require_whole(self) -> None:
        """Raises InvariantBroken once the topic was found not to be what was read of it."""
        if self._broken is not None:
            raise self._broken

    async def reached(self, offset: int, shard: int) -> None:
        """Return when the records before `offset` are read, which `shard` was decided with.

        Raises InvariantBroken when the topic ends before it.
        """
        self.require_whole()
        while self.data.offset < offset:
            moved = self._moved
            await self.require_offset(offset, shard)
            if self.data.offset < offset:
                await moved.wait()
            self.require_whole()

    async def require_offset(self, offset: int, shard: int) -> None:
        """Raises InvariantBroken when the topic ends before `offset`, which `shard` has reached."""
        _, end = await self._log.bounds(self._topic, 0)
        if end < offset:
            raise InvariantBroken(
                f"Shard {shard} was decided with more reference data than there is. "
                f"{out_of_reach(self._topic, 0, offset, (0, end))}"
            )

    async def require_digest(self, offset: int, digest: bytes, shard: int) -> None:
        """Raises InvariantBroken when the records before `offset`, read already, have another."""
        found = await self._digest_at(offset)
        if found != digest:
            raise InvariantBroken(
                f"Shard {shard} was decided with other reference data: the records of "
                f"{self._topic} before {offset} have the digest {found.hex()[:16]}..., its last "
                f"run names {digest.hex()[:16]}.... The topic was recreated, or what was in it was "
                "changed. This shard waits. What to do: docs/runbooks/topic-lost.md"
            )

    async def _digest_at(self, offset: int) -> bytes:
        if offset == self.data.offset:
            return self.data.digest
        mark = max(mark for mark in self._marks if mark[0] <= offset)
        return await self._digest_from(mark, offset)

    async def _digest_from(self, mark: tuple[int, bytes], end: int) -> bytes:
        """The digest at `end` as the topic has it now, from a position and the digest there."""
        start, digest = mark
        async for records in self._log.read(self._topic, 0, start, end):
            for record in records:
                digest = digest_after(digest, record.offset, record.key, record.value)
        return digest

    async def check_on(self) -> None:
        """Check now and then that the topic still has what was read of it; without end."""
        await self.ready.wait()
        while self._broken is None:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self._require_same()
            except InvariantBroken as error:
                self._break(error)
            except Unavailable as error:
                # Whoever needs Kafka waits for it, visibly.
                log.info("The reference data could not be checked: %s", error)

    async def _require_same(self) -> None:
        """Raises InvariantBroken when the topic has not, or no longer, what was read of it."""
        offset, digest = self.data.offset, self.data.digest
        mark = self._marks[-1]
        first, end = await self._log.bounds(self._topic, 0)
        if end < offset or first > mark[0]:
            raise InvariantBroken(
                out_of_reach(self._topic, 0, offset if end < offset else mark[0], (first, end))
            )
        if await self._digest_from(mark, offset) != digest:
            raise InvariantBroken(
                f"{self._topic} no longer has what was read of it up to {offset}: it was "
                "recreated, or what was in it was changed. Nothing is decided until this worker is "
                "started again, with the topic as it was. What to do: docs/runbooks/topic-lost.md"
            )
