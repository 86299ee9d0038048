"""History's refusals beside those of the decisions: each text that differs is named."""

import asyncio

import pytest

from ledger.audit import refusals as module
from ledger.audit.chain import Chain
from ledger.audit.findings import BreakKind, Findings
from ledger.audit.log_records import LogRecord
from ledger.audit.refusals import RefusalCheck
from ledger.domain.run import Refusal, Watermark
from ledger.gl.history.memory import MemoryHistory
from ledger.gl.history.writing import HistoryFold
from ledger.gl.journal import JournalUnavailable
from tests.builders import NOW, draft
from tests.decision_log import DecisionLog
from tests.integration.gl_runs import moved

LARGEST = 100
PRODUCERS = {1: "erp", 4: "", 5: "pay"}
VALUES = {1: draft("t-1", metadata={"producer": "erp"}), 4: "it does not decode",
          5: draft("t-5", metadata={"producer": "pay"})}  # fmt: skip


@pytest.fixture
def log() -> DecisionLog:
    made = DecisionLog()
    made.run(moved(0, 5), refused=[refusal(1, "NOT_BALANCED", "t-1")], end=2)
    made.run(moved(2, 5), end=3)
    refused = [refusal(4, "UNREADABLE", None), refusal(5, "TOO_LATE", "t-5")]
    made.run(moved(3, 5), refused=refused, end=6)
    return made


def refusal(offset: int, code: str, name: str | None) -> Refusal:
    return Refusal(offset, NOW + offset, name, code, "entries", f"It is {code}.", None, b"value")


@pytest.fixture
def history(log: DecisionLog) -> MemoryHistory:
    made = MemoryHistory()
    made.fold([HistoryFold(0, Watermark(), log.runs, PRODUCERS)])
    return made


def checked(
    log: DecisionLog, history: MemoryHistory, at: int | None = None
) -> list[tuple[BreakKind, str]]:
    """What is found; history is emptied before run `at`."""
    findings = Findings()

    async def whole() -> None:
        check, chain = RefusalCheck(0, history, LARGEST, findings), Chain(0, findings)
        await check.begin()
        for number, run in enumerate(log.runs):
            if number == at:
                history._shards.clear()
            chained = chain.take(run.decisions_offset, run.decision.row())
            assert chained is not None
            records = [
                LogRecord(each.offset, 0, None, b"value", VALUES[each.offset])  # type: ignore[arg-type]
                for each in chained.refused
            ]
            await check.take(chained, records)
        await check.finish()

    asyncio.run(whole())
    assert all("rebuild history" in each.sentence for each in findings.kept)
    return [(each.kind, each.sentence) for each in findings.kept]


def test_nothing_is_wrong_in_what_was_folded(log: DecisionLog, history: MemoryHistory) -> None:
    assert checked(log, history) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("code", "TOO_EARLY"),
        ("reason", "It is."),
        ("field", ""),
        ("recorded_at", NOW),
        ("transaction_id", "t-2"),
    ],
)
@pytest.mark.parametrize("at_once", [1, 1_000])
def test_a_text_that_differs_is_named(
    log: DecisionLog,
    history: MemoryHistory,
    name: str,
    value: object,
    at_once: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    known = history._shards[0].refusals
    known[0] = known[0][0]._replace(**{name: value}), known[0][1]
    [(kind, sentence)] = checked(log, history)
    assert kind is BreakKind.DIFFERS
    assert f"Offset 1 was refused with another {name} than" in sentence


def test_another_producer_is_named(log: DecisionLog, history: MemoryHistory) -> None:
    known = history._shards[0].refusals
    known[:] = [(each, producer and "theirs") for each, producer in known]
    found = checked(log, history)
    assert [kind for kind, _ in found] == [BreakKind.DIFFERS] * 2
    assert all("another producer" in sentence for _, sentence in found)


def test_one_that_is_missing_or_too_many_is_named(log: DecisionLog, history: MemoryHistory) -> None:
    known = history._shards[0].refusals
    known[1] = known[1][0]._replace(offset=3), ""
    found = checked(log, history)
    assert [kind for kind, _ in found] == [BreakKind.EXTRA, BreakKind.MISSING]
    assert "refuse nothing at offset 3" in found[0][1]
    assert "Offset 4 was refused (UNREADABLE)" in found[1][1]


def test_what_is_not_folded_yet_is_not_missing(log: DecisionLog) -> None:
    history = MemoryHistory()
    history.fold([HistoryFold(0, Watermark(), log.runs[:2], PRODUCERS)])
    assert checked(log, history) == []
    assert checked(log, MemoryHistory()) == []


@pytest.mark.parametrize("at", [1, 2])
def test_history_that_is_emptied_meanwhile_is_not_wrong(
    log: DecisionLog, history: MemoryHistory, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 1)
    assert checked(log, history, at) == []


def test_a_ledger_without_history_has_nothing_to_compare(log: DecisionLog) -> None:
    class Away(MemoryHistory):
        def positions(self) -> dict[int, Watermark]:
            raise JournalUnavailable("there is no such table")

    assert checked(log, Away()) == []


def test_a_text_is_compared_as_far_as_it_is_kept(history: MemoryHistory) -> None:
    log = DecisionLog()
    odd = refusal(1, "NOT_BALANCED", "t\0" + 200 * "é")
    log.run(moved(0, 5), refused=[odd], end=2)
    made = MemoryHistory()
    made.fold([HistoryFold(0, Watermark(), log.runs, PRODUCERS)])
    kept = odd._replace(transaction_id="t\ufffd" + 126 * "é")
    made._shards[0].refusals[:] = [(kept, "erp")]
    assert checked(log, made) == []
