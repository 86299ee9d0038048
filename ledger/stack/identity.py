"""What a data directory keeps for life: its shape, ports, passwords and Kafka cluster id."""

import base64
import json
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from ledger.errors import StackError
from ledger.settings import Settings
from ledger.stack import ports
from ledger.stack.files import Layout, write_private

DATABASE_ROLES = ("postgres", "ledger_owner", "ledger_service", "ledger_finance", "registry")
"""PostgreSQL's roles."""
USERS = ("broker", "admin", "service", "producer", "backend", "finance", "api")
"""Kafka's users; all but the broker are the registry's users too."""
REMEMBERED = ("workers", "api", "api_ports")
"""Fields that `up` may change. They are in a file of their own: releases before 0.3 take no other
field in the identity's file than theirs."""
SECOND = ("replica_port", "second_registry_port", "primary", "synchronous")
"""Fields of a stack of several data centres alone."""
REPLICATOR = "ledger_replica"
"""PostgreSQL's role that copies the primary; only a stack of several data centres has it."""
POSTGRES, REGISTRY = "postgres", "registry"
"""Names of the servers of the first data centre; those of the second have -2."""


@dataclass(frozen=True)
class Ports:
    """TCP ports on 127.0.0.1; None takes the recorded port, or else a free one."""

    kafka: int | None = None
    registry: int | None = None
    postgres: int | None = None


@dataclass(frozen=True)
class Shape:
    """What is fixed when a stack is created; None takes what is recorded, or else the default."""

    data_centres: int | None = None
    secure: bool | None = None


@dataclass(frozen=True)
class Broker:
    """One Kafka node, broker and controller in one; `number` is its data centre's, from 1."""

    number: int
    name: str
    port: int
    controller_port: int


@dataclass(frozen=True)
class Server:
    """A PostgreSQL or a registry; `name` is that of its part."""

    name: str
    port: int


@dataclass(frozen=True)
class Identity:
    """What is recorded of one stack.

    `passwords` are by PostgreSQL role and Kafka user; every data centre has one broker. `workers`:
    how many `up` starts when it is not told; None before the first `up`. `api`: the
    same of API processes; each has a port of `api_ports`. With several data centres there is a
    second PostgreSQL on `replica_port` and a second registry on `second_registry_port`; `primary`
    names the PostgreSQL that takes writes. `synchronous`: a commit counts once both have it.
    """

    cluster_id: str
    kafka_ports: tuple[int, ...]
    controller_ports: tuple[int, ...]
    registry_port: int
    postgres_port: int
    shards: int
    secure: bool
    passwords: dict[str, str]
    workers: int | None = None
    api: int | None = None
    api_ports: tuple[int, ...] = ()
    replica_port: int = 0
    second_registry_port: int = 0
    primary: str = POSTGRES
    synchronous: bool = False

    @property
    def databases(self) -> tuple[Server, ...]:
        """The PostgreSQL servers in the order of their data centres, whichever is the primary."""
        return _servers(POSTGRES, self.postgres_port, self.replica_port)

    @property
    def primary_database(self) -> Server:
        """The PostgreSQL that takes writes."""
        return next(each for each in self.databases if each.name == self.primary)

    @property
    def replica_database(self) -> Server | None:
        """The PostgreSQL that follows the primary; None with one data centre."""
        return next((each for each in self.databases if each.name != self.primary), None)

    @property
    def registries(self) -> tuple[Server, ...]:
        """The schema registries in the order of their data centres."""
        return _servers(REGISTRY, self.registry_port, self.second_registry_port)

    @property
    def data_centres(self) -> int:
        """The number of data centres."""
        return len(self.kafka_ports)

    @property
    def brokers(self) -> tuple[Broker, ...]:
        """The brokers in the order of their data centres."""
        ports = zip(self.kafka_ports, self.controller_ports, strict=True)
        return tuple(
            Broker(number, "kafka" if self.data_centres == 1 else f"kafka-{number}", *each)
            for number, each in enumerate(ports, 1)
        )

    @property
    def copies(self) -> int:
        """The copies of every partition: one in each of at most three data centres."""
        return min(self.data_centres, 3)


