"""A general ledger dumped and restored with the bundled programs, and psql on it."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ledger.domain.run import Watermark
from ledger.errors import LedgerError, StackError
from ledger.gl.postgresql import PostgresJournal
from ledger.gl.postgresql.migrate import upgrade
from ledger.stack import dumps
from tests.integration.gl_runs import Chain, moved

if TYPE_CHECKING:
    from tests.integration.gl_database import Database

pytest_plugins = ["tests.integration.gl_database"]


@pytest.fixture
def another(server: str) -> "Iterator[Database]":
    """Another database of the same server, migrated and without rows."""
    from tests.integration.gl_database import new_database

    with new_database(server) as made:
        upgrade(made.owner)
        yield made


@pytest.fixture
def dumped(database: "Database", tmp_path: Path) -> Path:
    """A dump of a general ledger with a run in it."""
    with closing(PostgresJournal(database.service)) as journal:
        journal.post(0, Watermark(), [Chain(shard=0).run(moved(0, 1_234), moved(1, -5))])
    file = tmp_path / "ledger.dump"
    assert dumps.dump(database.owner, file) == file.stat().st_size > 1_000
    return file


def rows(database: "Database", table: str) -> list[tuple[object, ...]]:
    return sorted(map(tuple, database.run(f"SELECT * FROM {table}")), key=repr)


def test_what_was_dumped_is_restored_and_posted_to(
    database: "Database", another: "Database", dumped: Path
) -> None:
    assert stat.S_IMODE(dumped.stat().st_mode) == 0o600
    done = dumps.restore(another.owner, dumped)
    assert (done.transactions, done.migrations) == (2, [])
    for table in dumps.TABLES:
        assert rows(another, table) == rows(database, table)
    # The roles have their rights again.
    with closing(PostgresJournal(another.service)) as journal:
        assert journal.watermarks()[0].end == 2
    with pytest.raises(StackError, match="is not empty: table currencies has rows"):
        dumps.restore(another.owner, dumped)
    assert len(rows(another, "entries")) == 4


def test_a_dump_of_an_earlier_version_is_migrated(another: "Database", tmp_path: Path) -> None:
    another.run("DROP TABLE voids")
    another.run("UPDATE alembic_version SET version_num = '0004'")
    assert dumps.dump(another.owner, tmp_path / "earlier.dump")
    assert upgrade(another.owner) == ["0005_voids"]
    done = dumps.restore(another.owner, tmp_path / "earlier.dump")
    assert done == dumps.Restored(0, ["0005_voids"])


def test_what_is_no_dump_of_a_ledger_changes_nothing(
    database: "Database", tmp_path: Path, dumped: Path
) -> None:
    nothing = tmp_path / "nothing"
    with pytest.raises(StackError, match="There is no dump"):
        dumps.restore(database.owner, nothing)
    nothing.write_text("not a dump")
    with pytest.raises(StackError, match="pg_restore failed"):
        dumps.restore(database.owner, nothing)
    database.run("CREATE SCHEMA IF NOT EXISTS elsewhere AUTHORIZATION ledger_owner")
    elsewhere = database.as_role("ledger_owner -c search_path=elsewhere")
    with pytest.raises(
        StackError, match="is of the schema public, and this ledger is in elsewhere"
    ):
        dumps.restore(elsewhere, dumped)
    assert rows(database, "runs") != []


def test_a_dump_that_fails_leaves_the_older_one(database: "Database", dumped: Path) -> None:
    before = dumped.read_bytes()
    gone = database.owner.replace("/ledger_test_", "/gone_ledger_test_")
    with pytest.raises(LedgerError, match="does not exist"):
        dumps.dump(gone, dumped)
    assert dumped.read_bytes() == before
    assert list(dumped.parent.glob(".*")) == []
    with pytest.raises(StackError, match="cannot be written"):
        dumps.dump(database.owner, dumped.parent / "nowhere" / "x.dump")
    with pytest.raises(StackError, match="it is a folder"):
        dumps.dump(database.owner, Path())
    with pytest.raises(StackError, match=r"is not a dump\. Nothing was changed\."):
        dumps.restore(database.owner, Path(__file__))


def test_psql_is_told_by_our_address_alone(database: "Database") -> None:
    program = (
        "import sys; from ledger.stack.dumps import run_psql; run_psql(sys.argv[1], sys.argv[2:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, database.owner, "-XAtc",
         "SELECT current_user, current_database()"],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PGDATABASE": "elsewhere", "PGUSER": "nobody", "PGHOST": "nowhere",
             "PGOPTIONS": "-c search_path=nowhere"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ledger_owner|ledger_test_")


def test_a_password_is_not_among_the_arguments() -> None:
    address, given = dumps.target("postgresql+psycopg://u:s%40crEt@h:1/d?application_name=a%20b")
    assert address == "postgresql://u@h:1/d?application_name=a%20b"
    assert given["PGPASSWORD"] == "s@crEt"
