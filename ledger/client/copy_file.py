"""A copy of the reference topic as a file of JSON Lines, written atomically.

The first line has the topic, the number of records, the end and the digest; each other line has a
record, with key and value in base64.
"""

import base64
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ledger.domain.reference import NO_RECORDS, digest_after
from ledger.errors import LedgerError


class CopiedRecord(NamedTuple):
    """A record of the topic; `timestamp` in milliseconds since 1970."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def digests_of(records: Iterable[CopiedRecord]) -> list[bytes]:
    """The digests that runs name: before the first record, and after each one."""
    digests = [NO_RECORDS]
    for each in records:
        digests.append(digest_after(digests[-1], each.offset, each.key, each.value))
    return digests


def read_copy(file: Path, name: str) -> list[CopiedRecord]:
    """The records of a copy of the topic `name`. Raises LedgerError for a damaged copy."""
    try:
        first, *lines = file.read_bytes().splitlines()
        head = json.loads(first)
        records = [_record(json.loads(line)) for line in lines]
        topic, count, digest = head["topic"], head["records"], head["digest"]
    except OSError as error:
        raise LedgerError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(
            f"{file} is not a copy of reference data, or is damaged ({error}). Give a file that "
            "`faust-ledger reference save` wrote."
        ) from error
    if topic != name:
        raise LedgerError(f"{file} is a copy of {topic}, and this ledger's topic is {name}.")
    if count != len(records) or digest != digests_of(records)[-1].hex():
        raise LedgerError(
            f"{file} is damaged: it has {len(records)} records of {count}, or their content was "
            "changed. Use another copy."
        )
    return records


def older_copy(file: Path, name: str) -> list[CopiedRecord]:
    """The records of the present copy; none if there is no file."""
    return read_copy(file, name) if file.exists() else []


def _record(row: Mapping[str, Any]) -> CopiedRecord:
    key, value = (
        None if row[name] is None else base64.b64decode(row[name], validate=True)
        for name in ("key", "value")
    )
    return CopiedRecord(row["offset"], row["timestamp"], key, value)


def write_copy(file: Path, name: str, records: Sequence[CopiedRecord]) -> None:
    """Replace `file` atomically: a reader finds the old copy or the new one."""
    head = {
        "topic": name,
        "records": len(records),
        "end": records[-1].offset + 1,
        "digest": digests_of(records)[-1].hex(),
    }
    rows = [
        each._asdict() | {"key": _text(each.key), "value": _text(each.value)} for each in records
    ]
    beside = file.with_name(f"{file.name}.part")
    try:
        with beside.open("w") as stream:
            stream.writelines(f"{json.dumps(row)}\n" for row in (head, *rows))
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)
    except OSError as error:
        raise LedgerError(f"{file} cannot be written: {error.strerror}.") from error


def _text(part: bytes | None) -> str | None:
    return None if part is None else base64.b64encode(part).decode()
