"""Passwords and certificates in files that only the owner reads, and who connects with what."""

import json
from typing import Any

from sqlalchemy import URL

from ledger.settings import Settings
from ledger.stack import certificates, postgres, registry
from ledger.stack.files import Layout, write_private
from ledger.stack.identity import USERS, Identity
from ledger.stack.ports import HOST

ROLES = ("producer", "backend", "finance")
"""Those who use the ledger; `admin` looks after it, `service` is its workers."""


def write(place: Layout, me: Identity) -> None:
    """Every file below `secrets` and `clients`; those there are replaced by the same."""
    lines = [f"*:*:*:{role}:{word}\n" for role, word in me.passwords.items() if role not in USERS]
    write_private(place.passfile, "".join(lines))
    if not me.secure:
        return
    for user in USERS:
        write_private(place.password_file(user), me.passwords[user] + "\n")
    listening = (*(broker.name for broker in me.brokers), postgres.NAME, registry.NAME)
    certificates.establish(place, listening)
    for role in ROLES:
        text = "".join(
            f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
            for name, value in addresses(place, me, role).items()
        )
        write_private(place.client_file(role), f"# Written by `faust-ledger up`.\n{text}")


def addresses(place: Layout, me: Identity, user: str) -> dict[str, Any]:
    """The settings with which `user` of Kafka and the registry reaches this stack."""
    found: dict[str, Any] = {
        "bootstrap_servers": ",".join(f"{HOST}:{port}" for port in me.kafka_ports),
        "registry_url": registry.url(me),
        "shards": me.shards,
        "replication_factor": me.copies,
    }
    for setting, role in DATABASE_ROLES.get(user, {}).items():
        found[setting] = database_url(place, me, role)
    if me.secure:
        word = str(place.password_file(user))
        found |= {
            "ca_file": str(place.ca_file),
            "kafka_security_protocol": "SASL_SSL",
            "kafka_user": user,
            "kafka_password_file": word,
            "registry_user": user,
            "registry_password_file": word,
        }
    return found


def settings(place: Layout, me: Identity) -> Settings:
    """Of whoever looks after the stack: its own addresses, whatever the environment says."""
    return Settings(data_dir=place.root, **addresses(place, me, "admin"))


DATABASE_ROLES = {
    "admin": {"database_url": "ledger_owner", "service_database_url": "ledger_service"},
    "service": {"service_database_url": "ledger_service"},
    "finance": {"database_url": "ledger_finance"},
}
"""By user, which setting of the database is whose; the others have nothing to do with it."""


def database_url(place: Layout, me: Identity, role: str) -> str:
    """The ledger's database for SQLAlchemy; its password is in the file that it names."""
    query = {"passfile": str(place.passfile), **postgres.tls(place, me)}
    return URL.create(
        "postgresql+psycopg",
        username=role,
        host=HOST,
        port=me.postgres_port,
        database=postgres.DATABASE,
        query=query,
    ).render_as_string()
