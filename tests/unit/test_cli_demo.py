"""The demo's last lines: what to look at next, on a terminal of 80 columns."""

from pathlib import Path

import pytest

from ledger.cli.demo import Reached, Shown, ending
from ledger.domain.access import ALPHABET, ID_LENGTH, SECRET_BITS, token_of

TOKEN = token_of(ALPHABET[-1] * ID_LENGTH, 2**SECRET_BITS - 1)
API = Reached("http://127.0.0.1:40123", TOKEN)
NAME = "demo-1764500000-012345"


def last_lines(*, keep: bool, ca_file: Path | None = None) -> str:
    shown = Shown(well=True, client=4711, accepted=NAME, refused=NAME)
    return "\n".join(ending(Path("demo"), shown, API, ca_file, keep=keep))


@pytest.mark.parametrize("keep", [False, True])
def test_the_last_lines_fit_into_80_columns(keep: bool) -> None:
    lines = last_lines(keep=keep)
    # A token is copied whole.
    assert [line for line in lines.split("\n") if len(line) > 80 and TOKEN not in line] == []
    assert "docs/getting-started.md" in lines
    assert (TOKEN in lines) is keep


def test_the_requests_of_a_secure_ledger_name_its_authority() -> None:
    lines = last_lines(keep=True, ca_file=Path("my ledger/ca.pem"))
    assert lines.count("curl --cacert 'my ledger/ca.pem' ") == 3
