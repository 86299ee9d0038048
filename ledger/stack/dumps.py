"""PostgreSQL's own programs on the general ledger: psql, and pg_dump and pg_restore as a backup.

They are the package's, begun with an environment of our own making, and a password is never among
their arguments.
"""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from ledger.errors import StackError
from ledger.gl.postgresql.connection import faults_translated, require_postgresql
from ledger.gl.postgresql.migrate import owner_engine, upgrade
from ledger.gl.tables import metadata
from ledger.hiding import hidden
from ledger.stack import environment
from ledger.stack.files import PARTIAL, private_opener
from ledger.stack.postgres_user import programs

TABLES = (*sorted(metadata.tables), "alembic_version")
_DUMPED = re.compile(r"^\d+; \d+ \d+ TABLE (?P<schema>.+) transactions \S+$", re.MULTILINE)
"""The line of the table of transactions in what `pg_restore --list` prints."""

DENIED = (
    "\nThe role of the setting database_url may not do that: admin may (docs/security.md has what "
    "each role may do)."
)


class Restored(NamedTuple):
    """What a restore has brought: rows of the journal, and migrations that the dump lacked."""

    transactions: int
    migrations: Sequence[str]


class Target(NamedTuple):
    """A database as libpq's programs are told it: the password is in the environment."""

    address: str
    environment: dict[str, str]


def target(url: str) -> Target:
    """The database of a setting, for libpq's programs. Raises SettingsError for an Oracle."""
    require_postgresql(url)
    found, given = make_url(url).set(drivername="postgresql"), environment.for_database_tools()
    if found.password is not None:
        given["PGPASSWORD"] = str(found.password)
        found = found._replace(password=None)
    elif "passfile" in found.query:
        # It would win over the file that the address names.
        given.pop("PGPASSWORD", None)
    # SQLAlchemy writes a blank as "+", which libpq takes for a plus; both read "%20".
    return Target(found.render_as_string().replace("+", "%20"), given)


def run_psql(url: str, arguments: Sequence[str]) -> NoReturn:
    """Become psql on that database; its status is this process's."""
    address, given = target(url)
    program = str(programs() / "psql")
    os.execve(program, [program, f"--dbname={address}", *arguments], given)  # noqa: S606


def dump(url: str, file: Path) -> int:
    """Write the ledger's tables to `file`, replaced atomically, for its owner alone; its bytes.

    One snapshot, whatever is posted meanwhile. Raises LedgerError where that fails.
    """
    if file.is_dir():
        raise StackError(f"The dump {file} cannot be written: it is a folder. Name a file in it.")
    schema = current_schema(url)
    partial = file.with_name(f".{file.name}.{os.getpid()}{PARTIAL}")
    tables = [f'--table="{schema}"."{name}"' for name in TABLES]
    try:
        # pg_dump itself would create a file that others may read.
        with open(partial, "wb", opener=private_opener) as output:
            run("pg_dump", url, "--format=custom", "--no-owner", "--no-privileges", *tables,
                target(url).address, output=output.fileno())  # fmt: skip
            os.fsync(output.fileno())
        partial.replace(file)
    except OSError as error:
        raise StackError(f"The dump {file} cannot be written: {error.strerror}.") from error
    finally:
        partial.unlink(missing_ok=True)
    return file.stat().st_size


def restore(url: str, file: Path) -> Restored:
    """Put a dump into a general ledger without rows, and migrate it to this version.

    Raises LedgerError when there are rows, and when the file is not a dump of such tables; nothing
    is changed then. Afterwards there are tables in any case.
    """
    schema, dumped = current_schema(url), schema_of(file)
    if dumped != schema:
        raise StackError(
            f"{file} is of the schema {dumped}, and this ledger is in {schema}. Nothing was "
            f"changed: name that schema in database_url (?options=-c%20search_path%3D{dumped})."
        )
    made = owner_engine(url)
    try:
        with faults_translated(), made.begin() as connection:
            drop_empty_tables(connection)
        run("pg_restore", url, "--no-owner", "--no-privileges", "--single-transaction",
            "--exit-on-error", f"--dbname={target(url).address}", str(file))  # fmt: skip
    finally:
        migrations = upgrade(url)
        made.dispose()
    return Restored(count(url), migrations)


def drop_empty_tables(connection: Connection) -> None:
    """Make room for those of a dump; StackError where one has rows."""
    there = text("SELECT to_regclass(:name) IS NOT NULL")
    known = [name for name in TABLES if connection.scalar(there, {"name": name})]
    if known:
        # Nobody adds a row between the look and the end.
        connection.execute(text(f"LOCK TABLE {', '.join(known)} IN ACCESS EXCLUSIVE MODE"))
    for name in known:
        has_rows = connection.scalar(text(f"SELECT EXISTS (SELECT 1 FROM {name})"))  # noqa: S608
        if has_rows and name != "alembic_version":
            raise StackError(
                f"The general ledger is not empty: table {name} has rows. Nothing was changed. "
                "Restore into a new database, or empty this one first (docs/backup.md)."
            )
    for name in known:
        connection.execute(text(f"DROP TABLE {name} CASCADE"))


def current_schema(url: str) -> str:
    """The schema in which the ledger's tables are."""
    return str(_ask(url, "SELECT current_schema()"))


def count(url: str) -> int:
    """How many transactions the journal has."""
    found = _ask(url, "SELECT count(*) FROM transactions")
    assert isinstance(found, int)
    return found


def _ask(url: str, question: str) -> object:
    made = owner_engine(url)
    try:
        with faults_translated(), made.connect() as connection:
            return connection.scalar(text(question))
    finally:
        made.dispose()


def schema_of(file: Path) -> str:
    """The schema of the ledger's tables in a dump; `StackError` where there are none."""
    if not file.is_file():
        raise StackError(f"There is no dump {file}.")
    try:
        listed = run("pg_restore", None, "--list", str(file))
    except StackError as error:
        raise StackError(f"{file} is not a dump. Nothing was changed. {error}") from error
    found = _DUMPED.search(listed)
    if found is None:
        raise StackError(f"{file} is a dump without a general ledger in it. Nothing was changed.")
    return found["schema"]


def run(program: str, url: str | None, *arguments: str, output: int = subprocess.PIPE) -> str:
    """What a program prints, or nothing where the file `output` takes it.

    It gets the password of `url`. `StackError` with its message where it fails.
    """
    done = environment.run_program(
        [str(programs() / program), *arguments],
        env=target(url).environment if url else None,
        output=output,
    )
    if done.returncode:
        said = hidden(done.stderr.strip())
        advice = DENIED if "permission denied" in said else ""
        raise StackError(f"{program} failed ({done.returncode}):\n{said}{advice}")
    return done.stdout or ""
