"""Reconciliation: folds decisions into stripes and compares them with what the ledger posted."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from agents.app import LedgerApp, take_runs
from agents.lanes import Gap
from agents.messages import Message, Messages, portions
from agents.stripes import MARK, Mark, Row, key_of, stripe_of, version_of
from ledger.domain.balance import Totals, totals_after
from ledger.domain.partition import partition_of
from ledger.domain.reconcile import Compared, Difference, Meeting, Said
from ledger.domain.run import Stripe, Watermark
from ledger.errors import InvariantBroken
from ledger.streaming.decisions import ValidRun, valid_runs
from ledger.streaming.delivery import Run
from ledger.streaming.table import ChangelogTable
from ledger.streaming.topics import Topic
from ledger.streaming.waiting import waited_for

MAX_PENDING = 2.0
"""Seconds after which a balance is published as pending, however slow comparing became."""
FOLD_TRANSACTIONS = 10_000
"""Folded in one write: their rows must fit one record batch of the changelog."""


def attach(app: LedgerApp) -> None:
    """Give `app` the agents that fold decisions and compare postings."""
    shards: dict[int, ReconciliationShard] = {}

    async def opened(shard: int) -> ReconciliationShard:
        if shard not in shards:
            shards[shard] = ReconciliationShard(app, shard)
        await shards[shard].open(app.consumer_generation_id)
        return shards[shard]

    async def decisions_opened(shard: int) -> int:
        return (await opened(shard)).mark.stream.decisions_offset

    async def posted_opened(shard: int) -> int:
        return (await opened(shard)).posted_read

    async def take_decisions(run: Run) -> int:
        return await shards[run.tp.partition].take_decisions(run)

    async def take_posted(run: Run) -> int:
        return await shards[run.tp.partition].take_posted(run)

    @app.task
    async def pending() -> None:
        await _say_pending(app, shards)

    names = app.names
    take_runs(app, names.decisions, name="fold", opened=decisions_opened, take=take_decisions)
    take_runs(app, names.posted, name="compare", opened=posted_opened, take=take_posted)


async def _say_pending(app: LedgerApp, shards: Mapping[int, "ReconciliationShard"]) -> None:
    pause = max(app.ledger.pending_after_ms / 2000, 0.01)
    while not app.should_stop:
        await app.sleep(pause)
        try:
            # Those owned now: of a shard that was lost, its new owner speaks.
            for tp in list(app.consumer.opened):
                if tp.topic == app.names.posted.name:
                    await shards[tp.partition].say_pending(time.monotonic())
        except Exception as error:
            app.fault(error, "publishing pending balances")


class ReconciliationShard:
    """One shard's stripes and where its two sides stand."""

    def __init__(self, app: LedgerApp, shard: int) -> None:
        self._app, self._shard = app, shard
        self._messages = Messages(app.codec, shard)
        path = app.data / "stripes" / str(shard)
        topic = app.names.stripes_changelog.name
        self._table = ChangelogTable(path, app.log_, topic, shard, version_of)
        self._lock = asyncio.Lock()
        self._generation: int | None = None
        self.mark = Mark()
        self.posted_read = self._posted_end = 0
        self._meeting = Meeting(0, 0)
        self._marks: dict[int, Watermark] = {}
        self._heard: deque[tuple[int, int, bytes]] = deque()
        self._waiting: dict[Stripe, Row] = {}
        self._carried: dict[Stripe, Totals] | None = None
        self._decisions_read = 0
        self._unsaid: dict[Stripe, float] = {}
        self._usual = 0.0
        self._compared_at = 0.0

    async def open(self, generation: int) -> None:
        """Restore the table; once for each assignment, whichever of the two topics comes first."""
        async with self._lock:
            if self._generation == generation:
                return
            await waited_for(self._table.open, f"restore the stripes of shard {self._shard}")
            held = self._table.get(MARK)
            self.mark = Mark() if held is None else Mark.decode(held)
            # What was posted until now may have been compared and published by a predecessor:
            # its position is on its own disk. Nothing is pending before that was heard again.
            posted = self._app.names.posted.name
            _, self._posted_end = await waited_for(
                lambda: self._app.log_.bounds(posted, self._shard), f"see where {posted} ends"
            )
            self._start_over()
            self._generation = generation

    def _start_over(self) -> None:
        """Rows beyond what was compared are one run that waits, whatever runs they came in.

        Their totals are those at the table's own position, and every later end is one that the
        general ledger will name too.
        """
        stream, compared = self.mark.stream, self.mark.compared
        self.posted_read = self.mark.posted
        self._meeting = Meeting(compared.decisions_offset, compared.end)
        self._marks = {stream.decisions_offset: stream}
        self._heard.clear()
        self._waiting = {
            stripe_of(key): row
            for key, value in self._table.scan(b"s")
            if (row := Row.decode(value)).live.offset >= compared.end
        }
        self._unsaid = dict.fromkeys(self._waiting, time.monotonic())
        self._decisions_read = stream.decisions_offset
        self._carried = {}
        if stream.decisions_offset > compared.decisions_offset:
            totals = {stripe: row.live for stripe, row in self._waiting.items()}
            if said := self._said(stream, totals):
                self._meeting.hear_stream(said)

    def _said(self, watermark: Watermark, totals: dict[Stripe, Totals]) -> Said | None:
        """What the stream says at `watermark`.

        None as long as a row, restored from a predecessor that was ahead, says more than that.
        """
        if self._carried is not None:
            totals = self._carried | totals
            if any(each.offset >= watermark.end for each in totals.values()):
                self._carried = totals
                return None
            self._carried = None
        return Said(watermark.decisions_offset, watermark.end, totals)

    async def take_decisions(self, run: Run) -> int:
        """Fold the run's decisions; publish refusals; compare what can be compared now."""
        async with self._lock:
            if run.start > self._decisions_read:
                raise Gap(self._decisions_read)
            runs = list(valid_runs(self._app.codec, run.records, self.mark.stream))
            while runs:
                portion, runs = _portion(runs)
                await self._fold(portion)
            self._decisions_read = max(run.end, self._decisions_read)
            return self._decisions_read

    async def _fold(self, runs: Sequence[ValidRun]) -> None:
        await self._say_refused(runs)
        changed: dict[Stripe, Row] = {}
        said = []
        for run in runs:
            rows = self._fold_one(run, changed)
            changed |= rows
            totals = {stripe: row.live for stripe, row in rows.items()}
            said.append(self._said(run.after, totals))
        mark = self.mark._replace(stream=runs[-1].after)
        rows_ = {key_of(stripe): row.encode() for stripe, row in changed.items()}
        await self._table.write(rows_ | {MARK: mark.encode()})
        self.mark = mark
        self._marks |= {run.after.decisions_offset: run.after for run in runs}
        self._waiting |= changed
        now = time.monotonic()
        for stripe in changed:
            self._unsaid.setdefault(stripe, now)
        for each in said:
            if each is not None:
                await self._compare(self._meeting.hear_stream(each))

    def _fold_one(self, run: ValidRun, changed: dict[Stripe, Row]) -> dict[Stripe, Row]:
        content = run.content
        scales = dict(zip(content.stripes(), content.scales, strict=True))
        before = {
            stripe: row
            for stripe in scales
            if (row := changed.get(stripe) or self._row(stripe)) is not None
        }
        live = {stripe: row.live for stripe, row in before.items()}
        rows = {}
        for stripe, totals in totals_after(content, live).items():
            row = before.get(stripe)
            if row is None or not row.live.entries:
                broken = row is not None and row.broken
                rows[stripe] = Row(scales[stripe], totals, Totals(), broken)
            elif row.scale != scales[stripe]:
                raise InvariantBroken(
                    f"{stripe.currency} had {row.scale} decimals and now has {scales[stripe]}: "
                    "what was posted would change its worth. Register a new asset instead."
                )
            else:
                rows[stripe] = row._replace(live=totals)
        return rows

    def _row(self, stripe: Stripe) -> Row | None:
        """The stripe's row, with `posted` as of today."""
        row = self._waiting.get(stripe)
        if row is None and (held := self._table.get(key_of(stripe))) is not None:
            row = Row.decode(held)
            if row.live.offset < self.mark.compared.end:
                row = row._replace(posted=row.live)
        return row

    async def take_posted(self, run: Run) -> int:
        """Compare what the general ledger says."""
        async with self._lock:
            records = run.from_position(self.posted_read)
            if records is None:
                raise Gap(self.posted_read)
            for record in records:
                row = self._app.codec.decode("Posted", record.value or b"")
                at = row["decisions_offset"]
                self._heard.append((record.offset + 1, at, row["digest"]))
                try:
                    said = Said(at, row["end"], _totals(row))
                    compared = self._meeting.hear_ledger(row["after"], said)
                except ValueError as error:
                    raise InvariantBroken(
                        f"Shard {self._shard}: {error}. Restart its posting application: it says "
                        "again everything after what was compared."
                    ) from error
                self.posted_read = record.offset + 1
                await self._compare(compared)
            self.posted_read = max(run.end, self.posted_read)
            return self.posted_read

    async def _compare(self, compared: Compared | None) -> None:
        """Publish what was compared; only then move the position: it may be sent twice."""
        if compared is None:
            return
        watermark = self._settled(compared.at)
        differing = {each.stripe for each in compared.differences}
        rows, breaks, changed = {}, 0, []
        for stripe in compared.totals.keys() | differing:
            was = self._row(stripe) or Row(0, Totals(), Totals(), False)
            posted = compared.totals.get(stripe, was.posted)
            row = was._replace(posted=posted, broken=stripe in differing)
            breaks += row.broken - was.broken
            if row.broken != was.broken:
                changed.append(stripe)
            rows[stripe] = row
        await self._say_stripes(rows)
        await self._say_breaks(compared, rows, set(changed) | differing)
        self._compared_at = time.monotonic()
        self._usual = self._compared_at - min(
            (self._unsaid[stripe] for stripe in rows if stripe in self._unsaid),
            default=self._compared_at,
        )
        self._forget(rows, compared)
        mark = self.mark._replace(compared=watermark, breaks=self.mark.breaks + breaks)
        mark = mark._replace(posted=self._posted_until(compared.at))
        await self._move(mark, {stripe: rows[stripe] for stripe in changed})
        await self._say_progress()

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

    def _forget(self, rows: dict[Stripe, Row], compared: Compared) -> None:
        for stripe, row in rows.items():
            self._unsaid.pop(stripe, None)
            if row.live.offset < compared.end:
                self._waiting.pop(stripe, None)
            elif stripe in self._waiting:
                self._waiting[stripe] = row

    def _posted_until(self, at: int) -> int:
        until = self.mark.posted
        while self._heard and self._heard[0][1] <= at:
            until = self._heard.popleft()[0]
        return until

    async def _move(self, mark: Mark, broken: dict[Stripe, Row]) -> None:
        """A position that moves is compared again if lost; a break opened or closed is not."""
        self.mark = mark
        if broken:
            rows = {key_of(stripe): row.encode() for stripe, row in broken.items()}
            await self._table.write(rows | {MARK: mark.encode()})
        else:
            self._table.write_here({MARK: mark.encode()})

    async def say_pending(self, now: float) -> None:
        """Publish what has waited for the general ledger longer than usual, as pending.

        As long as comparing goes on, if slowly, what waits is said soon anyway; to say it twice
        would only make everything wait longer.
        """
        wait = max(self._app.ledger.pending_after_ms / 1000, min(2 * self._usual, MAX_PENDING))
        since = now - wait
        if not self._unsaid or self._compared_at > since or self.posted_read < self._posted_end:
            return
        async with self._lock:
            late = [stripe for stripe, folded in self._unsaid.items() if folded <= since]
            for stripe in late:
                del self._unsaid[stripe]
            rows = {stripe: self._waiting[stripe] for stripe in late if stripe in self._waiting}
            if rows:
                await self._say_stripes(rows)

    async def _say_stripes(self, rows: Mapping[Stripe, Row]) -> None:
        messages, partitions = self._messages, self._app.ledger.balance_partitions
        by_partition: dict[int, list[Message]] = {}
        for stripe, row in rows.items():
            partition = partition_of(stripe.account.encode(), partitions)
            by_partition.setdefault(partition, []).append(messages.stripe(stripe, row))
        append, topic = self._app.log_.append_absolute, self._app.names.stripes.name
        await asyncio.gather(
            *(append(topic, partition, records) for partition, records in by_partition.items())
        )

    async def _say_breaks(
        self, compared: Compared, rows: Mapping[Stripe, Row], stripes: Iterable[Stripe]
    ) -> None:
        """The stripes that differ, and those that no longer do."""
        found = {each.stripe: each for each in compared.differences}
        span, now = (self.mark.compared.end, compared.end), time.time_ns() // 1000
        records = []
        for stripe in sorted(stripes):
            totals = compared.totals.get(stripe)
            sides = found.get(stripe, Difference(stripe, totals, totals))
            state = "open" if rows[stripe].broken else "closed"
            records.append(self._messages.break_(sides, span, state=state, detected_at=now))
        if records:
            await self._say(self._app.names.breaks, records)

    async def _say_progress(self) -> None:
        record = self._messages.progress(self.mark.compared, self.mark.breaks)
        await self._say(self._app.names.progress, [record])

    async def _say_refused(self, runs: Sequence[ValidRun]) -> None:
        refusals = (refusal for run in runs for refusal in run.outcomes.refused)
        for records in portions(map(self._messages.reject, refusals)):
            await self._say(self._app.names.rejects, records)

    async def _say(self, topic: Topic, records: Sequence[Message]) -> None:
        await self._app.log_.append_absolute(topic.name, self._shard, records)


def _portion(runs: list[ValidRun]) -> tuple[list[ValidRun], list[ValidRun]]:
    count = 0
    for index, run in enumerate(runs):
        count += run.decision.accepted
        if index and count > FOLD_TRANSACTIONS:
            return runs[:index], runs[index:]
    return runs, []


def _totals(row: dict[str, list[str]]) -> dict[Stripe, Totals]:
    columns = (map(int, row[name]) for name in ("debits", "credits", "entries", "offsets"))
    stripes = map(Stripe, row["accounts"], row["currencies"])
    return dict(zip(stripes, map(Totals, *columns), strict=True))
