"""The stack's API processes: each `faust-ledger api`, which supervises the one that answers."""

import base64
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from ledger.health import probe
from ledger.health.server import read_last_address
from ledger.settings_sources import variable_of
from ledger.stack import credentials, identity, parts, ports, workers
from ledger.stack import record as records
from ledger.stack.files import Layout, write_private
from ledger.stack.identity import Identity
from ledger.stack.parts import Part
from ledger.stack.ports import HOST
from ledger.stack.record import Record

READY_SECONDS = 60
STOP_SECONDS = 30
"""It finishes what runs, and closes what is live; after that it is killed."""
KEY_BYTES = 32
Say = Callable[[str], None]


def write_key(place: Layout) -> None:
    """Make the signing key, unless there is one: with another, all tokens of before are refused."""
    if not place.api_key.exists():
        key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        write_private(place.api_key, key + "\n")


def scale(place: Layout, record: Record, count: int, *, say: Say) -> Record:
    """Have API processes 1 to `count` and no others, all ready.

    The record is written after every step. `StackError` when one does not become ready, or has lost
    its port to another program.
    """
    alive = living(place, record)
    wanted = [name_of(each + 1) for each in range(count)]
    stop_all([part for name, part in alive.items() if name not in wanted], say)
    record = replace(record, api=tuple(alive[name] for name in wanted if name in alive))
    me = identity.with_api_ports(identity.require_identity(place), count)
    identity.save_identity(place, me)
    for name, port in zip(wanted, me.api_ports, strict=False):
        if name not in alive:
            ports.require_free_port(name, port, place.identity_file)
            say(f"starting {name} on port {port}")
            record = replace(record, api=(*record.api, start(place, me, name, port)))
            records.save_record(place, record)
    record = replace(record, api=tuple(sorted(record.api, key=workers.number_of)))
    records.save_record(place, record)
    for part in record.api:
        parts.await_ready(part, partial(missing, place, part), seconds=READY_SECONDS)
        say(f"{part.name} is ready (up {parts.uptime(part)}, pid {part.pid}, port {part.port})")
    return record


def missing(place: Layout, part: Part) -> str | None:
    """Why it is not ready; None when it is."""
    return probe.problem(ask(place, part))


def ask(place: Layout, part: Part) -> probe.Report | str:
    """What it answers at /ready; a sentence where it does not."""
    return probe.ask(place.api(part.name), parts.process_of(part), place.ca_file)


def urls(place: Layout, record: Record) -> list[str]:
    """The addresses of those that run, in their order."""
    found = (read_last_address(place.api(part.name)) for part in record.api if parts.running(part))
    return [address for each in found if each is not None for address in (each[1],)]


def living(place: Layout, record: Record) -> dict[str, Part]:
    """By name, those that run on this data directory, recorded or not."""
    return {part.name: part for part in (*found(place), *record.api) if parts.running(part)}


def highest(place: Layout, record: Record) -> int:
    """The highest number of one that is on record or runs; 0 where there is none."""
    return max(map(workers.number_of, (*found(place), *record.api)), default=0)


def present(place: Layout, record: Record | None) -> list[Part]:
    """Those on record, and those that run here without, such as in a terminal."""
    known = {part.name: part for part in (*(record.api if record else ()), *found(place))}
    for folder in sorted(place.root.glob("api/*")):
        running = parts.running(known.get(folder.name))
        if not running and (process := workers.process_at(folder)):
            port = port_of(folder)
            part = parts.adopt(folder.name, process, port=port, log=place.log(folder.name))
            known[folder.name] = part
    return sorted(known.values(), key=lambda part: (workers.number_of(part), part.name))


def port_of(folder: Path) -> int | None:
    """The port that it has written last; None where it has written none."""
    written = read_last_address(folder)
    return int(written[1].rpartition(":")[2]) if written else None


def name_of(number: int) -> str:
    """They are counted from 1."""
    return f"api-{number}"


def arguments(place: Layout, name: str) -> list[str]:
    """What follows the program; by these one is known again."""
    return ["api", "--data-dir", str(place.root), "--name", name]


def found(place: Layout) -> Iterator[Part]:
    """Those among the running processes, by their command lines."""
    *marks, _ = arguments(place, "")
    for process in parts.find_all(marks, (os.geteuid(),)):
        words = process.cmdline()
        name = words[words.index("--name") + 1]
        yield parts.adopt(name, process, port=port_of(place.api(name)), log=place.log(name))


def environment(place: Layout, me: Identity) -> dict[str, str]:
    """The addresses of this stack, as the API's role has them, and its files."""
    mine = {
        "api_host": HOST,
        "api_key_file": str(place.api_key),
        **({"api_certificate_file": str(place.certificate(credentials.API))} if me.secure else {}),
    }
    return {
        **workers.environment(place, credentials.API),
        **{variable_of(name): value for name, value in mine.items()},
    }


def start(place: Layout, me: Identity, name: str, port: int) -> Part:
    """Start one without waiting."""
    command = [*workers.PROGRAM, *arguments(place, name), "--port", str(port)]
    env = environment(place, me)
    return parts.spawn(name, command, port=port, log=place.log(name), env=env)


def stop_all(some: list[Part], say: Say) -> None:
    """Stop API processes at once."""
    parts.stop_together(some, say, first=signal.SIGTERM, seconds=STOP_SECONDS)
