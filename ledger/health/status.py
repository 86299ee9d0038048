"""What `status` shows: the addresses and every part of a stack, and its workers' partitions."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from ledger.health import probe
from ledger.health.partitions import State
from ledger.health.probe import Report
from ledger.health.rows import Row, grouped, spans
from ledger.health.server import read_address
from ledger.health.services import NOT_RUNNING, service_states
from ledger.hiding import shown_url
from ledger.settings import Settings
from ledger.settings import load as load_settings
from ledger.stack import api, cache, files, identity, parts, workers
from ledger.stack import record as records
from ledger.stack.files import Layout
from ledger.stack.identity import Identity
from ledger.stack.parts import Part
from ledger.stack.record import Record
from ledger.stack.services import services

NO_STACK = "there is no stack here: `faust-ledger up` creates one"
ELSEWHERE = (
    "there is no stack here: the settings name a ledger at {}, and its status is shown where it "
    "runs (--data-dir)"
)


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
    """Everything in one data directory; `advice`: sentences on what is not there."""

    data_dir: str
    parts: tuple[PartStatus, ...]
    workers: Mapping[str, Report | None] = field(default_factory=dict)
    """What each worker answers at /ready; None for one that does not answer."""
    addresses: Mapping[str, str] = field(default_factory=dict)
    """By setting, by worker and by API process: without passwords."""
    advice: tuple[str, ...] = ()
    api: Mapping[str, Report | None] = field(default_factory=dict)
    """What each API process answers at /ready; None for one that does not answer."""

    @property
    def ok(self) -> bool:
        """Whether all of a stack runs and answers, and workers make progress in every shard."""
        return not self.advice and all(each.running and not each.trouble for each in self.parts)


def read_status(data_dir: Path) -> StackStatus:
    """Ask every service, worker and API process of this directory.

    Of servers of one's own those processes alone; without any of them the status is not ok.
    """
    place = files.layout(data_dir)
    files.require_own(place)
    me = identity.load_identity(place)
    record = None if me is None else records.load_record(place) or records.new_record(place, me)
    present, serving = workers.present(place, record), api.present(place, record)
    if me is None and not present and not serving:
        return StackStatus(str(place.root), (), advice=(no_stack(),))
    stack = () if me is None else services(place, me, cache.cache_dir())
    found = [
        part_status(each.name, state.part, state.trouble, port=each.port, log=each.log)
        for state in service_states(stack, record)
        for each in (state.service,)
    ]
    answers = {
        part.name: probe.ask(place.worker(part.name), parts.process_of(part)) for part in present
    }
    found += [
        part_status(part.name, part, probe.problem(answers[part.name]), port=None, log=part.log)
        for part in present
    ]
    served = {part.name: api.ask(place, part) for part in serving}
    found += [
        part_status(part.name, part, probe.problem(served[part.name]), port=part.port, log=part.log)
        for part in serving
    ]
    return StackStatus(
        str(place.root),
        tuple(found),
        reports(answers),
        addresses(place, record, present, serving),
        () if me is None else tuple(advice(me, found, present)),
        reports(served),
    )


def reports(answers: Mapping[str, Report | str]) -> dict[str, Report | None]:
    """By name, None for what does not answer."""
    return {name: None if isinstance(each, str) else each for name, each in answers.items()}


def no_stack() -> str:
    """What to do where there is no stack; another one would not be the ledger of the settings."""
    settings = Settings()
    if "bootstrap_servers" not in settings.model_fields_set:
        return NO_STACK
    return ELSEWHERE.format(settings.bootstrap_servers)


def advice(me: Identity, found: list[PartStatus], present: list[Part]) -> Iterator[str]:
    """What to do about what is not there."""
    if not all(each.running for each in found):
        yield "`faust-ledger up` starts what does not run"
    if not present:
        yield f"{workers.NONE}: {workers.how_to_start(me.workers)}"


def addresses(
    place: Layout, record: Record | None, present: list[Part], serving: list[Part]
) -> dict[str, str]:
    """Where the services listen, and the workers and the API processes answer."""
    named = load_settings(place.root).model_dump() if record is None else record.addresses
    found = {"bootstrap_servers": str(named["bootstrap_servers"])}
    for name in ("registry_url", "database_url"):
        found[name] = shown_url(str(named[name]))
    for part in present:
        if address := read_address(place.worker(part.name), part.pid):
            found[part.name] = address
    for part in serving:
        if address := read_address(place.api(part.name), part.pid):
            found[part.name] = address
    return found


def part_status(
    name: str, part: Part | None, trouble: str | None, *, port: int | None, log: Path
) -> PartStatus:
    """One part's process, and its trouble if it has one."""
    process = parts.process_of(part) if part else None
    if part is None or process is None:
        return PartStatus(name, False, None, port, None, None, trouble or NOT_RUNNING, str(log))
    uptime = time.time() - part.started
    return PartStatus(name, True, part.pid, part.port, memory(process), uptime, trouble, str(log))


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
    """As `status --json` prints it.

    `workers` and `api` are by name what each answers at /ready, or null.
    """
    return {
        "data_dir": status.data_dir,
        "ok": status.ok,
        "parts": {each.name: asdict(each) for each in status.parts},
        "workers": status.workers,
        "api": status.api,
        "addresses": status.addresses,
        "advice": status.advice,
    }


