"""The demo's last lines: what to look at next, on a terminal of 80 columns."""

from pathlib import Path

import pytest

from ledger.cli.demo import Shown, ending


@pytest.mark.parametrize("keep", [False, True])
def test_the_last_lines_fit_into_80_columns(keep: bool) -> None:
    lines = "\n".join(ending(Path("demo"), Shown(True, 4711, "demo-1764500000-12345"), keep=keep))
    assert [line for line in lines.split("\n") if len(line) > 80] == []
    assert "docs/getting-started.md" in lines
