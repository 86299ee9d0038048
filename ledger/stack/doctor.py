"""What is wrong with a machine, a cache or a data directory, or soon will be, and what to do."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from ledger.errors import StackError
from ledger.settings import load as load_settings
from ledger.stack import cache, causes, files, identity, machine, parts, ports, postgres, rights
from ledger.stack import record as records
from ledger.stack.files import PARTIAL
from ledger.stack.parts import Part
from ledger.stack.patient import Finding, Patient
from ledger.stack.postgres_user import MAJOR_VERSION
from ledger.stack.services import Service
from ledger.terminal import plain


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


def programs(patient: Patient) -> Iterator[Finding]:
    """The cache, read in full and compared with its digests."""
    for name in cache.PROGRAMS:
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
    if root.st_mode & files.OTHERS:
        yield Finding(
            "data directory",
            False,
            f"{place.root} is open to others (mode {stat.S_IMODE(root.st_mode):o})",
            f"chmod 700 {place.root}; the next `faust-ledger up` closes all below it as well",
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
            trouble = patient.troubles.get(service.name)
            advice = f"let it go on, or read {service.log}; then `faust-ledger down` and `up`"
            yield Finding(name, trouble is None, trouble or "answers", advice)
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
    """The database and the topics, where what is to be asked answers."""
    settings, answering = load_settings(patient.place.root), patient.answering()
    if postgres.NAME in answering:
        yield from causes.of_database(settings)
        yield from rights.database_rights(settings)
    if patient.me and any(each.name in answering for each in patient.me.brokers):
        yield from rights.kafka_rights(settings)
    if any(name.startswith("kafka") for name in answering):
        yield from causes.of_topic_settings(settings)
    if answering and answering == {service.name for service in patient.services()}:
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
        found, wanted = file.read_text().strip(), str(MAJOR_VERSION)
        yield Finding(
            "database",
            found == wanted,
            f"made by PostgreSQL {found}",
            f"this release runs {wanted}: dump with the old release, restore with this one",
        )


EXAMINATIONS: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
    machine.python,
    machine.disk,
    machine.memory,
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
    table = Table(box=None, pad_edge=False)
    for column in ("", "found", "what to do"):
        table.add_column(column, no_wrap=not column)
    for each in findings:
        mark = "[green]well[/]" if each.well else "[red]look[/]"
        table.add_row(
            f"{mark} {escape(plain(each.name))}",
            escape(plain(each.detail)),
            "" if each.well else escape(plain(each.advice)),
        )
    return table
