"""Reconciliation: folds decisions into stripes and compares them with what the ledger posted."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, cast

from aiokafka import ConsumerRecord
from faust.types import TP

from agents.app import LedgerApp, take_runs
from agents.messages import Message, Messages, portions
from agents.stripes import MARK, Mark, Row, Rows, key_of, message_key, stripe_of
from ledger.domain.balance import NOTHING, Totals, added_up, taken_back
from ledger.domain.intake import is_apart
from ledger.domain.partition import partition_of
from ledger.domain.reconcile import Compared, Difference, Meeting, Said
from ledger.domain.run import Stripe, Voided, Watermark
from ledger.errors import InvariantBroken
from ledger.health.partitions import PartitionHealth, current_partition, waiting_for
from ledger.health.waiting import waited_for
from ledger.streaming import decisions
from ledger.streaming import log as log_
from ledger.streaming.decisions import ValidRun, valid_runs, voids_ahead
from ledger.streaming.delivery import Run
from ledger.streaming.table import ChangelogTable, Overtaken

FOLD_BYTES = 8 * 1024 * 1024
"""Folded in one write: the rows must fit one record batch of the changelog."""
OFFERED_BYTES = 8 * 1024 * 1024
"""Offered by intake and not folded yet; a byte here is about ten in memory."""
SCANNED_BEYOND = 250_000
"""Transactions decided and not compared, beyond which an opening shard looks at every row."""
CACHED = 84_000
"""Rows kept decoded by this process, about 0.7 KB each; the tables have them all."""


class ScalesMixed(InvariantBroken):
    """A run has other decimals for a stripe than it has: its sums would be of no worth."""


_NO_ROW = Row(0, NOTHING, NOTHING, broken=False)
log = logging.getLogger(__name__)


def attach(app: LedgerApp) -> None:
    """Give `app` the agent that folds decisions and compares postings."""
    shards: dict[int, ReconciliationShard] = {}
    room = Room()

    async def opened(shard: int) -> int:
        if shard not in shards:
            shards[shard] = ReconciliationShard(app, shard, room)
        return await shards[shard].open()

    async def room_for(shard: int) -> None:
        if shard in shards:
            await shards[shard].has_room()

    def settled(shard: int, run: ValidRun) -> None:
        # Before it is opened, and when it has stopped: it is read from the log later.
        if shard in shards:
            shards[shard].offer(run)

    async def take(run: Run) -> int:
        return await shards[run.tp.partition].take_posted(run)

    app.room, app.settled = room_for, settled
    app.lanes.append(shards)
    take_runs(app, app.names.posted, name="reconciliation", opened=opened, take=take)


class Room:
    """How much more may be offered, by all shards of this process: decoded runs take memory."""

    def __init__(self) -> None:
        self._held = 0
        self._free = asyncio.Event()
        self._free.set()

    def take(self, run: ValidRun) -> None:
        """It is held from now on."""
        self._held += run.weight
        if self._held > OFFERED_BYTES:
            self._free.clear()

    def give_back(self, runs: Iterable[ValidRun]) -> None:
        """They no longer are."""
        self._held -= sum(run.weight for run in runs)
        if self._held <= OFFERED_BYTES:
            self._free.set()

    async def wait(self) -> None:
        """Return when there is some."""
        await self._free.wait()


class ReconciliationShard:
    """One shard's stripes and where its two sides stand."""

    def __init__(self, app: LedgerApp, shard: int, room: Room) -> None:
        self._app, self._shard, self._room = app, shard, room
        self._messages, self._rows = Messages(app.codec, shard), Rows(app.codec)
        path = app.data / "stripes" / str(shard)
        topic = app.names.stripes_changelog.name
        self._table = ChangelogTable(path, app.log_, topic, shard, self._rows.version_of)
        self._lock = asyncio.Lock()
        self._offered: list[ValidRun] = []
        self._posted: deque[Run] = deque()
        self._opened = asyncio.Event()
        self._folding: asyncio.Task[None] | None = None
        self._taking = self._stopped = False
        self.mark = Mark()
        self.posted_read = 0
        self._meeting = Meeting(0, 0)
        self._marks: dict[int, Watermark] = {}
        self._heard: deque[tuple[int, int, bytes]] = deque()
        self._cached: dict[Stripe, Row] = {}
        self._carried: dict[Stripe, Totals] | None = None
        self._ahead: list[Voided] = []
        self._parts: tuple[object, dict[Stripe, Totals]] = (None, {})

    async def open(self) -> int:
        """Restore the table and catch up with the decision log; where to read `posted` from."""
        async with self._lock:
            # From here on what is offered waits: what came before is in the log.
            self._taking, self._stopped = True, False
            self._opened.clear()
            try:
                await self._open()
            except BaseException as error:
                # Where it is a void that is missing, that opens it again.
                self._stopped = isinstance(error, ScalesMixed)
                self.clear()
                raise
            finally:
                self._opened.set()
            return self.posted_read

    async def _open(self) -> None:
        if self._shard not in self._app.shards():
            raise InvariantBroken(
                f"Shard {self._shard} is decided by another worker than the one that "
                "compares it; the assignor should keep them together. Restart the workers."
            )
        await self._app.compared.loaded(self._app.consumer_generation_id)
        await waited_for(self._table.open, f"restore the stripes of shard {self._shard}")
        held = self._table.get(MARK)
        self.mark = Mark() if held is None else Mark.decode(held)
        self._cached.clear()
        await waited_for(self._require_known, f"look for the decisions of shard {self._shard}")
        await waited_for(self._start_over, f"read what shard {self._shard} has not compared")
        await waited_for(self._catch_up, f"fold the decisions of shard {self._shard}")
        # At the end of the log no row can be ahead of it.
        self._carried = self._carried or None

    async def _require_known(self) -> None:
        log_, topic = self._app.log_, self._app.names.decisions.name
        await decisions.require_known(log_, self._app.codec, topic, self._shard, self.mark.stream)

    async def _catch_up(self) -> None:
        """Fold what the decision log has beyond the table."""
        topic, start = self._app.names.decisions.name, self.mark.stream.decisions_offset
        async for records in self._app.log_.read(topic, self._shard, start):
            await self._fold_all(valid_runs(self._app.codec, records, self.mark.stream))

    async def _start_over(self) -> None:
        """Rows beyond what was compared are one run that waits, whatever runs they came in.

        Their totals are those at the table's own position, and every later end is one that the
        general ledger will name too. They are published again: who wrote them may not have got
        to it.
        """
        stream, compared = self.mark.stream, self.mark.compared
        self.posted_read = self.mark.posted
        self._meeting = Meeting(compared.decisions_offset, compared.end)
        self._marks = {stream.decisions_offset: stream}
        self._heard.clear()
        self._parts = (None, {})
        rows = await self._uncompared()
        await self._say_stripes(rows, {key: self._rows.encode(row) for key, row in rows.items()})
        self._carried = {}
        if stream.decisions_offset > compared.decisions_offset:
            totals = {stripe: row.live for stripe, row in rows.items()}
            if said := self._said(stream, totals):
                self._meeting.hear_stream(said)
        self._say_progress()

    async def _uncompared(self) -> dict[Stripe, Row]:
        """The rows beyond what was compared: those that the runs since then touch.

        Where these are many, as after a long time without the database, all rows are looked at.
        """
        stream, compared = self.mark.stream, self.mark.compared
        held: Iterable[tuple[bytes, bytes]]
        if stream.end - compared.end > SCANNED_BEYOND:
            held = self._table.scan(b"s")
        else:
            topic, touched = self._app.names.decisions.name, dict[bytes, None]()
            runs = self._app.log_.read(
                topic, self._shard, compared.decisions_offset, stream.decisions_offset
            )
            async for records in runs:
                for run in valid_runs(self._app.codec, records, compared):
                    touched |= dict.fromkeys(map(key_of, run.stripes()))
                    compared = run.after
            parts = map(self._table.held, log_.portions(touched))
            held = chain.from_iterable(part.items() for part in parts)
        rows = ((key, self._rows.decode(value)) for key, value in held)
        end = self.mark.compared.end
        return {stripe_of(key): row for key, row in rows if row.live.offset >= end}

    def _said(self, watermark: Watermark, totals: dict[Stripe, Totals]) -> Said | None:
        """What the stream says at `watermark`.

        None as long as a row, restored from a predecessor that was ahead, says more than that:
        while a shard is opened, and afterwards until such rows are reached.
        """
        if self._carried is not None:
            totals = self._carried | totals
            if any(each.offset >= watermark.end for each in totals.values()):
                self._carried = totals
                return None
            self._carried = {}
        return Said(watermark.decisions_offset, watermark.end, totals)

    def clear(self) -> None:
        """Take no more: what is settled from here on is read from the log at the next opening."""
        self._taking = False
        self._posted.clear()
        self._room.give_back(self._taken())

    async def has_room(self) -> None:
        """Return when more may be offered."""
        if not self._taking or self._stopped:
            return
        with waiting_for("have room in reconciliation"):
            # A table that takes long to restore must not use up the room of the others.
            await self._opened.wait()
            await self._room.wait()
            if self._folding is not None:
                # What is decided meanwhile would only wait, in smaller runs than it need be.
                await asyncio.wait([self._folding])

    def offer(self, run: ValidRun) -> None:
        """Fold `run` soon."""
        if self._stopped and run.decision.voids:
            # What stopped it may be void now: opened again, it looks ahead.
            self._app.consumer.reopen(TP(self._app.names.posted.name, self._shard))
        if self._stopped or not self._taking:
            return
        self._offered.append(run)
        self._room.take(run)
        if self._folding is None or self._folding.done():
            name = f"fold {self._shard}"
            self._folding = asyncio.create_task(self._fold_offered(), name=name)

    def _taken(self) -> list[ValidRun]:
        """What was offered, and is no longer."""
        runs, self._offered = self._offered, []
        return runs

    @property
    def _place(self) -> PartitionHealth:
        return self._app.health.at(TP(self._app.names.posted.name, self._shard))

    async def _fold_offered(self) -> None:
        # Not intake's, who has offered it.
        current_partition.set(self._place)
        try:
            while self._offered:
                async with self._lock:
                    runs = self._taken()
                    try:
                        with waiting_for("fold decisions"):
                            await self._fold_in_order(runs)
                    finally:
                        self._room.give_back(runs)
                    await self._compare_posted()
        except InvariantBroken as error:
            self._stopped = True
            self._room.give_back(self._taken())
            self._place.stop(str(error))
            log.critical("Shard %s is not folded or compared any more: %s", self._shard, error)
        except Exception as error:
            if isinstance(error, Overtaken) and not self._taking:
                # Others had it in a rebalance while this waited to be written: whoever opens it
                # next, this worker too, starts from what is there.
                log.warning("Shard %s: what was folded before a rebalance is dropped", self._shard)
                return
            self._app.fault(error, f"folding shard {self._shard}")

    async def _fold_in_order(self, runs: Sequence[ValidRun]) -> None:
        known = self.mark.stream.decisions_offset
        runs = [run for run in runs if run.decisions_offset >= known]
        if runs and runs[0].before != self.mark.stream:
            # One before it was settled by another owner, or while this was opened.
            await waited_for(self._catch_up, f"fold shard {self._shard} from the log")
        else:
            await self._fold_all(runs)

    async def _fold_all(self, runs: Iterable[ValidRun]) -> None:
        for portion in decisions.portions(runs, FOLD_BYTES):
            try:
                await self._fold(portion)
            except ScalesMixed:
                log_, topic = self._app.log_, self._app.names.decisions.name
                mark = self.mark.stream
                ahead, _ = await voids_ahead(log_, self._app.codec, topic, self._shard, mark)
                self._ahead = [voided for _, voided in ahead.values()]
                try:
                    await self._fold(portion)
                finally:
                    self._ahead = []

    async def _fold(self, runs: Sequence[ValidRun]) -> None:
        changed: dict[Stripe, Row] = {}
        said = []
        for run in runs:
            rows = self._fold_one(run, changed)
            changed |= rows
            totals = {stripe: row.live for stripe, row in rows.items()}
            said.append(self._said(run.after, totals))
        mark = self.mark._replace(stream=runs[-1].after)
        encode = self._rows.encode
        values = {stripe: encode(row) for stripe, row in changed.items()}
        await self._say_refused(runs)
        # Together: rows say the same whoever folds these decisions, however often.
        await asyncio.gather(self._write(values, mark), self._say_stripes(changed, values))
        self.mark = mark
        self._marks |= {run.after.decisions_offset: run.after for run in runs}
        if any(is_apart(run.content) for run in runs):
            # They would be looked for in vain, and take the memory all the same.
            self._cached.clear()
        else:
            self._remember(changed)
        for each in said:
            if each is not None:
                await self._compare(self._meeting.hear_stream(each))

    def _fold_one(self, run: ValidRun, changed: dict[Stripe, Row]) -> dict[Stripe, Row]:
        content, compared = run.content, self.mark.compared.end
        stripes = content.stripes()
        before = self._rows_before(stripes, changed)
        after = added_up(content, [row.live for row in before])
        rows = {}
        for stripe, row, totals, scale in zip(stripes, before, after, content.scales, strict=True):
            live = row.live
            if live.entries and row.scale != scale:
                self._require_void(run, stripe, row.scale, scale)
            posted = live if live.offset < compared else row.posted
            rows[stripe] = Row(scale, totals, posted, row.broken)
        return self._void(run, rows, changed) if run.decision.voids else rows

    def _void(
        self, run: ValidRun, rows: dict[Stripe, Row], changed: Mapping[Stripe, Row]
    ) -> dict[Stripe, Row]:
        """`rows` after what the run voids was taken back too."""
        for voided in run.voided:
            content = voided.transaction
            stripes = content.stripes()
            held = dict(zip(stripes, self._rows_before(stripes, changed), strict=True))
            before = {stripe: row.live for stripe, row in held.items()}
            after = before | {stripe: row.live for stripe, row in rows.items()}
            scales = dict(zip(stripes, voided.scales, strict=True))
            for stripe, totals in taken_back(content, voided.offset, before, after).items():
                row = held[stripe]
                live = row.live
                posted = live if live.offset < self.mark.compared.end else row.posted
                rows[stripe] = Row(scales[stripe], totals, posted, row.broken)
        return rows

    def _require_void(self, run: ValidRun, stripe: Stripe, had: int, has: int) -> None:
        """Raises ScalesMixed unless one of the two is void further on in the log."""
        content = run.content
        legs = dict(zip(content.offsets, content.legs(), strict=True))
        touch = {offset for offset, entries in legs.items() if stripe in [
            Stripe(*entry[:2]) for entry in entries]}  # fmt: skip
        void = {each.transaction.offsets[0]: each.transaction for each in self._ahead}
        older = any(
            stripe in transaction.stripes()
            and transaction.scales[transaction.stripes().index(stripe)] == had
            for transaction in void.values()
        )
        if older or touch <= void.keys():
            return
        raise ScalesMixed(
            f"{stripe.currency} had {had} decimals and has {has} in the run at decision offset "
            f"{run.decisions_offset}, by the transactions at {sorted(touch)[:20]}: what was posted "
            "would change its worth. This shard waits. What to do: docs/runbooks/not-postable.md"
        )

    def _rows_before(
        self, stripes: Sequence[Stripe], changed: Mapping[Stripe, Row]
    ) -> Sequence[Row]:
        cached = self._cached
        rows = [changed.get(stripe) or cached.get(stripe) for stripe in stripes]
        unknown = [place for place, row in enumerate(rows) if row is None]
        held = self._table.get_all([key_of(stripes[place]) for place in unknown])
        for place, value in zip(unknown, held, strict=True):
            rows[place] = _NO_ROW if value is None else self._rows.decode(value)
        return cast("list[Row]", rows)

    def _row(self, stripe: Stripe) -> Row | None:
        row = self._cached.get(stripe)
        if row is None and (held := self._table.get(key_of(stripe))) is not None:
            row = self._rows.decode(held)
        return row

    def _remember(self, rows: Mapping[Stripe, Row]) -> None:
        self._cached |= rows
        limit = CACHED // self._app.ledger.shards
        if len(self._cached) > limit:
            self._cached = dict(islice(rows.items(), limit))

    async def _write(self, values: Mapping[Stripe, bytes], mark: Mark) -> None:
        rows = {key_of(stripe): value for stripe, value in values.items()}
        await self._table.write(rows | {MARK: mark.encode()})

    async def take_posted(self, run: Run) -> int:
        """Compare what the general ledger says; while a fold waits for Kafka, right after it."""
        if self._stopped:
            raise InvariantBroken("It has stopped; this log says why, further up.")
        self._posted.append(run)
        if not self._lock.locked():
            async with self._lock:
                await self._compare_posted()
        return self.posted_read

    async def _compare_posted(self) -> None:
        while self._posted:
            run = self._posted.popleft()
            records = run.from_position(self.posted_read)
            if records is None:
                # What comes behind it may be what was read again already.
                await self._app.consumer.rewind(run, self.posted_read)
                continue
            for record in records:
                await self._take_record(record)
            self.posted_read = max(run.end, self.posted_read)

    async def _take_record(self, record: ConsumerRecord) -> None:
        try:
            row = self._app.codec.decode("Posted", record.value or b"")
            totals = _totals(row)
            why = None if row["shard"] == self._shard else f"it speaks of shard {row['shard']}"
        except ValueError as error:
            why = str(error)
        if why is not None:
            # Had it been one of posting's, the next one would show a gap.
            log_.say_dropped(record, why)
            return
        whole = self._whole(row, totals)
        if whole is None:
            return
        totals = whole
        again = row["decisions_offset"] <= self._meeting.compared
        await self._compare(self._heard_of(record, row, totals))
        if again:
            await self._compare_again(totals)

    def _whole(
        self, row: Mapping[str, Any], totals: dict[Stripe, Totals]
    ) -> dict[Stripe, Totals] | None:
        """`totals` with those of the messages before that were part of it; None: more follow."""
        name = row["after"], row["decisions_offset"], row["digest"]
        # What an application that died has said in part is said again, whole.
        known = self._parts[1] if self._parts[0] == name else {}
        whole = known | totals
        self._parts = (name, whole) if row["more"] else (None, {})
        return None if row["more"] else whole

    async def _compare_again(self, posted: Mapping[Stripe, Totals]) -> None:
        """What was compared before, and is posted anew: the database was put back meanwhile.

        Where the row has not moved on since, both sides must still say the same.
        """
        ours: dict[Stripe, Totals] = {}
        differences = []
        for stripe, totals in posted.items():
            live = (self._row(stripe) or _NO_ROW).live
            if live.offset <= totals.offset:
                ours[stripe] = live
                if live != totals:
                    differences.append(Difference(stripe, live, totals))
        if differences or self.mark.breaks:
            at, end = self.mark.compared.decisions_offset, self.mark.compared.end
            self.mark = await self._tell_breaks(Compared(at, end, ours, differences), self.mark)
            self._say_progress()

    def _heard_of(
        self, record: ConsumerRecord, row: Mapping[str, Any], totals: dict[Stripe, Totals]
    ) -> Compared | None:
        at = row["decisions_offset"]
        self._heard.append((record.offset + 1, at, row["digest"]))
        try:
            compared = self._meeting.hear_ledger(row["after"], Said(at, row["end"], totals))
        except ValueError as error:
            raise InvariantBroken(
                f"Shard {self._shard}: {error}. Restart its posting application: it says again "
                "everything after what was compared."
            ) from error
        self.posted_read = record.offset + 1
        return compared

    async def _compare(self, compared: Compared | None) -> None:
        """Publish breaks; only then move the position, which may be found out and said twice."""
        if compared is None:
            return
        watermark = self._settled(compared.at)
        mark = self.mark._replace(compared=watermark, posted=self._posted_until(compared.at))
        if compared.differences or mark.breaks:
            mark = await self._tell_breaks(compared, mark)
        else:
            # On this disk alone: if lost, it is compared again.
            self._table.write_here({MARK: mark.encode()})
        self.mark = mark
        self._say_progress()

    def _settled(self, at: int) -> Watermark:
        """The stream's watermark there, which must be the general ledger's too."""
        watermark = self._marks[at]
        self._marks = {key: each for key, each in self._marks.items() if key >= at}
        for _, heard_at, digest in self._heard:
            if heard_at == at and digest != watermark.digest:
                raise InvariantBroken(
                    f"Shard {self._shard}: at {watermark.end} the general ledger followed another "
                    "chain of runs than the log. Run `faust-ledger verify`."
                )
        return watermark

    def _posted_until(self, at: int) -> int:
        until = self.mark.posted
        while self._heard and self._heard[0][1] <= at:
            until = self._heard.popleft()[0]
        return until

    async def _tell_breaks(self, compared: Compared, mark: Mark) -> Mark:
        """The stripes that differ, and those that no longer do; returns `mark` with their number.

        A position that moves is found again if lost; a break opened or closed is not.
        """
        found = {each.stripe: each for each in compared.differences}
        span, now = (self.mark.compared.end, compared.end), time.time_ns() // 1000
        changed: dict[Stripe, Row] = {}
        records = []
        for stripe in sorted(compared.totals.keys() | found.keys()):
            was = self._row(stripe) or _NO_ROW
            broken = stripe in found
            if not (broken or was.broken):
                continue
            totals = compared.totals.get(stripe)
            sides = found.get(stripe, Difference(stripe, totals, totals))
            state = "open" if broken else "closed"
            records.append(self._messages.break_(sides, span, state=state, detected_at=now))
            if broken != was.broken:
                changed[stripe] = was._replace(posted=totals or was.posted, broken=broken)
        if records:
            await self._say(self._app.names.breaks.name, records)
        if changed:
            opened = sum(1 if row.broken else -1 for row in changed.values())
            mark = mark._replace(breaks=mark.breaks + opened)
        values = {stripe: self._rows.encode(row) for stripe, row in changed.items()}
        await self._say_stripes(changed, values)
        await self._write(values, mark)
        self._remember(changed)
        return mark

    async def _say_stripes(
        self, rows: Mapping[Stripe, Row], values: Mapping[Stripe, bytes]
    ) -> None:
        partitions = self._app.ledger.balance_partitions
        by_partition: dict[int, list[Stripe]] = {}
        for stripe in rows:
            partition = partition_of(stripe.account.encode(), partitions)
            by_partition.setdefault(partition, []).append(stripe)
        await asyncio.gather(
            *(
                self._say_part(partition, {stripe: rows[stripe] for stripe in part}, values)
                for partition, stripes in by_partition.items()
                for part in log_.portions(stripes)
            )
        )

    async def _say_part(
        self, partition: int, rows: Mapping[Stripe, Row], values: Mapping[Stripe, bytes]
    ) -> None:
        shard, topic = self._shard, self._app.names.stripes.name
        messages = [(message_key(stripe, shard), values[stripe]) for stripe in rows]
        first = await self._app.log_.append_absolute(topic, partition, messages)
        self._app.told(partition, shard, first, rows)

    def _say_progress(self) -> None:
        """Unless a predecessor, whose mark is on its own disk, has said more."""
        self._app.health.counts.breaks[self._shard] = self.mark.breaks
        if self.mark.compared.end >= self._app.compared.end(self._shard):
            progress = self._messages.progress(self.mark.compared, self.mark.breaks)
            self._app.compared.say(self._shard, progress, self.mark.compared.end)

    async def _say_refused(self, runs: Sequence[ValidRun]) -> None:
        refusals = (refusal for run in runs for refusal in run.outcomes.refused)
        for records in portions(map(self._messages.reject, refusals)):
            await self._say(self._app.names.rejects.name, records)

    async def _say(self, topic: str, records: Sequence[Message]) -> None:
        await self._app.log_.append_absolute(topic, self._shard, records)


def _totals(row: Mapping[str, Sequence[str]]) -> dict[Stripe, Totals]:
    columns: list[Iterator[int]] = [
        map(int, row[name]) for name in ("debits", "credits", "entries", "offsets")
    ]
    stripes = map(Stripe, row["accounts"], row["currencies"])
    return dict(zip(stripes, map(Totals, *columns), strict=True))
