"""Lookups in the journal in memory, as ledger/gl/lookup_reads.py makes them in SQL."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.gl.lookups import (
    FoundTransaction,
    LookupResult,
    PostedIn,
    Register,
    RegisterLine,
    RegisterQuery,
    ReversedBy,
    Sides,
)
from ledger.gl.posting import posted_transactions
from ledger.gl.rows import PostedRun, PostedTransaction, PostedVoid


class ShardRows(Protocol):
    """What is posted of a shard; `posted_at` by run, microseconds since 1970."""

    runs: list[PostedRun]
    posted_at: list[int]
    transactions: list[PostedTransaction]
    stripes: dict[Stripe, Totals]
    voids: list[PostedVoid]


@dataclass(frozen=True, slots=True)
class JournalRows:
    """The rows of a journal, which do not change meanwhile; `scales` by code of currency."""

    watermarks: Mapping[int, Watermark]
    scales: Mapping[str, int]
    shards: Collection[ShardRows]

    @property
    def voids(self) -> dict[tuple[int, int], PostedVoid]:
        """By shard and offset."""
        return {(each.shard, each.offset): each for shard in self.shards for each in shard.voids}

    def transactions(self) -> Iterator[PostedTransaction]:
        """All that are posted, also those that are void since."""
        for shard in self.shards:
            yield from shard.transactions


def find_in(rows: JournalRows, transaction_id: str) -> LookupResult:
    """As Lookups.find."""
    voids = rows.voids
    posted = [each for each in rows.transactions() if each.transaction_id == transaction_id]
    for void in voids.values():
        if not void.was_posted and void.transaction_id == transaction_id:
            posted += posted_transactions(void.shard, void.taken)
    posted.sort(key=lambda each: (each.recorded_at, each.shard, each.offset))
    return LookupResult(rows.watermarks, [_found(rows, voids, each) for each in posted])


def _found(
    rows: JournalRows, voids: Mapping[tuple[int, int], PostedVoid], each: PostedTransaction
) -> FoundTransaction:
    reversals = [
        ReversedBy(
            other.transaction_id,
            other.shard,
            other.offset,
            other.effective_at,
            other.recorded_at,
            (other.shard, other.offset) in voids,
        )
        for other in rows.transactions()
        if (other.shard, other.reverses) == (each.shard, each.transaction_id)
        and other.offset > each.offset
    ]
    runs = (
        PostedIn(run.decisions_offset, run.start, run.end, at)
        for shard in rows.shards
        for run, at in zip(shard.runs, shard.posted_at, strict=True)
        if run.shard == each.shard and run.start <= each.offset < run.end
    )
    end = rows.watermarks.get(each.shard, Watermark()).end
    void = voids.get((each.shard, each.offset))
    return FoundTransaction(each, next(runs, None), void, reversals, end)


def register_in(rows: JournalRows, account: str, asked: RegisterQuery) -> Register:
    """As Lookups.register."""
    start, end, limit = asked.get("start"), asked.get("end"), asked.get("limit")
    axis = "effective_at" if asked.get("by", "effective") == "effective" else "recorded_at"
    voids, currency = rows.voids, asked.get("currency")
    lines = [
        line
        for each in rows.transactions()
        if (each.shard, each.offset) not in voids and (end is None or getattr(each, axis) < end)
        for line in _lines(each, account)
        if currency in (None, line.currency)
    ]
    lines.sort(key=lambda line: (getattr(line, axis), line.recorded_at, *line[2:5]))
    closing = _summed(lines) if end is not None else _striped(rows, account, currency)
    shown = [line for line in lines if start is None or getattr(line, axis) >= start]
    if limit is not None:
        shown = shown[max(len(shown) - limit, 0) :]
    return Register(rows.watermarks, dict(sorted(closing.items())), shown)


def _lines(each: PostedTransaction, account: str) -> Iterator[RegisterLine]:
    for index, (name, currency, scale, amount) in enumerate(each.entries):
        if name == account:
            yield RegisterLine(
                each.effective_at, each.recorded_at, each.shard, each.offset, index,
                each.transaction_id, each.kind, each.description, each.reverses, currency, scale,
                amount, _others(each.entries, currency, amount),
            )  # fmt: skip


def _others(
    entries: Iterable[tuple[str, str, int, int]], currency: str, amount: int
) -> Sequence[str]:
    return sorted({
        name
        for name, code, _, other in entries
        if code == currency and (other < 0) != (amount < 0)
    })  # fmt: skip


def _summed(lines: Iterable[RegisterLine]) -> dict[str, Sides]:
    found: dict[str, Sides] = {}
    for line in lines:
        _, debits, credits, count = found.get(line.currency, Sides(line.scale, 0, 0, 0))
        found[line.currency] = Sides(
            line.scale, debits + max(line.amount, 0), credits + max(-line.amount, 0), count + 1
        )
    return found


def _striped(rows: JournalRows, account: str, currency: str | None) -> dict[str, Sides]:
    found: dict[str, Sides] = {}
    for shard in rows.shards:
        for (name, code), totals in shard.stripes.items():
            if name == account and currency in (None, code):
                known = found.get(code, Sides(rows.scales[code], 0, 0, 0))
                found[code] = Sides(
                    known.scale, known.debits + totals.debits, known.credits + totals.credits,
                    known.entries + totals.entries,
                )  # fmt: skip
    return found
