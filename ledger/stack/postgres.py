"""PostgreSQL from a Python package, listening on 127.0.0.1 alone, every role with a password."""

import logging
import os
import signal
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger.errors import StackError
from ledger.stack import environment, files
from ledger.stack.files import Layout
from ledger.stack.identity import DATABASE_ROLES, POSTGRES, REPLICATOR, Identity, Server
from ledger.stack.orphans import clear_leftovers
from ledger.stack.parts import Part, spawn
from ledger.stack.ports import HOST
from ledger.stack.postgres_user import programs, reachable, system_user

if TYPE_CHECKING:
    import psycopg

NAME = POSTGRES
log = logging.getLogger(__name__)
DATABASE = "ledger"
# Long enough to replay the write-ahead log after a crash.
READY_SECONDS = 120
INITIAL = "superuser"
STOP_SECONDS = 60
# "Fast": ends open transactions and sessions, writes a checkpoint.
STOP_SIGNAL = signal.SIGINT

# As root the data are in a directory that this user cannot pass through on its way, and need not:
# its programs are begun in it. Their own working directory they may always go to.
WORKING_DIRECTORY = "/proc/self/cwd"

OPTIONS = {
    "listen_addresses": HOST,
    # A socket's path may have 107 bytes, and a data directory's may have more.
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "logging_collector": "off",
}

WITH_REPLICA = {
    # A replica that is away must not fill the primary's disk; past this it is copied anew.
    "max_slot_wal_keep_size": "2GB",
}


@lru_cache
def speaks_tls() -> bool:
    """Whether these programs were built with TLS. The package's 0.6.0 was not."""
    asked = environment.run_program([str(programs() / "pg_config"), "--configure"])
    return "--with-openssl" in asked.stdout or "--with-ssl=openssl" in asked.stdout


def has_tls(identity: Identity) -> bool:
    """Whether the server takes nobody but over TLS.

    Without it the server still listens on 127.0.0.1 alone and takes passwords by SCRAM alone.
    """
    return identity.secure and speaks_tls()


def tls(identity: Identity, ca_file: Path | str) -> dict[str, str]:
    """What a client adds to its connection, so that the environment (PGSSLMODE) has no say."""
    if not has_tls(identity):
        return {"sslmode": "disable"}
    return {"sslmode": "verify-full", "sslrootcert": str(ca_file)}


def data_argument(directory: Path, user: tuple[int, int] | None) -> str:
    """How a program that is begun in its data directory names it."""
    return str(directory) if user is None else WORKING_DIRECTORY


def mark(place: Layout, name: str = NAME) -> str:
    """A setting that PostgreSQL ignores and by which the process is known as ours."""
    return f"faust_ledger.stack={place.root}{'' if name == NAME else f'/{name}'}"


def initialise(place: Layout, identity: Identity, user: tuple[int, int] | None) -> None:
    """Make the primary's cluster beside its place and move it there: whole or not at all.

    `StackError` where its directory is gone and a replica has what was in it.
    """
    directory = place.database(identity.primary)
    if (directory / "PG_VERSION").exists():
        return
    replica = identity.replica_database
    if replica and (place.database(replica.name) / "PG_VERSION").exists():
        raise StackError(
            f"The database in {directory} is gone, and {replica.name} has a copy of it: "
            "`faust-ledger database promote` makes that the primary. Nothing was changed."
        )
    with files.partial_directory(place.root) as partial:
        secret = partial / INITIAL
        files.write_private(secret, identity.passwords["postgres"] + "\n")
        target = partial / "postgres"
        target.mkdir(mode=files.PRIVATE_DIR)
        if user is not None:
            for path in (partial, secret, target):
                os.chown(path, *user)
        run_initdb(target, user)
        target.replace(directory)


def run_initdb(target: Path, user: tuple[int, int] | None) -> None:
    """Passwords everywhere, UTF-8, and an order of text that no system library's update moves.

    The superuser's is in the file INITIAL beside `target`, for the time being.
    """
    finished = environment.run_program(
        [
            str(reachable(user) / "initdb"), "-D", data_argument(target, user), "-U", "postgres",
            "--auth=scram-sha-256", f"--pwfile=../{INITIAL}", "--encoding=UTF8",
            "--no-instructions", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--locale=C",
        ],
        cwd=target,
        user=user,
    )  # fmt: skip
    if finished.returncode != 0:
        raise StackError(
            f"PostgreSQL's initdb failed in {target}:\n"
            f"{(finished.stdout + finished.stderr).strip()}"
        )


