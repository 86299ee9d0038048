"""The second PostgreSQL of a stack of several data centres: a streaming replica of the primary.

The identity alone says which server is the primary. A server that is not is started as a replica,
and copied anew where it may have gone on by itself (STALE).
"""

import os
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import make_conninfo
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from ledger.errors import StackError
from ledger.stack import environment, files, postgres
from ledger.stack.files import Layout
from ledger.stack.identity import REPLICATOR, Identity, Server
from ledger.stack.parts import Part
from ledger.stack.ports import HOST
from ledger.stack.postgres_user import reachable, system_user

if TYPE_CHECKING:
    import psycopg

SLOT = REPLICATOR
"""The slot in which the primary keeps what the replica lacks, and the name that it connects by."""
STANDBY = "standby.signal"
"""PostgreSQL's: a server with this file in its directory takes no writes until it is promoted."""
STALE = "faust-ledger.stale"
"""Beside it: this directory is of a server that was replaced, and follows nobody."""
PASSFILE, CA_FILE = "replication.pgpass", "primary-ca.pem"
PROMOTE_SECONDS = 60
SLOT_SECONDS = 10


def replica_of(me: Identity) -> Server:
    """The replica; `StackError` where the stack has none."""
    if me.replica_database is None:
        raise StackError(
            "This stack has one database and no replica of it: a stack of several data centres has "
            "(`faust-ledger up --data-centres 3`, with a --data-dir of its own)."
        )
    return me.replica_database


def conninfo(me: Identity, *, folder: str) -> str:
    """How the replica connects to the primary; its password is in a file of `folder`."""
    secured = postgres.tls(me, f"{folder}{CA_FILE}")
    return make_conninfo(
        host=HOST,
        port=me.primary_database.port,
        user=REPLICATOR,
        passfile=f"{folder}{PASSFILE}",
        application_name=SLOT,
        **secured,
    )


def put_credentials(place: Layout, me: Identity, folder: Path) -> None:
    """Write what `conninfo` names, for the server's own user."""
    user = system_user()
    password = f"{HOST}:{me.primary_database.port}:*:{REPLICATOR}:{me.passwords[REPLICATOR]}\n"
    postgres.put(folder / PASSFILE, password, user)
    if postgres.has_tls(me):
        postgres.put(folder / CA_FILE, place.ca_file.read_text(), user)


def start(place: Layout, me: Identity) -> Part:
    """Start the replica without waiting for it."""
    directory = place.database(replica_of(me).name)
    put_credentials(place, me, directory)
    # Relative: a server works in its own directory.
    following = {
        "primary_conninfo": conninfo(me, folder=""),
        "primary_slot_name": SLOT,
        "wal_retrieve_retry_interval": "500ms",
    }
    return postgres.start(place, me, following)


def missing(place: Layout, me: Identity) -> str | None:
    """None when the replica takes no writes and follows the primary."""
    import psycopg

    query = "SELECT pg_is_in_recovery(), (SELECT status FROM pg_stat_wal_receiver)"
    try:
        with postgres.connect(place, me, to=replica_of(me)) as connection:
            found = connection.execute(query).fetchone()
    except psycopg.OperationalError as error:
        return f"it does not answer: {str(error).strip()}"
    return why_not_following(*(found or (False, None)))


def why_not_following(in_recovery: bool, status: str | None) -> str | None:  # noqa: FBT001 - a row
    """A sentence for what the replica answers of itself; None where all is well."""
    if not in_recovery:
        return (
            "it takes writes and is not the primary: nothing in it counts; `faust-ledger up` makes "
            "it a replica again"
        )
    return None if status == "streaming" else "it does not follow the primary yet"


def needs_copy(place: Layout, me: Identity) -> bool:
    """Whether the replica has no copy of the primary, or one that cannot follow it."""
    directory = place.database(replica_of(me).name)
    if not (directory / "PG_VERSION").exists() or (directory / STALE).exists():
        return True
    query = "SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s"
    with postgres.connect(place, me) as connection:
        slot = connection.execute(query, [SLOT]).fetchone()
        if slot is None or slot[0] == "lost":
            return True
    return _takes_writes(place, me)


def _takes_writes(place: Layout, me: Identity) -> bool:
    """Whether the replica runs and is none: somebody promoted it, or removed its STANDBY."""
    import psycopg

    try:
        with postgres.connect(place, me, to=replica_of(me)) as connection:
            return not is_in_recovery(connection)
    except psycopg.OperationalError:
        return not (place.database(replica_of(me).name) / STANDBY).exists()


def is_in_recovery(connection: "psycopg.Connection[Any]") -> bool:
    """Whether the server is a replica."""
    return bool(_value(connection, "SELECT pg_is_in_recovery()"))


