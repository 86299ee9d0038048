"""Whom `doctor` examines, and what it finds."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ledger.health import probe
from ledger.stack import parts, ports
from ledger.stack.files import Layout
from ledger.stack.identity import Identity
from ledger.stack.parts import Part
from ledger.stack.record import Record
from ledger.stack.services import Service, services


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `advice` says what to do when it is not well."""

    name: str
    well: bool
    detail: str
    advice: str = ""


@dataclass(frozen=True)
class Patient:
    """What the examinations look at; `me` and `record` None where there is no stack yet."""

    place: Layout
    cache: Path
    me: Identity | None
    record: Record | None

    def services(self) -> tuple[Service, ...]:
        """Of the stack; none where there is no stack yet."""
        return () if self.me is None else services(self.place, self.me, self.cache)

    def part(self, service: Service) -> Part | None:
        """The record of its process, if that runs."""
        part = self.record.part(service.name) if self.record else None
        return part if parts.running(part) else None

    @cached_property
    def troubles(self) -> Mapping[str, str]:
        """Of the services that run, by name: that they are held, hang, or do not answer."""
        found = {}
        for service in self.services():
            if (part := self.part(service)) is not None:
                trouble = probe.stopped_process(parts.process_of(part)) or _asked(service)
                if trouble is not None:
                    found[service.name] = trouble
        return found

    def answering(self) -> frozenset[str]:
        """The services that run and answer."""
        running = (each.name for each in self.services() if self.part(each) is not None)
        return frozenset(running) - self.troubles.keys()


def _asked(service: Service) -> str | None:
    trouble = service.missing()
    if trouble is not None and ports.is_open(service.port):
        return f"it accepts connections and does not answer: it hangs ({trouble})"
    return trouble
