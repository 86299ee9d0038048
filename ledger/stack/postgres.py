"""PostgreSQL from a Python package, listening on 127.0.0.1 alone, every role with a password."""

import logging
import os
import signal
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from ledger.errors import StackError
from ledger.stack import environment, files
from ledger.stack.files import Layout
from ledger.stack.identity import DATABASE_ROLES, Identity
from ledger.stack.parts import Part, kill, spawn
from ledger.stack.ports import HOST
from ledger.stack.postgres_user import programs, reachable, system_user

if TYPE_CHECKING:
    import psycopg

NAME = "postgres"
log = logging.getLogger(__name__)
DATABASE = "ledger"
# Long enough to replay the write-ahead log after a crash.
READY_SECONDS = 120
INITIAL = "superuser"
STOP_SECONDS = 60
# "Fast": ends open transactions and sessions, writes a checkpoint.
STOP_SIGNAL = signal.SIGINT
ORPHAN_SECONDS = 10

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


def mark(place: Layout) -> str:
    """A setting that PostgreSQL ignores and by which the process is known as ours."""
    return f"faust_ledger.stack={place.root}"


def initialise(place: Layout, identity: Identity, user: tuple[int, int] | None) -> None:
    """Make the database cluster beside its place and move it there: whole or not at all."""
    if (place.postgres / "PG_VERSION").exists():
        return
    with files.partial_directory(place.root) as partial:
        secret = partial / INITIAL
        files.write_private(secret, identity.passwords["postgres"] + "\n")
        target = partial / "postgres"
        target.mkdir(mode=files.PRIVATE_DIR)
        if user is not None:
            for path in (partial, secret, target):
                os.chown(path, *user)
        run_initdb(target, user)
        target.replace(place.postgres)


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


def clear_leftovers(place: Layout) -> None:
    """After a crash: see the last server's children off, and remove its stale lock file.

    The caller has made sure that no server runs here. PostgreSQL removes the lock file itself
    unless its pid is now another process's, which it cannot tell from a server.
    """

    def children() -> list[psutil.Process]:
        return [each for each in psutil.process_iter() if works_in(each, place.postgres)]

    ended = Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_delay(ORPHAN_SECONDS),
        wait=wait_fixed(0.05),
        retry_error_callback=lambda state: state.outcome and state.outcome.result(),
    )
    if (place.postgres / "postmaster.pid").exists():
        kill(ended(children) or [])
        (place.postgres / "postmaster.pid").unlink(missing_ok=True)


def works_in(process: psutil.Process, directory: Path) -> bool:
    """Whether it is a process of PostgreSQL whose working directory is `directory`."""
    try:
        return process.name() == "postgres" and Path(process.cwd()) == directory.resolve()
    except (psutil.Error, OSError):
        return False


def start(place: Layout, identity: Identity) -> Part:
    """Start the server, made first where there is none yet, without waiting for it."""
    user = system_user()
    initialise(place, identity, user)
    clear_leftovers(place)
    secured = secure(place, user) if has_tls(identity) else {}
    settings = (OPTIONS | secured).items()
    options = [word for name, value in settings for word in ("-c", f"{name}={value}")]
    return spawn(
        NAME,
        [
            str(reachable(user) / "postgres"),
            "-D",
            data_argument(place.postgres, user),
            "-c",
            mark(place),
            "-p",
            str(identity.postgres_port),
            *options,
        ],
        port=identity.postgres_port,
        log=place.log(NAME),
        cwd=place.postgres,
        user=user,
    )


def secure(place: Layout, user: tuple[int, int] | None) -> dict[str, str]:
    """Options with which the server takes nobody but over TLS; its files are put in place."""
    # PostgreSQL reads a key that belongs to its own user, or to root, and to nobody else.
    for name, text in (
        ("server.pem", place.certificate(NAME).read_text()),
        (
            "pg_hba.conf",
            f"# Written by `faust-ledger up`.\nhostssl all all {HOST}/32 scram-sha-256\n",
        ),
    ):
        files.write_private(place.postgres / name, text)
        if user is not None:
            os.chown(place.postgres / name, *user)
    return {"ssl": "on", "ssl_cert_file": "server.pem", "ssl_key_file": "server.pem"}


def connect(
    place: Layout, identity: Identity, database: str = "postgres"
) -> "psycopg.Connection[Any]":
    """As the superuser; psycopg.OperationalError while the server is not ready."""
    import psycopg

    from ledger.gl.postgresql import session

    given: dict[str, Any] = tls(identity, place.ca_file)
    made = session.connected(
        psycopg.Connection,
        host=HOST,
        port=identity.postgres_port,
        user="postgres",
        dbname=database,
        password=identity.passwords["postgres"],
        connect_timeout=5,
        autocommit=True,
        **given,
    )
    session.configure_session(made, {})
    return made


def missing(place: Layout, identity: Identity) -> str | None:
    """None when the server answers a query."""
    import psycopg

    try:
        with connect(place, identity) as connection:
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

    with connect(place, identity) as connection:
        for role in (each for each in DATABASE_ROLES if each != "postgres"):
            known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
            verb = "ALTER" if known.fetchone() else "CREATE"
            connection.execute(
                sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
                    sql.SQL(verb), sql.Identifier(role), sql.Literal(identity.passwords[role])
                )
            )
        for database, role in ((DATABASE, "ledger_owner"), ("registry", "registry")):
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
            if known.fetchone() is None:
                connection.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(database), sql.Identifier(role)
                    )
                )
