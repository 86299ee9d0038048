"""A data directory as a release has left it, kept as an archive of a few hundred kilobytes.

One archive a release, VERSION.tar.xz beside this file:
    data/...         the data directory of a ledger that was stopped, without PostgreSQL's files and logs
    dumps/NAME.sql   each of PostgreSQL's databases instead: its files are many megabytes, and they are
                     of a version of PostgreSQL rather than of ours
    books.json       what the release itself said was in it

`python -m tests.releases.make 0.2.0` made it.
"""

import json
import os
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ledger.health.server import ADDRESS_FILE
from ledger.stack import environment, files, identity, parts, ports, postgres
from ledger.stack.files import Layout
from ledger.stack.identity import Identity
from ledger.stack.postgres_user import programs
from tests.releases.installed import extract

HERE = Path(__file__).parent
DATABASES = (postgres.DATABASE, "registry")
LEFT_OUT = ("postgres", "log", ".lock")


@dataclass(frozen=True)
class Books:
    """What a release said of its ledger: rows of `balances --json`, and how its lines ended."""

    balances: list[dict[str, Any]]
    accepted: list[str]
    refused: list[str]


def archive_of(version: str) -> Path:
    """Where the data directory of a release is kept."""
    return HERE / f"{version}.tar.xz"


def pack(version: str, data_dir: Path, dumps: dict[str, bytes], books: Books) -> int:
    """Keep a ledger that is stopped; returns the archive's bytes."""
    folder = data_dir.parent
    (folder / "dumps").mkdir()
    for name, dump in dumps.items():
        (folder / "dumps" / f"{name}.sql").write_bytes(dump)
    (folder / "books.json").write_text(json.dumps(vars(books), indent=1))
    with tarfile.open(archive_of(version), "w:xz", preset=9) as tar:
        tar.add(data_dir, "data", filter=_is_kept)
        for name in ("dumps", "books.json"):
            tar.add(folder / name, name)
    return archive_of(version).stat().st_size


def _is_kept(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    below = Path(member.name).parts[1:]
    # RocksDB's own logs say nothing that anybody reads, and the address names a process of then.
    of_worker = member.name.startswith("data/workers/")
    is_past = of_worker and (below[-1].startswith("LOG") or below[-1] == ADDRESS_FILE)
    if (below and below[0] in LEFT_OUT) or is_past or not (member.isreg() or member.isdir()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def unpack(version: str, data_dir: Path) -> Books:
    """Make the empty `data_dir` that of the release, on free ports, with nothing running.

    Skips the test, with the reason, where the directory of the release is not kept.
    """
    if not archive_of(version).exists():
        pytest.skip(f"no {archive_of(version)}: python -m tests.releases.make {version}")
    with TemporaryDirectory(dir=data_dir.parent, prefix="fl-") as made:
        folder = Path(made)
        with tarfile.open(archive_of(version)) as tar:
            extract(tar, folder)
        (folder / "data").replace(data_dir)
        data_dir.chmod(0o700)
        place = files.layout(data_dir)
        move(place.identity_file)
        restore(place, folder / "dumps")
        return Books(**json.loads((folder / "books.json").read_text()))


def restore(place: Layout, dumps: Path) -> None:
    """PostgreSQL's files, of its dumps; it does not run before and after."""
    me = identity.require_identity(place)
    part = postgres.start(place, me)
    try:
        parts.await_ready(part, lambda: postgres.missing(place, me), seconds=postgres.READY_SECONDS)
        postgres.create_databases(place, me)
        for name in DATABASES:
            file = dumps / f"{name}.sql"
            run_program("psql", me, name, "--quiet", "--set=ON_ERROR_STOP=1", f"--file={file}")
    finally:
        parts.stop(part, first=postgres.STOP_SIGNAL, seconds=postgres.STOP_SECONDS)


def move(identity_file: Path) -> None:
    """Give a stack ports that are free here; what it is otherwise stays as its release wrote it."""
    stored = json.loads(identity_file.read_text())
    taken: set[int] = set()

    def chosen() -> int:
        taken.add(port := ports.choose(taken))
        return port

    for name in ("kafka_ports", "controller_ports"):
        stored[name] = [chosen() for _ in stored[name]]
    for name in ("registry_port", "postgres_port"):
        stored[name] = chosen()
    files.write_private(identity_file, json.dumps(stored, indent=2))


def run_program(program: str, me: Identity, database: str, *arguments: str) -> bytes:
    """What one of PostgreSQL's programs prints, as the superuser of a stack without TLS."""
    address = f"postgresql://postgres@127.0.0.1:{me.postgres_port}/{database}?sslmode=disable"
    done = subprocess.run(
        [str(programs() / program), f"--dbname={address}", *arguments], check=False,
        capture_output=True, stdin=subprocess.DEVNULL,
        env={**os.environ, **environment.for_programs(), "PGPASSWORD": me.passwords["postgres"]},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
