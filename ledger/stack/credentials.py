"""Passwords and certificates in files that only their owner reads, and who connects with which."""

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import URL

from ledger.settings import NO_DATABASE, Settings
from ledger.stack import postgres, registry
from ledger.stack.files import Layout, write_private
from ledger.stack.identity import DATABASE_ROLES, REPLICATOR, USERS, Identity
from ledger.stack.ports import HOST

API = "api"
"""The user of API processes, and the name of their certificate."""
CLIENT_ROLES = ("producer", "backend", "finance", API)
"""The users of the ledger; `api` is its API processes, `admin` administers it, `service` is its
workers."""
DATABASE_SETTINGS = {
    "admin": {"database_url": "ledger_owner", "service_database_url": "ledger_service"},
    "service": {"database_url": "ledger_service", "service_database_url": "ledger_service"},
    "finance": {"database_url": "ledger_finance"},
    "api": {"database_url": "ledger_finance"},
}
"""By user, the database role of each setting; who is not there has no database."""


def write_credentials(place: Layout, me: Identity) -> None:
    """Write every file below `secrets` and `clients`; what is there is replaced by the same."""
    # Imported here: cryptography is slow to import, and most commands need none of it.
    from ledger.stack import certificates

    for role in (*DATABASE_ROLES, *((REPLICATOR,) if me.replica_port else ())):
        # Whatever port and database: a bench makes databases of its own on this server.
        write_private(place.passfile(role), f"{HOST}:*:*:{role}:{me.passwords[role]}\n")
    if not me.secure:
        return
    for user in USERS:
        write_private(place.password_file(user), me.passwords[user] + "\n")
    servers = [each.name for each in (*me.databases, *me.registries)]
    listening = (*(broker.name for broker in me.brokers), *servers, API)
    certificates.ensure_certificates(place, listening)
    for role in CLIENT_ROLES:
        text = as_toml(connection_settings(place, me, role))
        write_private(place.client_file(role), f"# Written by `faust-ledger up`.\n{text}")


def pgpass_line(me: Identity, role: str) -> str:
    """The password of a database role as PostgreSQL's clients read it, a line for each server."""
    database = {"postgres": "*", "registry": registry.DATABASE}.get(role, postgres.DATABASE)
    rest = f"{database}:{role}:{me.passwords[role]}"
    return "".join(f"{HOST}:{each.port}:{rest}\n" for each in me.databases)


def as_toml(settings: Mapping[str, Any]) -> str:
    """Settings as a file for FAUST_LEDGER_CONFIG."""
    # What JSON has of texts and numbers, TOML reads the same.
    return "".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in settings.items()
    )


class SecretFiles(NamedTuple):
    """The paths of the secrets, as settings name them."""

    ca: str
    password: str
    passfile: Callable[[str], str]
    """By role of the database."""


def secrets_of(place: Layout, user: str) -> SecretFiles:
    """Those in the data directory."""
    return SecretFiles(
        str(place.ca_file), str(place.password_file(user)), lambda role: str(place.passfile(role))
    )


def connection_settings(
    place: Layout, me: Identity, user: str, files: SecretFiles | None = None
) -> dict[str, Any]:
    """The settings with which `user` of Kafka and the registry connects to this stack."""
    files = files or secrets_of(place, user)
    found: dict[str, Any] = {
        "bootstrap_servers": ",".join(f"{HOST}:{port}" for port in me.kafka_ports),
        "registry_url": registry.url(me),
        "shards": me.shards,
        "replication_factor": me.copies,
    }
    roles = DATABASE_SETTINGS.get(user, {})
    for setting in ("database_url", "service_database_url"):
        role = roles.get(setting)
        found[setting] = database_url(place, me, role, files) if role else NO_DATABASE
    if me.secure:
        found |= {
            "ca_file": files.ca,
            "kafka_security_protocol": "SASL_SSL",
            "kafka_user": user,
            "kafka_password_file": files.password,
            "registry_user": user,
            "registry_password_file": files.password,
        }
    return found


def admin_settings(place: Layout, me: Identity) -> Settings:
    """The settings of the user `admin`: this stack's addresses, whatever the environment says."""
    return Settings(data_dir=place.root, **connection_settings(place, me, "admin"))


def database_url(place: Layout, me: Identity, role: str, files: SecretFiles | None = None) -> str:
    """The ledger's database for SQLAlchemy; the URL names the file with the role's password.

    Of several servers it names all, and a client takes the one that takes writes.
    """
    files = files or secrets_of(place, "admin")
    query = {"passfile": files.passfile(role), **postgres.tls(me, files.ca)}
    address = URL.create("postgresql+psycopg", username=role, database=postgres.DATABASE)
    if me.replica_port:
        # The form that libpq and SQLAlchemy both read.
        query |= {
            "host": ",".join(HOST for _ in me.databases),
            "port": ",".join(str(each.port) for each in me.databases),
            "target_session_attrs": "read-write",
        }
    else:
        address = address.set(host=HOST, port=me.postgres_port)
    text = address.set(query=query).render_as_string()
    # SQLAlchemy writes a blank as "+", which libpq takes for a plus; both read "%20".
    scheme, _, rest = text.partition("://")
    return f"{scheme}://{rest.replace('+', '%20')}"
