"""The services of a stack, told apart only by what is listed here."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ledger.stack import credentials, java, kafka, parts, postgres, postgres_user, registry
from ledger.stack.aot_cache import AotCache
from ledger.stack.cache import KAFKA_NAME, REGISTRY_NAME, kafka_jars, registry_dir
from ledger.stack.files import Layout
from ledger.stack.identity import Broker, Identity
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


def services(place: Layout, me: Identity, cache: Path) -> tuple[Service, ...]:
    """PostgreSQL, the brokers and the registry, in the order in which they start."""
    brokers = [of_kafka(place, me, broker, cache) for broker in me.brokers]
    return (of_postgres(place, me), *brokers, of_registry(place, me, cache))


def of_postgres(place: Layout, me: Identity) -> Service:
    """The database."""
    return Service(
        name=postgres.NAME,
        port=me.postgres_port,
        log=place.log(postgres.NAME),
        marks=(postgres.mark(place),),
        users=tuple(postgres_user.owners()),
        start=lambda: postgres.start(place, me),
        missing=lambda: postgres.missing(place, me),
        ready_seconds=postgres.READY_SECONDS,
        stop_signal=postgres.STOP_SIGNAL,
        stop_seconds=postgres.STOP_SECONDS,
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


def of_registry(place: Layout, me: Identity, cache: Path) -> Service:
    """The schema registry."""
    return Service(
        name=registry.NAME,
        port=me.registry_port,
        log=place.log(registry.NAME),
        marks=(java.mark(place, registry.NAME),),
        users=(os.geteuid(),),
        start=lambda: registry.start(
            place, me, registry_dir(cache), AotCache(cache, REGISTRY_NAME)
        ),
        missing=lambda: registry.missing(credentials.admin_settings(place, me), me.registry_port),
        ready_seconds=registry.READY_SECONDS,
        stop_signal=signal.SIGTERM,
        stop_seconds=registry.STOP_SECONDS,
        needs=postgres.NAME,
    )
