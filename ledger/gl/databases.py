"""Which kind of journal a database address names: the one place that chooses."""

from contextlib import closing

from ledger.errors import SettingsError
from ledger.gl.books import Books
from ledger.gl.history.absent import NO_HISTORY, AbsentHistory
from ledger.gl.history.books import History
from ledger.gl.history.writing import HistoryWriter
from ledger.gl.journal import Journal
from ledger.gl.oracle import OracleJournal
from ledger.gl.postgresql import PostgresJournal
from ledger.gl.postgresql.history import PostgresHistoryWriter
from ledger.gl.postgresql.history_reads import PostgresHistory
from ledger.gl.rows import JournalFinding
from ledger.settings import Settings, is_oracle


def open_journal(database_url: str) -> Journal:
    """The journal at the address; it connects when first asked.

    Oracle's where its scheme says so, and else PostgreSQL's. Raises SettingsError for an address
    that cannot be read, and where the database's driver is not installed.
    """
    if is_oracle(database_url):
        return OracleJournal(database_url)
    return PostgresJournal(database_url)


def upgrade(database_url: str) -> list[str]:
    """Run the migrations that are missing, as the tables' owner, and grant the roles' rights.

    Returns the names of those that were run. Raises JournalUnavailable when the database cannot be
    reached.
    """
    # Imported here: alembic is slow to import, and no reader needs it.
    if is_oracle(database_url):
        from ledger.gl.oracle import migrate as of_oracle

        return of_oracle.upgrade(database_url)
    from ledger.gl.postgresql import migrate as of_postgresql

    return of_postgresql.upgrade(database_url)


def missing_migrations(database_url: str) -> list[str]:
    """Migrations that this release has and the database has not, asked as the tables' owner.

    Raises NewerTables for a database that a newer release has migrated, and JournalUnavailable when
    it cannot be reached, or this user may not see it.
    """
    if is_oracle(database_url):
        from ledger.gl.oracle import migrate as of_oracle

        return of_oracle.missing(database_url)
    from ledger.gl.postgresql import migrate as of_postgresql

    return of_postgresql.missing(database_url)


def open_history(database_url: str) -> History:
    """History beside the journal at the address, or on a replica of it; as `open_journal`.

    Beside an Oracle there is none: its positions are at the beginning, and it answers nothing else.
    """
    return AbsentHistory() if is_oracle(database_url) else PostgresHistory(database_url)


def history_address(settings: Settings) -> str:
    """Where history is read: beside the general ledger, or where it has a database of its own."""
    return settings.history_database_url or settings.database_url


def require_history(settings: Settings) -> None:
    """Raises SettingsError where the general ledger's database cannot have history."""
    if is_oracle(history_address(settings)):
        raise SettingsError(NO_HISTORY)


def history_findings(settings: Settings, books: Books) -> list[JournalFinding]:
    """As Books.history_findings, of `books` or of the database that has history instead."""
    if not settings.history_database_url:
        return books.history_findings()
    with closing(open_journal(settings.history_database_url)) as elsewhere:
        return elsewhere.history_findings()


def open_history_writer(database_url: str) -> HistoryWriter:
    """The writer of history at the address; as `open_journal`."""
    if is_oracle(database_url):
        raise SettingsError(NO_HISTORY)
    return PostgresHistoryWriter(database_url)
