"""Checks of processes: whether services and API answer, and the workers make progress."""

import errno
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ledger.health import probe
from ledger.health.checks.installation import Installation
from ledger.health.findings import Finding
from ledger.health.partitions import State
from ledger.health.rows import reasons
from ledger.health.services import ServiceState
from ledger.stack import api as stack_api
from ledger.stack import files, parts, ports
from ledger.stack import workers as stack_workers
from ledger.stack.parts import Part
from ledger.stack.services import Service
from ledger.streaming.topic_rules import PAGE

RECENT_SECONDS = 3600.0
"""An application that ended longer ago, and makes progress again, is no finding."""


def services(installation: Installation) -> Iterator[Finding]:
    """Whether every service answers, or is stopped and its port is free."""
    for state in installation.services:
        yield _service(state, f"{state.service.name} on port {state.service.port}")


def _service(state: ServiceState, name: str) -> Finding:
    service, part = state.service, state.part
    if state.running and not state.on_record:
        advice = "an `up` was interrupted: `faust-ledger up` takes it over"
        return Finding(name, False, "runs, but is not on record", advice)
    if state.running:
        advice = f"resume it, or read {service.log}; then `faust-ledger down` and `up`"
        if state.waits_for:
            advice = f"it continues by itself: see {state.waits_for}"
        return Finding(name, state.trouble is None, state.trouble or "answers", advice)
    if not ports.is_free(service.port):
        detail = f"the port is taken by {ports.owner(service.port)}"
        advice = f"stop that, or `faust-ledger up --{service.name}-port ...`"
        return Finding(name, False, detail, advice)
    if part is not None:
        return _dead(service, part, name)
    return Finding(name, True, "stopped; the port is free")


def _dead(service: Service, part: Part, name: str) -> Finding:
    full = os.strerror(errno.ENOSPC) in files.tail(service.log, lines=100)
    return Finding(
        name,
        False,
        f"has died (was pid {part.pid}){': its disk was full' if full else ''}",
        f"{'free disk space; ' if full else ''}read {service.log}; `faust-ledger up` starts it "
        "again",
    )


def workers(installation: Installation) -> Iterator[Finding]:
    """Whether there is a worker, and every one makes progress; each cause by itself.

    With servers of one's own the workers may run elsewhere: none here is no finding.
    """
    found = stack_workers.present(installation.place, installation.record)
    for part in found:
        yield from _worker(installation, part)
    if not found and installation.me is not None:
        advice = stack_workers.how_to_start(installation.me.workers)
        yield Finding("workers", False, stack_workers.NONE, advice)


def _worker(installation: Installation, part: Part) -> Iterator[Finding]:
    process = parts.process_of(part)
    if process is None:
        advice = f"read {part.log}; `faust-ledger up` starts it again"
        yield Finding(part.name, False, f"has died (was pid {part.pid})", advice)
        return
    answer = probe.ask(installation.place.worker(part.name), process)
    if isinstance(answer, str):
        yield Finding(part.name, False, answer, f"do as it says; its log is {part.log}")
        return
    if answer["ready"]:
        yield Finding(part.name, True, "every shard makes progress")
    for name, report in answer["applications"].items():
        yield from application(f"{part.name} {name}", report)


def api(installation: Installation) -> Iterator[Finding]:
    """Whether every API process answers, and why one does not."""
    for part in stack_api.present(installation.place, installation.record):
        if parts.process_of(part) is None:
            advice = f"read {part.log}; `faust-ledger up` starts it again"
            yield Finding(part.name, False, f"has died (was pid {part.pid})", advice)
            continue
        answer = stack_api.ask(installation.place, part)
        if isinstance(answer, str):
            yield Finding(part.name, False, answer, f"do as it says; its log is {part.log}")
        elif answer["ready"]:
            yield Finding(part.name, True, f"answers on port {part.port}")
        else:
            advice = "it continues by itself once that is available: see the other findings"
            yield from (Finding(part.name, False, why, advice) for why in answer["why"])


def application(name: str, report: Mapping[str, Any]) -> Iterator[Finding]:
    """How an application ended lately, and why it makes no progress."""
    ended = report["last_exit"]
    if ended and ended["status"] > 0 and (not report["ready"] or ended["seconds"] < RECENT_SECONDS):
        detail = (
            f"ended with {ended['status']} {ended['seconds']:.0f} s ago, {report['restarts']} "
            f"times in all: {ended['meaning']}"
        )
        yield Finding(name, bool(report["ready"]), detail, ended["advice"])
    stopped = reasons(row for row in report["partitions"] if row["state"] == State.STOPPED)
    for why in report["why"]:
        if why in report.get("alarms", ()):
            advice = f"do as it says; {PAGE} has it step by step"
        elif why in stopped:
            advice = (
                "do as it says, then `faust-ledger down` and `up`: it stops again while the cause "
                "remains"
            )
        else:
            advice = "it continues by itself once that is available: see the other findings"
        yield Finding(name, False, why, advice)
