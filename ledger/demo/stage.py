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
    apis: int = 0,
    keep: bool = False,
    meters: Meters | None = None,
    say: Callable[[str], None],
) -> Iterator[Record]:
    """The stack, with at least so many workers and API processes.

    Afterwards it runs or is stopped as before; with `keep` everything stays running. Raises
    StackError when something does not start.
    """
    place = files.layout(data_dir)
    known = records.load_record(place)
    services = sum(map(parts.running, known.parts)) if known else 0
    ran = sum(map(parts.running, known.workers)) if known else 0
    served = sum(map(parts.running, known.api)) if known else 0
    count, serving = max(ran, workers), max(served, apis)
    try:
        yield stack.up(place.root, worker_count=count, api_count=serving, meters=meters, say=say)
    finally:
        if services and not keep:
            stack.up(place.root, worker_count=ran, api_count=served)
        elif not keep:
            stack.down(place.root)
