"""What the checks look at: one data directory with its stack, and the cache of programs."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ledger.health.services import ServiceState, service_states
from ledger.stack.files import Layout
from ledger.stack.identity import Identity
from ledger.stack.record import Record
from ledger.stack.services import services


@dataclass(frozen=True)
class Installation:
    """A data directory and the cache; `me` and `record` are None where there is no stack yet."""

    place: Layout
    cache: Path
    me: Identity | None
    record: Record | None

    @cached_property
    def services(self) -> list[ServiceState]:
        """Services of the stack; none where there is no stack yet."""
        if self.me is None:
            return []
        return service_states(services(self.place, self.me, self.cache), self.record)

    def answering(self) -> frozenset[str]:
        """The services that run and answer."""
        return frozenset(each.service.name for each in self.services if each.trouble is None)
