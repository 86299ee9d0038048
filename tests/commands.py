"""How tests give `faust-ledger` commands: to a process that has imported all of it, where there is one."""

import atexit
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from tests.waiting import until

PROJECT = Path(__file__).parents[1]
CLIENT = Path(__file__).with_name("preloaded_client.py")
_servers: list["subprocess.Popen[bytes]"] = []


def faust_ledger(*words: object) -> list[str]:
    """A command line that does what `faust-ledger` with `words` does, in a process of its own."""
    # Elsewhere a process that is forked and goes on is not always whole.
    if sys.platform != "linux":
        return interpreted(*words)
    return [sys.executable, "-I", "-S", str(CLIENT), *_server(), *map(str, words)]


@cache
def folder() -> Path:
    """With a program `faust-ledger`, for a PATH."""
    made = Path(mkdtemp(prefix="fl-commands-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    program = made / "faust-ledger"
    program.write_text(f'#!/bin/sh\nexec {shlex.join(faust_ledger())} "$@"\n')
    program.chmod(0o755)
    return made


def interpreted(*words: object) -> list[str]:
    """The same by an interpreter that begins with nothing: for what is known by its command line."""
    return [sys.executable, "-m", "ledger.cli.main", *map(str, words)]


@cache
def _server() -> tuple[str, str]:
    """Where it listens, and its environment; it ends with this process."""
    folder = Path(mkdtemp(prefix="fl-commands-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    place, environment = folder / "socket", folder / "environment"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.preloaded", place, environment],
            stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=PROJECT, start_new_session=True,
        )  # fmt: skip
    _servers.append(server)
    log_of = folder / "log"
    until(
        environment.exists, "commands that can be forked",
        lost=lambda: "" if server.poll() is None else f"it has ended: {log_of.read_text()}",
    )  # fmt: skip
    return str(place), str(environment)
