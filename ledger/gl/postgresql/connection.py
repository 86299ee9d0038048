"""Connections to PostgreSQL whose every wait ends, and its errors as the journal's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ledger.errors import LedgerError, SettingsError
from ledger.gl.journal import JournalUnavailable, NotPostable
from ledger.gl.postgresql import session
from ledger.gl.postgresql.advice import advice
from ledger.gl.posting import other_release
from ledger.hiding import hidden, shown_url
from ledger.settings import NO_DATABASE, is_oracle, require_database

T = TypeVar("T")

SCHEMES = ("postgresql", "postgres")
_CONNECT_SECONDS = 5
DATABASE_LOCK_SECONDS = 10
# A frozen backend does not cancel its own statement: the client gives up this much later.
GRACE_SECONDS = 10
KEEPALIVE = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

# https://www.postgresql.org/docs/current/errcodes-appendix.html: by class, then single codes.
# Also what a person can put right meanwhile: a password, a grant, tables not created yet.
_UNAVAILABLE_CLASSES = frozenset({"08", "25", "28", "3D", "40", "53", "57", "58"})
UNDEFINED_COLUMN = "42703"
_UNAVAILABLE_CODES = frozenset({"55P03", "55006", "42501", "42P01"})


class BoundedConnection(psycopg.Connection[Any]):
    """Closes itself and raises when one answer takes longer than `patience` seconds."""

    patience = 60.0

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        """As psycopg's, but never without a timeout."""
        try:
            return super().wait(gen, interval, self.patience if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.close()
            raise


def engine(
    url: str,
    *,
    seconds: int,
    idle_seconds: int,
    schema: str | None = None,
    settings: Mapping[str, str] | None = None,
    **options: Any,
) -> Engine:
    """An engine whose statements end after `seconds`, and idle transactions after `idle_seconds`.

    `schema`: for a shadow ledger. `settings` are PostgreSQL's, for each session; `options` go to
    `create_engine`. Nothing is connected yet. The address may set other timeouts and another
    search_path than public (`?options=-c%20search_path%3D…`); the environment changes nothing.
    Raises SettingsError for an address that cannot be read; connecting does for NO_DATABASE.
    """
    address = _address(url)
    made = create_engine(address, pool_timeout=DATABASE_LOCK_SECONDS, **options)
    wanted = {
        "search_path": "public",
        # A worker whose machine is lost must not keep its locks for the system's two hours.
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "tcp_user_timeout": "30000",
        "statement_timeout": f"{seconds}s",
        "lock_timeout": f"{DATABASE_LOCK_SECONDS}s",
        "idle_in_transaction_session_timeout": f"{idle_seconds}s",
    }
    in_session = {**(settings or {}), **({"search_path": schema} if schema else {})}
    started_with = " ".join(f"-c {name}={value}" for name, value in wanted.items())

    @event.listens_for(made, "do_connect")
    def connect(_dialect: Any, _record: Any, _args: Any, given: dict[str, Any]) -> Any:
        require_database(url)
        arguments = {"connect_timeout": _CONNECT_SECONDS, **KEEPALIVE, **given}
        arguments["options"] = f"{started_with} {given.get('options', '')}"
        connection = session.connected(BoundedConnection, **arguments)
        assert isinstance(connection, BoundedConnection)
        connection.patience = seconds + GRACE_SECONDS
        try:
            session.configure_session(connection, in_session)
        except BaseException:
            connection.close()
            raise
        return connection

    return made


def _address(url: str) -> URL:
    if url == NO_DATABASE:
        return URL.create("postgresql+psycopg")
    require_postgresql(url)
    try:
        return make_url(url).set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        # Not chained: its message repeats a part of the address, which may be of the password.
        raise SettingsError(
            f"The database's address {shown_url(url)} cannot be read. The settings database_url "
            "and service_database_url are like postgresql://user@host:5432/database; what is not a "
            "letter or a digit in a password is percent-encoded."
        ) from None


def require_postgresql(url: str) -> None:
    """Raises SettingsError for the address of another database."""
    if is_oracle(url):
        raise SettingsError(
            "This works on PostgreSQL alone, and the general ledger's address is Oracle's, where a "
            "schema is a user and cannot be switched. `faust-ledger reconcile --full` compares "
            "every sum with the log without a shadow ledger; to post the whole log again, name an "
            "empty user's tables in database_url and service_database_url; for copies of the "
            "database there is Oracle's own Data Pump. Nothing was done. See docs/oracle.md."
        )
    scheme = url.partition("://")[0].partition("+")[0].lower()
    if scheme not in SCHEMES:
        raise SettingsError(
            f"The database's address {shown_url(url)} is of no database that the general ledger "
            "can be kept in. Begin database_url and service_database_url with postgresql:// or "
            "oracle://."
        )


@contextmanager
def faults_translated() -> Iterator[None]:
    """Raise the database's errors as JournalUnavailable, or as NotPostable if waiting is vain."""
    try:
        yield
    except DBAPIError as error:
        raise translate(error.orig or error) from error
    except psycopg.Error as error:
        raise translate(error) from error
    except PoolTimeout as error:
        raise JournalUnavailable(f"No free connection to the general ledger: {error}.") from error


def translate(error: BaseException) -> LedgerError:
    """The fault to raise for an error of the driver."""
    code = getattr(error, "sqlstate", None)
    message = hidden(str(error).strip().partition("\n")[0]) or type(error).__name__
    lost = code is None and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    if lost or str(code)[:2] in _UNAVAILABLE_CLASSES or code in _UNAVAILABLE_CODES:
        return JournalUnavailable(
            f"The general ledger's database does not answer at the moment: {message} "
            f"({code or type(error).__name__}). Postings wait in the decision log and continue "
            f"when it does; {advice(code, str(error))}."
        )
    if code == UNDEFINED_COLUMN:
        return NotPostable(other_release(message))
    return NotPostable(
        f"The general ledger's database refuses what was to be posted or read: {message} ({code}). "
        "Nothing was posted. It would refuse it again: this is a fault of the program, or "
        "somebody changed the tables. What to do: docs/runbooks/not-postable.md"
    )
