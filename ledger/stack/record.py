"""stack.json: the addresses that every command reads, and which processes are ours."""

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
    """One stack: where it is reached and what runs. The addresses outlive the processes.

    `addresses` are settings by name, as whoever looks after the stack is to have them.
    """

    data_dir: Path
    addresses: dict[str, Any]
    parts: tuple[Part, ...] = ()
    workers: tuple[Part, ...] = ()

    def part(self, name: str) -> Part | None:
        """The record of a part, running or not; None when there is none."""
        return next((part for part in self.parts if part.name == name), None)

    def with_part(self, part: Part) -> "Record":
        """With `part` in place of an older record of that name."""
        return replace(self, parts=(*self.without(part.name).parts, part))

    def without(self, name: str) -> "Record":
        """Without the part of that name."""
        return replace(self, parts=tuple(part for part in self.parts if part.name != name))


def new(place: Layout, identity: Identity) -> Record:
    """A record in which nothing runs."""
    return Record(place.root, credentials.connection_settings(place, identity, "admin"))


def save(place: Layout, record: Record) -> None:
    """Write it, mode 0600, all or nothing."""
    text = {
        **record.addresses,
        "data_dir": str(record.data_dir),
        "parts": {part.name: part.as_json() for part in record.parts},
        "workers": [{"name": part.name, **part.as_json()} for part in record.workers],
    }
    write_private(place.stack_file, json.dumps(text, indent=2))


def load(place: Layout) -> Record | None:
    """The record; None when there is none, or none that can be read: it can be made anew."""
    try:
        stored = json.loads(place.stack_file.read_text())
        parts = tuple(from_json(name, part) for name, part in stored.pop("parts").items())
        workers = tuple(from_json(part["name"], part) for part in stored.pop("workers"))
        return Record(Path(stored.pop("data_dir")), stored, parts, workers)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
