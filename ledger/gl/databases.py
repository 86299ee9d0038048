"""Which kind of journal a database address names: the one place that chooses."""

from ledger.gl.history.books import History
from ledger.gl.history.writing import HistoryWriter
from ledger.gl.journal import Journal
from ledger.gl.postgresql import PostgresJournal
from ledger.gl.postgresql.history import PostgresHistoryWriter
from ledger.gl.postgresql.history_reads import PostgresHistory


def open_journal(database_url: str) -> Journal:
    """The journal at the address; it connects when first asked.

    Every address is PostgreSQL's; a second database is chosen here, by the address's scheme. Raises
    SettingsError for an address that cannot be read.
    """
    return PostgresJournal(database_url)


def open_history(database_url: str) -> History:
    """History beside the journal at the address, or on a replica of it; as `open_journal`."""
    return PostgresHistory(database_url)


def open_history_writer(database_url: str) -> HistoryWriter:
    """The writer of history at the address; as `open_journal`."""
    return PostgresHistoryWriter(database_url)
