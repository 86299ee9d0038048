"""The general ledger in memory, under the same contract as the databases: for tests and demos.

Everything is lost with the process. Several threads may share one, as several processes share a
database.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Unpack

from ledger.clock import now
from ledger.domain.balance import NOTHING, Totals, taken_back
from ledger.domain.run import Stripe, Voided, Watermark
from ledger.gl import orphans
from ledger.gl.balance_rows import is_wanted, left_out_then, with_rows
from ledger.gl.books import (
    Accepted,
    BalanceQuery,
    BalanceRow,
    BalanceSnapshot,
    Snapshot,
    times_of,
)
from ledger.gl.journal import Journal, Posting, Prepared, Superseded
from ledger.gl.lookups import LookupResult, Register, RegisterQuery
from ledger.gl.memory_lookups import JournalRows, find_in, register_in
from ledger.gl.orphans import PostedPositions, RunCount
from ledger.gl.posting import (
    follow,
    posted_run,
    posted_transactions,
    same_scale,
    scales_of,
    scales_together,
)
from ledger.gl.rows import JournalFinding, PostedRun, PostedTransaction, PostedVoid, RowKey
from ledger.gl.sums import add_entries


@dataclass
class _PostedShard:
    """Lists in order of offset, which is the order of posting."""

    watermark: Watermark = field(default_factory=Watermark)
    runs: list[PostedRun] = field(default_factory=list)
    posted_at: list[int] = field(default_factory=list)
    transactions: list[PostedTransaction] = field(default_factory=list)
    stripes: dict[Stripe, Totals] = field(default_factory=dict)
    voids: list[PostedVoid] = field(default_factory=list)


class MemoryJournal(Journal):
    """`Journal` without a database; never unavailable."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._shards: dict[int, _PostedShard] = defaultdict(_PostedShard)
        self._scales: dict[str, int] = {}

    def watermark(self, shard: int) -> Watermark:
        with self._lock:
            return self._shards[shard].watermark

    def watermarks(self) -> Mapping[int, Watermark]:
        with self._lock:
            return self._watermarks()

    def _watermarks(self) -> dict[int, Watermark]:
        shards = sorted(self._shards.items())
        return {shard: state.watermark for shard, state in shards if state.runs}

    def prepare(self, posting: Posting) -> Prepared:
        shard, before, runs = posting
        return Prepared(posting, follow(shard, before, runs), scales_of(run.posted for run in runs))

    def post_all(self, prepared: Sequence[Prepared]) -> list[dict[Stripe, Totals]]:
        scales = scales_together(prepared)
        with self._lock:
            for posting in (each.posting for each in prepared):
                if self._shards[posting.shard].watermark != posting.before:
                    raise Superseded.of(posting)
            for code, scale in scales.items():
                same_scale(code, scale, self._scales.get(code, scale))
            # From here on nothing fails: all of it is posted, or none.
            self._scales.update(scales)
            return [self._post(each.posting, each.after) for each in prepared]

    def _post(self, posting: Posting, after: Watermark) -> dict[Stripe, Totals]:
        shard, state = posting.shard, self._shards[posting.shard]
        posted = [each for run in posting.runs for each in posted_transactions(shard, run.posted)]
        state.transactions += posted
        state.runs += map(posted_run, posting.runs)
        state.posted_at += [now()] * len(posting.runs)
        state.watermark = after
        touched = add_entries(state.stripes, posted)
        for run in posting.runs:
            state.voids += [PostedVoid.of(shard, *each) for each in run.left_out]
            for voided in run.voided:
                touched |= self._take_back(state, shard, run.decisions_offset, voided)
        return touched

    def _take_back(
        self, state: _PostedShard, shard: int, decisions_offset: int, voided: Voided
    ) -> dict[Stripe, Totals]:
        content = voided.transaction
        for code, scale in zip(content.currencies, voided.scales, strict=True):
            self._scales.setdefault(code, scale)
        void = PostedVoid.of(shard, decisions_offset, voided)._replace(was_posted=True)
        if void.offset not in [each.offset for each in state.voids]:
            state.voids.append(void)
            after = taken_back(content, voided.offset, {}, state.stripes)
        else:
            after = void.moved(state.stripes)
        state.stripes |= after
        return after

    def snapshot(self, shard: int, since: int) -> Snapshot:
        with self._lock:
            state = self._shards[shard]
            recent = {
                stripe: totals for stripe, totals in state.stripes.items() if totals.offset >= since
            }
            return Snapshot(state.watermark, recent)

    def balance_snapshot(self, **query: Unpack[BalanceQuery]) -> BalanceSnapshot:
        effective, recorded = times = times_of(query)
        known = query.get("known_before")
        accounts, prefix = query.get("accounts"), query.get("prefix")
        named = None if accounts is None else set(accounts)
        added: list[BalanceRow] = []
        sums: dict[Stripe, Totals] = {}
        with self._lock:
            for state in self._shards.values():
                if effective is None and recorded is None:
                    _merge(sums, state.stripes)
                else:
                    add_entries(sums, _dated_before(state, times, known))
                if known is not None:
                    added += left_out_then(state.voids, effective, known)
            rows = [
                BalanceRow(*stripe, self._scales[stripe.currency], *totals[:3])
                for stripe, totals in sorted(sums.items())
                if is_wanted(stripe.account, named, prefix)
            ]
            known_then = [row for row in added if is_wanted(row.account, named, prefix)]
            return BalanceSnapshot(self._watermarks(), with_rows(rows, known_then))

    def accepted(self, ids: Sequence[str]) -> Mapping[str, Accepted]:
        wanted, found = set(ids), dict[str, Accepted]()
        with self._lock:
            posted = [each for state in self._shards.values() for each in state.transactions]
        for each in posted:
            known_from = max(each.created_at, each.recorded_at)
            name, before = each.transaction_id, found.get(each.transaction_id)
            if name in wanted and (before is None or before.known_from < known_from):
                found[name] = Accepted(each.shard, each.offset, known_from)
        return found

    def find(self, transaction_id: str) -> LookupResult:
        with self._lock:
            return find_in(self._rows(), transaction_id)

    def posted_at(self) -> Mapping[int, int]:
        with self._lock:
            shards = sorted(self._shards.items())
            return {shard: state.posted_at[-1] for shard, state in shards if state.runs}

    def register(self, account: str, **query: Unpack[RegisterQuery]) -> Register:
        with self._lock:
            return register_in(self._rows(), account, query)

    def _rows(self) -> JournalRows:
        return JournalRows(self._watermarks(), self._scales, self._shards.values())

    def scales(self) -> Mapping[str, int]:
        with self._lock:
            return dict(self._scales)

    def runs(self, shard: int, after: int = 0) -> Iterator[PostedRun]:
        with self._lock:
            found = [run for run in self._shards[shard].runs if run.decisions_offset >= after]
        yield from found

    def transactions(
        self, shard: int, start: int = 0, end: int | None = None
    ) -> Iterator[PostedTransaction]:
        with self._lock:
            found = [
                each
                for each in self._shards[shard].transactions
                if start <= each.offset and (end is None or each.offset < end)
            ]
        yield from found

    def voids(self, shard: int | None = None) -> list[PostedVoid]:
        with self._lock:
            shards = sorted(self._shards) if shard is None else [shard]
            return [each for one in shards for each in sorted(self._shards[one].voids)]

    def stripes(self) -> Iterator[tuple[int, Stripe, Totals]]:
        with self._lock:
            found = [
                (shard, stripe, totals)
                for shard, state in self._shards.items()
                for stripe, totals in state.stripes.items()
            ]
        yield from sorted(found, key=lambda row: (row[1], row[0]))

    def orphans(self, shards: int, *, whole: bool = True) -> list[JournalFinding]:
        with self._lock:
            marks = {shard: state.watermark for shard, state in self._shards.items()}
            begun = {shard: mark for shard, mark in marks.items() if mark != Watermark()}
            posted = PostedPositions(shards, begun)
            found = [*posted.shards_beyond(), *self._currency_orphans()]
            for shard, state in sorted(self._shards.items()):
                found += _shard_orphans(posted, shard, state)
                if not whole and shard in posted.marks:
                    found += _miscounted(shard, state)
            return list(orphans.limited(found))

    def _currency_orphans(self) -> Iterator[JournalFinding]:
        used = {stripe.currency for state in self._shards.values() for stripe in state.stripes}
        yield from map(orphans.unused_currency, sorted(self._scales.keys() - used))
        yield from map(orphans.missing_currency, sorted(used - self._scales.keys()))

    def history_findings(self) -> list[JournalFinding]:
        return []

    def close(self) -> None:
        """Nothing is open."""


