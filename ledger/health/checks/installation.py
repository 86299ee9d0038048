"""What the checks look at: one data directory with its stack, and the cache of programs."""

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
class Installation:
    """A data directory and the cache; `me` and `record` are None where there is no stack yet."""

    place: Layout
    cache: Path
    me: Identity | None
    record: Record | None

    def services(self) -> tuple[Service, ...]:
        """Services of the stack; none where there is no stack yet."""
        return () if self.me is None else services(self.place, self.me, self.cache)

    def recorded(self, service: Service) -> Part | None:
        """The record of its process, running or not."""
        return self.record.part(service.name) if self.record else None

    @cached_property
    def troubles(self) -> Mapping[str, str | None]:
        """Of each service that runs: why it does not answer, None if it does."""
        return {
            service.name: probe.stopped_process(process) or _trouble(service)
            for service in self.services()
            if (part := self.recorded(service)) and (process := parts.process_of(part))
        }

    def answering(self) -> frozenset[str]:
        """The services that run and answer."""
        return frozenset(name for name, trouble in self.troubles.items() if trouble is None)


def _trouble(service: Service) -> str | None:
    missing = service.missing()
    if missing is not None and ports.is_open(service.port):
        return f"it accepts connections and does not answer: it hangs ({missing})"
    return missing
