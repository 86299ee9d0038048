"""Avro binary of our own records: pure functions over the schemas in `schemas/`."""

import io
from collections.abc import Mapping
from functools import cache
from typing import Any

import fastavro
from fastavro.types import Schema

import schemas


def without_logical_types(schema: Any) -> Any:
    """The schema with times as plain numbers: microseconds stay exact, and decode twice as fast."""
    if isinstance(schema, Mapping):
        return {
            key: without_logical_types(value)
            for key, value in schema.items()
            if key != "logicalType"
        }
    return [without_logical_types(item) for item in schema] if isinstance(schema, list) else schema


@cache
def parsed(name: str) -> Schema:
    """Our schema `name`, ready for fastavro."""
    return fastavro.parse_schema(without_logical_types(schemas.load(name)))


def encode(name: str, row: Mapping[str, Any], prefix: bytes = b"") -> bytes:
    """`prefix` and then the Avro binary of `row` under schema `name`."""
    out = io.BytesIO()
    out.write(prefix)
    fastavro.schemaless_writer(out, parsed(name), row)
    return out.getvalue()


_BITS = 7
_MORE = 1 << _BITS
_ONE = [bytes((each,)) for each in range(_MORE)]


def long(number: int) -> bytes:
    """An Avro int or long, not below zero: for what is encoded by hand because there is so much."""
    left = number << 1
    if left < _MORE:
        return _ONE[left]
    out = bytearray()
    while left >= _MORE:
        out.append(left % _MORE | _MORE)
        left >>= _BITS
    out.append(left)
    return bytes(out)


def text(value: str) -> bytes:
    """An Avro string."""
    encoded = value.encode()
    return long(len(encoded)) + encoded


def decode(name: str, value: bytes, start: int = 0) -> dict[str, Any]:
    """The record in `value[start:]`, all of it. Raises ValueError for anything else."""
    row: dict[str, Any] = decode_as(parsed(name), value, start)
    return row


def decode_as(schema: Schema, value: bytes, start: int = 0, reader: Schema | None = None) -> Any:
    """The record in `value[start:]` as written with `schema`, resolved to `reader` if given.

    Raises ValueError when the bytes are cut short, too many or not Avro of this schema.
    """
    stream = io.BytesIO(value)
    stream.seek(start)
    try:
        row = fastavro.schemaless_reader(stream, schema, reader)
    except Exception as error:
        # fastavro raises whatever the bytes made it stumble over: EOFError, IndexError,
        # UnicodeDecodeError, OverflowError, MemoryError for a length nobody sent.
        raise ValueError(f"not Avro of this schema: {type(error).__name__}") from error
    if stream.tell() != len(value):
        raise ValueError(f"{len(value) - stream.tell()} bytes after the record's end")
    return row
