"""Checks of a journal by itself and against the heads that were published about it.

Pure over `Books`, so that the same checks read every database. Findings are values with a sentence
each; no finding means that nothing is wrong.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ledger.domain.run import Watermark
from ledger.errors import InvariantBroken
from ledger.gl.books import LOWEST_OFFSET, Books
from ledger.gl.chain import Scales, verify_chain
from ledger.gl.rows import JournalFinding, PostedRun, PostedVoid, RowKey
from ledger.gl.sums import CurrencySums, DoubleEntry, double_entry, stripes_against_entries


@dataclass(slots=True)
class Verified:
    """How much there is, sums by currency, what is wrong, and what is void."""

    transactions: int = 0
    runs: int = 0
    sums: Mapping[str, CurrencySums] = field(default_factory=dict)
    findings: list[JournalFinding] = field(default_factory=list)
    voided: Sequence[PostedVoid] = ()


def verify_journal(
    books: Books, heads: Sequence[Watermark], progress: Callable[[int], None] = lambda _: None
) -> Verified:
    """Everything that can be checked without the log.

    `heads`: the last one that each shard published, read before this is called. `progress` is
    called with the number of shards that are done.
    """
    # Orphans first: they name rows that the other checks may not be able to read.
    found = Verified(findings=books.orphans(len(heads)))
    try:
        _verify_rows(books, heads, progress, found)
    except (InvariantBroken, ValueError, TypeError, AttributeError) as error:
        # Values that no posting writes; they can be there if the rules of the tables were dropped.
        if not found.findings:
            raise
        found.findings.append(_unread(error))
    found.findings = list(_once(found.findings))
    return found


def _verify_rows(
    books: Books, heads: Sequence[Watermark], progress: Callable[[int], None], found: Verified
) -> None:
    found.voided = books.voids()
    counted: DoubleEntry = double_entry(books, found.voided)
    found.transactions, found.sums = counted.transactions, counted.sums
    found.findings += counted.findings
    scales = Scales()
    for shard, head in enumerate(heads):
        # In this order: `voids` has every void that the snapshot counts.
        snapshot = books.snapshot(shard, LOWEST_OFFSET)
        last, voids = snapshot.watermark, books.voids(shard)
        published = [head] if head.decisions_offset else []
        found.findings += voids_against_runs(books, last, voids)
        found.findings += verify_chain(books, shard, last, voids, heads=published, scales=scales)
        found.findings += stripes_against_entries(books, shard, snapshot, voids)
        found.runs += sum(1 for _ in books.runs(shard))
        progress(shard + 1)


def _unread(error: Exception) -> JournalFinding:
    return JournalFinding(
        None,
        0,
        f"The rest of the journal could not be read ({error}). Put right what is found up to here, "
        "then verify again.",
    )


def _once(findings: Iterable[JournalFinding]) -> Iterator[JournalFinding]:
    """Of a row that several checks find wrong, the first finding."""
    named: set[RowKey] = set()
    for each in findings:
        if each.row is None or each.row not in named:
            yield each
        if each.row is not None:
            named.add(each.row)


def voids_against_runs(
    books: Books, last: Watermark, voids: Sequence[PostedVoid]
) -> Iterator[JournalFinding]:
    """A shard's voids against the runs that accepted and that voided a transaction.

    `last`: the shard's watermark, read before `voids`. Whether a void was allowed is in the log
    alone: `reconcile --full` checks it.
    """
    named = {each.run for each in voids} | {each.decisions_offset for each in voids}
    runs = {
        run.decisions_offset: run
        for run in (books.runs(voids[0].shard) if voids else ())
        if run.decisions_offset in named
    }
    for void in voids:
        problem = _void_problem(books, void, runs, last.decisions_offset)
        if problem is not None:
            row = RowKey.of("voids", shard=void.shard, log_offset=void.offset)
            sentence = f"The row that voids offset {void.offset} {problem}."
            yield JournalFinding.about(row, sentence)


def _void_problem(
    books: Books, void: PostedVoid, runs: Mapping[int, PostedRun], end: int
) -> str | None:
    accepted, voiding = runs.get(void.run), runs.get(void.decisions_offset)
    if not void.taken.offsets:
        return "does not contain the transaction"
    if accepted is None or not accepted.start <= void.offset < accepted.end:
        return f"names the run at decision offset {void.run}, which has not accepted it"
    has_voided = voiding is not None and voiding.start <= void.void_offset < voiding.end
    # A transaction is left out before the run that voids it is posted.
    if not has_voided and (void.was_posted or void.decisions_offset < end):
        return f"names the run at decision offset {void.decisions_offset}, which has not voided it"
    rows = books.transactions(void.shard, void.offset, void.offset + 1)
    is_there = next(iter(rows), None) is not None
    if is_there and not void.was_posted:
        return "leaves it out, but it is posted"
    if void.was_posted and not is_there:
        return "has it as posted before it was voided, but it is not there"
    return None
