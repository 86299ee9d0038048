"""A running stack for as long as it is needed; what ran before goes on running."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ledger.settings import Settings
from ledger.stack import files, parts, stack
from ledger.stack import record as records
from ledger.stack.progress import Meters


@contextmanager
def running(
    data_dir: Path, *, workers: int, keep: bool, meters: Meters, say: Callable[[str], None]
) -> Iterator[Settings]:
    """The stack's settings; `workers` are started where none runs. With `keep` nothing is stopped.

    Raises StackError when something does not come up.
    """
    place = files.layout(data_dir)
    known = records.load(place)
    had_services = any(map(parts.running, known.parts)) if known else False
    had_workers = any(map(parts.running, known.workers)) if known else False
    try:
        record = stack.up(
            place.root, worker_count=None if had_workers else workers, meters=meters, say=say
        )
        yield stack.settings_of(record)
    finally:
        if keep or had_workers:
            pass
        elif had_services:
            stack.up(place.root, worker_count=0)
        else:
            stack.down(place.root)
