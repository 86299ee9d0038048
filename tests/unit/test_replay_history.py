"""`rebuild history`: what it refuses before it empties anything, and what it waits for."""

import asyncio
from typing import Any

import pytest

from ledger.domain.run import Watermark
from ledger.errors import LedgerError
from ledger.replay import history as module
from ledger.replay.history import Refolded, refold_history, require_owner
from ledger.settings import Settings


class Log:
    """A decision log of two shards that begins at `first`."""

    first = 0

    def __init__(self, settings: Settings) -> None:
        pass

    async def bounds(self, topic: str, shard: int) -> tuple[int, int]:
        return self.first * shard, 9

    async def close(self) -> None:
        pass


class Reader:
    """Positions as they are asked for, one after another; the last ones stay."""

    def __init__(self, *positions: dict[int, Watermark]) -> None:
        self._positions = list(positions)

    def positions(self) -> dict[int, Watermark]:
        return self._positions.pop(0) if len(self._positions) > 1 else self._positions[0]

    def close(self) -> None:
        pass


@pytest.fixture
def emptied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Addresses of the databases whose history was emptied."""
    found: list[str] = []
    monkeypatch.setattr(module, "Log", Log)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(module.history_schema, "empty", found.append)
    return found


def refolded(monkeypatch: pytest.MonkeyPatch, reader: Reader, seconds: float = 5) -> Any:
    monkeypatch.setattr(module, "open_history_writer", lambda url: reader)
    steps: list[int] = []
    settings = Settings(database_url="postgresql://owner@h/l", shards=2)
    return asyncio.run(refold_history(settings, seconds, steps.append)), steps


def mark(end: int) -> Watermark:
    return Watermark(end, end)


def test_it_waits_until_as_much_is_folded_again(
    emptied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, half = {0: mark(9), 1: mark(5)}, {0: mark(9), 1: mark(2)}
    found, steps = refolded(monkeypatch, Reader(before, {}, half, {0: mark(10), 1: mark(5)}))
    assert found == Refolded({0: 9, 1: 5}, {0: 10, 1: 5})
    assert (found.left, steps) == (0, [0, 11, 14])
    assert emptied == ["postgresql://owner@h/l"]


def test_it_says_what_is_left_when_its_time_is_over(
    emptied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = refolded(monkeypatch, Reader({0: mark(9)}, {0: mark(4)}), seconds=0)
    assert found.left == 5


def test_a_log_without_its_beginning_is_kept_from_it(
    emptied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Log, "first", 4)
    with pytest.raises(LedgerError, match=r"decisions\[1\] begins at 4.*Nothing was changed"):
        refolded(monkeypatch, Reader({}))
    assert emptied == []


def test_a_database_whose_owner_is_unknown_is_left_alone() -> None:
    settings = Settings(history_database_url="postgresql://service@replica/ledger")
    with pytest.raises(LedgerError, match="TRUNCATE ledger_history"):
        require_owner(settings)
    require_owner(Settings())
