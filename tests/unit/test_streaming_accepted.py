"""Accepted ids are remembered as long as a repetition or a reversal may come, and then forgotten."""

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.domain.memory import AcceptedId
from ledger.domain.policy import Policy
from ledger.domain.run import Content
from ledger.domain.valid_run import ValidRun
from ledger.streaming import accepted
from ledger.streaming.accepted import MARK, AcceptedIds, AcceptedMark
from ledger.streaming.store import Store
from tests.builders import content, run_of

SECOND = 1_000_000
WINDOW = 10 * SECOND


class Ids:
    """A shard's, and the runs that it is given, one a second of the log's time."""

    def __init__(self, path: Path) -> None:
        self.table, self.runs = AcceptedIds(path), 0

    def add(self, *names: str, at: int, early: int = 0, reverses: str = "") -> None:
        memory = self.table.memory()
        for name in names:
            memory.add(
                name, self.runs, (at + early) * SECOND, b"f" * 16, b"m" * 16, at, reverses=False
            )
        if reverses:
            memory.reversals[reverses] = self.runs
        self.runs += 1
        self.table.write(memory, self._run(at * SECOND), Policy(window=WINDOW))

    def _run(self, recorded_until: int) -> ValidRun:
        before = self.table.watermark
        decision = replace(run_of(Content(), watermark=before), recorded_until=recorded_until)
        after = decision.after(before, decisions_offset=self.runs)
        return ValidRun(decision, self.runs, before, after)

    def knows(self, name: str) -> bool:
        return self.table.find(name) is not None

    def keys(self) -> set[bytes]:
        return {key[:1] for key, _ in self.table._store.scan() if key != MARK}


@pytest.fixture
def ids(tmp_path: Path) -> Ids:
    return Ids(tmp_path / "ids")


def test_ids_are_kept_for_two_windows_and_then_gone_with_all_that_was_kept_of_them(
    ids: Ids,
) -> None:
    ids.add("one", "two", at=100, reverses="one")
    ids.add(at=120)
    assert ids.knows("one")
    assert ids.knows("two")
    assert ids.table.find_reversal("one") == 0
    ids.add(at=122)
    assert not ids.knows("one")
    assert not ids.knows("two")
    assert ids.table.find_reversal("one") is None
    assert ids.keys() == set()


def test_an_id_of_two_lines_is_forgotten_too(ids: Ids) -> None:
    ids.add("one\ntwo", "three", at=100)
    ids.add(at=122)
    assert ids.keys() == set()


def test_a_run_waits_for_its_newest_id(ids: Ids) -> None:
    ids.add("ahead of its time", at=100, early=5)
    ids.add(at=124)
    assert ids.knows("ahead of its time")
    ids.add(at=127)
    assert not ids.knows("ahead of its time")


def test_an_id_used_again_past_the_window_stays_when_its_first_use_is_forgotten(ids: Ids) -> None:
    ids.add("again", "once", at=100)
    ids.add("again", at=115)
    ids.add(at=122)
    assert not ids.knows("once")
    assert ids.table.find("again") == AcceptedId(1, 115 * SECOND, b"f" * 16, b"m" * 16, 115, False)
    ids.add(at=136)
    assert ids.keys() == set()


def test_an_id_used_again_in_the_run_that_forgets_its_first_use_stays(ids: Ids) -> None:
    ids.add("again", at=100, reverses="again")
    ids.add("again", at=1_000, reverses="again")
    assert ids.table.find("again") == AcceptedId(
        1, 1_000 * SECOND, b"f" * 16, b"m" * 16, 1_000, False
    )
    assert ids.table.find_reversal("again") == 1


def test_runs_of_the_same_moment_are_both_forgotten(ids: Ids) -> None:
    ids.add("one", at=100)
    ids.add("two", at=100)
    ids.add(at=122)
    assert ids.keys() == set()


def test_after_a_long_rest_they_go_a_part_at_a_time(
    ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepted, "FORGOTTEN_AT_ONCE", 9)
    for each in range(6):
        ids.add(f"a{each}", f"b{each}", at=100)
    ids.add(at=1_000)
    assert not ids.knows("a0")
    assert ids.knows("a5")
    ids.add(at=1_002)
    assert ids.knows("a5")
    ids.add(at=1_004)
    assert ids.keys() == set()


def test_a_table_of_a_version_before_is_made_anew(tmp_path: Path) -> None:
    """It lacks what is remembered now; the decision log has all of it."""
    store = Store(tmp_path / "ids")
    store.write([(MARK, bytes(struct.calcsize(">qq32sqq"))), (b"told", bytes(48))])
    store.close()
    made = AcceptedIds(tmp_path / "ids")
    assert made.mark == AcceptedMark()
    assert made.find("old") is None
    assert list(made._store.scan()) == []
    made.close()


def test_the_first_decimals_of_a_currency_are_kept(tmp_path: Path) -> None:
    table = AcceptedIds(tmp_path / "ids")
    for scale in (6, 2):
        legs = [("assets:a", "BTC", 5), ("assets:b", "BTC", -5)]
        made = content((table.watermark.end, legs), scale=scale)
        before = table.watermark
        decision = run_of(made, watermark=before)
        after = decision.after(before, decisions_offset=before.decisions_offset)
        run = ValidRun(decision, before.decisions_offset, before, after)
        table.write(table.memory(), run, Policy())
    assert table.scales == {"BTC": 6}
    assert table.memory({"BTC": 2}).changed == {"BTC": 6}
    assert table.memory({"BTC": 6}).changed == {}
    table.close()
    assert AcceptedIds(tmp_path / "ids").scales == {"BTC": 6}
