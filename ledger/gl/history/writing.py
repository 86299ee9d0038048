"""Folding into history, in any database."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from ledger.domain.run import Watermark
from ledger.domain.valid_run import ValidRun
from ledger.gl.journal import Superseded


class HistoryFold(NamedTuple):
    """Valid runs of a shard; they follow `before`, its watermark, without a gap.

    `producers`: of refused records by their offset in the shard, where known.
    """

    shard: int
    before: Watermark
    runs: Sequence[ValidRun]
    producers: Mapping[int, str] = {}


class HistoryWriter(Protocol):
    """Writes history. Blocking calls, to be made from one thread, `tidy` from another one.

    Every method raises JournalUnavailable when the database cannot answer at the moment.
    """

    def positions(self) -> Mapping[int, Watermark]:
        """How far each shard is folded that has a run."""

    def fold(self, folds: Sequence[HistoryFold]) -> None:
        """Fold, each of another shard, in one database transaction.

        Raises Superseded, with nothing changed for any of them, when a shard's watermark is not
        what its fold follows.
        """

    def tidy(self, shards: Sequence[int], *, idle: bool) -> bool:
        """Count lines of the shards in totals, and make blocks, where many wait or it is `idle`.

        Returns whether there may be more to do.
        """

    def close(self) -> None:
        """Close what is open; nothing can be called afterwards."""


def superseded(fold: HistoryFold) -> Superseded:
    """A fold that does not follow the shard's watermark."""
    return Superseded(
        f"History of shard {fold.shard} is not at decision offset {fold.before.decisions_offset}, "
        f"end {fold.before.end}, as this writer believed: another one has folded since, or it was "
        "dropped. Nothing was folded. Read the position and go on from there."
    )
