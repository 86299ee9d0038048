"""What a data directory keeps for life: its ports, its passwords, its Kafka cluster's id."""

import base64
import json
import secrets
import uuid
from dataclasses import asdict, dataclass, replace

from ledger.errors import StackError
from ledger.settings import Settings
from ledger.stack import ports
from ledger.stack.files import Layout, write_private

ROLES = ("postgres", "ledger_owner", "ledger_service", "registry")


@dataclass(frozen=True)
class Ports:
    """TCP ports on 127.0.0.1; None where the one on record, or a free one, will do."""

    kafka: int | None = None
    registry: int | None = None
    postgres: int | None = None


@dataclass(frozen=True)
class Identity:
    """`passwords` are by PostgreSQL role; `shards` is fixed when the ledger is created."""

    cluster_id: str
    kafka_port: int
    registry_port: int
    postgres_port: int
    shards: int
    passwords: dict[str, str]


def load(place: Layout) -> Identity | None:
    """The identity on record; None for a new data directory."""
    if not place.identity_file.exists():
        return None
    try:
        return Identity(**json.loads(place.identity_file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise StackError(
            f"{place.identity_file} holds this stack's passwords and cannot be read ({error}). "
            "Restore it from a backup; or, if the ledger in this directory may be lost, remove "
            f"{place.root} and start anew."
        ) from error


def establish(place: Layout, wanted: Ports, settings: Settings) -> Identity:
    """The identity on record, or a new one, with the `wanted` ports; not written yet.

    `StackError` when somebody set another number of shards than the ledger was created with.
    """
    known = load(place) or create(place, wanted, settings.shards)
    if "shards" in settings.model_fields_set and settings.shards != known.shards:
        raise StackError(
            f"This ledger was created with {known.shards} shards and {settings.shards} are set "
            "now. The number is fixed when a ledger is created: take the setting away, or use "
            "another --data-dir."
        )
    identity = replace(
        known,
        kafka_port=wanted.kafka or known.kafka_port,
        registry_port=wanted.registry or known.registry_port,
        postgres_port=wanted.postgres or known.postgres_port,
    )
    require_distinct(identity)
    return identity


def save(place: Layout, identity: Identity) -> None:
    """Write it, mode 0600, all or nothing."""
    write_private(place.identity_file, json.dumps(asdict(identity), indent=2))


def create(place: Layout, wanted: Ports, shards: int) -> Identity:
    """New passwords, a new cluster id, and a free port for everything that was given none."""
    if (place.postgres / "PG_VERSION").exists():
        raise StackError(
            f"{place.postgres} holds a database, but {place.identity_file} with its passwords is "
            "missing. Restore that file from a backup, or remove the directory and start anew."
        )
    taken = {each for each in (wanted.kafka, wanted.registry, wanted.postgres) if each}

    def port(given: int | None) -> int:
        chosen = given or ports.choose(taken)
        taken.add(chosen)
        return chosen

    return Identity(
        cluster_id=base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("="),
        kafka_port=port(wanted.kafka),
        registry_port=port(wanted.registry),
        postgres_port=port(wanted.postgres),
        shards=shards,
        passwords={role: secrets.token_urlsafe(24) for role in ROLES},
    )


def require_distinct(identity: Identity) -> None:
    """A `StackError` when two parts were given one port."""
    given = (identity.kafka_port, identity.registry_port, identity.postgres_port)
    if len(set(given)) < len(given):
        raise StackError(
            f"Kafka, the registry and PostgreSQL need three different ports; given: {given}."
        )
