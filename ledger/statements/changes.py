"""What a corrected statement says that the one before it did not, line by line."""

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from ledger.statements.model import Line, Position, Statement

Item = Line | Position
T = TypeVar("T", Line, Position)
IGNORED = frozenset({"number", "place", "balance"})
"""Of a line: where it is, and what follows from the others."""


class Change(NamedTuple):
    """A line or position that is added, removed or changed, or a balance that is another.

    `fields`: which ones differ, of what is changed.
    """

    what: Literal["added", "removed", "changed", "opening", "closing"]
    before: Any
    after: Any
    fields: tuple[str, ...] = ()


def changes(before: Statement, after: Statement) -> list[Change]:
    """In the order of the lines; those of the old statement that are gone come last."""
    found = []
    if before.opening != after.opening:
        found.append(Change("opening", before.opening, after.opening))
    if before.closing != after.closing:
        found.append(Change("closing", before.closing, after.closing))
    found += _between(before.lines, after.lines)
    found += _between(before.positions, after.positions)
    return found


def _between(before: Sequence[T], after: Sequence[T]) -> Iterator[Change]:
    gone, come = _unmatched(before, after), _unmatched(after, before)
    partners = _partners(gone)
    used = set()
    for item in come:
        partner = next((each for each in _named(item, partners) if each.number not in used), None)
        if partner is None:
            yield Change("added", None, item)
            continue
        used.add(partner.number)
        yield Change("changed", partner, item, _differing(partner, item))
    for item in gone:
        if item.number not in used:
            yield Change("removed", item, None)


def _unmatched(items: Sequence[T], others: Sequence[T]) -> list[T]:
    """Those that the other statement does not have with the same content, as often."""
    there = Counter(map(_content, others))
    left = []
    for item in items:
        content = _content(item)
        if there[content]:
            there[content] -= 1
        else:
            left.append(item)
    return left


def _content(item: Item) -> Hashable:
    return tuple(
        value for name, value in zip(item._fields, item, strict=True) if name not in IGNORED
    )


def _names(item: Item) -> Iterator[Hashable]:
    """By what it is the same line though its content is another, the surest first."""
    if isinstance(item, Position):
        yield item.isin
        return
    if item.bank_reference:
        yield "bank", item.bank_reference
    if item.reference:
        yield "reference", item.reference
    if not item.bank_reference and not item.reference:
        yield "number", item.number


def _partners(items: Sequence[T]) -> dict[Hashable, list[T]]:
    found: dict[Hashable, list[T]] = {}
    for item in reversed(items):
        for name in _names(item):
            found.setdefault(name, []).append(item)
    return found


def _named(item: T, partners: dict[Hashable, list[T]]) -> Iterator[T]:
    for name in _names(item):
        some = partners.get(name, [])
        # Each is given once, so that many lines of one reference cost no more than others.
        while some:
            yield some.pop()


def _differing(before: Item, after: Item) -> tuple[str, ...]:
    return tuple(
        name
        for name, old, new in zip(before._fields, before, after, strict=True)
        if name not in IGNORED and old != new
    )
