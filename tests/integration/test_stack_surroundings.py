"""A stack that is started in bad company: another's environment, folder and umask.

What is read back at the end is what was sent; nothing of the stranger's ran; nobody but the owner
can look into the data; and no folder that is not the stack's has changed.
"""

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from sqlalchemy import create_engine, text

from ledger.settings import load
from ledger.stack import cache, files, postgres_user, record
from tests import warden
from tests.integration.surroundings import HOSTILE, PROGRAM, Surroundings

pytestmark = pytest.mark.stack
pytest_plugins = ["tests.integration.surroundings"]

NAME = "Überweisung-1"
DESCRIPTION = "Zürich → Genève, 振込"


def test_the_folder_has_no_say_but_for_its_settings(surroundings: Surroundings) -> None:
    assert not (surroundings.folder / "ran").exists()
    shown = json.loads(surroundings.run("settings", "--json"))
    assert shown["window_days"]["value"] == 29
    assert shown["shards"]["value"] == 8


def test_text_is_stored_as_it_was_sent(surroundings: Surroundings) -> None:
    given = {
        "transaction_id": NAME, "kind": "deposit", "description": DESCRIPTION,
        "effective_at": "2026-01-02T03:04:05Z",
        "entries": [
            {"account": "assets:cash", "side": "debit", "amount": "10.00", "currency": "CHF"},
            {"account": "liabilities:a", "side": "credit", "amount": "10.00", "currency": "CHF"},
        ],
    }  # fmt: skip
    line = json.dumps(given, ensure_ascii=False) + "\n"
    assert "1 accepted" in surroundings.run("publish", "-", "--wait", stdin=line)
    surroundings.run("reconcile")
    engine = create_engine(load(surroundings.data_dir).database_url)
    with engine.connect() as connection:
        stored = text("SELECT convert_to(transaction_id, 'UTF8'), convert_to(description, 'UTF8')"
                      " FROM transactions")  # fmt: skip
        found = [(bytes(row[0]), bytes(row[1])) for row in connection.execute(stored)]
        assert found == [(NAME.encode(), DESCRIPTION.encode())]
    engine.dispose()


def open_to_others(root: Path) -> list[str]:
    """Paths with any right for the group or others, the root's own included."""
    paths = [root, *root.rglob("*")]
    return [
        f"{path} {stat.S_IMODE(path.lstat().st_mode):o}"
        for path in paths
        if not path.is_symlink() and path.lstat().st_mode & 0o077
    ]


def test_nobody_else_can_look_into_the_data(surroundings: Surroundings) -> None:
    paths = list(surroundings.data_dir.rglob("*"))
    for part in ("kafka", "postgres/base", "workers/worker-1", "log", "secrets"):
        assert (surroundings.data_dir / part).is_dir(), part
    assert len(paths) > 500
    assert open_to_others(surroundings.data_dir) == []


def test_no_other_folder_was_opened(surroundings: Surroundings, home: Path) -> None:
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_what_runs_has_an_environment_of_our_own_making(surroundings: Surroundings) -> None:
    known = record.load_record(files.layout(surroundings.data_dir))
    assert known is not None
    processes = [psutil.Process(part.pid) for part in (*known.parts, *known.workers)]
    processes += [each for top in processes for each in top.children(recursive=True)]
    assert len(processes) > 8
    for process in processes:
        found = process.environ()
        same = {name for name, value in HOSTILE.items() if found.get(name) == value}
        assert same <= {"MALLOC_ARENA_MAX"} and found.get("MALLOC_ARENA_MAX") != "64", process
        assert "PYTHONPATH" not in found


def test_up_closes_what_an_earlier_version_left_open(surroundings: Surroundings) -> None:
    for path in (surroundings.data_dir, surroundings.data_dir / "workers"):
        path.chmod(0o755)
    (surroundings.data_dir / "log" / "worker-1.log").chmod(0o644)
    surroundings.run("up")
    assert open_to_others(surroundings.data_dir) == []


NOBODY = 65534


def can_start_python(user: int) -> bool:
    """Whether the interpreter is where that user can go, not below a closed home."""
    try:
        return not subprocess.run([PROGRAM, "--version"], user=user, group=user, extra_groups=[],
                                  capture_output=True, check=False).returncode  # fmt: skip
    except OSError:
        return False


def test_as_a_normal_user_under_a_umask_of_nothing() -> None:
    if os.geteuid() != 0 or not can_start_python(NOBODY):
        pytest.skip("only root can become another user, who must be able to run this Python")
    with TemporaryDirectory(prefix="fl-") as made:
        home = Path(made)
        home.chmod(0o755)
        (home / "own").mkdir()
        (home / "own" / "folder").mkdir()
        for path in (home / "own", home / "own" / "folder"):
            os.chown(path, NOBODY, NOBODY)
        # Read, and not written to: what root has downloaded.
        shutil.copytree(
            cache.cache_dir(), home / "cache", copy_function=shutil.copyfile,
            # Clients that other tests may be building, and locks.
            ignore=shutil.ignore_patterns("examples", "tests", ".*"),
        )  # fmt: skip
        as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        stack = Surroundings(
            warden.watched(home / "own" / "data"), home / "own" / "folder", as_user
        )
        own = {"HOME": str(home / "own"), "FAUST_LEDGER_CACHE_DIR": str(home / "cache")}
        try:
            stack.run("up", "--workers", "1", **own)
            assert open_to_others(stack.data_dir) == []
            owners = {path.lstat().st_uid for path in stack.data_dir.rglob("*")}
            assert owners == {NOBODY}
        finally:
            stack.run("down", **own)
            warden.left(stack.data_dir)


def test_a_folder_that_is_somebodys_is_neither_used_nor_closed(tmp_path: Path) -> None:
    (tmp_path / "theirs.txt").touch()
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [PROGRAM, "up", "--data-dir", tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "has other things in it (theirs.txt)" in done.stderr
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.txt"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root is PostgreSQL's user another one")
def test_programs_out_of_reach_are_copied_to_where_they_are_not(tmp_path: Path) -> None:
    user = postgres_user.system_user()
    assert user is not None
    closed = tmp_path / "closed"
    installed = closed / "pginstall"
    shutil.copytree(postgres_user.programs().parent, installed, symlinks=True)
    closed.chmod(0o700)
    assert not postgres_user.runs(installed / "bin", user)
    with TemporaryDirectory(prefix="fl-") as shelf:
        copied = postgres_user.copy_programs(installed, Path(shelf))
        assert postgres_user.runs(copied / "bin", user)
        assert postgres_user.copy_programs(installed, Path(shelf)) == copied
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
