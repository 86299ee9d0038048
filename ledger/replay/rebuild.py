"""`faust-ledger rebuild ledger`: the journal made anew from the log, compared, then switched."""

from contextlib import closing
from dataclasses import dataclass

from ledger.audit.reading import Sources
from ledger.domain.run import Watermark
from ledger.errors import LedgerError
from ledger.gl.postgresql import shadows
from ledger.gl.postgresql.migrate import upgrade
from ledger.gl.postgresql import PostgresJournal
from ledger.replay.compare import ShardComparison
from ledger.replay.replay import Report, Tell
from ledger.replay.shadow import ShardBuild, Span
from ledger.settings import Settings

PURPOSE = "the ledger rebuilt from the log"
KEPT = "_before"


@dataclass(frozen=True, slots=True)
class Rebuild:
    """What is wanted: the schema, whether to switch, and to do so in spite of differences."""

    name: str
    switch: bool
    accept: bool


async def rebuild(settings: Settings, wish: Rebuild, tell: Tell) -> tuple[Report, str | None]:
    """Build or go on building, compare, switch if that is wanted and may be.

    Returns the report, and where the ledger that was live is kept, None if nothing was switched.
    `tell` hears how many shards are done. Raises LedgerError where it is not safe.
    """
    live = PostgresJournal(settings.database_url)
    sources = Sources.of(settings, live)
    try:
        await _require_log(sources)
        _provide(settings.database_url, wish.name)
        if wish.switch:
            shadows.require_switchable(settings.database_url, wish.name)
        report = Report(wish.name)
        with closing(PostgresJournal(settings.database_url, schema=wish.name)) as shadow:
            for shard in range(sources.names.decisions.partitions):
                built = await ShardBuild(sources, shadow, shard, Span()).run()
                # What an earlier attempt has posted counts as built.
                built.opening = Watermark()
                report.built.append(built)
                comparison = ShardComparison(live, shadow, shard, report.compared)
                comparison.compare(Watermark(), built.end)
                tell(shard + 1)
            shadows.keep_posted_at(settings.database_url, wish.name)
            if not wish.switch or (report.compared.count and not wish.accept):
                return report, None
            return report, await _switch(sources, shadow, wish, report)
    finally:
        await sources.close()


def _provide(database_url: str, name: str) -> None:
    known = {each.name: each.purpose for each in shadows.known(database_url)}
    if known.get(name) != PURPOSE:
        shadows.create(database_url, name, PURPOSE)
    else:
        # It may have been begun by a version before this one.
        upgrade(database_url, schema=name)


async def _require_log(sources: Sources) -> None:
    """Raises LedgerError where the live ledger has more than the log: that would be lost."""
    topic = sources.names.decisions
    for shard in range(topic.partitions):
        posted = sources.journal.watermark(shard).decisions_offset
        _, end = await sources.log.bounds(topic.name, shard)
        if posted > end:
            raise LedgerError(
                f"{topic.name}[{shard}] ends at {end}, and the live ledger has what came up to "
                f"{posted}: a ledger made from this log would have less. Nothing was done. Restore "
                "the topic first: docs/runbooks/topic-lost.md"
            )


async def _switch(
    sources: Sources, shadow: PostgresJournal, wish: Rebuild, report: Report
) -> str | None:
    """None when what was posted meanwhile differs."""
    live = sources.journal
    assert isinstance(live, PostgresJournal), "rebuild has made it"
    kept = wish.name + KEPT
    with shadows.posting_held(sources.settings.database_url) as connection:
        for built in report.built:
            posted = live.watermark(built.shard)
            if posted.decisions_offset > built.end.decisions_offset:
                before = built.end
                rest = ShardBuild(sources, shadow, built.shard, Span())
                built.end = (await rest.run(posted.decisions_offset)).end
                built.transactions += rest.built.transactions
                built.runs += rest.built.runs
                comparison = ShardComparison(live, shadow, built.shard, report.compared)
                comparison.compare(before, built.end)
        if report.compared.count and not wish.accept:
            return None
        shadow.close()
        live.close()
        shadows.switch(connection, wish.name, kept)
    return kept


def require_free(database_url: str, name: str) -> None:
    """Raises LedgerError when an earlier rebuild has left its old ledger where this one's goes."""
    kept = name + KEPT
    if kept in [each.name for each in shadows.known(database_url)]:
        raise LedgerError(
            f"{kept} is there already, kept from an earlier switch. Give another name, or drop it "
            f"first: `faust-ledger shadows drop {kept}`. Nothing was done."
        )