def _miscounted(shard: int, state: _PostedShard) -> Iterator[JournalFinding]:
    runs = sorted(state.runs, key=lambda run: -run.decisions_offset)
    counted = [RunCount(run.decisions_offset, run.start, run.end, run.accepted) for run in runs]
    offsets = [each.offset for each in state.transactions]
    offsets += [each.offset for each in state.voids if not each.was_posted]
    for run in orphans.recent(counted):
        present = sum(run.start <= offset < run.end for offset in offsets)
        if present != run.accepted:
            yield orphans.miscounted(shard, run, present)


def _shard_orphans(
    posted: PostedPositions, shard: int, state: _PostedShard
) -> Iterator[JournalFinding]:
    """Of one shard. In memory an entry is never without its transaction, and has no number."""
    mark = state.watermark
    if shard in posted.marks and mark not in [run.after for run in state.runs]:
        yield orphans.no_run_ends_at(shard, mark)
    rows = [(run.key, run.decisions_offset) for run in state.runs]
    rows += [
        (RowKey.of(table, shard=shard, log_offset=each.offset), each.offset)
        for each in state.transactions
        for table in ("transactions", "entries")
    ]
    rows += [(RowKey.of("stripes", **stripe._asdict(), shard=shard), totals.offset)
             for stripe, totals in state.stripes.items()]  # fmt: skip
    for row, position in rows:
        if posted.is_outside(row.table, shard, position):
            yield posted.orphan(row, shard)


def _merge(sums: dict[Stripe, Totals], stripes: Mapping[Stripe, Totals]) -> None:
    for stripe, totals in stripes.items():
        known = sums.get(stripe, NOTHING)
        sums[stripe] = Totals(*(a + b for a, b in zip(known, totals, strict=True)))


def _dated_before(
    state: _PostedShard, times: tuple[int | None, int | None], known_before: int | None
) -> Iterator[PostedTransaction]:
    """Transactions of before both times, effective and recorded, that were not known as void."""
    effective_before, recorded_before = times
    voided = {
        each.offset
        for each in state.voids
        if known_before is None or each.recorded_at < known_before
    }
    for each in state.transactions:
        is_effective = effective_before is None or each.effective_at < effective_before
        is_recorded = recorded_before is None or each.recorded_at < recorded_before
        if is_effective and is_recorded and each.offset not in voided:
            yield each
