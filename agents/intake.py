"""Intake: checks, deduplicates and decides; its only effect is one append a run."""

import asyncio
import logging
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from aiokafka import ConsumerRecord

from agents.app import LedgerApp, take_runs
from agents.lanes import Gap
from agents.reference import ReferenceFollower
from ledger.domain.intake import Memory, Received, Seen, Settled, cut, decide
from ledger.domain.run import Watermark
from ledger.errors import Unavailable
from ledger.streaming.decisions import ValidRun, valid_runs
from ledger.streaming.delivery import Run
from ledger.streaming.health import asking
from ledger.streaming.reference import policy_of
from ledger.streaming.store import Store
from ledger.streaming.transactions import TransactionReader
from ledger.streaming.waiting import waited_for

_SEEN = struct.Struct(">qq16s16s")
_MARK = struct.Struct(">qq32sqq")
_TIME = struct.Struct(">Q")
MARK = b"w"
FORGET_EACH = 1_000_000
"""Microseconds of the log's time between two searches for ids that are out of date."""

log = logging.getLogger(__name__)


def attach(app: LedgerApp, reference: ReferenceFollower) -> None:
    """Give `app` the intake agent."""
    reader = TransactionReader.of(app.ledger)
    shards: dict[int, IntakeShard] = {}

    async def opened(shard: int) -> int:
        await reference.ready.wait()
        if shard not in shards:
            shards[shard] = IntakeShard(app, shard, reader, reference)
        return await shards[shard].open()

    async def take(run: Run) -> int:
        return await shards[run.tp.partition].take(run)

    async def reference_moved() -> None:
        await asyncio.gather(
            *(shards[tp.partition].note_reference() for tp in app.consumer.opened
              if tp.topic == app.names.transactions.name)
        )  # fmt: skip

    reference.on_move(reference_moved)
    take_runs(app, app.names.transactions, name="intake", opened=opened, take=take)


class AcceptedIds:
    """A shard's table of accepted ids: a cache of the decision log, complete up to `mark`."""

    def __init__(self, path: Path) -> None:
        self._store = Store(path)
        self.watermark, self.reference_offset = self._read_mark()
        self._oldest = 0

    def _read_mark(self) -> tuple[Watermark, int]:
        held = self._store.get(MARK)
        if held is None:
            return Watermark(), -1
        *mark, reference_offset = _MARK.unpack(held)
        return Watermark(*mark), reference_offset

    def find(self, transaction_id: str) -> Seen | None:
        """What is remembered of an accepted transaction."""
        held = self._store.get(b"t" + transaction_id.encode("utf-8", "surrogatepass"))
        return None if held is None else Seen._make(_SEEN.unpack(held))

    def find_reversal(self, transaction_id: str) -> int | None:
        """Offset of what reversed it."""
        held = self._store.get(b"r" + transaction_id.encode("utf-8", "surrogatepass"))
        return None if held is None else int(held)

    def memory(self) -> Memory:
        """For a run to look things up and to learn."""
        return Memory(self.find, self.find_reversal)

    def write(
        self, memory: Memory, watermark: Watermark, reference_offset: int, *, window: int
    ) -> None:
        """What a run added, and that it was added, in one write; what is out of date goes."""
        puts = [(MARK, _MARK.pack(
            watermark.decisions_offset, watermark.end, watermark.digest,
            watermark.recorded_until, reference_offset,
        ))]  # fmt: skip
        for name, seen in memory.ids.items():
            key = name.encode()
            puts.append((b"t" + key, _SEEN.pack(*seen)))
            puts.append((b"x" + _TIME.pack(max(seen.known_from, 0)) + key, b""))
        for name, offset in memory.reversals.items():
            puts.append((b"r" + name.encode(), b"%d" % offset))
        # Twice the window: within the second one a reversal is told TOO_OLD and not UNKNOWN.
        oldest = watermark.recorded_until - 2 * window
        forgotten: list[bytes] = []
        if oldest >= self._oldest + FORGET_EACH:
            self._oldest, forgotten = oldest, self._out_of_date(oldest)
        self._store.write(puts, forgotten)
        self.watermark, self.reference_offset = watermark, reference_offset

    def _out_of_date(self, oldest: int) -> list[bytes]:
        deletes = []
        for key, _ in self._store.scan(b"x", b"x" + _TIME.pack(oldest)):
            name = key[1 + _TIME.size :]
            seen = self.find(name.decode())
            deletes.append(key)
            if seen is not None and seen.known_from < oldest:
                deletes += [b"t" + name, b"r" + name]
        return deletes


