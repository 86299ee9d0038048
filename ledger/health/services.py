"""Whether each service of a stack runs and answers, and which other one it waits for."""

from collections.abc import Iterable
from dataclasses import dataclass

import psutil

from ledger.health import probe
from ledger.stack import parts, ports
from ledger.stack.parts import Part
from ledger.stack.record import Record
from ledger.stack.services import Service

NOT_RUNNING = "it does not run"


@dataclass(frozen=True)
class ServiceState:
    """One service; `trouble` is a sentence, None where it answers.

    `on_record`: whether the record names its process. `waits_for`: the service without which it
    cannot answer, where that one is the trouble.
    """

    service: Service
    part: Part | None
    process: psutil.Process | None
    on_record: bool
    trouble: str | None
    waits_for: str = ""


def service_states(services: Iterable[Service], record: Record | None) -> list[ServiceState]:
    """Every service, in their order: one comes after those that it needs."""
    found: dict[str, ServiceState] = {}
    for service in services:
        needed = found.get(service.needs)
        found[service.name] = _state(service, record, needed)
    return list(found.values())


def _state(service: Service, record: Record | None, needed: ServiceState | None) -> ServiceState:
    part = record.part(service.name) if record else None
    on_record = parts.running(part)
    if not on_record:
        part = service.find() or part
    process = parts.process_of(part) if part else None
    if process is None:
        return ServiceState(service, part, None, False, NOT_RUNNING)
    trouble, waits_for = probe.stopped_process(process), ""
    if trouble is None and needed is not None and needed.trouble:
        # It may answer for a while; why it does not, or will not, is the other one's trouble.
        trouble, waits_for = f"it waits for {service.needs}: {needed.trouble}", service.needs
    elif trouble is None:
        trouble = _unanswered(service)
    return ServiceState(service, part, process, on_record, trouble, waits_for)


def _unanswered(service: Service) -> str | None:
    missing = service.missing()
    if missing is not None and ports.is_open(service.port):
        return f"it accepts connections and does not answer: it hangs ({missing})"
    return missing