def _servers(name: str, first: int, second: int) -> tuple[Server, ...]:
    found = (Server(name, first), Server(f"{name}-2", second))
    return found if second else found[:1]


def load_identity(place: Layout) -> Identity | None:
    """The recorded identity; None for a new data directory. `StackError` for an unreadable one."""
    if not place.identity_file.exists():
        return None
    try:
        stored = _read_object(place.identity_file) | _remembered(place)
        _require_known(place, stored)
        for name in ("kafka_ports", "controller_ports", "api_ports"):
            stored[name] = tuple(stored.get(name, ()))
        return Identity(**stored)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise StackError(
            f"{place.identity_file} holds this stack's passwords and cannot be read ({error}). "
            "Restore it from a backup; or, if the ledger in this directory may be lost, remove "
            f"{place.root} and start again."
        ) from error


def _remembered(place: Layout) -> dict[str, Any]:
    """What `up` remembers; nothing where an earlier release was the last to run."""
    file = place.remembered_file
    try:
        return _read_object(file) if file.exists() else {}
    except (OSError, ValueError, RecursionError) as error:
        raise StackError(
            f"{file} cannot be read ({error}). Remove it, then tell `faust-ledger up` how many "
            "workers and API processes to start; the latter get other ports."
        ) from error


def _read_object(file: Path) -> dict[str, Any]:
    found = json.loads(file.read_text())
    if not isinstance(found, dict):
        raise ValueError(f"{file.name} is not an object")  # noqa: TRY004 - of the file's text
    return found


def _require_known(place: Layout, stored: Mapping[str, Any]) -> None:
    """A `StackError` for fields that this release does not know."""
    unknown = sorted(stored.keys() - {each.name for each in fields(Identity)})
    if unknown:
        raise StackError(
            f"{place.root} was written by a newer release of faust-ledger, and this one does not "
            f"know what it has recorded ({', '.join(unknown)}). Nothing was changed. Use that "
            "release or a newer one, or a copy of the directory from before the upgrade "
            "(docs/upgrading.md)."
        )


def require_identity(place: Layout) -> Identity:
    """The recorded identity; `StackError` where there is no stack."""
    me = load_identity(place)
    if me is None:
        raise StackError(
            f"No ledger here: run `faust-ledger up --data-dir {place.root}`. There is no stack in "
            f"{place.root}."
        )
    return me


def load_or_create(
    place: Layout, wanted: Ports, settings: Settings, shape: Shape | None = None
) -> Identity:
    """The recorded identity, or a new one, with the `wanted` ports; not written yet.

    `StackError` when the number of shards or data centres, or `secure`, is set and differs from
    what the stack was created with.
    """
    shape = shape or Shape()
    known = load_identity(place) or new_identity(place, wanted, settings.shards, shape)
    # A stack of an earlier version lacks the roles that came since.
    known = replace(known, passwords={**new_passwords(), **known.passwords})
    known = with_second_servers(known)
    given = settings.shards if "shards" in settings.model_fields_set else None
    require_same("shards", given, known.shards)
    require_same("data centres", shape.data_centres, known.data_centres)
    if shape.secure is not None and shape.secure != known.secure:
        raise StackError(
            f"This stack was created {'with' if known.secure else 'without'} --secure, which "
            "cannot be changed: give the option as it was, or use another --data-dir."
        )
    identity = replace(
        known,
        kafka_ports=(wanted.kafka or known.kafka_ports[0], *known.kafka_ports[1:]),
        registry_port=wanted.registry or known.registry_port,
        postgres_port=wanted.postgres or known.postgres_port,
    )
    require_distinct(identity)
    return identity


def require_same(what: str, given: int | None, known: int) -> None:
    """A `StackError` when `given` is set and differs from the ledger's number."""
    if given is not None and given != known:
        raise StackError(
            f"This ledger was created with {known} {what} and {given} are set now. The number "
            "cannot be changed: remove the setting, or use another --data-dir."
        )


