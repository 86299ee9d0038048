"""Whether each service of a stack runs and answers, and which other one it waits for."""

from collections.abc import Iterable
from typing import NamedTuple

from ledger.health import probe
from ledger.stack import parts, ports
from ledger.stack.parts import Part
from ledger.stack.record import Record
from ledger.stack.services import Service

NOT_RUNNING = "it does not run"


class ServiceState(NamedTuple):
    """One service; `trouble` is a sentence, None where it answers.

    `part`: its process, or the one that the record has and that has died. `running`: whether it
    does; `on_record`: whether the record has that process. `waits_for`: the service without which
    it cannot answer, where that one is the trouble.
    """

    service: Service
    part: Part | None
    running: bool
    on_record: bool
    trouble: str | None
    waits_for: str = ""


def service_states(services: Iterable[Service], record: Record | None) -> list[ServiceState]:
    """Every service, in their order: one comes after those that it needs."""
    found: dict[str, ServiceState] = {}
    for service in services:
        found[service.name] = _state(service, record, found.get(service.needs))
    return list(found.values())


def _state(service: Service, record: Record | None, needed: ServiceState | None) -> ServiceState:
    part = record.part(service.name) if record else None
    on_record = parts.running(part)
    if not on_record:
        part = service.find() or part
    process = parts.process_of(part) if part else None
    if process is None:
        return ServiceState(service, part, False, False, NOT_RUNNING)
    trouble = probe.stopped_process(process)
    if trouble is None and needed is not None and needed.trouble:
        # It may answer for a while; why it does not, or will not, is the other one's trouble.
        trouble = f"it waits for {service.needs}: {needed.trouble}"
        return ServiceState(service, part, True, on_record, trouble, service.needs)
    return ServiceState(service, part, True, on_record, trouble or _unanswered(service))


def _unanswered(service: Service) -> str | None:
    missing = service.missing()
    if missing is not None and ports.is_open(service.port):
        return f"it accepts connections and does not answer: it hangs ({missing})"
    return missing
