"""Released versions of the product, each installed from this repository's history.

build/releases/0.2.0-bc68072/...   its source, and an environment of its own with it

What is installed stays: installing takes a minute or two. It is not in the user's cache: root's is
closed to the user that PostgreSQL runs as.
"""

import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest

from ledger.stack.cache import cache_dir, cache_lock
from tests.waiting import PATIENCE

PROJECT = Path(__file__).parents[2]
COMMITS = {
    "0.1.0": "984b6fa1275d346f00584740de6aa9bf3be3b52c",
    "0.2.0": "bc6807232986ec1f9f5dd590186f8ce4e3ce9acc",
}
"""The last commit of each release, which the changelog describes."""
BEFORE = "0.2.0"
"""The release before this one: workers of both run together."""
INSTALL_SECONDS = 900
DONE = ".installed"
PREFIX = "FAUST_LEDGER_"
KEPT = (f"{PREFIX}CACHE_DIR", f"{PREFIX}TEST_JAVA_OPTIONS")
"""Settings of tests that a release is given too."""


class NotInstalled(Exception):
    """A release cannot be had here; the message has the reason."""


@dataclass(frozen=True)
class Release:
    """An installed release; `program` is its `faust-ledger`."""

    version: str
    program: Path

    def environment(self, data_dir: Path, **more: str) -> dict[str, str]:
        """That of its commands on a data directory: nothing that only this version knows."""
        own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        own.pop("PYTHONPATH", None)
        return own | kept | {f"{PREFIX}DATA_DIR": str(data_dir)} | more

    def run(
        self, data_dir: Path, *words: object, stdin: str = "", code: int | None = 0, **more: str
    ) -> str:
        """What one of its commands prints; it ends with `code`, or None with any."""
        done = subprocess.run(
            [self.program, *map(str, words)], input=stdin, capture_output=True, text=True,
            check=False, timeout=PATIENCE, env=self.environment(data_dir, **more), cwd=data_dir,
        )  # fmt: skip
        ended = f"{self.version} {words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert code in (None, done.returncode), ended
        return done.stdout


def required(version: str) -> Release:
    """The release, installed if need be; skips the test, with the reason, where it cannot be had."""
    try:
        return provide(version)
    except NotInstalled as error:
        pytest.skip(str(error))


@cache
def provide(version: str) -> Release:
    """The release, installed if need be. Raises NotInstalled."""
    commit = COMMITS[version]
    shelf = cache_dir() / "tests"
    folder = (
        PROJECT
        / "build"
        / "releases"
        / f"{version}-{commit[:7]}-{sys.version_info[0]}{sys.version_info[1]}"
    )
    program = folder / "environment" / "bin" / "faust-ledger"
    with cache_lock(shelf):
        if not (folder / DONE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            _install(version, commit, folder)
            (folder / DONE).touch()
    return Release(version, program)


def _install(version: str, commit: str, folder: Path) -> None:
    source, environment = folder / "source", folder / "environment"
    source.mkdir(parents=True)
    archived = _run(version, ["git", "-C", str(PROJECT), "archive", commit])
    with tarfile.open(fileobj=BytesIO(archived)) as tar:
        extract(tar, source)
    _run(version, [sys.executable, "-m", "venv", str(environment)])
    _run(version, [
        str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet",
        "--disable-pip-version-check", "--constraint", str(source / "constraints.txt"),
        f"{source}[stack]",
    ])  # fmt: skip


def extract(tar: tarfile.TarFile, folder: Path) -> None:
    """All of an archive of our own making."""
    if hasattr(tarfile, "data_filter"):
        tar.extractall(folder, filter="data")
    else:
        # Python 3.11.0 to 3.11.3 have no filter.
        tar.extractall(folder)


def _run(version: str, command: list[str]) -> bytes:
    """What it prints. Raises NotInstalled with the last of what it complains of."""
    try:
        return subprocess.run(
            command, check=True, capture_output=True, timeout=INSTALL_SECONDS,
            stdin=subprocess.DEVNULL,
        ).stdout  # fmt: skip
    except FileNotFoundError as error:
        raise NotInstalled(f"release {version} cannot be had: no {error.filename} here") from error
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(
            f"release {version} was not installed in {error.timeout:.0f} s"
        ) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or ["without a word"]
        raise NotInstalled(f"release {version} cannot be had: {said[-1]}") from error
