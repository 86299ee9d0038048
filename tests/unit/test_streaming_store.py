"""A store after a crash, after damage to its files, and on a full disk."""

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledger.errors import LedgerError
from ledger.streaming import store
from ledger.streaming.store import Store

WRITES, ROWS = 400, 50
WRITER = """
import os, sys
from pathlib import Path
from ledger.streaming import store
options = store._options
def small():
    made = options()
    made.set_write_buffer_size(64 * 1024)
    return made
store._options = small
made = store.Store(Path(sys.argv[1]))
for write in range({writes}):
    rows = [(b"k%06d" % ({rows} * write + row), os.urandom(40)) for row in range({rows})]
    made.write([*rows, (b"mark", b"%d" % write)])
os._exit(9)
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a process wrote row after row, and a mark with each, until it was killed."""
    path = tmp_path_factory.mktemp("written") / "0"
    writer = WRITER.format(writes=WRITES, rows=ROWS)
    assert subprocess.run([sys.executable, "-c", writer, str(path)], check=False).returncode == 9
    return path


@pytest.fixture
def crashed(written: Path, tmp_path: Path) -> Path:
    """The same, for a test of its own."""
    path = tmp_path / "stripes" / "0"
    shutil.copytree(written, path)
    return path


def rows_up_to_mark(path: Path) -> tuple[int, int]:
    """How many rows there are, and should be."""
    opened = Store(path)
    try:
        mark = int(opened.get(b"mark") or -1)
        return sum(1 for _ in opened.scan(b"k", b"l")), ROWS * (mark + 1)
    finally:
        opened.close()


def test_after_a_crash_it_is_as_it_was_at_an_earlier_write(crashed: Path) -> None:
    found, wanted = rows_up_to_mark(crashed)
    assert found == wanted > 0


def test_what_is_in_memory_alone_is_not_so_for_long(tmp_path: Path, monkeypatch) -> None:
    now = 1_000.0
    monkeypatch.setattr(store.time, "monotonic", lambda: now)
    opened = Store(tmp_path / "stripes" / "0")
    try:
        opened.write([(b"k", b"1")])
        now += 2 * store.FLUSHED_EACH + 1
        opened.write([(b"k", b"2")])
        deadline = time.perf_counter() + 10
        while as_a_crash_leaves_it(tmp_path / "stripes" / "0", tmp_path / "copy") != b"2":
            assert time.perf_counter() < deadline
    finally:
        opened.close()


def as_a_crash_leaves_it(path: Path, copy: Path) -> bytes | None:
    """What `k` is in a copy of the files, all as they are at one moment."""
    while not is_copied(path, copy):
        pass
    again = Store(copy)
    try:
        return again.get(b"k")
    finally:
        again.close()


def is_copied(path: Path, copy: Path) -> bool:
    """Whether nothing was written, made or removed meanwhile: a flush does all of it."""
    shutil.rmtree(copy, ignore_errors=True)
    try:
        before = files_of(path)
        shutil.copytree(path, copy, ignore=lambda *_: ["LOCK"])
        return files_of(path) == before
    except (FileNotFoundError, shutil.Error):
        return False


def files_of(path: Path) -> dict[str, int]:
    """Their sizes by name."""
    return {each.name: each.stat().st_size for each in path.iterdir()}


@pytest.mark.parametrize("part", range(1, 12))
def test_a_manifest_cut_short_is_noticed_or_an_earlier_write(crashed: Path, part: int) -> None:
    (manifest,) = crashed.glob("MANIFEST*")
    os.truncate(manifest, manifest.stat().st_size * part // 12)
    try:
        found, wanted = rows_up_to_mark(crashed)
    except Exception as error:
        assert store.is_damage(error), error
    else:
        assert found == wanted


def test_tables_of_another_format_are_refused_and_stay(tmp_path: Path) -> None:
    """Those of release 0.2 say nothing, and are of the first."""
    (tmp_path / "stripes").mkdir()
    store.require_format(tmp_path)
    store.require_format(tmp_path)
    for other in (str(store.FORMAT + 1), "", "x"):
        (tmp_path / store.FORMAT_FILE).write_text(other)
        with pytest.raises(LedgerError, match=f"reads format {store.FORMAT}.*another release"):
            store.require_format(tmp_path)
        assert (tmp_path / store.FORMAT_FILE).read_text() == other


def test_what_is_damaged_is_removed_and_nothing_else(crashed: Path) -> None:
    folder = crashed.parent.parent
    sound = Store(folder / "stripes" / "1")
    sound.write([(b"k", b"v")])
    sound.close()
    # All, for one may be what a compaction was about to remove.
    for each in crashed.glob("*.sst"):
        os.truncate(each, each.stat().st_size // 2)
    store.mend(folder)
    assert crashed.exists()
    store.note_damage(folder)
    store.mend(folder)
    assert not crashed.exists()
    again = Store(folder / "stripes" / "1")
    assert again.get(b"k") == b"v"
    again.close()
    assert not (folder / store.DAMAGED).exists()


def change_bytes(path: Path) -> None:
    """A hundred of them, a third into each file."""
    for each in path.glob("*.sst"):
        with each.open("r+b") as file:
            file.seek(each.stat().st_size // 3)
            file.write(bytes(100))


def test_bytes_changed_are_found_when_looked_for(crashed: Path) -> None:
    change_bytes(crashed)
    opened = Store(crashed)
    with pytest.raises(Exception, match="Corruption") as found:
        list(opened.scan(b"k"))
    assert store.is_damage(found.value)


def test_bytes_changed_are_found_among_many_looked_for(crashed: Path) -> None:
    opened = Store(crashed)
    keys = [key for key, _ in opened.scan(b"k")]
    assert opened.get_all([]) == []
    assert None not in opened.get_all(keys)
    opened.close()
    change_bytes(crashed)
    opened = Store(crashed)
    with pytest.raises(Exception, match="Corruption") as found:
        opened.get_all(keys)
    assert store.is_damage(found.value)


def test_a_full_disk_is_known_by_what_it_says() -> None:
    assert store.is_disk_trouble(OSError(errno.ENOSPC, "No space left on device"))
    assert store.is_disk_trouble(Exception("IO error: No space left on device: While appending"))
    assert store.is_disk_trouble(OSError(errno.EIO, "Input/output error"))
    assert not store.is_disk_trouble(ConnectionResetError(errno.ECONNRESET, "reset"))
    assert store.is_damage(Exception("IO error: No such file or directory: While open 000012.sst"))
    assert not store.is_damage(Exception("IO error: No space left on device"))


def test_room_is_asked_of_the_disk(tmp_path: Path) -> None:
    store.require_room(tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OSError):
        store.require_room(tmp_path / "absent")
