"""What runs, and whether it really answers."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from rich.markup import escape
from rich.table import Table

from ledger.health import probe
from ledger.health.probe import Health
from ledger.health.rows import grouped, spans
from ledger.stack import cache, files, identity, parts
from ledger.stack import record as records
from ledger.stack.files import Layout
from ledger.stack.parts import Part
from ledger.stack.services import services
from ledger.terminal import plain


@dataclass(frozen=True)
class Seen:
    """One part: sizes in bytes, times in seconds; `trouble` None when it answers.

    And for a worker, when it makes progress.
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
class Status:
    """All of one data directory."""

    data_dir: str
    seen: tuple[Seen, ...]
    workers: Mapping[str, Health | None] = field(default_factory=dict)
    """What each of them says of itself; None for one that says nothing."""

    @property
    def well(self) -> bool:
        """Whether there is a stack, all of it runs and answers, and every shard goes on."""
        return bool(self.seen) and all(each.running and not each.trouble for each in self.seen)


def look(data_dir: Path) -> Status:
    """Probe every part and worker; no stack at all is an empty status, which is not well."""
    place = files.layout(data_dir)
    files.require_own(place)
    me = identity.load(place)
    if me is None:
        return Status(str(place.root), ())
    record = records.load(place) or records.new(place, me)
    seen = [
        see(
            service.name,
            record.part(service.name) or service.find(),
            service.missing,
            port=service.port,
            log=service.log,
        )
        for service in services(place, me, cache.cache_dir())
    ]
    said = {part.name: asked(place, part) for part in record.workers}
    seen += [
        see(part.name, part, partial(probe.trouble, said[part.name]), port=None, log=part.log)
        for part in record.workers
    ]
    healths = {name: None if isinstance(each, str) else each for name, each in said.items()}
    return Status(str(place.root), tuple(seen), healths)


def asked(place: Layout, part: Part) -> Health | str:
    """What a worker says, or why it says nothing."""
    return probe.ask(place, part) if parts.running(part) else "it does not run"


def see(name: str, part: Part | None, missing: parts.Check, *, port: int | None, log: Path) -> Seen:
    """One part's process and what it answers."""
    process = parts.process_of(part) if part else None
    if part is None or process is None:
        return Seen(name, False, None, port, None, None, "it does not run", str(log))
    return Seen(
        name,
        True,
        part.pid,
        part.port,
        memory(process),
        time.time() - part.started,
        probe.held(part) or missing(),
        str(log),
    )


def memory(top: psutil.Process) -> int:
    """Resident bytes of a process and what it started, their shared pages counted once."""
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


def as_json(status: Status) -> dict[str, Any]:
    """{"data_dir", "ok", "parts": {name: {...}}, "workers": {name: what /ready says, or null}}."""
    return {
        "data_dir": status.data_dir,
        "ok": status.well,
        "parts": {each.name: asdict(each) for each in status.seen},
        "workers": status.workers,
    }


def as_table(status: Status) -> Table:
    """For people, its last column in sentences."""
    table = Table()
    for column in ("part", "state", "pid", "port", "memory", "up for", ""):
        right = column in ("pid", "port", "memory")
        table.add_column(column, justify="right" if right else "left", no_wrap=bool(column))
    for each in status.seen:
        state = "down" if not each.running else "trouble" if each.trouble else "well"
        colour = {"down": "red", "trouble": "yellow", "well": "green"}[state]
        detail = f"{each.trouble}; log: {each.log}" if each.trouble else ""
        table.add_row(
            each.name,
            f"[{colour}]{state}[/]",
            str(each.pid or ""),
            str(each.port or ""),
            "" if each.rss is None else f"{each.rss / 1e6:.0f} MB",
            lasted(each.uptime),
            escape(plain(detail)),
        )
    return table


def shards_table(status: Status) -> Table:
    """Each stage's partitions at each worker, those that do the same in one row."""
    table = Table(box=None, pad_edge=False)
    for column in ("worker", "stage", "partitions", "state", "lag", ""):
        table.add_column(column, no_wrap=bool(column))
    for name, said in status.workers.items():
        for application in said["applications"].values() if said else ():
            for row in together(application["partitions"]):
                table.add_row(name, *(escape(plain(each)) for each in row))
    return table


def together(partitions: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str, str, str]]:
    """Stage, numbers, state, records behind, why."""
    for (stage, state, why), found in grouped(partitions).items():
        lag = sum(row["lag"] or 0 for row in found)
        yield stage, spans(row["partition"] for row in found), state, f"{lag:,}", why


def lasted(seconds: float | None) -> str:
    """A duration in its two biggest units."""
    if seconds is None:
        return ""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days:.0f} d {hours % 24:.0f} h"
    if hours:
        return f"{hours:.0f} h {minutes % 60:.0f} min"
    return f"{minutes:.0f} min {seconds % 60:.0f} s"
