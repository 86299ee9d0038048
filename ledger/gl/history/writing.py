"""Folding into history, in any database."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from ledger.domain.run import Watermark
from ledger.domain.valid_run import ValidRun


class HistoryFold(NamedTuple):
    """Valid runs of a shard; they follow `before`, its watermark, without a gap.

    `producers`: of refused records by their offset in the shard, where known.
    """

    shard: int
    before: Watermark
    runs: Sequence[ValidRun]
    producers: Mapping[int, str] = {}


class HistoryWriter(Protocol):
    """Writes history. Blocking calls, to be made from one thread.

    Every method raises JournalUnavailable when the database cannot answer at the moment.
    """

    def positions(self) -> Mapping[int, Watermark]:
        """How far each shard is folded that has a run."""

    def fold(self, folds: Sequence[HistoryFold]) -> None:
        """Fold, each of another shard, in one database transaction.

        Raises Superseded, with nothing changed for any of them, when a shard's watermark is not
        what its fold follows.
        """

    def tidy(self, shards: Sequence[int]) -> bool:
        """Count lines of the shards in totals, make blocks; a portion. Whether there is more."""

    def close(self) -> None:
        """Close what is open; nothing can be called afterwards."""
