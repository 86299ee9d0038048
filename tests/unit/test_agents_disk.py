"""A worker's disk before it joins its group."""

from pathlib import Path

import pytest

from agents.__main__ import prepare_disk
from ledger.health.exits import Exit
from ledger.streaming.store import FORMAT, FORMAT_FILE


def test_it_is_made_ready_with_the_format_of_its_tables(tmp_path: Path) -> None:
    folder = tmp_path / "workers" / "worker-1" / "stream"
    prepare_disk(folder)
    prepare_disk(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        FORMAT_FILE: f"{FORMAT}\n"
    }


def test_tables_of_another_release_end_it_and_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FORMAT_FILE).write_text("99\n")
    (tmp_path / "stripes").mkdir()
    with pytest.raises(SystemExit) as ended:
        prepare_disk(tmp_path)
    assert ended.value.code == Exit.SETTINGS
    assert "another release of faust-ledger" in caplog.text
    assert (tmp_path / "stripes").exists()
