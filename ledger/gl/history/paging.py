"""Pages of an account's lines: running totals, filters and bounds, whatever the lines come from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ledger.domain.history import ZERO, Figures
from ledger.domain.run import Watermark
from ledger.gl.history.books import AccountLine, LineKey, LinesPage, LinesQuery

LOOKED_AT = 10_000
"""Lines that one page looks at, at most."""
AT_ONCE = 1_000
"""Lines that are read at once where a filter may leave out most of them."""
FIRST = LineKey(-(2**62), -1, -1, -1)
LAST = LineKey(2**62, -1, -1, -1)
"""Before and after every line."""


class RawLine(NamedTuple):
    """A line as history has it, without its texts; as AccountLine."""

    key: LineKey
    currency: str
    scale: int
    effective_at: int
    amount: int
    change: int

    @property
    def figures(self) -> Figures:
        """What it adds to the account."""
        signed = self.change * self.amount
        if self.amount > 0:
            return Figures(signed, 0, self.change)
        return Figures(0, -signed, self.change)


class Texts(NamedTuple):
    """The journal's part of a line; `legs`: account, currency and amount of all entries."""

    transaction_id: str = ""
    kind: str = ""
    description: str = ""
    reverses: str = ""
    metadata: str = ""
    legs: Sequence[tuple[str, str, int]] = ()


NO_TEXTS = Texts()


class Bounds(NamedTuple):
    """Which lines: those between two keys, without these."""

    low: LineKey = FIRST
    high: LineKey = LAST


class LineSource(Protocol):
    """Lines of one account, in one snapshot."""

    def figures_through(self, key: LineKey, *, including: bool) -> Mapping[str, Figures]:
        """By currency the account's totals of the lines before `key`, or of that line too."""

    def lines(self, bounds: Bounds, limit: int, *, backwards: bool) -> Sequence[RawLine]:
        """The first lines between, in order; or the last ones, from the last backwards."""

    def texts(self, lines: Sequence[RawLine]) -> Mapping[LineKey, Texts]:
        """The texts of those lines that have any."""


@dataclass(slots=True)
class _Walk:
    """What was found while walking through the lines, and where the walk is."""

    found: list[AccountLine]
    looked_at: int
    last: LineKey | None
    has_more: bool


def read_page(
    source: LineSource, query: LinesQuery, positions: Mapping[int, Watermark]
) -> LinesPage:
    """The page that `query` asks for."""
    backwards = query.before is not None and query.after is None
    walk = _walk(source, query, bounds_of(query), backwards=backwards)
    lines = walk.found[::-1] if backwards else walk.found
    stopped = walk.last if walk.has_more and len(lines) < query.limit else None
    return LinesPage(
        positions, lines, *_neighbours(query, lines, walk, backwards=backwards), stopped
    )


def bounds_of(query: LinesQuery) -> Bounds:
    """Its keys and recorded times as one pair of keys."""
    low, high = query.after or FIRST, query.before or LAST
    if query.recorded_from is not None:
        low = max(low, LineKey(query.recorded_from, -1, -1, -1))
    if query.recorded_before is not None:
        high = min(high, LineKey(query.recorded_before, -1, -1, -1))
    return Bounds(low, high)


def _neighbours(
    query: LinesQuery, lines: Sequence[AccountLine], walk: _Walk, *, backwards: bool
) -> tuple[LineKey | None, LineKey | None]:
    """`previous` and `next`."""
    given = query.before if backwards else query.after
    near = _beside(given, lines, backwards=backwards)
    if not walk.has_more:
        far = None
    elif len(lines) < query.limit:
        far = walk.last
    else:
        far = lines[0 if backwards else -1].key
    return (far, near) if backwards else (near, far)


def _beside(
    given: LineKey | None, lines: Sequence[AccountLine], *, backwards: bool
) -> LineKey | None:
    """Where the page begins from which this one was asked for."""
    if given is None:
        return None
    if lines:
        return lines[-1 if backwards else 0].key
    # An empty page: the line that was given is itself on the page beside it.
    step = -1 if backwards else 1
    return given._replace(entry=given.entry + step)


