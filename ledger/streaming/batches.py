"""Record batches, read as brokers let them through.

A broker that stores a batch as it came checks its frame, and that the parts of each record fit; not
what a header is called, nor how a record numbers itself. Read by aiokafka alone, a header's name
that is not UTF-8 stops the consumer for ever, and with records that number themselves wrongly one
offset could name two records. `patches.install` makes aiokafka read with this.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import decode_varint

_FRAME = struct.Struct(">qi")
_MAGIC = 2


class Plain(NamedTuple):
    """A record without its headers."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: tuple[()] = ()
    checksum: None = None


class FetchedBatch:
    """A batch of aiokafka's; its records have ascending offsets, within the batch's own span."""

    def __init__(self, batch: Any, raw: memoryview) -> None:
        self._batch, self._raw = batch, raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        batch = self._batch
        if batch.is_control_batch:
            return iter(batch)
        first, end = batch.base_offset, batch.next_offset
        try:
            records = list(batch)
        except Exception:  # UnicodeDecodeError, OverflowError: whatever aiokafka stumbles over
            return iter(read_again(self._raw))
        if not _is_ascending([record.offset for record in records], first, end):
            return iter(read_again(self._raw))
        return iter(records)


class FetchedBatches:
    """What a fetch brought of a partition."""

    def __init__(self, fetched: bytes) -> None:
        self._batches, self._fetched, self._at = MemoryRecords(fetched), memoryview(fetched), 0
        self.has_next = self._batches.has_next
        self.size_in_bytes = self._batches.size_in_bytes

    def next_batch(self) -> FetchedBatch | None:
        batch = self._batches.next_batch()
        if batch is None:
            return None
        start = self._at
        self._at += _FRAME.size + _FRAME.unpack_from(self._fetched, start)[1]
        return FetchedBatch(batch, self._fetched[start : self._at])


def _is_ascending(offsets: Sequence[int], first: int, end: int) -> bool:
    if offsets == list(range(first, end)):
        return True
    # Compaction has left holes.
    return not offsets or (
        first <= offsets[0] and offsets[-1] < end and all(a < b for a, b in pairwise(offsets))
    )


def read_again(raw: bytes | memoryview) -> list[Plain]:
    """A batch's records by the protocol's letter, and numbered by their places in it.

    Raises CorruptRecordException for what no broker lets through.
    https://kafka.apache.org/documentation/#record
    """
    batch = _DefaultRecordBatchPy(raw)
    if batch.magic != _MAGIC:
        raise CorruptRecordException(f"A batch in format {batch.magic} and not {_MAGIC}")
    if batch.last_offset_delta + 1 != batch._num_records:
        raise CorruptRecordException("A batch with holes, whose records are not in order")
    batch._maybe_uncompress()
    records, at = [], batch._pos
    try:
        for offset in range(batch.base_offset, batch.next_offset):
            length, start = decode_varint(batch._buffer, at)
            at = start + length
            if length < 0 or at > len(batch._buffer):
                raise CorruptRecordException(f"A record of {length} bytes ends beyond its batch")
            records.append(_record(batch, offset, bytes(batch._buffer[start:at])))
    except (ValueError, IndexError, OverflowError) as error:
        raise CorruptRecordException(f"A record cannot be read: {error!r}") from error
    return records


def _record(batch: _DefaultRecordBatchPy, offset: int, body: bytes) -> Plain:
    # One byte of attributes, which mean nothing yet.
    since, at = decode_varint(body, 1)
    _, at = decode_varint(body, at)
    key, at = _bytes(body, at)
    value, at = _bytes(body, at)
    appended = batch.timestamp_type == batch.LOG_APPEND_TIME
    timestamp = batch.max_timestamp if appended else batch.first_timestamp + since
    return Plain(offset, timestamp, batch.timestamp_type, key, value)


def _bytes(body: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(body, at)
    if length < 0:
        return None, at
    if at + length > len(body):
        raise ValueError(f"{length} bytes go beyond the record")
    return body[at : at + length], at + length
