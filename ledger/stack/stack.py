"""Up and down: PostgreSQL, Kafka, the registry, workers and API of one data directory."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ledger.errors import StackError
from ledger.settings import Settings
from ledger.stack import (
    api,
    cache,
    credentials,
    files,
    identity,
    parts,
    ports,
    postgres,
    replica,
    workers,
)
from ledger.stack import record as records
from ledger.stack.aot_cache import AotCache
from ledger.stack.files import Layout
from ledger.stack.identity import Identity, Ports, Shape
from ledger.stack.parts import Part
from ledger.stack.prepare import prepare
from ledger.stack.progress import Meters
from ledger.stack.record import Record
from ledger.stack.services import Service, by_kind

Say = Callable[[str], None]

# The other one may be downloading, or waiting for workers to finish.
LOCK_SECONDS = 900


def unsaid(text: str) -> None:
    """For callers with nobody to tell."""


def up(
    data_dir: Path,
    *,
    wanted: Ports | None = None,
    shape: Shape | None = None,
    worker_count: int | None = None,
    api_count: int | None = None,
    synchronous: bool | None = None,
    remember: bool = False,
    meters: Meters | None = None,
    say: Say = unsaid,
) -> Record:
    """Start what is not running, prepare it, and return when all of it is ready.

    `worker_count` None: as many as were remembered, else as many as run, at least one in each data
    centre. `api_count` None: as many API processes as were remembered, else as many as run.
    `remember`: the next `up` starts as many of both. `synchronous` None: as before. Raises
    `StackError`, which says which part did not come up and why; what did come up keeps running.
    """
    place = files.layout(data_dir)
    files.create_directories(place)
    with locked(place, say):
        record = start_services(
            place, wanted or Ports(), shape, synchronous=synchronous, meters=meters, say=say
        )
        prepare(settings_of(record), say=say)
        say("tables, subjects and topics are there")
        count = wanted_workers(place, record, worker_count, remember=remember)
        serving = wanted_api(place, record, api_count, remember=remember)
        record = workers.scale(place, record, count, say=say)
        return api.scale(place, record, serving, say=say)


def wanted_api(place: Layout, record: Record, given: int | None, *, remember: bool) -> int:
    """How many API processes `up` is to start, as it documents."""
    me = identity.require_identity(place)
    known = api.highest(place, record) if me.api is None else me.api
    count = known if given is None else given
    if remember and count != me.api:
        identity.save_identity(place, replace(me, api=count))
    return count


def wanted_workers(place: Layout, record: Record, given: int | None, *, remember: bool) -> int:
    """How many workers `up` is to start, as it documents."""
    me = identity.load_identity(place)
    assert me is not None, "its services were started"
    known = me.workers
    if known is None:
        known = max(workers.highest(place, record), me.data_centres)
    count = known if given is None else given
    if remember and count != me.workers:
        # Before they start: an `up` that fails then is repeated as it was meant.
        identity.save_identity(place, replace(me, workers=count))
    return count


def start_services(
    place: Layout,
    wanted: Ports,
    shape: Shape | None = None,
    *,
    synchronous: bool | None = None,
    meters: Meters | None = None,
    say: Say = unsaid,
) -> Record:
    """Start and await PostgreSQL, Kafka and the registry; the caller holds the lock."""
    cached = cache.cache_dir()
    cache.provide(cached, meters)
    for name in cache.PROGRAMS:
        AotCache(cached, name).install()
    known = records.load_record(place)
    require_not_moving(known, wanted)
    # Not `load`: it reads the record, which a crash of the disk may have left unreadable.
    me = identity.load_or_create(place, wanted, Settings(data_dir=place.root), shape)
    me = identity.with_synchronous(me, given=synchronous)
    record = records.new_record(place, me)
    if known is not None:
        record = replace(record, parts=known.parts, workers=known.workers, api=known.api)
    brokers = by_kind(place, me, cached).brokers
    if not any(running_part(record, broker) for broker in brokers):
        me = identity.with_new_controller_ports(me)
    found = by_kind(place, me, cached)
    for service in found.all:
        require_place(record, service, place)
    # Only now: a port that cannot be had is not to be remembered.
    identity.save_identity(place, me)
    credentials.write_credentials(place, me)
    api.write_key(place)
    for service in (found.database, *found.brokers):
        record = ensure_running(place, record, service, say)
    await_service(record, found.database, say)
    replica.ensure_primary(place, me)
    postgres.create_databases(place, me)
    postgres.take_back(place, me)
    record = start_replica(place, me, record, found.replica, say)
    first, *others = found.registries
    record = ensure_running(place, record, first, say)
    for service in (*found.brokers, first):
        await_service(record, service, say)
    for service in others:
        # Only now: the first one makes its tables, or brings them to its version.
        record = ensure_running(place, record, service, say)
        await_service(record, service, say)
    if me.secure:
        add_users(place, me, say)
    return record


def start_replica(
    place: Layout, me: Identity, record: Record, service: Service | None, say: Say
) -> Record:
    """Have the replica follow the primary, copied from it where it cannot go on from what it has.

    With one data centre there is none.
    """
    if service is None:
        return record
    if replica.needs_copy(place, me):
        found = [part] if (part := running_part(record, service)) else []
        parts.stop_together(found, say, first=service.stop_signal, seconds=service.stop_seconds)
        say(f"copying {me.primary} to {service.name}")
        replica.copy(place, me)
    record = ensure_running(place, record, service, say)
    await_service(record, service, say)
    replica.set_synchronous(place, me)
    return record


def add_users(place: Layout, me: Identity, say: Say) -> None:
    """Add the users of Kafka that this version has and the one that made the stack had not."""
    # Imported here: `down` and `--help` need none of it.
    from ledger.streaming.users import add_missing

    passwords = {user: me.passwords[user] for user in identity.USERS}
    if added := asyncio.run(add_missing(credentials.admin_settings(place, me), passwords)):
        say(f"added to Kafka's users: {', '.join(added)}")


def require_not_moving(known: Record | None, wanted: Ports) -> None:
    """A `StackError` when a running part is asked to be on another port."""
    for part in known.parts if known else ():
        port = getattr(wanted, "kafka" if part.name == "kafka-1" else part.name, None)
        if port is not None and port != part.port and parts.running(part):
            raise StackError(
                f"{part.name} runs on port {part.port} and cannot move to {port} while it does: "
                "run `faust-ledger down`, then `up` with the new port."
            )


def require_place(record: Record, service: Service, place: Layout) -> None:
    """A `StackError`, before anything is started, when somebody else has the service's port."""
    if not parts.running(record.part(service.name)) and service.find() is None:
        ports.require_free_port(service.name, service.port, place.identity_file)


