"""Stops what tests have started, when they were ended before they could do that themselves.

A process of its own, in a session of its own, which Ctrl-C does not reach. From its standard input it
learns which data directories are in use. That input ends when the tests' process does, however that comes:
then the stacks that are left are stopped, whatever else names their directories is killed, and
the directories are removed.
"""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

from tests import programs

USED, LEFT = "+", "-"
_wardens: list["subprocess.Popen[str]"] = []
counted: set[Path] = set()
"""Directories of ledgers that this process has started."""


def new_place(*, ledger: bool = True) -> Path:
    """A new data directory, watched; `ledger` False: of a worker alone."""
    # Short, because PostgreSQL's socket may live below it; not pytest's, which closes it to others.
    return watched(Path(mkdtemp(prefix="fl-")).resolve(), ledger=ledger)


def watched(path: Path, *, ledger: bool = True) -> Path:
    """From here on what runs in this data directory is stopped when this process ends."""
    if ledger:
        programs.provide()
        counted.add(path)
    _note(USED, path)
    return path


def left(path: Path) -> None:
    """Nothing runs there any more; it may stay."""
    _note(LEFT, path)


def _note(what: str, path: Path) -> None:
    if not _wardens:
        _wardens.append(
            subprocess.Popen(
                [sys.executable, "-m", "tests.warden"], stdin=subprocess.PIPE, text=True,
                cwd=Path(__file__).parents[1], start_new_session=True,
            )
        )  # fmt: skip
    pipe = _wardens[0].stdin
    assert pipe
    pipe.write(f"{what}{path}\n")
    pipe.flush()


def main() -> None:
    """Until standard input ends, and then for as long as stopping takes."""
    paths: dict[str, None] = {}
    for line in sys.stdin:
        what, path = line[0], line[1:].rstrip("\n")
        if what == USED:
            paths[path] = None
        else:
            paths.pop(path, None)
    for path in paths:
        stop(Path(path))


def stop(path: Path) -> None:
    """As `faust-ledger down` does it, and then by force what that does not know of."""
    from ledger.errors import LedgerError
    from ledger.stack import stack

    for identity in path.rglob("identity.json"):
        try:
            stack.down(identity.parent)
        except LedgerError as error:
            sys.stderr.write(f"\n{identity.parent}: {error}\n")
    kill_all(path)
    shutil.rmtree(path, ignore_errors=True)


def kill_all(path: Path) -> None:
    """Processes with that directory among their arguments."""
    import psutil

    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and any(str(path) in each for each in process.cmdline()):
                process.kill()


if __name__ == "__main__":
    main()
