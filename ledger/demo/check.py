"""The same comparison as `faust-ledger reconcile`."""

from ledger.audit.findings import AuditReport
from ledger.audit.quick import quick_audit
from ledger.audit.reading import Sources
from ledger.client.shards import as_founded
from ledger.gl.postgresql import PostgresJournal
from ledger.settings import Settings


async def reconcile(settings: Settings) -> AuditReport:
    """Public balances against the general ledger, where both are at rest."""
    settings = await as_founded(settings)
    sources = Sources.of(settings, PostgresJournal(settings.database_url))
    try:
        return await quick_audit(sources)
    finally:
        await sources.close()
