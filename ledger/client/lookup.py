"""Looks one transaction up, by its id, in the general ledger and in Kafka."""

from collections.abc import Awaitable, Callable

from ledger.client.log_search import LogFindings, search_log
from ledger.client.shards import as_founded
from ledger.client.whereabouts import Whereabouts
from ledger.domain.partition import partition_of
from ledger.errors import LedgerError
from ledger.gl.lookups import LookupResult
from ledger.settings import Settings


async def look_up_transaction(
    settings: Settings,
    transaction_id: str,
    from_books: Callable[[], Awaitable[LookupResult]],
    *,
    ordering_key: str | None = None,
    back: int,
) -> Whereabouts:
    """What both have of an id; `from_books` asks the general ledger.

    `back`: records of each shard that are searched from the end back. With an `ordering_key`, what
    is not posted is looked for in its shard alone. Raises LedgerError if neither answers.
    """
    unknown: list[str] = []
    books: LookupResult | None = None
    try:
        books = await from_books()
    except LedgerError as error:
        unknown.append(str(error))
    log = LogFindings()
    try:
        log = await search_for(
            settings, transaction_id, books, ordering_key=ordering_key, back=back
        )
    except LedgerError as error:
        if books is None:
            raise
        unknown.append(str(error))
    return Whereabouts(transaction_id, books, log, unknown + log.unknown)


async def search_for(
    settings: Settings,
    transaction_id: str,
    books: LookupResult | None,
    *,
    ordering_key: str | None = None,
    back: int,
) -> LogFindings:
    """What Kafka has of an id, given what the general ledger has; None: it could not be asked."""
    found = books.found if books else []
    shards = {each.transaction.shard for each in found} or None
    if shards is None and ordering_key is not None:
        founded = await as_founded(settings)
        shards = {partition_of(ordering_key.encode("utf-8", "surrogatepass"), founded.shards)}
    return await search_log(
        settings,
        transaction_id,
        shards=shards,
        posted=books.watermarks if books else {},
        runs=[(each.transaction.shard, each.run.decisions_offset) for each in found if each.run],
        back=back,
    )
