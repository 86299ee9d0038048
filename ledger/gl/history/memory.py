"""History in memory, under the same contract as the databases: for tests and demos."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import Unpack

from ledger.domain.history import ZERO, Figures, Line, Running, fold
from ledger.domain.run import Content, Refusal, Stripe, Watermark
from ledger.domain.valid_run import ValidRun
from ledger.gl.balance_rows import is_wanted
from ledger.gl.books import BalanceRow
from ledger.gl.history.books import (
    History,
    HistoryBalances,
    HistoryRefusal,
    LineKey,
    LinesPage,
    LinesQuery,
    RefusalsPage,
    RefusalsQuery,
)
from ledger.gl.history.paging import Bounds, RawLine, Texts, read_page
from ledger.gl.history.registers import register_of
from ledger.gl.history.why import Share, WhyAnswer, WhyQuery, explain
from ledger.gl.history.writing import HistoryFold, HistoryWriter, superseded
from ledger.gl.lookups import Register, RegisterQuery

VOID_KIND = "ledger.void"


@dataclass
class _FoldedShard:
    """What is folded of a shard; `texts` by offset, of transactions and of what voids them.

    `names` are the stripes by their keys.
    """

    watermark: Watermark = field(default_factory=Watermark)
    stripes: dict[tuple[str, str], Running] = field(default_factory=dict)
    names: list[Stripe] = field(default_factory=list)
    lines: dict[Stripe, list[Line]] = field(default_factory=lambda: defaultdict(list))
    texts: dict[int, Texts] = field(default_factory=dict)
    refusals: list[tuple[Refusal, str]] = field(default_factory=list)

    def begin(self, stripes: Iterable[Stripe], scales: Iterable[int]) -> None:
        """Those that have no lines yet."""
        for stripe, scale in zip(stripes, scales, strict=True):
            if stripe not in self.stripes:
                self.stripes[stripe] = Running(len(self.names), scale)
                self.names.append(stripe)

    def scale(self, stripe: Stripe) -> int:
        """As its last line has it."""
        return self.stripes[stripe].scale


class MemoryHistory(History, HistoryWriter):
    """`History` and what writes it, without a database; every answer adds up all lines."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._shards: dict[int, _FoldedShard] = defaultdict(_FoldedShard)

    def positions(self) -> Mapping[int, Watermark]:
        with self._lock:
            return self._positions()

    def _positions(self) -> dict[int, Watermark]:
        begun = {shard: state.watermark for shard, state in sorted(self._shards.items())}
        return {shard: mark for shard, mark in begun.items() if mark != Watermark()}

    def fold(self, folds: Sequence[HistoryFold]) -> None:
        with self._lock:
            for each in folds:
                if self._shards[each.shard].watermark != each.before:
                    raise superseded(each)
            for each in folds:
                _fold(self._shards[each.shard], each)

    def tidy(self, shards: Sequence[int], *, idle: bool) -> bool:
        """Nothing to do: there are no totals and no blocks."""
        return False

    def as_of(
        self,
        *,
        accounts: Sequence[str] | None = None,
        prefix: str | None = None,
        effective_before: int | None = None,
        recorded_before: int | None = None,
    ) -> HistoryBalances:
        sums: dict[Stripe, Figures] = {}
        scales: dict[Stripe, int] = {}
        with self._lock:
            for state in self._shards.values():
                for stripe, lines in state.lines.items():
                    scales[stripe] = state.scale(stripe)
                    for line in lines:
                        if _counts(line, effective_before, recorded_before):
                            sums[stripe] = _plus(sums.get(stripe, ZERO), line)
            positions = self._positions()
        rows = [
            BalanceRow(*stripe, scales[stripe], *figures)
            for stripe, figures in sorted(sums.items())
            if figures != ZERO and is_wanted(stripe.account, accounts, prefix)
        ]
        return HistoryBalances(positions, rows)

    def lines(self, query: LinesQuery) -> LinesPage:
        with self._lock:
            found = [each for each in self._raw(query.account) if _is_in(each, query.currency)]
            texts = {
                (shard, offset): each
                for shard, state in self._shards.items()
                for offset, each in state.texts.items()
            }
            positions = self._positions()
        return read_page(_Lines(sorted(found), texts), query, positions)

    def _raw(self, account: str) -> Iterator[RawLine]:
        for shard, state in self._shards.items():
            for stripe, lines in state.lines.items():
                if stripe.account == account:
                    for line in lines:
                        key = LineKey(line.recorded_at, shard, line.offset, line.entry)
                        rest = (line.effective_at, line.amount, line.change)
                        yield RawLine(key, stripe.currency, state.scale(stripe), *rest)

    def register(self, account: str, **query: Unpack[RegisterQuery]) -> Register | None:
        with self._lock:
            return register_of(self, account, query)

    def why(self, query: WhyQuery) -> WhyAnswer:
        with self._lock:
            return explain(self, query)

    def balances(
        self, account: str, effective_before: int | None, recorded_before: int | None
    ) -> Sequence[BalanceRow]:
        """As `Reading` has it."""
        return self.as_of(
            accounts=[account], effective_before=effective_before, recorded_before=recorded_before
        ).rows

    def shares(
        self, account: str, effective_before: int | None, recorded_before: int | None
    ) -> Sequence[Share]:
        """As `Reading` has it."""
        sums: dict[tuple[str, int], Figures] = {}
        for shard, state in self._shards.items():
            for stripe, lines in state.lines.items():
                if stripe.account == account:
                    for line in lines:
                        if _counts(line, effective_before, recorded_before):
                            key = stripe.currency, shard
                            sums[key] = _plus(sums.get(key, ZERO), line)
        return sorted(Share(*key, figures) for key, figures in sums.items() if figures != ZERO)

    def has_voids(self, account: str) -> bool:
        """As `Reading` has it."""
        return any(line.change < 0 for line in self._raw(account))

    def page(self, query: LinesQuery) -> LinesPage:
        """As `Reading` has it."""
        return self.lines(query)

    def refusals(self, query: RefusalsQuery) -> RefusalsPage:
        with self._lock:
            found = [
                _refusal(shard, refusal, producer)
                for shard, state in self._shards.items()
                for refusal, producer in state.refusals
            ]
            positions = self._positions()
        chosen = sorted((each for each in found if _is_asked(each, query)), reverse=True)
        page = chosen[: query.limit]
        following = page[-1][:3] if len(chosen) > query.limit else None
        return RefusalsPage(positions, page, following)

    def refusals_between(self, shard: int, start: int, end: int) -> RefusalsPage:
        with self._lock:
            found = [_refusal(shard, *each) for each in self._shards[shard].refusals]
            chosen = [each for each in found if start <= each.offset < end]
            return RefusalsPage(self._positions(), sorted(chosen), None)

    def close(self) -> None:
        """Nothing is open."""