def _walk(source: LineSource, query: LinesQuery, bounds: Bounds, *, backwards: bool) -> _Walk:
    start = bounds.high if backwards else bounds.low
    running = dict(source.figures_through(start, including=not backwards))
    walk = _Walk([], 0, None, has_more=False)
    while True:
        # One more than wanted shows whether there are more.
        wanted = query.limit - len(walk.found) + 1
        size = min(AT_ONCE if _filters(query) else wanted, LOOKED_AT - walk.looked_at + 1)
        lines = source.lines(bounds, size, backwards=backwards)
        if _take(source, query, walk, lines, running, backwards=backwards):
            return walk
        if len(lines) < size:
            walk.has_more = False
            return walk
        assert walk.last is not None
        bounds = bounds._replace(high=walk.last) if backwards else bounds._replace(low=walk.last)


def _take(
    source: LineSource,
    query: LinesQuery,
    walk: _Walk,
    lines: Sequence[RawLine],
    running: dict[str, Figures],
    *,
    backwards: bool,
) -> bool:
    """Whether the page is full, or enough was looked at."""
    chosen = [line for line in lines if _may_match(line, query)]
    texts = source.texts(chosen if _filters_texts(query) else chosen[: query.limit])
    for line in lines:
        if len(walk.found) == query.limit or walk.looked_at == LOOKED_AT:
            walk.has_more = True
            return True
        before = running.get(line.currency, ZERO)
        after = before if backwards else _sum(before, line.figures)
        running[line.currency] = _difference(before, line.figures) if backwards else after
        walk.last, walk.looked_at = line.key, walk.looked_at + 1
        if _may_match(line, query):
            made = _account_line(query.account, line, after, texts.get(line.key, NO_TEXTS))
            if _matches(made, query):
                walk.found.append(made)
    return False


def _sum(one: Figures, other: Figures) -> Figures:
    return Figures(*map(int.__add__, one, other))


def _difference(one: Figures, other: Figures) -> Figures:
    return Figures(*map(int.__sub__, one, other))


def _account_line(account: str, line: RawLine, after: Figures, texts: Texts) -> AccountLine:
    others = {name for name, _, _ in texts.legs if name != account}
    other_side = {
        name
        for name, currency, amount in texts.legs
        if currency == line.currency and (amount < 0) != (line.amount < 0)
    }
    return AccountLine(
        line.key, account, line.currency, line.scale, line.effective_at, line.amount, line.change,
        *after, texts.transaction_id, texts.kind, texts.description, texts.reverses,
        texts.metadata, sorted(others), sorted(other_side),
    )  # fmt: skip


def _filters_texts(query: LinesQuery) -> bool:
    return any(each is not None for each in (query.kind, query.metadata, query.counterpart))


def _filters(query: LinesQuery) -> bool:
    given = (query.effective_from, query.effective_before, query.min_amount, query.max_amount)
    return _filters_texts(query) or any(each is not None for each in given)


def _may_match(line: RawLine, query: LinesQuery) -> bool:
    """By what is known without texts."""
    return (
        (query.effective_from is None or query.effective_from <= line.effective_at)
        and (query.effective_before is None or line.effective_at < query.effective_before)
        and (query.min_amount is None or query.min_amount <= abs(line.amount))
        and (query.max_amount is None or abs(line.amount) <= query.max_amount)
    )


def _matches(line: AccountLine, query: LinesQuery) -> bool:
    """By its texts."""
    return (
        (query.kind is None or query.kind == line.kind)
        and (query.counterpart is None or query.counterpart in line.counterparts)
        and (query.metadata is None or _has(line.metadata, *query.metadata))
    )


def _has(metadata: str, key: str, value: str) -> bool:
    if not metadata:
        return False
    found = json.loads(metadata)
    return isinstance(found, dict) and found.get(key) == value