def ensure_running(place: Layout, record: Record, service: Service, say: Say) -> Record:
    """The record with a living process for `service`: known, found or started; written."""
    part = record.part(service.name)
    if not parts.running(part):
        part = service.find()
        if part is None:
            say(f"starting {service.name} on port {service.port}")
            part = service.start()
        record = record.with_part(part)
    records.save_record(place, record)
    return record


def await_service(record: Record, service: Service, say: Say) -> None:
    """Return when it is ready; `StackError` with its log's end when that takes too long."""
    part = record.part(service.name)
    assert part is not None, "it was started just now"
    parts.await_ready(part, service.missing, seconds=service.ready_seconds)
    say(f"{service.name} is ready (up {parts.uptime(part)}, pid {part.pid}, port {part.port})")


def settings_of(record: Record) -> Settings:
    """This stack's settings: its own addresses, even where the environment names others."""
    return Settings(data_dir=record.data_dir, **record.addresses)


def down(data_dir: Path, *, say: Say = unsaid) -> list[str]:
    """Stop API and workers, then registry and Kafka, then PostgreSQL, each awaited; their names.

    Nothing running, or no such directory, is fine. The data, the ports and the addresses stay.
    """
    place = files.layout(data_dir)
    files.require_own(place)
    if not place.identity_file.exists():
        return []
    with locked(place, say):
        me = identity.load_identity(place)
        assert me is not None, "the file was there"
        record = records.load_record(place) or records.new_record(place, me)
        if me.workers is None and (ran := workers.highest(place, record)):
            me = replace(me, workers=ran)
        if me.api is None and (served := api.highest(place, record)):
            me = replace(me, api=served)
        identity.save_identity(place, me)
        stopped = [part.name for part in api.living(place, record).values()]
        record = api.scale(place, record, 0, say=say)
        stopped += [part.name for part in workers.living(place, record).values()]
        record = workers.scale(place, record, 0, say=say)
        stopped += stop_services(place, me, record, say)
        # Of versions before 0.3: the passwords of all roles in one file.
        (place.secrets / "pgpass").unlink(missing_ok=True)
    return stopped


def stop_services(place: Layout, me: Identity, record: Record, say: Say) -> Iterator[str]:
    """Stop registry and Kafka, then PostgreSQL; the names of those that ran."""
    cached = cache.cache_dir()
    known = by_kind(place, me, cached)
    java = (*known.registries, *known.brokers)
    running = any(running_part(record, service) for service in java)
    if running and any(AotCache(cached, name).is_needed() for name in cache.PROGRAMS):
        say("Java keeps what it has loaded: it stops slowly this once, then starts faster")
    replicas = (known.replica,) if known.replica else ()
    # The primary before its replica, which then has all that it had.
    for group in filter(None, (java, (known.database,), replicas)):
        # A broker leaves with its controllers' leave, which the last one alone cannot get.
        found = [part for service in group if (part := running_part(record, service))]
        first, seconds = group[0].stop_signal, group[0].stop_seconds
        parts.stop_together(found, say, first=first, seconds=seconds)
        for service in group:
            record = record.without(service.name)
        records.save_record(place, record)
        yield from (part.name for part in found)


def running_part(record: Record, service: Service) -> Part | None:
    """Its process, recorded or found; None when it does not run."""
    part = record.part(service.name)
    return part if parts.running(part) else service.find()


@contextmanager
def locked(place: Layout, say: Say) -> Iterator[None]:
    """One `up` or `down` at a time; `StackError` when the other one does not finish."""
    import fasteners

    lock = fasteners.InterProcessLock(place.lock_file)
    if not lock.acquire(blocking=False):
        say(f"another faust-ledger is starting or stopping {place.root}: waiting for it")
        if not lock.acquire(timeout=LOCK_SECONDS):
            raise StackError(
                f"Another faust-ledger has held {place.lock_file} for {LOCK_SECONDS / 60:.0f} "
                "minutes. Look at what it does, or end it, then try again."
            )
    try:
        yield
    finally:
        lock.release()
