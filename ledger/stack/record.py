"""stack.json: the addresses that every command reads, and the processes of the stack."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ledger.stack import credentials
from ledger.stack.files import Layout, write_private
from ledger.stack.identity import Identity
from ledger.stack.parts import Part, from_json


@dataclass(frozen=True)
class Record:
    """One stack: its addresses and its processes. The addresses outlive the processes.

    `addresses` are settings by name: those of the user `admin`.
    """

    data_dir: Path
    addresses: dict[str, Any]
    parts: tuple[Part, ...] = ()
    workers: tuple[Part, ...] = ()
    api: tuple[Part, ...] = ()

    def part(self, name: str) -> Part | None:
        """The part of that name, running or not; None when none is recorded."""
        return next((part for part in self.parts if part.name == name), None)

    def with_part(self, part: Part) -> "Record":
        """This record with `part` in place of an older one of its name."""
        return replace(self, parts=(*self.without(part.name).parts, part))

    def without(self, name: str) -> "Record":
        """This record without the part of that name."""
        return replace(self, parts=tuple(part for part in self.parts if part.name != name))


def new_record(place: Layout, identity: Identity) -> Record:
    """The record of a stack in which nothing runs."""
    return Record(place.root, credentials.connection_settings(place, identity, "admin"))


def save_record(place: Layout, record: Record) -> None:
    """Write the record, mode 0600, all or nothing."""
    text = {
        **record.addresses,
        "data_dir": str(record.data_dir),
        "parts": {part.name: part.as_json() for part in record.parts},
        "workers": [{"name": part.name, **part.as_json()} for part in record.workers],
        "api": [{"name": part.name, **part.as_json()} for part in record.api],
    }
    write_private(place.stack_file, json.dumps(text, indent=2))


def load_record(place: Layout) -> Record | None:
    """The record; None when it is missing or unreadable, as `up` can recreate it."""
    try:
        stored = json.loads(place.stack_file.read_text())
        parts = tuple(from_json(name, part) for name, part in stored.pop("parts").items())
        workers = tuple(from_json(part["name"], part) for part in stored.pop("workers"))
        # Stacks of versions before 0.3 have none.
        api = tuple(from_json(part["name"], part) for part in stored.pop("api", ()))
        return Record(Path(stored.pop("data_dir")), stored, parts, workers, api)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
