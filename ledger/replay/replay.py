"""`faust-ledger replay`: posts a part of the log to a shadow ledger and compares it."""

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ledger.audit.reading import OnProgress, Sources
from ledger.gl.postgresql import PostgresBooks, PostgresJournal, shadows
from ledger.replay.again import DecisionReplay, ReferenceHistory
from ledger.replay.compare import ComparisonResult, ShardComparison
from ledger.replay.shadow import Built, ShardBuild, Span
from ledger.settings import Settings
from ledger.streaming.transactions import TransactionReader


@dataclass(slots=True)
class ReplayReport:
    """What was built in the schema `name`, and what comparing it showed."""

    name: str
    built: list[Built] = field(default_factory=list)
    compared: ComparisonResult = field(default_factory=ComparisonResult)

    @property
    def transactions(self) -> int:
        """How many were posted to the shadow."""
        return sum(each.transactions for each in self.built)

    @property
    def runs(self) -> int:
        """How many were posted to the shadow."""
        return sum(each.runs for each in self.built)

    def as_json(self) -> dict[str, Any]:
        """As --json prints it; offsets are positions, ends are exclusive."""
        return {
            "schema": self.name,
            "transactions": self.transactions,
            "runs": self.runs,
            "same": self.compared.same,
            "not_posted": self.compared.not_posted,
            "different": self.compared.count,
            "differences": [each.as_json() for each in self.compared.differences],
            "decided_otherwise": [
                each._asdict() for built in self.built for each in built.otherwise
            ],
            "not_decided_again": sum(built.undecided for built in self.built),
            "shards": [
                {
                    "shard": built.shard,
                    "start": built.opening.end,
                    "end": built.end.end,
                    "decisions_start": built.opening.decisions_offset,
                    "decisions_end": built.end.decisions_offset,
                    "transactions": built.transactions,
                }
                for built in self.built
            ],
        }


async def replay_log(
    settings: Settings, name: str, span: Span, progress: OnProgress
) -> ReplayReport:
    """Build the shadow `name` of what was recorded in `span`, and compare it with the live ledger.

    The live one is only read. `progress`: how many shards are done. Raises LedgerError if `name`
    exists already.
    """
    live = PostgresBooks(settings.database_url)
    sources = Sources.of(settings, live)
    try:
        shadows.create_shadow(settings.database_url, name, f"replay of {span_text(span)}")
        try:
            return await _replayed(sources, live, name, span, progress)
        except BaseException:
            # An incomplete shadow would be in the way of the next attempt.
            shadows.remove_shadow(settings.database_url, name)
            raise
    finally:
        await sources.close()


async def _replayed(
    sources: Sources, live: PostgresBooks, name: str, span: Span, progress: OnProgress
) -> ReplayReport:
    settings, names, report = sources.settings, sources.names, ReplayReport(name)
    reader = TransactionReader.of(settings)
    reference = await ReferenceHistory.read(sources.log, sources.codec, names.reference.name)
    with (
        closing(PostgresJournal(settings.database_url, schema=name)) as shadow,
        TemporaryDirectory(prefix="faust-ledger-") as folder,
    ):
        for shard in range(names.decisions.partitions):
            with closing(DecisionReplay(settings, reader, reference, shard, Path(folder))) as again:
                built = await ShardBuild(sources, shadow, shard, span, again).run()
            report.built.append(built)
            comparison = ShardComparison(live, shadow, shard, report.compared)
            comparison.compare(built.opening, built.end)
            progress(shard + 1)
    return report


def span_text(span: Span) -> str:
    """The span in words."""
    from ledger.client.drafts import rfc3339 as time

    start = "the beginning" if span.start is None else time(span.start)
    return f"{start} to {'the end' if span.end is None else time(span.end)}"