class IntakeShard:
    """One shard's decisions, made one run after another."""

    def __init__(
        self, app: LedgerApp, shard: int, reader: TransactionReader, reference: ReferenceFollower
    ) -> None:
        self._app, self._shard, self._reader, self._reference = app, shard, reader, reference
        self._policy = policy_of(app.ledger)
        self._ids = AcceptedIds(app.data / "intake" / str(shard))
        self._log_end = 0
        self._lock = asyncio.Lock()

    async def open(self) -> int:
        """Catch up with the decision log; returns the position to read transactions from."""
        async with self._lock:
            await waited_for(self._catch_up, f"open shard {self._shard}")
            await self._note_reference()
            return self._ids.watermark.end

    async def take(self, run: Run) -> int:
        """Settle a run, in slices of bounded size."""
        async with self._lock:
            records = run.from_position(self._ids.watermark.end)
            if records is None:
                raise Gap(self._ids.watermark.end)
            values = [record.value for record in records]
            await waited_for(lambda: self._reader.prepare(values), "look up schemas")
            limits = self._app.ledger
            slices = list(cut(records, count=limits.max_run_records, size=limits.max_run_bytes))
            for index, part in enumerate(slices):
                last = index + 1 == len(slices)
                await self._settle(part, run.end if last else slices[index + 1][0].offset)
            return self._ids.watermark.end

    async def note_reference(self) -> None:
        """Put on record that decisions from here on know the reference data read so far."""
        async with self._lock:
            await self._note_reference()

    async def _note_reference(self) -> None:
        while self._ids.reference_offset < self._reference.data.offset:
            await self._append_run([], self._ids.watermark.end)

    def _received(self, records: Iterable[ConsumerRecord]) -> Iterator[Received]:
        """Decoded one by one, as they are decided: a draft is a kilobyte, and soon forgotten."""
        decode = self._reader.decode
        for record in records:
            value = record.value
            yield Received(record.offset, record.timestamp * 1000, record.key, value, decode(value))

    async def _settle(self, records: Sequence[ConsumerRecord], end: int) -> None:
        """Until the positions before `end` are settled, by this owner or by another one."""
        while (start := self._ids.watermark.end) < end:
            await self._append_run([each for each in records if each.offset >= start], end)

    async def _append_run(self, records: list[ConsumerRecord], end: int) -> None:
        """Decide, append, remember; if the append did not land where expected, only catch up."""
        # Before anything is made of the records, for that would wait with them.
        await self._app.room(self._shard)
        await waited_for(self._leased, "have its membership confirmed")
        ids, memory = self._ids, self._ids.memory()
        settled = decide(
            self._received(records),
            shard=self._shard,
            shards=self._app.ledger.shards,
            end=end,
            watermark=ids.watermark,
            memory=memory,
            reference=self._reference.data,
            policy=self._policy,
        )
        value = self._app.codec.encode("Decision", settled.decision.row())
        topic = self._app.names.decisions.name
        try:
            with asking("append decisions"):
                offset = await self._app.log_.append(topic, self._shard, [(None, value)])
        except Unavailable as error:
            log.warning("A decision may or may not be in the log, which is read now: %s", error)
            offset = -1
        if offset != self._log_end:
            await waited_for(self._catch_up, f"read what landed in shard {self._shard}")
            return
        self._log_end = offset + 1
        self._keep(memory, ValidRun.of(settled, offset, ids.watermark))
        self._count(settled)

    async def _leased(self) -> None:
        # Asked at the append too; but a run that is decided in vain is decided again at once.
        self._app.lease()

    def _count(self, settled: Settled) -> None:
        counts, outcomes = self._app.health.transactions, settled.outcomes
        counts["accepted", ""] += len(settled.content.offsets)
        counts["duplicate", ""] += len(outcomes.duplicates)
        for refusal in outcomes.refused:
            counts["refused", refusal.code] += 1

    def _keep(self, memory: Memory, run: ValidRun) -> None:
        """Remember what a run in the log has settled, and hand it on."""
        reference_offset = run.decision.reference_offset
        self._ids.write(memory, run.after, reference_offset, window=self._policy.window)
        self._app.settled(self._shard, run)

    async def _catch_up(self) -> None:
        """Fold what the decision log has beyond the table."""
        ids, log_, topic = self._ids, self._app.log_, self._app.names.decisions.name
        _, end = await log_.bounds(topic, self._shard)
        async for records in log_.read(topic, self._shard, ids.watermark.decisions_offset, end):
            for run in valid_runs(self._app.codec, records, ids.watermark):
                memory = ids.memory()
                memory.remember(run.content, run.outcomes)
                self._keep(memory, run)
                await self._app.room(self._shard)
        self._log_end = end
