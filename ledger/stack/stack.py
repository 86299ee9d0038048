"""Up and down: PostgreSQL, Kafka, the registry and the workers of one data directory."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ledger.errors import StackError
from ledger.settings import Settings
from ledger.settings import load as load_settings
from ledger.stack import cache, files, identity, java, kafka, parts, ports, postgres, registry
from ledger.stack import record as records
from ledger.stack import workers as working
from ledger.stack.files import Layout
from ledger.stack.identity import Identity, Ports
from ledger.stack.parts import Part
from ledger.stack.prepare import prepare
from ledger.stack.progress import Meters
from ledger.stack.record import Record

Say = Callable[[str], None]

# `up` may be downloading, or `down` waiting for workers to finish.
LOCK_SECONDS = 900


def unsaid(text: str) -> None:
    """For callers with nobody to tell."""


@dataclass(frozen=True)
class Start:
    """How a part is started, recognised and seen to be ready."""

    name: str
    port: int
    marks: tuple[str, ...]
    users: tuple[int, ...]
    start: Callable[[], Part]
    missing: parts.Check
    seconds: float


def up(
    data_dir: Path,
    *,
    wanted: Ports | None = None,
    workers: int | None = None,
    meters: Meters | None = None,
    say: Say = unsaid,
) -> Record:
    """Start what is not running, prepare it, and return when all of it is ready.

    `workers` None keeps as many as are on record. `StackError` says which part did not come up.
    """
    place = files.layout(data_dir)
    files.create(place)
    with locked(place, say):
        record = start_parts(place, wanted or Ports(), meters=meters, say=say)
        settings = settings_of(record)
        prepare(settings)
        say("tables, subjects and topics are there")
        count = len(record.workers) if workers is None else workers
        return working.scale(place, record, count, say=say)


def settings_of(record: Record) -> Settings:
    """This stack's settings: its own addresses, even where the environment names others."""
    return load_settings(record.data_dir).model_copy(update=record.addresses())


def start_parts(
    place: Layout, wanted: Ports, *, meters: Meters | None = None, say: Say = unsaid
) -> Record:
    """Start PostgreSQL, Kafka and the registry and await each; the caller holds the lock."""
    java.binary()
    cache.provide(cache.cache_dir(), meters)
    known = records.load(place)
    me = identity.establish(place, with_running(wanted, known), chosen_shards(place))
    record = replace(
        records.new(place, me),
        parts=known.parts if known else (), workers=known.workers if known else (),
    )
    before = {part.name: part for part in record.parts}
    steps = steps_of(place, me)
    record = discover(place, record, steps)
    me = controller_port(place, me, running=parts.running(record.part(kafka.NAME)))
    for step in steps_of(place, me):
        if step.name == registry.NAME:
            await_part(record, steps[0], before, say)
            postgres.create_databases(me)
        record = ensure(place, record, step)
    for step in steps[1:]:
        await_part(record, step, before, say)
    return record