def part_rows(status: StackStatus) -> Iterator[dict[str, Any]]:
    """A row for each part, without its trouble."""
    for each in status.parts:
        yield {
            "part": each.name,
            "state": "down" if not each.running else "trouble" if each.trouble else "well",
            "pid": each.pid,
            "port": each.port,
            "memory": None if each.rss is None else f"{each.rss / 1e6:.0f} MB",
            "up for": duration(each.uptime),
        }


def partition_rows(status: StackStatus) -> Iterator[dict[str, Any]]:
    """Each stage's partitions at each worker; those in the same state share a row."""
    brokers = [each for each in status.parts if each.name.startswith("kafka")]
    away = all(each.trouble for each in brokers)
    for name, report in status.workers.items():
        for row in _partitions(report) if report else ():
            # A worker finds out some seconds later.
            waits = away and row["state"] == State.GOING_ON
            yield {"worker": name, **row, **({"state": State.WAITING.value} if waits else {})}


def _partitions(report: Report) -> Iterator[dict[str, Any]]:
    for application in report["applications"].values():
        # What all of an application waits for, such as its database, its partitions wait for too.
        own = application.get("own", {}).get("state", State.GOING_ON)
        for (stage, state, _), rows in grouped(application["partitions"]).items():
            lag = sum(row["lag"] or 0 for row in rows)
            numbers = spans(row["partition"] for row in rows)
            shown = own if state == State.GOING_ON else state
            yield {
                "stage": stage, "partitions": numbers, "state": shown, "lag": lag,
                "behind": _behind(rows),
            }  # fmt: skip


def _behind(rows: Sequence[Row]) -> str:
    """How far history is behind what is reconciled; empty of another stage, or where it is not."""
    count = sum(row.get("behind_transactions", 0) for row in rows)
    seconds = max((row.get("behind_seconds", 0.0) for row in rows), default=0.0)
    return f"{count:,} transactions, {duration(seconds)}" if count else ""


def sentences(status: StackStatus) -> Iterator[str]:
    """What is below the tables: each part's trouble and log, and what is to be done."""
    for each in status.parts:
        if each.trouble:
            report = status.workers.get(each.name) or status.api.get(each.name)
            for why in report["why"] if report and each.running else [each.trouble]:
                yield f"{each.name}: {why}"
            yield f"  its log: {each.log}"
    yield from status.advice


def duration(seconds: float | None) -> str:
    """A duration in its two biggest units."""
    if seconds is None:
        return ""
    seconds = int(seconds)
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if days:
        return f"{days} d {hours % 24} h"
    if hours:
        return f"{hours} h {minutes % 60} min"
    return f"{minutes} min {seconds % 60} s"
