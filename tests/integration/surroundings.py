"""A stack that is started in bad company: `pytest_plugins = ["tests.integration.surroundings"]`."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests import warden
from tests.waiting import PATIENCE

PROGRAM = Path(sys.executable).with_name("faust-ledger")
HOSTILE = {
    "JAVA_TOOL_OPTIONS": "-XX:+UseG1GC", "_JAVA_OPTIONS": "-Xmx1m", "JDK_JAVA_OPTIONS": "-Xmx1m",
    "KAFKA_OPTS": "-Xmx1m", "KAFKA_HEAP_OPTS": "-Xmx1m", "CLASSPATH": "/nowhere",
    "QUARKUS_HTTP_PORT": "1", "QUARKUS_HTTP_HOST": "0.0.0.0", "APICURIO_STORAGE_KIND": "gitops",
    "PGDATA": "/nowhere", "PGPORT": "1", "PGHOST": "nowhere.invalid", "PGHOSTADDR": "127.0.0.9",
    "PGOPTIONS": "-c synchronous_commit=off -c search_path=elsewhere", "PGTZ": "Asia/Tokyo",
    "PGCLIENTENCODING": "LATIN1", "PGDATESTYLE": "SQL, DMY", "PGSERVICE": "elsewhere",
    "PGPASSWORD": "wrong", "PGSSLMODE": "require", "PGUSER": "nobody", "PGDATABASE": "nowhere",
    "PYTHONSTARTUP": "/nowhere", "PYTHONOPTIMIZE": "2", "PYTHONIOENCODING": "latin-1",
    "PYTHONUTF8": "0", "PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "64", "LANG": "C",
    "LC_ALL": "C", "TZ": "Asia/Tokyo", "BROKER_URL": "kafka://nowhere", "APP_DATADIR": "/nowhere",
    "http_proxy": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1",
}  # fmt: skip
PACKAGES = ("agents", "ledger", "schemas", "migrations", "tests")
MODULES = ("faust", "json", "sitecustomize", "usercustomize", "psycopg", "encodings", "kafka")


@dataclass(frozen=True)
class Surroundings:
    """A stack's data directory, and the stranger's folder in which all commands are given."""

    data_dir: Path
    folder: Path
    as_user: dict[str, Any]

    def run(self, *words: str, stdin: str = "", **environment: str) -> str:
        """What a command prints; it ends with 0."""
        done = subprocess.run(
            [PROGRAM, *words], cwd=self.folder, input=stdin.encode(), capture_output=True,
            env={**os.environ, **HOSTILE, "PYTHONPATH": str(self.folder / "path"),
                 "FAUST_LEDGER_DATA_DIR": str(self.data_dir), **environment},
            check=False, timeout=PATIENCE, umask=0, **self.as_user,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()


def furnish(folder: Path) -> None:
    """The stranger's: whatever of it runs leaves a trace beside it."""
    running = f"open({str(folder / 'ran')!r}, 'a').write(__file__ + chr(10))\n"
    for name in PACKAGES:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(running)
        (folder / name / "__main__.py").write_text(running)
    for name in MODULES:
        (folder / f"{name}.py").write_text(running)
    (folder / "path").mkdir()
    (folder / ".env").write_text("FAUST_LEDGER_SHARDS=3\n")
    # This one is ours to read, as documented.
    (folder / "faust-ledger.toml").write_text("window_days = 29\n")


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A closed folder, as a home is; not pytest's, whose rights it changes itself."""
    with TemporaryDirectory(prefix="fl-") as made:
        yield Path(made)


@pytest.fixture(scope="session")
def surroundings(home: Path) -> Iterator[Surroundings]:
    """A running stack with one worker."""
    folder = home / "folder"
    folder.mkdir()
    furnish(folder)
    made = Surroundings(home / "księga", folder, {})
    warden.watched(made.data_dir)
    made.run("up", "--workers", "1")
    yield made
    made.run("down")
    warden.left(made.data_dir)
