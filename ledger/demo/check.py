"""The same comparison as `faust-ledger reconcile`."""

from ledger.audit import quick
from ledger.audit.findings import Report
from ledger.audit.reading import Sources
from ledger.client.shards import as_founded
from ledger.gl.postgresql import PostgresJournal
from ledger.settings import Settings


async def reconcile(settings: Settings) -> Report:
    """Public balances against the general ledger, where both are at rest."""
    settings = await as_founded(settings)
    sources = Sources.of(settings, PostgresJournal(settings.database_url))
    try:
        return await quick.reconcile(sources)
    finally:
        await sources.close()
