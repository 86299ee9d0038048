"""A run: the records that were fetched from one partition, and where in the log they stand.

Each run says where it starts and ends. The labels are made in the thread that fetches, where
aiokafka moves its own position: a run that is lost on its way to its agent shows as a gap there,
and holes in the offsets (control records, compaction) do not.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from aiokafka import ConsumerRecord
from faust.types import TP

RECORD_BYTES = 300
"""What a record takes in memory beside its key and value."""


@dataclass(slots=True)
class Run:
    """Records of one partition from the positions [start, end); `size` in bytes of memory.

    `seek`: after how many seeks of that partition they were fetched.
    """

    tp: TP
    start: int
    end: int
    records: list[ConsumerRecord]
    seek: int = 0
    size: int = field(init=False)

    def __post_init__(self) -> None:
        held = sum(len(record.value or b"") + len(record.key or b"") for record in self.records)
        self.size = held + RECORD_BYTES * len(self.records)

    def from_position(self, position: int) -> list[ConsumerRecord] | None:
        """The records at or after `position`; None when the run starts beyond it: a gap."""
        if self.start > position:
            return None
        if self.start == position:
            return self.records
        return [record for record in self.records if record.offset >= position]


def joined(runs: Iterable[Run]) -> list[Run]:
    """Runs of a partition that follow each other without a gap as one."""
    made: list[Run] = []
    last: dict[TP, Run] = {}
    for run in runs:
        before = last.get(run.tp)
        if before is not None and before.end == run.start:
            before.records.extend(run.records)
            before.size += run.size
            before.end, before.seek = run.end, run.seek
        else:
            last[run.tp] = run
            made.append(run)
    return made
