"""The stack's workers: processes of `faust-ledger worker`, each supervising its own."""

import os
import re
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil

from ledger.health import probe
from ledger.health.server import ADDRESS_FILE, read_last_address
from ledger.settings import FROM_STACK
from ledger.stack import credentials, identity, parts
from ledger.stack import record as records
from ledger.stack.environment import INTERPRETER, for_python
from ledger.stack.files import Layout
from ledger.stack.parts import SAME_START_SECONDS, Part
from ledger.stack.record import Record

READY_SECONDS = 120
# A worker finishes the run it is posting and leaves its group; after that it is killed.
STOP_SECONDS = 30
# The same Python, so that the workers run what `up` runs.
PROGRAM = (*INTERPRETER, "-m", "ledger.cli.main")
NONE = "no worker runs, so nothing is decided or posted"


def scale(
    place: Layout,
    record: Record,
    count: int,
    *,
    say: Callable[[str], None],
) -> Record:
    """Have workers 1 to `count` and no others, all ready.

    The record is written after every step. `StackError` when one does not become ready.
    """
    alive = living(place, record)
    wanted = [name_of(each + 1) for each in range(count)]
    stop_all([part for name, part in alive.items() if name not in wanted], say)
    kept = [alive[name] for name in wanted if name in alive]
    record = replace(record, workers=tuple(kept))
    for name in wanted:
        if name not in alive:
            say(f"starting {name}")
            part = start(place, name)
            record = replace(record, workers=(*record.workers, part))
            records.save_record(place, record)
    record = replace(record, workers=tuple(sorted(record.workers, key=number_of)))
    records.save_record(place, record)
    for part in record.workers:
        parts.await_ready(part, partial(missing, place, part), seconds=READY_SECONDS)
        say(f"{part.name} is ready (up {parts.uptime(part)}, pid {part.pid})")
    return record


def missing(place: Layout, part: Part) -> str | None:
    """Why the worker is not ready; None when it is."""
    return probe.problem(probe.ask(place.worker(part.name), parts.process_of(part)))


def living(place: Layout, record: Record) -> dict[str, Part]:
    """By name, the workers that run on this data directory, recorded or not."""
    return {part.name: part for part in (*found(place), *record.workers) if parts.running(part)}


def highest(place: Layout, record: Record) -> int:
    """The highest number of a worker that is on record or runs; 0 where there is none."""
    return max(map(number_of, (*found(place), *record.workers)), default=0)


def present(place: Layout, record: Record | None) -> list[Part]:
    """The workers on record, and those that run here without, such as in a terminal."""
    known = {part.name: part for part in (*(record.workers if record else ()), *found(place))}
    for folder in sorted(place.root.glob("workers/*")):
        if not parts.running(known.get(folder.name)) and (process := process_at(folder)):
            part = parts.adopt(folder.name, process, port=None, log=place.log(folder.name))
            known[folder.name] = part
    return sorted(known.values(), key=lambda part: (number_of(part), part.name))


def how_to_start(remembered: int | None) -> str:
    """The command that starts a worker where none runs, given how many `up` starts."""
    count = " --workers 1" if remembered == 0 else ""
    return f"`faust-ledger up{count}` starts {'them' if (remembered or 0) > 1 else 'one'}"


def process_at(folder: Path) -> psutil.Process | None:
    """The process that wrote its address to a worker's folder, if it runs."""
    written = read_last_address(folder)
    if written is None:
        return None
    with suppress(psutil.Error, OSError):
        process = psutil.Process(written[0])
        # One that began later has got the pid of the one that wrote it.
        began, at = process.create_time(), (folder / ADDRESS_FILE).stat().st_mtime
        if began <= at + SAME_START_SECONDS and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def name_of(number: int) -> str:
    """Workers are counted from 1."""
    return f"worker-{number}"


def number_of(part: Part) -> int:
    """The reverse of `name_of`."""
    return int(re.sub(r"\D", "", part.name) or 0)


def arguments(place: Layout, name: str) -> list[str]:
    """What follows the program; by these a worker is known again."""
    return ["worker", "--data-dir", str(place.root), "--name", name]


def environment(place: Layout, user: str = "service") -> dict[str, str]:
    """This stack's addresses for `user`, whatever the environment or a configuration file say."""
    me = identity.load_identity(place)
    assert me is not None, "a stack without an identity has no workers"
    own = credentials.connection_settings(place, me, user)
    mine = {f"FAUST_LEDGER_{name.upper()}" for name in FROM_STACK}
    return {
        **{name: value for name, value in for_python().items() if name not in mine},
        **{f"FAUST_LEDGER_{name.upper()}": str(value) for name, value in own.items()},
    }


def start(place: Layout, name: str) -> Part:
    """Start one without waiting."""
    # The working directory stays: a relative FAUST_LEDGER_CONFIG is looked for in it.
    command = [*PROGRAM, *arguments(place, name)]
    return parts.spawn(name, command, port=None, log=place.log(name), env=environment(place))


def found(place: Layout) -> list[Part]:
    """Workers among the running processes, by their command lines."""
    *marks, _ = arguments(place, "")
    known = []
    for process in parts.find_all(marks, (os.geteuid(),)):
        words = process.cmdline()
        name = words[words.index("--name") + 1]
        known.append(parts.adopt(name, process, port=None, log=place.log(name)))
    return known


def stop_all(some: list[Part], say: Callable[[str], None]) -> None:
    """Stop workers at once."""
    parts.stop_together(some, say, first=signal.SIGTERM, seconds=STOP_SECONDS)
