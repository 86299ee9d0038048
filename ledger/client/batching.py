"""Cuts records into batches that every topic takes."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from ledger.streaming.log import PORTION

MAX_BYTES = 256 * 1024

T = TypeVar("T")


def batches(records: Iterable[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Lists of at least one record, and of up to PORTION records and MAX_BYTES by `size_of`."""
    batch: list[T] = []
    size = 0
    for record in records:
        more = size_of(record)
        if batch and (size + more > MAX_BYTES or len(batch) == PORTION):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += more
    if batch:
        yield batch
