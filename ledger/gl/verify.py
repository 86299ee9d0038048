"""Everything that can be said of a journal by itself and what was published about it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ledger.domain.run import Watermark
from ledger.errors import InvariantBroken
from ledger.gl import audit
from ledger.gl.audit import DoubleEntry, Finding, Sides
from ledger.gl.journal import Journal, PostedVoid, Row
from ledger.gl.scales import Scales


@dataclass(frozen=True, slots=True)
class Verified:
    """What there is, sums by currency, what is wrong, and what counts for nothing."""

    transactions: int
    runs: int
    sums: Mapping[str, Sides]
    findings: list[Finding]
    voided: Sequence[PostedVoid] = ()


def verify(
    journal: Journal, heads: Sequence[Watermark], tell: Callable[[int], None] = lambda _: None
) -> Verified:
    """`heads`: of each shard what it published last, read before this is called.

    `tell` hears how many shards are done.
    """
    # First, for they name what the rest may not be able to read.
    findings, scales, counted = list(orphans(journal, len(heads))), Scales(), DoubleEntry({}, 0, [])
    voided: Sequence[PostedVoid] = ()
    runs = 0
    try:
        voided = journal.voids()
        counted = audit.double_entry(journal)
        findings += counted.findings
        for shard, head in enumerate(heads):
            published = [head] if head.decisions_offset else []
            findings += audit.voids_against_runs(journal, shard)
            findings += audit.verify_chain(journal, shard, published, scales)
            findings += audit.stripes_against_entries(journal, shard)
            runs += sum(1 for _ in journal.runs(shard))
            tell(shard + 1)
    except (InvariantBroken, ValueError, TypeError, AttributeError) as error:
        # Values that no posting writes, where the rules against them were dropped.
        if not findings:
            raise
        findings.append(_unread(error))
    return Verified(counted.transactions, runs, counted.sums, list(_once(findings)), voided)


def _unread(error: Exception) -> Finding:
    return Finding(
        None,
        0,
        f"The rest of the journal could not be read ({error}). Put right what is found up to here, "
        "then verify again.",
    )


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
