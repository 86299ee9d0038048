"""Rows that no run of the digest chain accounts for: which they are, and a sentence about each."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from ledger.domain.run import Watermark
from ledger.gl.rows import JournalFinding, RowKey

NAMED_ROWS = 100
"""Rows of a table that are named; one finding stands for the others."""
RECENT, RECENT_RUNS = 10_000, 1_000
"""Positions and runs of a shard, counted back from its end, whose transactions are counted if the
tables are not read from end to end: under 2 ms a shard, however long the journal is."""
_FORGED = "The posting service did not write it, or the shard's row was set back."


class RunCount(NamedTuple):
    """A run's positions [start, end), and how many transactions it accepted there."""

    decisions_offset: int
    start: int
    end: int
    accepted: int


class PostedPositions:
    """How far each shard is posted, in one snapshot; `shards`: how many the log has."""

    def __init__(self, shards: int, marks: Mapping[int, Watermark]) -> None:
        self.shards = shards
        self.beyond = sorted(shard for shard in marks if not 0 <= shard < shards)
        self.marks = {shard: marks[shard] for shard in sorted(marks) if 0 <= shard < shards}

    def ends(self, table: str) -> dict[int, int]:
        """By shard, the position before which rows of `table` may be."""
        if table == "runs":
            return {shard: mark.decisions_offset for shard, mark in self.marks.items()}
        return {shard: mark.end for shard, mark in self.marks.items()}

    def is_outside(self, table: str, shard: int, position: int) -> bool:
        """Whether nothing at that position is posted."""
        return not 0 <= position < self.ends(table).get(shard, 0)

    def orphan(self, row: RowKey, shard: int, which: str = "") -> JournalFinding:
        """A row at a position that is not posted; `which`, if it stands for several."""
        ends = self.ends(row.table)
        if not 0 <= shard < self.shards:
            why = f"the log has {self.shards} shards, counted from 0"
        elif shard not in ends:
            why = f"nothing is posted of shard {shard}"
        else:
            offsets = "decision offset" if row.table == "runs" else "position"
            why = f"shard {shard} is posted from {offsets} 0 to {ends[shard] - 1}"
        return JournalFinding.about(row, f"{row}{which} belongs to no run: {why}. {_FORGED}")

    def shards_beyond(self) -> Iterator[JournalFinding]:
        """Shards that the log does not have."""
        return (self.orphan(RowKey.of("shards", shard=shard), shard) for shard in self.beyond)


def entries_at(
    posted: PostedPositions, places: Iterable[tuple[int, int, int]]
) -> Iterator[JournalFinding]:
    """(shard, log offset, entry) of entries at positions that are not posted; one a position."""
    numbers: dict[tuple[int, int], list[int]] = defaultdict(list)
    for shard, offset, entry in places:
        numbers[shard, offset].append(entry)
    for (shard, offset), found in numbers.items():
        row = RowKey.of("entries", shard=shard, log_offset=offset)
        yield posted.orphan(row, shard, f", entry {', '.join(map(str, sorted(found)))},")


def misnumbered(
    shard: int, offset: int, *, count: int, first: int, last: int, transaction: bool
) -> JournalFinding:
    """Entries at a posted position that have no transaction, or not the numbers from 0 on."""
    what = f": {count} entries of no transaction. {_FORGED}"
    if transaction:
        what = (
            f": {count} entries are numbered from {first} to {last}; a transaction's are numbered "
            f"from 0 to {count - 1}. One was added, removed or renumbered."
        )
    return _about("entries", what, shard=shard, log_offset=offset)


def recent(runs: Sequence[RunCount]) -> list[RunCount]:
    """The runs whose transactions are counted, oldest first, of a shard's runs, newest first."""
    since = runs[0].end - RECENT if runs else 0
    return [run for at, run in enumerate(runs[:RECENT_RUNS]) if not at or run.start >= since][::-1]


def miscounted(shard: int, run: RunCount, present: int) -> JournalFinding:
    """A run that does not have as many transactions as it accepted."""
    what = (
        f" accepted {run.accepted} transactions, and the journal has {present} at its positions "
        f"{run.start} to {run.end - 1}: some were added or removed. `faust-ledger "
        "reconcile --full` names them."
    )
    return _about("runs", what, shard=shard, decisions_offset=run.decisions_offset)


def no_run_ends_at(shard: int, mark: Watermark) -> JournalFinding:
    """A shard whose row is at the end of no run."""
    what = (
        f" is recorded as posted up to decision offset {mark.decisions_offset} and position "
        f"{mark.end}, digest {mark.digest.hex()[:16]}…; no run of the journal ends so. Runs were "
        "removed or changed, or the shard's row was."
    )
    return _about("shards", what, shard=shard)


def unused_currency(code: str) -> JournalFinding:
    """A currency without a stripe."""
    what = " is used by no stripe. The posting service adds one with its use."
    return _about("currencies", what, code=code)


def missing_currency(code: str) -> JournalFinding:
    """A currency that stripes have, without a row."""
    what = " is missing; stripes have it. Its row was removed or renamed."
    return _about("currencies", what, code=code)


def misdated(shard: int, decisions_offset: int) -> JournalFinding:
    """A run posted at a time that cannot be."""
    what = ": posted_at lies in the future, or before the year 2000. It was changed."
    return _about("runs", what, shard=shard, decisions_offset=decisions_offset)


def _about(table: str, what: str, **key: int | str) -> JournalFinding:
    row = RowKey.of(table, **key)
    return JournalFinding.about(row, f"{row}{what}")


def limited(found: Iterable[JournalFinding]) -> Iterator[JournalFinding]:
    """Each row once, the first NAMED_ROWS of a table, and then one for the rest of it."""
    named: dict[str, set[RowKey]] = defaultdict(set)
    for each in found:
        assert each.row is not None, "every orphan is a row"
        rows = named[each.row.table]
        if each.row in rows or len(rows) > NAMED_ROWS:
            continue
        rows.add(each.row)
        yield each if len(rows) <= NAMED_ROWS else more(each.row.table)


def more(table: str) -> JournalFinding:
    """In place of those beyond the limit."""
    return JournalFinding.about(RowKey(table, ()), f"There are more such rows in table {table}.")
