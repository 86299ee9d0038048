"""`faust-ledger replay`: a stretch of the log in a shadow ledger, compared with the live one."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ledger.audit.reading import Sources
from ledger.gl import shadows
from ledger.gl.postgresql import PostgresJournal
from ledger.replay.again import Judge, ReferenceData
from ledger.replay.compare import Compared, ShardComparison
from ledger.replay.shadow import Built, ShardBuild, Span
from ledger.settings import Settings
from ledger.streaming.transactions import TransactionReader

Tell = Callable[[int], None]


@dataclass(slots=True)
class Report:
    """What was built in the schema `name`, and what comparing it showed."""

    name: str
    built: list[Built] = field(default_factory=list)
    compared: Compared = field(default_factory=Compared)

    @property
    def transactions(self) -> int:
        """Posted to the shadow."""
        return sum(each.transactions for each in self.built)

    @property
    def runs(self) -> int:
        """The same."""
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


async def replay(settings: Settings, name: str, span: Span, tell: Tell) -> Report:
    """Build the shadow `name` of what was recorded in `span`; compare. The live one is only read.

    `tell` hears how many shards are done. Raises LedgerError where `name` is there already.
    """
    live = PostgresJournal(settings.database_url)
    sources = Sources.of(settings, live)
    try:
        shadows.create(settings.database_url, name, f"replay of {shown(span)}")
        try:
            return await _replayed(sources, live, name, span, tell)
        except BaseException:
            # Half of one would only be in the way of the next attempt.
            shadows.drop(settings.database_url, name)
            raise
    finally:
        await sources.close()


async def _replayed(
    sources: Sources, live: PostgresJournal, name: str, span: Span, tell: Tell
) -> Report:
    settings, names, report = sources.settings, sources.names, Report(name)
    reader = TransactionReader.of(settings)
    reference = await ReferenceData.read(sources.log, sources.codec, names.reference.name)
    with (
        closing(PostgresJournal(settings.database_url, schema=name)) as shadow,
        TemporaryDirectory(prefix="faust-ledger-") as folder,
    ):
        for shard in range(names.decisions.partitions):
            with closing(Judge(settings, reader, reference, shard, Path(folder))) as judge:
                built = await ShardBuild(sources, shadow, shard, span, judge).run()
            report.built.append(built)
            comparison = ShardComparison(live, shadow, shard, report.compared)
            comparison.compare(built.opening, built.end)
            tell(shard + 1)
    return report


def shown(span: Span) -> str:
    """The span in words."""
    from ledger.client.drafts import rfc3339 as time

    start = "the beginning" if span.start is None else time(span.start)
    return f"{start} to {'the end' if span.end is None else time(span.end)}"
