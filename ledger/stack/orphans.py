"""What a crash of PostgreSQL leaves behind: its children, and its lock file."""

from pathlib import Path

import psutil
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from ledger.stack.parts import kill

ORPHAN_SECONDS = 10


def clear_leftovers(directory: Path) -> None:
    """After a crash: see the last server's children off, and remove its stale lock file.

    The caller has made sure that no server runs here. PostgreSQL removes the lock file itself
    unless its pid is now another process's, which it cannot tell from a server.
    """

    def children() -> list[psutil.Process]:
        return [each for each in psutil.process_iter() if works_in(each, directory)]

    ended = Retrying(
        retry=retry_if_result(bool),
        stop=stop_after_delay(ORPHAN_SECONDS),
        wait=wait_fixed(0.05),
        retry_error_callback=lambda state: state.outcome and state.outcome.result(),
    )
    if (directory / "postmaster.pid").exists():
        kill(ended(children) or [])
        (directory / "postmaster.pid").unlink(missing_ok=True)


def works_in(process: psutil.Process, directory: Path) -> bool:
    """Whether it is a process of PostgreSQL whose working directory is `directory`."""
    try:
        return process.name() == "postgres" and Path(process.cwd()) == directory.resolve()
    except (psutil.Error, OSError):
        return False
