"""Balances: sums an account's stripes and publishes what every app may read."""

import asyncio
import time
from bisect import insort
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from operator import itemgetter
from typing import NamedTuple

from aiokafka import ConsumerRecord
from faust.types import TP

from agents import messages
from agents.app import LedgerApp, take_runs
from agents.lanes import Gap
from agents.stripes import Row, Rows, message_key, named_by, stripe_of
from ledger.domain.balance import Holding, Totals
from ledger.domain.run import Stripe
from ledger.health.partitions import current_partition
from ledger.health.waiting import waited_for
from ledger.streaming.delivery import Run
from ledger.streaming.log import portions, say_dropped
from ledger.streaming.store import Store

POSITIONS = b"p"
RESTORING = b"r"
CACHED = 12_000
"""Accounts kept decoded by this process, about 1 KB each, and as many again that are to be written;
the tables have them all."""
KEPT_EACH = 15.0
"""Seconds between two writes of the table: an account that moves all the time is written once.
What a crash forgets is read again in the stripes topic."""
MAX_AHEAD = 50_000
"""Totals of one shard kept apart while they wait; beyond it the later ones of a stripe win."""
MAX_PENDING = 2.0
"""Seconds after which a balance is published as pending, however slow comparing became."""
READ_SECONDS = 1.0
"""How often the stripes topic is read where all of it was handed on by this process."""
RESTORED_AT_ONCE = 50_000
"""Records caught up with in memory; for more, the table is filled first and then read through."""


def attach(app: LedgerApp) -> None:
    """Give `app` the balances agent."""
    parts = Parts(app)
    app.compared.on_move(parts.moved)
    app.told = parts.told

    @app.task
    async def note_late() -> None:
        await app.guarded(parts.note_late(), "publishing pending balances")

    @app.task
    async def read_on() -> None:
        await app.guarded(parts.read_on(), "reading on in the stripes topic")

    take_runs(app, app.names.stripes, name="balances", opened=parts.opened, take=parts.take)


class Parts:
    """The partitions of the stripes topic that this process has owned."""

    def __init__(self, app: LedgerApp) -> None:
        self._app = app
        self._parts: dict[int, BalancesPart] = {}
        self._whole = False

    async def opened(self, partition: int) -> int:
        """An Opener."""
        self._whole = len(self._app.shards()) == self._app.ledger.shards
        if partition not in self._parts:
            self._parts[partition] = BalancesPart(self._app, partition)
        return await self._parts[partition].open()

    async def take(self, run: Run) -> int:
        """A Lane's."""
        part = self._parts[run.tp.partition]
        position = await part.take(run)
        if self._whole and part.goes_on_told():
            self._app.consumer.pause_partitions({run.tp})
        return position

    def told(self, partition: int, shard: int, first: int, rows: Mapping[Stripe, Row]) -> None:
        """See LedgerApp.told."""
        part = self._parts.get(partition)
        if part is not None and part.owned():
            part.tell(shard, first, rows)

    async def read_on(self) -> None:
        """Without end: go on past what was handed on, in the log too.

        And read what somebody else may have appended: a worker that was replaced.
        """
        consumer = self._app.consumer
        while not self._app.should_stop:
            await self._app.sleep(READ_SECONDS)
            for part in list(self._owned()):
                if self._whole and (position := await part.skip_told()):
                    await consumer.skip(part.tp, position)
                await part.keep_at_rest()
            consumer.resume_partitions({part.tp for part in self._owned()})

    def _owned(self) -> Iterator["BalancesPart"]:
        # Those open now: of a partition that was lost, its new owner speaks.
        return (part for part in self._parts.values() if part.owned())

    def moved(self, shard: int) -> None:
        """The shard is compared further than before."""
        for part in self._owned():
            if part.due(shard):
                part.wake()

    async def note_late(self) -> None:
        """Without end: see BalancesPart.note_late."""
        pause = max(self._app.ledger.pending_after_ms / 2000, 0.01)
        while not self._app.should_stop:
            await self._app.sleep(pause)
            for part in self._owned():
                part.note_late(time.monotonic())


class Told(NamedTuple):
    """Totals of stripes that a shard has decided and not compared.

    `place`: offset of the first of them in the stripes topic; all are compared at `end`.
    """

    place: int
    since: float
    end: int
    totals: dict[Stripe, Totals]