def start(place: Layout, identity: Identity, following: Mapping[str, str] | None = None) -> Part:
    """Start the primary, made first where there is none yet, without waiting for it.

    `following`: start the replica instead, with these settings (`ledger.stack.replica`).
    """
    user = system_user()
    server = identity.primary_database
    if following is None:
        initialise(place, identity, user)
    else:
        assert identity.replica_database, "it has settings"
        server = identity.replica_database
    directory = place.database(server.name)
    clear_leftovers(directory)
    wanted = OPTIONS | secure(place, identity, server, user) | dict(following or {})
    if identity.replica_port:
        wanted |= WITH_REPLICA
    options = [word for name, value in wanted.items() for word in ("-c", f"{name}={value}")]
    return spawn(
        server.name,
        [
            str(reachable(user) / "postgres"),
            "-D",
            data_argument(directory, user),
            "-c",
            mark(place, server.name),
            "-p",
            str(server.port),
            *options,
        ],
        port=server.port,
        log=place.log(server.name),
        cwd=directory,
        user=user,
    )


def access_rules(identity: Identity) -> str:
    """Who is let in: pg_hba.conf."""
    kind = "hostssl" if has_tls(identity) else "host"
    lines = ["# Written by `faust-ledger up`."]
    if identity.replica_port:
        # It copies the whole server, and reads no table.
        lines.append(f"{kind} all {REPLICATOR} {HOST}/32 reject")
        lines.append(f"{kind} replication {REPLICATOR} {HOST}/32 scram-sha-256")
    lines.append(f"{kind} all all {HOST}/32 scram-sha-256")
    return "\n".join((*lines, ""))


def secure(
    place: Layout, identity: Identity, server: Server, user: tuple[int, int] | None
) -> dict[str, str]:
    """Options with which the server takes nobody but over TLS; its files are put in place.

    One data centre without TLS keeps what initdb has made.
    """
    directory = place.database(server.name)
    if identity.replica_port or has_tls(identity):
        put(directory / "pg_hba.conf", access_rules(identity), user)
    if not has_tls(identity):
        return {}
    put(directory / "server.pem", place.certificate(server.name).read_text(), user)
    return {"ssl": "on", "ssl_cert_file": "server.pem", "ssl_key_file": "server.pem"}


def put(file: Path, text: str, user: tuple[int, int] | None) -> None:
    """Write a file of the server's; it reads a key or a password that is its own user's alone."""
    files.write_private(file, text)
    if user is not None:
        os.chown(file, *user)


def connect(
    place: Layout, identity: Identity, database: str = "postgres", *, to: Server | None = None
) -> "psycopg.Connection[Any]":
    """As the superuser; psycopg.OperationalError while the server is not ready.

    `to`: another server than the primary.
    """
    import psycopg

    from ledger.gl.postgresql import session

    given: dict[str, Any] = tls(identity, place.ca_file)
    made = session.connected(
        psycopg.Connection,
        host=HOST,
        port=(to or identity.primary_database).port,
        user="postgres",
        dbname=database,
        password=identity.passwords["postgres"],
        connect_timeout=5,
        autocommit=True,
        **given,
    )
    # While its replica is away, a synchronous primary is looked after all the same.
    settings = {"synchronous_commit": "local"} if identity.replica_port else {}
    session.configure_session(made, settings)
    return made


def missing(place: Layout, identity: Identity, server: Server | None = None) -> str | None:
    """None when the primary, or the other `server`, answers a query."""
    import psycopg

    try:
        with connect(place, identity, to=server) as connection:
            connection.execute("SELECT 1")
    except psycopg.OperationalError as error:
        return f"it does not answer: {str(error).strip()}"
    return None


def take_back(place: Layout, identity: Identity) -> None:
    """As the superuser: what was granted to the ledger's roles beyond what they are to have."""
    from migrations.grants import excess_rights

    with connect(place, identity, DATABASE) as connection:
        # In the order found: a membership goes before what it led to.
        for each in excess_rights(connection.execute, owner="ledger_owner", schema="public"):
            connection.execute(each.command)
            log.warning("%s: taken back", each.what)


def create_databases(place: Layout, identity: Identity) -> None:
    """Roles, their passwords and the two databases; what is there already stays."""
    from psycopg import sql

    rights = {role: "LOGIN" for role in DATABASE_ROLES if role != "postgres"}
    if identity.replica_port:
        rights[REPLICATOR] = "LOGIN REPLICATION"
    with connect(place, identity) as connection:
        for role, right in rights.items():
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
            verb = "ALTER" if known.fetchone() else "CREATE"
            connection.execute(
                sql.SQL("{} ROLE {} {} PASSWORD {}").format(
                    sql.SQL(verb), sql.Identifier(role), sql.SQL(right),
                    sql.Literal(identity.passwords[role]),
                )
            )  # fmt: skip
        for database, role in ((DATABASE, "ledger_owner"), ("registry", "registry")):
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
            if known.fetchone() is None:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(database), sql.Identifier(role)
                    )
                )