def _fold(state: _FoldedShard, each: HistoryFold) -> None:
    for run in each.runs:
        state.begin(run.content.stripes(), run.content.scales)
        for voided in run.voided:
            state.begin(voided.transaction.stripes(), voided.scales)
        state.texts |= _texts(run)
        state.watermark = run.after
    made = fold(each.runs, state.stripes)
    for fields in made.lines:
        line = Line._make(fields)
        state.lines[state.names[line.stripe]].append(line)
    for _, refusal in made.refusals:
        state.refusals.append((refusal, each.producers.get(refusal.offset, "")))


def _texts(run: ValidRun) -> Iterator[tuple[int, Texts]]:
    yield from content_texts(run.content)
    for voided in run.voided:
        [(_, taken)] = content_texts(voided.transaction)
        yield voided.offset, void_texts(taken, voided.reason)


def content_texts(content: Content) -> Iterator[tuple[int, Texts]]:
    """By offset the texts of a run's transactions."""
    columns = (content.transaction_ids, content.kinds, content.descriptions, content.reverses,
               content.metadata)  # fmt: skip
    for offset, texts, legs in zip(
        content.offsets, zip(*columns, strict=True), content.legs(), strict=True
    ):
        yield offset, Texts(*texts, legs)


def void_texts(taken: Texts, reason: str) -> Texts:
    """Of the line that takes back a transaction."""
    return Texts(taken.transaction_id, VOID_KIND, reason, taken.transaction_id, "", taken.legs)


def _counts(line: Line, effective_before: int | None, recorded_before: int | None) -> bool:
    return (effective_before is None or line.effective_at < effective_before) and (
        recorded_before is None or line.recorded_at < recorded_before
    )


def _plus(figures: Figures, line: Line) -> Figures:
    signed = line.change * line.amount
    debit, credit = (signed, 0) if line.amount > 0 else (0, -signed)
    return Figures(figures.debits + debit, figures.credits + credit, figures.entries + line.change)


def _is_in(line: RawLine, currency: str | None) -> bool:
    return currency is None or line.currency == currency


def _refusal(shard: int, refusal: Refusal, producer: str) -> HistoryRefusal:
    return HistoryRefusal(
        refusal.recorded_at, shard, refusal.offset, refusal.transaction_id or "", refusal.code,
        refusal.field, refusal.reason, producer,
    )  # fmt: skip


def _is_asked(each: HistoryRefusal, query: RefusalsQuery) -> bool:
    asked = (
        (query.transaction_id, each.transaction_id),
        (query.code, each.code),
        (query.producer, each.producer),
    )
    named = all(wanted is None or wanted == found for wanted, found in asked)
    start, end = query.recorded_from, query.recorded_before
    timely = (start is None or each.recorded_at >= start) and (
        end is None or each.recorded_at < end
    )
    return named and timely and (query.after is None or each[:3] < query.after)


class _Lines:
    """Lines of an account, sorted."""

    def __init__(self, lines: Sequence[RawLine], texts: Mapping[tuple[int, int], Texts]) -> None:
        self._lines, self._texts = lines, texts

    def figures_through(self, key: LineKey, *, including: bool) -> Mapping[str, Figures]:
        found: dict[str, Figures] = {}
        for line in self._lines:
            if line.key < key or (including and line.key == key):
                known = found.get(line.currency, ZERO)
                found[line.currency] = Figures(*map(int.__add__, known, line.figures))
        return found

    def lines(self, bounds: Bounds, limit: int, *, backwards: bool) -> Sequence[RawLine]:
        found = [line for line in self._lines if bounds.low < line.key < bounds.high]
        return found[::-1][:limit] if backwards else found[:limit]

    def texts(self, lines: Sequence[RawLine]) -> Mapping[LineKey, Texts]:
        keys = [line.key for line in lines]
        found = {key: self._texts.get((key.shard, key.offset)) for key in keys}
        return {key: texts for key, texts in found.items() if texts is not None}