class Ahead:
    """What a shard has told and not compared yet, in the order of its runs and so of places."""

    def __init__(self) -> None:
        self.told: deque[Told] = deque()
        self._held, self._limit = 0, MAX_AHEAD
        self._late = 0
        self._usual = self._settled_at = 0.0

    def add(self, told: Told) -> None:
        """The newest; or an older one, read in the log after a newer one was handed on."""
        if self.told and told < self.told[-1]:
            insort(self.told, told)
            self._late = 0
        else:
            self.told.append(told)
        self._held += len(told.totals)
        if self._held > self._limit:
            self._keep_latest()

    def _keep_latest(self) -> None:
        seen: set[Stripe] = set()
        latest: deque[Told] = deque()
        for told in reversed(self.told):
            totals = {stripe: live for stripe, live in told.totals.items() if stripe not in seen}
            seen |= totals.keys()
            if totals:
                latest.appendleft(told._replace(totals=totals))
        self.told, self._held, self._late = latest, len(seen), 0
        self._limit = max(MAX_AHEAD, 2 * len(seen))

    def due(self, end: int) -> bool:
        """Whether something is compared at `end`."""
        return bool(self.told) and self.told[0].end <= end

    def take_settled(self, end: int) -> Iterator[Told]:
        """Those compared at `end`, which leave."""
        told, now = self.told, time.monotonic()
        if self.due(end):
            self._settled_at, self._usual = now, now - told[0].since
        while told and told[0].end <= end:
            self._late = max(self._late - 1, 0)
            self._held -= len(told[0].totals)
            yield told.popleft()

    def take_late(self, now: float, after: float) -> list[Stripe]:
        """The stripes that have waited longer than usual, and `after` seconds; each time once.

        As long as comparing goes on, if slowly, what waits is reconciled soon anyway; to say it
        twice would only make everything wait longer.
        """
        since = now - max(after, min(2 * self._usual, MAX_PENDING))
        if not self.told or self._settled_at > since:
            return []
        late: list[Stripe] = []
        for told in islice(self.told, self._late, None):
            if told.since > since:
                break
            late += told.totals
            self._late += 1
        return late


