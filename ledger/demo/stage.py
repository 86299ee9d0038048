"""A stack that runs for a while, and is afterwards as it was before."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.stack import files, parts, stack
from ledger.stack import record as records
from ledger.stack.progress import Meters
from ledger.stack.record import Record


@contextmanager
def running_stack(
    data_dir: Path,
    *,
    workers: int,
    keep: bool = False,
    meters: Meters | None = None,
    say: Callable[[str], None],
) -> Iterator[Record]:
    """The stack, with at least so many workers; afterwards it runs or is stopped as before.

    With `keep` everything stays running. Raises StackError when something does not start.
    """
    place = files.layout(data_dir)
    known = records.load_record(place)
    services = sum(map(parts.running, known.parts)) if known else 0
    ran = sum(map(parts.running, known.workers)) if known else 0
    try:
        yield stack.up(place.root, worker_count=max(ran, workers), meters=meters, say=say)
    finally:
        if services and not keep:
            stack.up(place.root, worker_count=ran)
        elif not keep:
            stack.down(place.root)
