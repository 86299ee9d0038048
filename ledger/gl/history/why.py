"""Why an account has a figure: what it is made of, such that the parts add up to it.

The figure is what came before a day, the lines of that day one by one, and what was recorded later.
The day is the last one in UTC on which something was recorded; for a figure as of an effective
time, the last one up to the end of that day, or of all where nothing was recorded by then. Of a day
with many lines, the last ones are shown and the others count as before them.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ledger.domain.history import ZERO, Figures
from ledger.domain.run import Watermark
from ledger.gl.books import BalanceRow
from ledger.gl.history.books import AccountLine, LineKey, LinesPage, LinesQuery
from ledger.gl.history.paging import LAST

DAY = 86_400_000_000
"""Microseconds."""
MOST = 1_000
"""Lines that are shown one by one."""


class Share(NamedTuple):
    """What a shard has of an account in a currency."""

    currency: str
    shard: int
    figures: Figures


class Group(NamedTuple):
    """Lines that have something in common, by its name; empty for those that have none."""

    name: str
    lines: int
    figures: Figures


@dataclass(frozen=True, slots=True)
class WhyQuery:
    """Which figures of an account; times as `as_of` of History takes them.

    `most`: so many lines one by one.
    """

    account: str
    currency: str | None = None
    effective_before: int | None = None
    recorded_before: int | None = None
    most: int = MOST


@dataclass(frozen=True, slots=True)
class Why:
    """The parts of `figures`: `before`, `lines`, and `later`.

    `start`: what `before` counts was recorded before it, microseconds since 1970; None without
    lines. `is_whole_day`: it is the start of their day; otherwise the day has more lines before
    these. `later`: what was recorded after the day, and is effective before the time asked about.
    `by_shard` adds up to the figures as well.
    """

    account: str
    currency: str
    scale: int
    figures: Figures
    start: int | None
    is_whole_day: bool
    before: Figures
    lines: Sequence[AccountLine]
    later: Figures
    by_shard: Sequence[Share]

    @property
    def by_kind(self) -> list[Group]:
        """The lines by kind, sorted."""
        return _grouped(self.lines, lambda line: line.kind)

    @property
    def by_producer(self) -> list[Group]:
        """The lines by the `producer` in their metadata, sorted."""
        return _grouped(self.lines, producer_of)

    def differences(self) -> Iterator[tuple[str, Figures]]:
        """Each way of adding up that does not give the figures, with its sum."""
        lines = added_up(map(change_of, self.lines))
        groups = (("by kind", self.by_kind), ("by producer", self.by_producer))
        sums = {
            "before, lines and later": added_up((self.before, lines, self.later)),
            "shards": added_up(each.figures for each in self.by_shard),
        }
        for name, found in sums.items():
            if found != self.figures:
                yield name, found
        for name, made in groups:
            if (found := added_up(each.figures for each in made)) != lines:
                yield name, found


class WhyAnswer(NamedTuple):
    """A Why for each currency of the account, and what all of it counts; one snapshot."""

    positions: Mapping[int, Watermark]
    found: list[Why]


class Reading(Protocol):
    """What History has, within one snapshot."""

    def positions(self) -> Mapping[int, Watermark]:
        """How far each shard is folded."""

    def balances(
        self, account: str, effective_before: int | None, recorded_before: int | None
    ) -> Sequence[BalanceRow]:
        """The account's balances before both times."""

    def shares(
        self, account: str, effective_before: int | None, recorded_before: int | None
    ) -> Sequence[Share]:
        """The same by shard, without those that are zero."""

    def page(self, query: LinesQuery) -> LinesPage:
        """A page of lines."""

    def has_voids(self, account: str) -> bool:
        """Whether a line of the account takes another one back."""


