"""The services of a stack, told apart only by what is listed here."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ledger.settings import Settings
from ledger.stack import credentials, java, kafka, parts, postgres, postgres_user, registry, replica
from ledger.stack.aot_cache import AotCache
from ledger.stack.cache import KAFKA_NAME, REGISTRY_NAME, kafka_jars, registry_dir
from ledger.stack.files import Layout
from ledger.stack.identity import Broker, Identity, Server
from ledger.stack.parts import Part


@dataclass(frozen=True)
class Service:
    """How a service is started, known again, seen to be ready and stopped; times in seconds.

    `marks` are arguments of its process that no other has, `users` the ids it may run as, `needs`
    the service without which it does not answer.
    """

    name: str
    port: int
    log: Path
    marks: tuple[str, ...]
    users: tuple[int, ...]
    start: Callable[[], Part]
    missing: parts.Check
    ready_seconds: float
    stop_signal: signal.Signals
    stop_seconds: float
    needs: str = ""

    def find(self) -> Part | None:
        """The running process that no record tells of: an `up` was killed before it wrote one."""
        found = parts.find(self.marks, self.users)
        return parts.adopt(self.name, found, port=self.port, log=self.log) if found else None


@dataclass(frozen=True)
class Services:
    """The services of a stack by kind; `replica` is None with one data centre."""

    database: Service
    replica: Service | None
    brokers: tuple[Service, ...]
    registries: tuple[Service, ...]

    @property
    def all(self) -> tuple[Service, ...]:
        """Every service; one comes after those that it needs."""
        replicas = (self.replica,) if self.replica else ()
        return (self.database, *replicas, *self.brokers, *self.registries)


def services(place: Layout, me: Identity, cache: Path) -> tuple[Service, ...]:
    """PostgreSQL, the brokers and the registry, in the order in which they start."""
    return by_kind(place, me, cache).all


def by_kind(place: Layout, me: Identity, cache: Path) -> Services:
    """The services of a stack."""
    return Services(
        of_postgres(place, me),
        of_replica(place, me, me.replica_database) if me.replica_database else None,
        tuple(of_kafka(place, me, broker, cache) for broker in me.brokers),
        tuple(of_registry(place, me, server, cache) for server in me.registries),
    )


def of_replica(place: Layout, me: Identity, server: Server) -> Service:
    """The database that follows the primary."""
    return _database(
        place,
        server,
        start=lambda: replica.start(place, me),
        missing=lambda: replica.missing(place, me),
        needs=me.primary,
    )


def of_postgres(place: Layout, me: Identity) -> Service:
    """The database that takes writes."""
    return _database(
        place,
        me.primary_database,
        start=lambda: postgres.start(place, me),
        missing=lambda: postgres.missing(place, me),
    )


def _database(
    place: Layout,
    server: Server,
    *,
    start: Callable[[], Part],
    missing: parts.Check,
    needs: str = "",
) -> Service:
    return Service(
        name=server.name,
        port=server.port,
        log=place.log(server.name),
        marks=(postgres.mark(place, server.name),),
        users=tuple(postgres_user.owners()),
        start=start,
        missing=missing,
        ready_seconds=postgres.READY_SECONDS,
        stop_signal=postgres.STOP_SIGNAL,
        stop_seconds=postgres.STOP_SECONDS,
        needs=needs,
    )


def of_kafka(place: Layout, me: Identity, broker: Broker, cache: Path) -> Service:
    """One data centre's broker."""
    return Service(
        name=broker.name,
        port=broker.port,
        log=place.log(broker.name),
        marks=(java.mark(place, broker.name),),
        users=(os.geteuid(),),
        start=lambda: kafka.start(
            place, me, broker, kafka_jars(cache), AotCache(cache, KAFKA_NAME)
        ),
        missing=lambda: kafka.missing(credentials.admin_settings(place, me), broker),
        ready_seconds=kafka.READY_SECONDS,
        stop_signal=signal.SIGTERM,
        stop_seconds=kafka.STOP_SECONDS,
    )


def of_registry(place: Layout, me: Identity, server: Server, cache: Path) -> Service:
    """One data centre's schema registry."""
    return Service(
        name=server.name,
        port=server.port,
        log=place.log(server.name),
        marks=(java.mark(place, server.name),),
        users=(os.geteuid(),),
        start=lambda: registry.start(
            place, me, server, registry_dir(cache), AotCache(cache, REGISTRY_NAME)
        ),
        missing=lambda: registry.missing(alone(place, me, server), server.port),
        ready_seconds=registry.READY_SECONDS,
        stop_signal=signal.SIGTERM,
        stop_seconds=registry.STOP_SECONDS,
        needs=me.primary,
    )


def alone(place: Layout, me: Identity, server: Server) -> Settings:
    """The settings of `admin` with this registry and no other."""
    found = credentials.admin_settings(place, me)
    return found.model_copy(update={"registry_url": registry.url_of(me, server)})
