"""What `status` shows: every part of a stack, and the partitions of its workers."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from rich.markup import escape
from rich.table import Table

from ledger.health import probe
from ledger.health.probe import Report
from ledger.health.rows import grouped, spans
from ledger.stack import cache, files, identity, parts
from ledger.stack import record as records
from ledger.stack.parts import Part
from ledger.stack.services import services
from ledger.terminal import plain


@dataclass(frozen=True)
class PartStatus:
    """One part; sizes in bytes, times in seconds.

    `trouble` is None for a service that answers, and for a worker that makes progress.
    """

    name: str
    running: bool
    pid: int | None
    port: int | None
    rss: int | None
    uptime: float | None
    trouble: str | None
    log: str


@dataclass(frozen=True)
class StackStatus:
    """Everything in one data directory."""

    data_dir: str
    parts: tuple[PartStatus, ...]
    workers: Mapping[str, Report | None] = field(default_factory=dict)
    """What each worker answers at /ready; None for one that does not answer."""

    @property
    def ok(self) -> bool:
        """Whether there is a stack, all of it runs and answers, and every shard makes progress."""
        return bool(self.parts) and all(each.running and not each.trouble for each in self.parts)


def read_status(data_dir: Path) -> StackStatus:
    """Ask every service and worker; without a stack the status is empty, which is not ok."""
    place = files.layout(data_dir)
    files.require_own(place)
    me = identity.load_identity(place)
    if me is None:
        return StackStatus(str(place.root), ())
    record = records.load_record(place) or records.new_record(place, me)
    found = [
        part_status(
            service.name,
            record.part(service.name) or service.find(),
            service.missing,
            port=service.port,
            log=service.log,
        )
        for service in services(place, me, cache.cache_dir())
    ]
    answers = {
        part.name: probe.ask(place.worker(part.name), parts.process_of(part))
        for part in record.workers
    }
    found += [
        part_status(
            part.name, part, partial(probe.problem, answers[part.name]), port=None, log=part.log
        )
        for part in record.workers
    ]
    reports = {name: None if isinstance(each, str) else each for name, each in answers.items()}
    return StackStatus(str(place.root), tuple(found), reports)


def part_status(
    name: str, part: Part | None, problem: Callable[[], str | None], *, port: int | None, log: Path
) -> PartStatus:
    """One part's process, and its problem if it has one."""
    process = parts.process_of(part) if part else None
    if part is None or process is None:
        return PartStatus(name, False, None, port, None, None, "it does not run", str(log))
    return PartStatus(
        name,
        True,
        part.pid,
        part.port,
        memory(process),
        time.time() - part.started,
        probe.stopped_process(process) or problem(),
        str(log),
    )


def memory(top: psutil.Process) -> int:
    """Resident bytes of a process and those below it, their shared pages counted once."""
    own, shared = 0, 0
    for each in (top, *top.children(recursive=True)):
        try:
            found = each.memory_info()
        except psutil.Error:
            continue
        common = getattr(found, "shared", 0)
        own += found.rss - common
        shared = max(shared, common)
    return own + shared


def status_json(status: StackStatus) -> dict[str, Any]:
    """{"data_dir", "ok", "parts": {name: {...}}, "workers": {name: answer at /ready, or null}}."""
    return {
        "data_dir": status.data_dir,
        "ok": status.ok,
        "parts": {each.name: asdict(each) for each in status.parts},
        "workers": status.workers,
    }


def parts_table(status: StackStatus) -> Table:
    """A row for each part, the last column in sentences."""
    table = Table()
    for column in ("part", "state", "pid", "port", "memory", "up for", ""):
        right = column in ("pid", "port", "memory")
        table.add_column(column, justify="right" if right else "left", no_wrap=bool(column))
    for each in status.parts:
        state = "down" if not each.running else "trouble" if each.trouble else "well"
        colour = {"down": "red", "trouble": "yellow", "well": "green"}[state]
        detail = f"{each.trouble}; log: {each.log}" if each.trouble else ""
        table.add_row(
            each.name,
            f"[{colour}]{state}[/]",
            str(each.pid or ""),
            str(each.port or ""),
            "" if each.rss is None else f"{each.rss / 1e6:.0f} MB",
            duration(each.uptime),
            escape(plain(detail)),
        )
    return table


def partitions_table(status: StackStatus) -> Table:
    """Each stage's partitions at each worker; those in the same state share a row."""
    table = Table(box=None, pad_edge=False)
    for column in ("worker", "stage", "partitions", "state", "lag", ""):
        table.add_column(column, no_wrap=bool(column))
    for name, report in status.workers.items():
        for row in _partitions(report) if report else ():
            table.add_row(name, *(escape(plain(each)) for each in row))
    return table


def _partitions(report: Report) -> Iterator[tuple[str, str, str, str, str]]:
    for application in report["applications"].values():
        for (stage, state, why), rows in grouped(application["partitions"]).items():
            lag = sum(row["lag"] or 0 for row in rows)
            yield stage, spans(row["partition"] for row in rows), state, f"{lag:,}", why


def duration(seconds: float | None) -> str:
    """A duration in its two biggest units."""
    if seconds is None:
        return ""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days:.0f} d {hours % 24:.0f} h"
    if hours:
        return f"{hours:.0f} h {minutes % 60:.0f} min"
    return f"{minutes:.0f} min {seconds % 60:.0f} s"
