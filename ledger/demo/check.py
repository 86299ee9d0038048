"""The same comparison as `faust-ledger reconcile`."""

from ledger.audit import quick
from ledger.audit.findings import Report
from ledger.audit.reading import Sources
from ledger.gl.postgresql import PostgresJournal
from ledger.settings import Settings


async def reconcile(settings: Settings) -> Report:
    """Public balances against the general ledger, where both are at rest."""
    sources = Sources.of(settings, PostgresJournal(settings.database_url))
    try:
        return await quick.reconcile(sources)
    finally:
        await sources.close()