def explain(reading: Reading, query: WhyQuery) -> WhyAnswer:
    """Take the account's figures apart."""
    times = query.effective_before, query.recorded_before
    rows = [
        row
        for row in reading.balances(query.account, *times)
        if query.currency in (None, row.currency)
    ]
    shares = reading.shares(query.account, *times)
    found = [_why(reading, query, row, [each for each in shares if each.currency == row.currency])
             for row in rows]  # fmt: skip
    return WhyAnswer(reading.positions(), found)


def _why(reading: Reading, query: WhyQuery, row: BalanceRow, shares: Sequence[Share]) -> Why:
    figures = Figures(*row[3:])
    end = _end(query)
    page = _last_lines(reading, query, row.currency, end)
    if not page.lines and end != query.recorded_before:
        end = query.recorded_before
        page = _last_lines(reading, query, row.currency, end)
    then = _figures(reading, query, row.currency, end)
    start, lines, is_whole = _window(page, query.most)
    if lines and is_whole:
        before = _figures(reading, query, row.currency, start)
    else:
        before = _difference(then, added_up(map(change_of, lines)))
    return Why(
        query.account, row.currency, row.scale, figures, start, is_whole, before, lines,
        _difference(figures, then), shares,
    )  # fmt: skip


def _last_lines(reading: Reading, query: WhyQuery, currency: str, end: int | None) -> LinesPage:
    """The last lines recorded before `end`, one more than are shown."""
    return reading.page(
        LinesQuery(
            query.account,
            currency,
            before=LAST if end is None else LineKey(end, -1, -1, -1),
            limit=query.most + 1,
            effective_before=query.effective_before,
        )
    )


def _end(query: WhyQuery) -> int | None:
    """The recorded time before which lines are shown."""
    ends = [] if query.recorded_before is None else [query.recorded_before]
    if query.effective_before is not None:
        ends.append(-(-query.effective_before // DAY) * DAY)
    return min(ends, default=None)


def _figures(
    reading: Reading, query: WhyQuery, currency: str, recorded_before: int | None
) -> Figures:
    rows = reading.balances(query.account, query.effective_before, recorded_before)
    return next((Figures(*row[3:]) for row in rows if row.currency == currency), ZERO)


def _window(page: LinesPage, most: int) -> tuple[int | None, list[AccountLine], bool]:
    """From where on lines are shown, these, and whether that is a whole day."""
    lines = page.lines
    if not lines:
        return None, [], False
    start = lines[-1].key.recorded_at // DAY * DAY
    of_day = [line for line in lines if line.key.recorded_at >= start]
    # Without an older line in sight there may be more of the day.
    is_cut = len(of_day) > most or (len(of_day) == len(lines) and page.searched_to is not None)
    if not is_cut:
        return start, of_day, True
    shown = of_day[-most:]
    return shown[0].key.recorded_at, shown, False


def change_of(line: AccountLine) -> Figures:
    """What a line adds to its account."""
    signed = line.change * line.amount
    if line.amount > 0:
        return Figures(signed, 0, line.change)
    return Figures(0, -signed, line.change)


def producer_of(line: AccountLine) -> str:
    """The `producer` in its metadata; empty without one."""
    found = json.loads(line.metadata) if line.metadata else {}
    name = found.get("producer", "") if isinstance(found, dict) else ""
    return name if isinstance(name, str) else ""


def _grouped(lines: Iterable[AccountLine], name_of: Callable[[AccountLine], str]) -> list[Group]:
    found: dict[str, Group] = {}
    for line in lines:
        name = name_of(line)
        known = found.get(name, Group(name, 0, ZERO))
        figures = added_up((known.figures, change_of(line)))
        found[name] = Group(name, known.lines + 1, figures)
    return [found[name] for name in sorted(found)]


def added_up(figures: Iterable[Figures]) -> Figures:
    """Their sum."""
    debits = credits = entries = 0
    for each in figures:
        debits += each.debits
        credits += each.credits
        entries += each.entries
    return Figures(debits, credits, entries)


def _difference(one: Figures, other: Figures) -> Figures:
    return Figures(*map(int.__sub__, one, other))
