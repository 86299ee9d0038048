"""Passwords and certificates in files that only their owner reads, and who connects with which."""

import json
from typing import Any

from sqlalchemy import URL

from ledger.settings import Settings
from ledger.stack import postgres, registry
from ledger.stack.files import Layout, write_private
from ledger.stack.identity import USERS, Identity
from ledger.stack.ports import HOST

CLIENT_ROLES = ("producer", "backend", "finance")
"""The users of the ledger; `admin` administers it, `service` is its workers."""
DATABASE_SETTINGS = {
    "admin": {"database_url": "ledger_owner", "service_database_url": "ledger_service"},
    "service": {"service_database_url": "ledger_service"},
    "finance": {"database_url": "ledger_finance"},
}
"""By user, the database role of each setting; the other users have none of the database."""


def write_credentials(place: Layout, me: Identity) -> None:
    """Write every file below `secrets` and `clients`; what is there is replaced by the same."""
    # Imported here: cryptography is slow to import, and most commands need none of it.
    from ledger.stack import certificates

    lines = [f"*:*:*:{role}:{word}\n" for role, word in me.passwords.items() if role not in USERS]
    write_private(place.passfile, "".join(lines))
    if not me.secure:
        return
    for user in USERS:
        write_private(place.password_file(user), me.passwords[user] + "\n")
    listening = (*(broker.name for broker in me.brokers), postgres.NAME, registry.NAME)
    certificates.ensure_certificates(place, listening)
    for role in CLIENT_ROLES:
        text = "".join(
            f"{name} = {json.dumps(value, ensure_ascii=False)}\n"
            for name, value in connection_settings(place, me, role).items()
        )
        write_private(place.client_file(role), f"# Written by `faust-ledger up`.\n{text}")


def connection_settings(place: Layout, me: Identity, user: str) -> dict[str, Any]:
    """The settings with which `user` of Kafka and the registry connects to this stack."""
    found: dict[str, Any] = {
        "bootstrap_servers": ",".join(f"{HOST}:{port}" for port in me.kafka_ports),
        "registry_url": registry.url(me),
        "shards": me.shards,
        "replication_factor": me.copies,
    }
    for setting, role in DATABASE_SETTINGS.get(user, {}).items():
        found[setting] = database_url(place, me, role)
    if me.secure:
        password_file = str(place.password_file(user))
        found |= {
            "ca_file": str(place.ca_file),
            "kafka_security_protocol": "SASL_SSL",
            "kafka_user": user,
            "kafka_password_file": password_file,
            "registry_user": user,
            "registry_password_file": password_file,
        }
    return found


def admin_settings(place: Layout, me: Identity) -> Settings:
    """The settings of the user `admin`: this stack's addresses, whatever the environment says."""
    return Settings(data_dir=place.root, **connection_settings(place, me, "admin"))


def database_url(place: Layout, me: Identity, role: str) -> str:
    """The ledger's database for SQLAlchemy; the URL names the file with the role's password."""
    query = {"passfile": str(place.passfile), **postgres.tls(place, me)}
    address = URL.create(
        "postgresql+psycopg",
        username=role,
        host=HOST,
        port=me.postgres_port,
        database=postgres.DATABASE,
        query=query,
    ).render_as_string()
    # SQLAlchemy writes a blank as "+", which libpq takes for a plus; both read "%20".
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{rest.replace('+', '%20')}"
