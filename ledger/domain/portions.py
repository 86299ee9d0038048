"""One way to cut what is much into parts that fit."""

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def _weightless(_: object) -> int:
    return 0


def portions(
    items: Iterable[T],
    *,
    count: int = sys.maxsize,
    size: int = 0,
    weight: Callable[[T], int] = _weightless,
) -> Iterator[list[T]]:
    """Lists of up to `count` items that weigh up to `size`, or of a single one that weighs more.

    In the order of `items`, which may be without end: a list is made when it is asked for.
    """
    if weight is _weightless:
        left = iter(items)
        while some := list(islice(left, count)):
            yield some
        return
    portion: list[T] = []
    held = 0
    for item in items:
        more = weight(item)
        if portion and (held + more > size or len(portion) >= count):
            yield portion
            portion, held = [], 0
        portion.append(item)
        held += more
    if portion:
        yield portion
