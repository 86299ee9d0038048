"""`faust-ledger rebuild ledger`: builds the journal from the log, compares, then switches."""

from contextlib import closing
from dataclasses import dataclass

from ledger.audit.reading import OnProgress, Sources
from ledger.domain.run import Watermark
from ledger.errors import LedgerError
from ledger.gl.postgresql import PostgresBooks, PostgresJournal, shadows
from ledger.gl.postgresql.migrate import upgrade
from ledger.replay.compare import ShardComparison
from ledger.replay.replay import ReplayReport
from ledger.replay.shadow import ShardBuild, Span
from ledger.settings import Settings

PURPOSE = "the ledger rebuilt from the log"
KEPT_SUFFIX = "_before"


@dataclass(frozen=True, slots=True)
class Rebuild:
    """What to do: the schema, whether to switch, and whether to do so in spite of differences."""

    name: str
    switch: bool
    accept: bool


async def rebuild_ledger(
    settings: Settings, wish: Rebuild, progress: OnProgress
) -> tuple[ReplayReport, str | None]:
    """Build or continue to build, compare, and switch if it is wanted and the ledgers agree.

    Returns the report, and the schema that keeps the former live ledger, None if nothing was
    switched. `progress`: how many shards are done. Raises LedgerError if it is not safe.
    """
    live = PostgresBooks(settings.database_url)
    sources = Sources.of(settings, live)
    try:
        await _require_log(sources)
        _provide(settings.database_url, wish.name)
        if wish.switch:
            shadows.require_switchable(settings.database_url, wish.name)
        report = ReplayReport(wish.name)
        with closing(PostgresJournal(settings.database_url, schema=wish.name)) as shadow:
            for shard in range(sources.names.decisions.partitions):
                built = await ShardBuild(sources, shadow, shard, Span()).run()
                # Runs that an earlier attempt posted are compared as well.
                built.opening = Watermark()
                report.built.append(built)
                comparison = ShardComparison(live, shadow, shard, report.compared)
                comparison.compare(Watermark(), built.end)
                progress(shard + 1)
            shadows.keep_posted_at(settings.database_url, wish.name)
            if not wish.switch or (report.compared.count and not wish.accept):
                return report, None
            return report, await _switch(sources, shadow, wish, report)
    finally:
        await sources.close()


def _provide(database_url: str, name: str) -> None:
    known = {each.name: each.purpose for each in shadows.existing_shadows(database_url)}
    if known.get(name) != PURPOSE:
        shadows.create_shadow(database_url, name, PURPOSE)
    else:
        # An earlier version may have created it.
        upgrade(database_url, schema=name)


async def _require_log(sources: Sources) -> None:
    """Raises LedgerError if the live ledger has more than the log: that would be lost."""
    topic = sources.names.decisions
    for shard in range(topic.partitions):
        posted = sources.books.watermark(shard).decisions_offset
        _, end = await sources.log.bounds(topic.name, shard)
        if posted > end:
            raise LedgerError(
                f"{topic.name}[{shard}] ends at {end}, and the live ledger has runs up to "
                f"{posted}: a ledger made from this log would have less. Nothing was done. Restore "
                "the topic first: docs/runbooks/topic-lost.md"
            )


async def _switch(
    sources: Sources, shadow: PostgresJournal, wish: Rebuild, report: ReplayReport
) -> str | None:
    """None if what was posted meanwhile differs."""
    live = sources.books
    assert isinstance(live, PostgresBooks), "rebuild_ledger has opened it"
    kept = wish.name + KEPT_SUFFIX
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


def require_unused(database_url: str, name: str) -> None:
    """Raises LedgerError if an earlier rebuild has kept a ledger where this one would keep its."""
    kept = name + KEPT_SUFFIX
    if kept in [each.name for each in shadows.existing_shadows(database_url)]:
        raise LedgerError(
            f"{kept} exists already, kept from an earlier switch. Give another name, or drop it "
            f"first: `faust-ledger shadows drop {kept}`. Nothing was done."
        )
