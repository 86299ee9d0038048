"""Everything that can be said of a journal by itself and what was published about it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ledger.domain.run import Watermark
from ledger.gl import audit
from ledger.gl.audit import Finding, Sides
from ledger.gl.journal import Journal, Row
from ledger.gl.scales import Scales


@dataclass(frozen=True, slots=True)
class Verified:
    """What there is, sums by currency, and what is wrong."""

    transactions: int
    runs: int
    sums: Mapping[str, Sides]
    findings: list[Finding]


def verify(
    journal: Journal, heads: Sequence[Watermark], tell: Callable[[int], None] = lambda _: None
) -> Verified:
    """`heads`: of each shard what it published last, read before this is called.

    `tell` hears how many shards are done.
    """
    entries = audit.double_entry(journal)
    findings, runs, scales = list(entries.findings), 0, Scales()
    for shard, head in enumerate(heads):
        published = [head] if head.decisions_offset else []
        findings += audit.verify_chain(journal, shard, published, scales)
        findings += audit.stripes_against_entries(journal, shard)
        runs += sum(1 for _ in journal.runs(shard))
        tell(shard + 1)
    findings += orphans(journal, len(heads))
    return Verified(entries.transactions, runs, entries.sums, list(_once(findings)))


def orphans(journal: Journal, shards: int) -> Iterator[Finding]:
    """Rows of all tables that belong to no run."""
    for each in journal.orphans(shards):
        place = dict(each.row.key)
        offset = place.get("log_offset", place.get("decisions_offset", 0))
        yield Finding(each.shard, int(offset), each.sentence, each.row)


def _once(findings: Iterable[Finding]) -> Iterator[Finding]:
    """A row that several checks find wrong is told of once, by the first of them."""
    told: set[Row] = set()
    for each in findings:
        if each.row is None or each.row not in told:
            yield each
        if each.row is not None:
            told.add(each.row)
