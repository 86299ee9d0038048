"""Avro binary of our own records: pure functions over the schemas in `schemas/`."""

import io
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
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
    return encode_as(parsed(name), row, prefix)


def encode_as(schema: Schema, value: Any, prefix: bytes = b"") -> bytes:
    """`prefix` and then the Avro binary of `value`, of whatever type."""
    out = io.BytesIO()
    out.write(prefix)
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


@cache
def _columns(name: str) -> dict[str, tuple[Schema, Schema]]:
    """By field of a record of arrays: the array's schema and its items'."""
    record: Any = parsed(name)
    parse = fastavro.parse_schema
    return {
        each["name"]: (parse(each["type"]), parse(each["type"]["items"]))
        for each in record["fields"]
    }


def encode_columns(name: str, columns: Mapping[str, Sequence[Any]]) -> bytes:
    """As `encode`, of a record of arrays: a column of one value only is encoded once."""
    out = io.BytesIO()
    write = fastavro.schemaless_writer
    for column, (array, item) in _columns(name).items():
        values = columns[column]
        count = len(values)
        if not count or values.count(values[0]) < count:
            write(out, array, values)
            continue
        out.write(long(count) + encode_as(item, values[0]) * count + b"\0")
    return out.getvalue()


_BITS = 14
MORE = 1 << _BITS
_GOES_ON = [bytes((each & 0x7F | 0x80, each >> 7 | 0x80)) for each in range(MORE)]
ENDS = [bytes((each & 0x7F | 0x80, each >> 7)) if each >> 7 else bytes((each,))
        for each in range(MORE)]  # fmt: skip
"""Two bytes of a number at once: those with more behind them, and the last ones."""


def long(number: int) -> bytes:
    """An Avro int or long of any 64 bits."""
    left = number << 1 if number >= 0 else (-number << 1) - 1
    out = b""
    while left >= MORE:
        out += _GOES_ON[left % MORE]
        left >>= _BITS
    return out + ENDS[left]


remembered = lru_cache(maxsize=1024)(long)
"""The same, for times that a batch's records have in common."""


def decode(name: str, value: bytes, start: int = 0) -> dict[str, Any]:
    """The record in `value[start:]`, all of it. Raises ValueError for anything else."""
    row: dict[str, Any] = decode_as(parsed(name), value, start)
    return row


@cache
def _head(name: str, last: str) -> Schema:
    record: Any = parsed(name)
    names = [each["name"] for each in record["fields"]]
    fields = record["fields"][: names.index(last) + 1]
    return fastavro.parse_schema({"type": "record", "name": f"{name}Head", "fields": fields})


def decode_head(name: str, last: str, value: bytes, start: int = 0) -> dict[str, Any]:
    """The fields up to `last` of the record in `value[start:]`, whose rest is not looked at.

    Raises ValueError for bytes that do not begin so.
    """
    stream = io.BytesIO(value)
    stream.seek(start)
    try:
        row: Any = fastavro.schemaless_reader(stream, _head(name, last), None)
    except Exception as error:
        raise ValueError(f"not Avro of this schema: {type(error).__name__}") from error
    found: dict[str, Any] = row
    return found


def decode_as(schema: Schema, value: bytes, start: int = 0, reader: Schema | None = None) -> Any:
    """The record in `value[start:]` as written with `schema`, resolved to `reader` if given.

    Raises ValueError when the bytes are cut short, too many or not Avro of this schema.
    """
    stream = io.BytesIO(value)
    stream.seek(start)
    try:
        if reader is not None:
            # What the reader has no use for fastavro skips, and does not see that it is cut short.
            fastavro.schemaless_reader(stream, schema, None)
            _require_end(stream, value)
            stream.seek(start)
        row = fastavro.schemaless_reader(stream, schema, reader)
    except Exception as error:
        # fastavro raises whatever the bytes made it stumble over: EOFError, IndexError,
        # UnicodeDecodeError, OverflowError, MemoryError for a length nobody sent.
        raise ValueError(f"not Avro of this schema: {type(error).__name__}") from error
    _require_end(stream, value)
    return row if reader is None else _default_bytes(reader, row)


def _default_bytes(reader: Any, row: Any) -> Any:
    """`row` with each default of bytes as bytes: in JSON it is text, a character a byte.

    fastavro hands on the text: https://avro.apache.org/docs/1.12.0/specification/#complex-types
    """
    for each in reader["fields"]:
        value = row[each["name"]]
        if each["type"] == "bytes" and isinstance(value, str):
            row[each["name"]] = value.encode("latin-1")
    return row


def _require_end(stream: io.BytesIO, value: bytes) -> None:
    if stream.tell() != len(value):
        raise ValueError(f"{len(value) - stream.tell()} bytes after the record's end")