class BalancesPart:
    """The accounts of one partition."""

    def __init__(self, app: LedgerApp, partition: int) -> None:
        self._app, self._partition = app, partition
        self.tp = TP(app.names.stripes.name, partition)
        self._rows, self._codec = Rows(app.codec), app.codec
        self._store = Store(app.data / "balances" / str(partition))
        self._cached = self._forget_beyond = CACHED // app.ledger.balance_partitions
        self._read = self._seen = 0
        self._holdings: dict[Stripe, Holding] = {}
        self._ahead: dict[int, Ahead] = {}
        self._changed: set[Stripe] = set()
        self._late: set[Stripe] = set()
        self._unkept: set[Stripe] = set()
        self._kept_at = 0.0
        self._stale: set[tuple[Stripe, int]] = set()
        self._told: dict[int, int] = {}
        self._told_end = 0
        self._lock = asyncio.Lock()
        self._woken = False
        self._saying: asyncio.Task[None] | None = None

    async def open(self) -> int:
        """Catch up without a word, then say each balance once: half a sum is nobody's balance."""
        async with self._lock:
            await self._app.compared.loaded(self._app.consumer_generation_id)
            await waited_for(self._catch_up, f"restore the balances of {self._partition}")
            return self._read

    async def _catch_up(self) -> None:
        held = (self._store.get(POSITIONS) or b"0 0").split()
        self._read, self._seen = map(int, held)
        self._holdings.clear()
        self._ahead.clear()
        self._changed.clear()
        self._late.clear()
        self._unkept.clear()
        self._told.clear()
        log, topic = self._app.log_, self._app.names.stripes.name
        _, end = await log.bounds(topic, self._partition)
        restoring = self._store.get(RESTORING) is not None or end - self._read > RESTORED_AT_ONCE
        if restoring:
            self._store.write([(RESTORING, b"")])
        async for records in log.read(topic, self._partition, self._read, end):
            self._hear(records)
            self._settle()
            if restoring:
                self._store.write(self._entries(self._changed))
                self._changed.clear()
                self._forget()
        self._read = end
        if restoring:
            for stripes in portions(self._all()):
                await self._say(stripes)
                self._forget()
            self._store.write([self._positions()], [RESTORING])
        await self._say_changed()

    def _all(self) -> Iterator[Stripe]:
        """Every account in the table."""
        for key, _ in self._store.scan(b"a", b"b"):
            yield stripe_of(key)

    async def take(self, run: Run) -> int:
        """Hear what shards tell; returns the position before which everything is reconciled."""
        async with self._lock:
            records = run.from_position(self._read)
            if records is None:
                raise Gap(self._read)
            self._hear(records)
            self._read = max(run.end, self._read)
        self._wake_if_due()
        return self._settled()

    def tell(self, shard: int, first: int, rows: Mapping[Stripe, Row]) -> None:
        """Hear what this process has appended at offset `first`, ahead of reading it."""
        end = first + len(rows)
        self._look_up(rows)
        new = {
            stripe: row.live
            for place, (stripe, row) in enumerate(rows.items(), first)
            if self._hear_one(place, stripe, shard, row)
        }
        if new:
            self._wait(first, shard, new)
        self._told[first] = end
        self._told_end = max(end, self._told_end)
        self._wake_if_due()

    async def skip_told(self) -> int | None:
        """Past what was told, as far as nobody else's records are between; None if at once some."""
        async with self._lock:
            position = self._read
            while self._told.get(position) is not None:
                position = self._told.pop(position)
            if position == self._read:
                return None
            self._read = position
            if not self._changed:
                self._app.consumer.reached(self.tp, self._settled())
            return position

    def goes_on_told(self) -> bool:
        """Whether what comes next in the log was told already, or nothing comes yet."""
        return self._read in self._told or self._read >= self._told_end

    def _hear(self, records: Iterable[ConsumerRecord]) -> None:
        # A shard's that were appended together came of one run, and wait together.
        for (shard, _), news in groupby(self._news_in(records), key=itemgetter(0)):
            together = list(news)
            self._wait(together[0][1], shard, {stripe: live for _, _, stripe, live in together})

    def _news_in(
        self, records: Iterable[ConsumerRecord]
    ) -> Iterator[tuple[tuple[int, int], int, Stripe, Totals]]:
        """What is to be compared: its shard and the log's time, where it is, and what it says."""
        told, known = self._told, 0
        for record in records:
            known = max(told.pop(record.offset, 0), known)
            if record.offset >= known and (read := self._read_one(record)) is not None:
                stripe, shard, row = read
                if self._hear_one(record.offset, stripe, shard, row):
                    yield (shard, record.timestamp), record.offset, stripe, row.live

    def _read_one(self, record: ConsumerRecord) -> tuple[Stripe, int, Row] | None:
        """The stripe, its shard and its row; None for a record that none of ours wrote."""
        named = None
        try:
            named = stripe, shard = named_by(record.key or b"", self._app.ledger.shards)
            return stripe, shard, self._rows.decode(record.value or b"")
        except ValueError as error:
            say_dropped(record, error)
        if named is not None and self._holding(stripe, 0).latest(shard).offset >= 0:
            # Compaction would keep it instead of ours.
            self._stale.add(named)
        return None

    def _hear_one(self, place: int, stripe: Stripe, shard: int, row: Row) -> bool:
        """Whether the row says more than was known, and what is to be compared."""
        holding, live = self._holding(stripe, row.scale), row.live
        known = holding.latest(shard)
        if live.offset < known.offset:
            if place >= self._seen:
                # Later and older: of a worker that was replaced. Compaction keeps the last.
                self._stale.add((stripe, shard))
            return False
        if (shard in holding.broken) != row.broken:
            holding.broken ^= {shard}
            self._changed.add(stripe)
        if known.offset < 0 and holding.settle(shard, row.posted):
            # This disk has not seen the shard's records before.
            self._changed.add(stripe)
        return holding.hear(shard, live)

    def _wait(self, place: int, shard: int, totals: dict[Stripe, Totals]) -> None:
        end = 1 + max(live.offset for live in totals.values())
        if shard not in self._ahead:
            self._ahead[shard] = Ahead()
        self._ahead[shard].add(Told(place, time.monotonic(), end, totals))

    def _holding(self, stripe: Stripe, scale: int) -> Holding:
        holding = self._holdings.get(stripe)
        if holding is None:
            holding = self._holdings[stripe] = _held(self._store.get(_key(stripe)), scale)
        return holding

    def _look_up(self, rows: Mapping[Stripe, Row]) -> None:
        """Have the holding of each."""
        holdings = self._holdings
        unknown = [stripe for stripe in rows if stripe not in holdings]
        found = self._store.get_all(list(map(_key, unknown)))
        for stripe, held in zip(unknown, found, strict=True):
            holdings[stripe] = _held(held, rows[stripe].scale)

    def _settle(self) -> None:
        """What the shards have compared is reconciled."""
        holdings, changed = self._holdings, self._changed
        for shard, ahead in self._ahead.items():
            for told in ahead.take_settled(self._app.compared.end(shard)):
                for stripe, live in told.totals.items():
                    if holdings[stripe].settle(shard, live):
                        changed.add(stripe)

    def _settled(self) -> int:
        """The position before which every record is reconciled and said."""
        waiting = (ahead.told[0].place for ahead in self._ahead.values() if ahead.told)
        # What is told may be far beyond what was read: another worker's records are in between.
        return min((*waiting, self._read))

    def due(self, shard: int) -> bool:
        """Whether something of the shard's is compared and not said."""
        ahead = self._ahead.get(shard)
        return ahead is not None and ahead.due(self._app.compared.end(shard))

    def _wake_if_due(self) -> None:
        if self._changed or self._late or self._stale or any(map(self.due, self._ahead)):
            self.wake()

    def wake(self) -> None:
        """Say what is to be said; what comes meanwhile, together after that."""
        self._woken = True
        if self._saying is None or self._saying.done():
            self._saying = asyncio.create_task(self._say_on(), name=f"balances {self._partition}")

    async def _say_on(self) -> None:
        # Not of whoever has told of something.
        current_partition.set(self._app.health.at(self.tp))
        try:
            while self._woken:
                self._woken = False
                async with self._lock:
                    if self.owned():
                        self._settle()
                        await self._say_changed()
        except Exception as error:
            self._app.fault(error, f"publishing the balances of {self._partition}")

    def owned(self) -> bool:
        """Whether this process may speak for it."""
        return self.tp in self._app.consumer.opened

    def note_late(self, now: float) -> None:
        """What has waited longer than usual is published as pending.

        And what a shard compared while this part was being opened, as reconciled.
        """
        after = self._app.ledger.pending_after_ms / 1000
        for ahead in self._ahead.values():
            self._late.update(ahead.take_late(now, after))
        self._wake_if_due()

    async def _say_changed(self) -> None:
        """Publish, then now and then keep what it came from."""
        if self._stale:
            await self._set_right()
        if not (self._changed or self._late):
            return
        changed, self._changed = self._changed, set()
        late, self._late = self._late, set()
        position = self._positions()
        for part in portions(changed | late):
            await self._say(part)
        self._unkept |= changed
        if self._is_time_to_keep():
            self._keep(position)
        self._app.consumer.reached(self.tp, self._settled())
        self._forget()

    def _keep(self, position: tuple[bytes, bytes]) -> None:
        self._told = {first: end for first, end in self._told.items() if end > self._read}
        # Not with what has changed meanwhile and is not said: after a crash nobody would say it.
        if not self._changed:
            self._store.write([*self._entries(self._unkept), position])
            self._unkept.clear()
            self._kept_at = time.monotonic()

    async def keep_at_rest(self) -> None:
        """What nothing came after is kept too."""
        async with self._lock:
            if self._unkept and self._is_time_to_keep() and self.owned():
                self._keep(self._positions())

    def _is_time_to_keep(self) -> bool:
        return len(self._unkept) > self._cached or time.monotonic() - self._kept_at > KEPT_EACH

    async def _set_right(self) -> None:
        """Say the newest of what an older record came after, so that it is the last again."""
        stale, self._stale = self._stale, set()
        records = []
        for stripe, shard in sorted(stale):
            holding = self._holding(stripe, 0)
            row = Row(
                holding.scale, holding.latest(shard), holding.posted(shard), shard in holding.broken
            )
            records.append((message_key(stripe, shard), self._rows.encode(row)))
        topic = self._app.names.stripes.name
        await self._app.log_.append_absolute(topic, self._partition, records)

    async def _say(self, stripes: Iterable[Stripe]) -> None:
        head = self._codec.head("Balance")
        records = [
            messages.balance(head, self._holding(stripe, 0).balance(*stripe)) for stripe in stripes
        ]
        topic = self._app.names.balances.name
        if records:
            await self._app.log_.append_absolute(topic, self._partition, records)

    def _entries(self, stripes: Iterable[Stripe]) -> list[tuple[bytes, bytes]]:
        return [(_key(stripe), self._holdings[stripe].encode()) for stripe in stripes]

    def _positions(self) -> tuple[bytes, bytes]:
        """Where to read from after a restart, and up to where everything was seen."""
        return POSITIONS, b"%d %d" % (self._settled(), self._read)

    def _forget(self) -> None:
        """What is ahead is in no table, and stays; what is to be written does too, for now."""
        if len(self._holdings) - len(self._unkept) > self._forget_beyond:
            self._holdings = {
                stripe: holding
                for stripe, holding in self._holdings.items()
                if holding.ahead or stripe in self._changed or stripe in self._unkept
            }
            # Where most must stay, not again for each that comes.
            left = len(self._holdings) - len(self._unkept)
            self._forget_beyond = max(self._cached, left * 5 // 4)


def _held(value: bytes | None, scale: int) -> Holding:
    return Holding(scale) if value is None else Holding.decode(value)


def _key(stripe: Stripe) -> bytes:
    return f"a{stripe.account} {stripe.currency}".encode()
