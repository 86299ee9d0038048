"""A copy of the reference topic as a file of JSON Lines, whole or not there.

A head with the topic, the number of records, the end and the digest; then a line for each record,
with key and value in base64.
"""

import base64
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ledger.domain.reference import NO_RECORDS, digest_after
from ledger.errors import LedgerError


class Kept(NamedTuple):
    """A record; `timestamp` in milliseconds since 1970, as Kafka has it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


def digest_of(records: Iterable[Kept]) -> bytes:
    """As a run names it that was decided with all of them."""
    digest = NO_RECORDS
    for each in records:
        digest = digest_after(digest, each.offset, each.key, each.value)
    return digest


def read_copy(file: Path, name: str) -> list[Kept]:
    """The records of a copy of the topic `name`. Raises LedgerError for one that is not whole."""
    try:
        head, *lines = file.read_bytes().splitlines()
        said = json.loads(head)
        kept = [_kept(json.loads(line)) for line in lines]
        topic, count, digest = said["topic"], said["records"], said["digest"]
    except OSError as error:
        raise LedgerError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LedgerError(
            f"{file} is no copy of reference data, or not whole ({error}): what "
            "`faust-ledger reference save` has written is needed."
        ) from error
    if topic != name:
        raise LedgerError(f"{file} is a copy of {topic}, and this ledger's topic is {name}.")
    if count != len(kept) or digest != digest_of(kept).hex():
        raise LedgerError(
            f"{file} is not whole: it has {len(kept)} records of {count}, or what is in them was "
            "changed. Another copy is needed."
        )
    return kept


def older_copy(file: Path, name: str) -> list[Kept]:
    """The records of the copy that is there; none where there is no file."""
    return read_copy(file, name) if file.exists() else []


def _kept(row: Mapping[str, Any]) -> Kept:
    key, value = (
        None if row[name] is None else base64.b64decode(row[name], validate=True)
        for name in ("key", "value")
    )
    return Kept(row["offset"], row["timestamp"], key, value)


def write_copy(file: Path, name: str, records: Sequence[Kept]) -> None:
    """At once: whoever reads `file` finds the old copy or the new one."""
    head = {
        "topic": name,
        "records": len(records),
        "end": records[-1].offset + 1,
        "digest": digest_of(records).hex(),
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