def save_identity(place: Layout, identity: Identity) -> None:
    """Write the identity and what `up` remembers, mode 0600, each file all or nothing."""
    stored = asdict(identity)
    remembered = {name: stored.pop(name) for name in REMEMBERED}
    if not identity.replica_port:
        # An earlier version reads that of one data centre.
        for name in SECOND:
            del stored[name]
    write_private(place.identity_file, json.dumps(stored, indent=2))
    write_private(place.remembered_file, json.dumps(remembered, indent=2))


def new_identity(place: Layout, wanted: Ports, shards: int, shape: Shape) -> Identity:
    """New passwords, a new cluster id, and a free port for every part without a wanted one."""
    if (place.postgres / "PG_VERSION").exists():
        raise StackError(
            f"{place.postgres} holds a database, but {place.identity_file} with its passwords is "
            "missing. Restore that file from a backup, or remove the directory and start again."
        )
    taken = {each for each in (wanted.kafka, wanted.registry, wanted.postgres) if each}

    def port(given: int | None = None) -> int:
        chosen = given or ports.choose(taken)
        taken.add(chosen)
        return chosen

    others = range(1, shape.data_centres or 1)
    return Identity(
        cluster_id=base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="),
        kafka_ports=(port(wanted.kafka), *(port() for _ in others)),
        controller_ports=tuple(port() for _ in range(shape.data_centres or 1)),
        registry_port=port(wanted.registry),
        postgres_port=port(wanted.postgres),
        shards=shards,
        secure=bool(shape.secure),
        passwords=new_passwords(),
    )


def new_passwords() -> dict[str, str]:
    """A new password for every role and user."""
    return {name: secrets.token_urlsafe(24) for name in (*DATABASE_ROLES, *USERS)}


def with_second_servers(identity: Identity) -> Identity:
    """The identity with a replica and a second registry, if it has several data centres."""
    if identity.data_centres == 1 or identity.replica_port:
        return identity
    replica = ports.choose(_taken(identity))
    registry = ports.choose(_taken(identity) | {replica})
    passwords = {REPLICATOR: secrets.token_urlsafe(24), **identity.passwords}
    return replace(
        identity, replica_port=replica, second_registry_port=registry, passwords=passwords
    )


def with_synchronous(identity: Identity, *, given: bool | None) -> Identity:
    """The identity as `given`, if that is set; `StackError` where there is no replica."""
    if given and not identity.replica_port:
        raise StackError(
            "With one data centre the database has no replica to wait for: leave --synchronous "
            "out, or use another --data-dir with --data-centres 3."
        )
    return identity if given is None else replace(identity, synchronous=given)


def with_api_ports(identity: Identity, count: int) -> Identity:
    """The identity with a port for each of `count` API processes; those it has stay."""
    chosen = list(identity.api_ports)
    while len(chosen) < count:
        chosen.append(ports.choose(_taken(identity) | set(chosen)))
    return replace(identity, api_ports=tuple(chosen))


def _taken(identity: Identity) -> set[int]:
    return {
        *identity.kafka_ports, *identity.controller_ports, *identity.api_ports,
        *(each.port for each in (*identity.databases, *identity.registries)),
    }  # fmt: skip


def with_new_controller_ports(identity: Identity) -> Identity:
    """The identity with free controller ports; for when no broker runs: only brokers use them."""
    taken = _taken(replace(identity, controller_ports=()))
    chosen: list[int] = []
    for _ in identity.controller_ports:
        chosen.append(ports.choose(taken | set(chosen)))
    return replace(identity, controller_ports=tuple(chosen))


def require_distinct(identity: Identity) -> None:
    """A `StackError` when two parts have the same port."""
    servers = (*identity.registries, *identity.databases)
    given = (*identity.kafka_ports, *(each.port for each in servers))
    if len(set(given)) < len(given):
        raise StackError(
            f"Kafka, the registry and PostgreSQL need different ports; given: {given}."
        )