def _value(connection: "psycopg.Connection[Any]", query: str) -> Any:
    row = connection.execute(query.encode()).fetchone()
    return row[0] if row else None


def copy(place: Layout, me: Identity) -> None:
    """Copy the primary, which runs, to the replica's directory: whole or not at all.

    The caller has made sure that no server runs there. What was in it is removed.
    """
    user, directory = system_user(), place.database(replica_of(me).name)
    if directory.exists():
        # If this is interrupted, the next one must not take it for a copy.
        mark_stale(directory)
    with postgres.connect(place, me) as connection:
        renew_slot(connection)
    with files.partial_directory(place.root) as partial:
        target = partial / "copy"
        target.mkdir(mode=files.PRIVATE_DIR)
        put_credentials(place, me, partial)
        if user is not None:
            for path in (partial, target):
                os.chown(path, *user)
        run_basebackup(me, target, user)
        (target / STALE).unlink(missing_ok=True)
        postgres.put(target / STANDBY, "", user)
        if directory.exists():
            directory.replace(partial / "replaced")
        target.replace(directory)


def renew_slot(connection: "psycopg.Connection[Any]") -> None:
    """A slot that keeps everything from now on."""
    ended = Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_delay(SLOT_SECONDS),
        wait=wait_fixed(0.05),
        retry_error_callback=lambda state: None,
    )
    used = f"SELECT active_pid FROM pg_replication_slots WHERE slot_name = '{SLOT}'"  # noqa: S608
    ended(_value, connection, used)
    connection.execute(
        "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s",
        [SLOT],
    )
    connection.execute("SELECT pg_create_physical_replication_slot(%s, true)", [SLOT])


def run_basebackup(me: Identity, target: Path, user: tuple[int, int] | None) -> None:
    """Copy the primary to the empty `target`, beside which its credentials are."""
    finished = environment.run_program(
        [
            str(reachable(user) / "pg_basebackup"), "-D", postgres.data_argument(target, user),
            "-d", conninfo(me, folder="../"), "--no-password", "--checkpoint=fast",
            "--wal-method=stream", f"--slot={SLOT}",
        ],
        cwd=target,
        user=user,
    )  # fmt: skip
    if finished.returncode != 0:
        raise StackError(
            f"{me.primary} could not be copied to {replica_of(me).name}:\n"
            f"{(finished.stdout + finished.stderr).strip()}\nIf this stack ran before it had a "
            "replica, `faust-ledger down`, then `up`."
        )


def mark_stale(directory: Path) -> None:
    """Have a server that was replaced take no writes, whoever starts it, until it is copied anew.

    `StackError` where its disk cannot be written.
    """
    if not (directory / "PG_VERSION").exists():
        return
    try:
        for name in (STALE, STANDBY):
            postgres.put(directory / name, "", system_user())
    except OSError as error:
        raise StackError(
            f"{directory} cannot be written ({error}), so its server could come back and take "
            "writes. Nothing was promoted. Move that directory away, then try again."
        ) from error


def ensure_primary(place: Layout, me: Identity) -> None:
    """Have the primary take writes, where a promotion was interrupted, and not wait if it need not.

    With one data centre there is nothing to do.
    """
    if me.replica_database is None:
        return
    promote(place, me)
    (place.database(me.primary) / STALE).unlink(missing_ok=True)
    if not me.synchronous:
        set_synchronous(place, me)


def promote(place: Layout, me: Identity) -> datetime | None:
    """Have the server that the identity names as primary take writes; its last commit until then.

    None where it took writes already, or never committed anything. Raises `StackError` if it does
    not within PROMOTE_SECONDS.
    """
    with postgres.connect(place, me) as connection:
        if not is_in_recovery(connection):
            return None
        last: datetime | None = _value(connection, "SELECT pg_last_xact_replay_timestamp()")
        if not _value(connection, f"SELECT pg_promote(true, {PROMOTE_SECONDS})"):
            raise StackError(
                f"{me.primary} was not promoted within {PROMOTE_SECONDS} s: read its log "
                f"{place.log(me.primary)}, then `faust-ledger up` tries it again."
            )
        # Until the other server is its replica, nothing can be acknowledged by it.
        require_synchronous(connection, wanted=False)
    return last


def set_synchronous(place: Layout, me: Identity) -> None:
    """Have the primary wait for the replica with each commit, if the stack is to; it runs."""
    with postgres.connect(place, me) as connection:
        require_synchronous(connection, wanted=me.synchronous)


def require_synchronous(connection: "psycopg.Connection[Any]", *, wanted: bool) -> None:
    """Set whether commits wait for the replica."""
    names = SLOT if wanted else ""
    if _value(connection, "SHOW synchronous_standby_names") != names:
        connection.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'".encode())
        connection.execute("SELECT pg_reload_conf()")
