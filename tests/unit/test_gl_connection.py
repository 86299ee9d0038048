"""What waiting may cure and what it cannot."""

import psycopg
import pytest
from psycopg import errors
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ledger.errors import InvariantBroken, SettingsError
from ledger.gl.databases import open_journal
from ledger.gl.journal import JournalUnavailable, NotPostable
from ledger.gl.postgresql.connection import faults_translated, translate

AWAY = [
    psycopg.OperationalError("server closed the connection unexpectedly"),
    psycopg.InterfaceError("the connection is closed"),
    errors.AdminShutdown("57P01"),
    errors.CannotConnectNow("57P03"),
    errors.ConnectionFailure("08006"),
    errors.SerializationFailure("40001"),
    errors.DeadlockDetected("40P01"),
    errors.LockNotAvailable("55P03"),
    errors.QueryCanceled("57014"),
    errors.DiskFull("53100"),
    errors.TooManyConnections("53300"),
    errors.IoError("58030"),
    errors.ReadOnlySqlTransaction("25006"),
    errors.InvalidPassword("28P01"),
    errors.InvalidCatalogName("3D000"),
    errors.InsufficientPrivilege("42501"),
    errors.UndefinedTable("42P01"),
]
OURS = [
    errors.UniqueViolation("23505"),
    errors.CheckViolation("23514"),
    errors.NotNullViolation("23502"),
    errors.StringDataRightTruncation("22001"),
    errors.NumericValueOutOfRange("22003"),
    errors.UndefinedColumn("42703"),
    errors.SyntaxError("42601"),
    errors.DataCorrupted("XX001"),
    psycopg.DataError("PostgreSQL text fields cannot contain NUL (0x00) bytes"),
    psycopg.ProgrammingError("the query has 1 placeholder but 2 parameters were passed"),
]


@pytest.mark.parametrize("error", AWAY, ids=lambda error: type(error).__name__)
def test_errors_after_which_waiting_may_help(error: Exception) -> None:
    assert isinstance(translate(error), JournalUnavailable)


@pytest.mark.parametrize("error", OURS, ids=lambda error: type(error).__name__)
def test_errors_after_which_waiting_is_vain(error: Exception) -> None:
    assert isinstance(translate(error), InvariantBroken)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (errors.DiskFull("could not extend file"), "make room where the server has its tables"),
        (errors.InsufficientPrivilege("for table entries"), "run `faust-ledger setup` as the owner"),
        (errors.UndefinedTable('relation "runs" does not exist'), "tables are missing"),
        (errors.TooManyConnections("sorry"), "pg_stat_activity"),
        (errors.ReadOnlySqlTransaction("cannot execute"), "name the primary"),
        (psycopg.OperationalError("FATAL:  password authentication failed for user"), "VALID UNTIL"),
        (psycopg.OperationalError('FATAL:  role "x" is not permitted to log in'), "LOGIN"),
        (psycopg.OperationalError('FATAL:  database "x" does not exist'), "correct the address"),
        (psycopg.OperationalError("FATAL:  no pg_hba.conf entry for host"), "allow the role"),
        (psycopg.OperationalError("Multiple attempts failed:\n- failed: Connection refused"),
         "correct host and port"),
        (psycopg.OperationalError("failed to resolve host 'x'"), "correct host and port"),
        (psycopg.OperationalError("SSL error: certificate verify failed"), "sslrootcert"),
        (errors.DeadlockDetected("40P01"), "look at the database's own log"),
    ],
)  # fmt: skip
def test_an_error_says_what_to_do(error: Exception, advice: str) -> None:
    found = translate(error)
    assert isinstance(found, JournalUnavailable)
    assert advice in str(found)
    assert "Postings wait in the decision log" in str(found)
    assert "\n" not in str(found)


def test_a_column_that_is_missing_is_of_another_release() -> None:
    found = translate(errors.UndefinedColumn('column "accepted" does not exist'))
    assert isinstance(found, NotPostable)
    assert "Run `faust-ledger setup` as the owner" in str(found)


@pytest.mark.parametrize("url", ["mysql://u:pass@h/d", "oracl://u:pass@h/d", "sqlite://"])
def test_an_address_of_another_database_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="with postgresql:// or oracle://") as caught:
        open_journal(url)
    assert "pass" not in str(caught.value)


def test_errors_wrapped_by_sqlalchemy_are_translated_and_keep_their_cause() -> None:
    wrapped = OperationalError("SELECT 1", {}, errors.AdminShutdown("terminating"))
    with pytest.raises(JournalUnavailable, match="terminating") as caught, faults_translated():
        raise wrapped
    assert caught.value.__cause__ is wrapped
    with pytest.raises(JournalUnavailable), faults_translated():
        raise PoolTimeout("QueuePool limit")


def test_other_errors_are_not_translated() -> None:
    with pytest.raises(ZeroDivisionError), faults_translated():
        raise ZeroDivisionError
