"""The order of the audit log's records and of the action between them, whatever happens."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ledger.client import audit_log
from ledger.client.audit_log import Actor, AuditLog
from ledger.errors import Unavailable
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.registry import Codec

CODEC = Codec({audit_log.SCHEMA: 7})
ANN = Actor("token:0123456789", "192.0.2.1")


class Recorded(Log):
    """The log without Kafka: what is appended, in order, with what happened between."""

    def __init__(self) -> None:
        super().__init__(Settings())
        self.seen: list[Any] = []
        self.away = False
        self.silent = False

    async def append(self, topic: str, partition: int, records: Any) -> int:
        if self.silent:
            await asyncio.Event().wait()
        if self.away:
            raise Unavailable("Kafka does not answer")
        for key, value in records:
            row = CODEC.decode(audit_log.SCHEMA, value)
            assert key == row["request"].encode()
            assert (topic, partition) == ("ledger.audit-log", 0)
            self.seen.append(row)
        return len(self.seen)

    @property
    def outcomes(self) -> list[Any]:
        return [each["outcome"] if isinstance(each, dict) else each for each in self.seen]


def audited(work: Callable[[AuditLog, Recorded], Awaitable[None]]) -> Recorded:
    log = Recorded()

    async def scenario() -> None:
        audit = AuditLog(Settings(), log)
        audit._codec = CODEC
        await work(audit, log)
        await audit.close()

    asyncio.run(scenario())
    return log


def test_an_action_is_recorded_before_and_after_it() -> None:
    async def work(audit: AuditLog, log: Recorded) -> None:
        async with audit.action(ANN, "transactions.publish", ["pay-1"], "by hand") as action:
            log.seen.append("published")
            action.end("published", "shard 3")

    seen = audited(work).seen
    assert seen[1] == "published"
    before, after = seen[0], seen[2]
    assert before == {
        "request": before["request"], "who": ANN.who, "source": ANN.source, "targets": ["pay-1"],
        "action": "transactions.publish", "outcome": "begun", "detail": "by hand",
    }  # fmt: skip
    assert after == before | {"outcome": "published", "detail": "shard 3"}
    assert len(before["request"]) == 32


def test_an_outcome_that_nobody_named_is_done() -> None:
    async def work(audit: AuditLog, log: Recorded) -> None:
        async with audit.action(ANN, "tokens.create", ["a"], "read"):
            log.seen.append("made")

    assert audited(work).outcomes == ["begun", "made", "done"]


def test_nothing_is_done_that_is_not_recorded_first() -> None:
    async def work(audit: AuditLog, log: Recorded) -> None:
        log.away = True
        with pytest.raises(Unavailable):
            async with audit.action(ANN, "tokens.create", ["a"]):
                log.seen.append("made")

    assert audited(work).seen == []


def test_what_fails_is_recorded_as_failed() -> None:
    async def work(audit: AuditLog, log: Recorded) -> None:
        with pytest.raises(KeyError):
            async with audit.action(ANN, "tokens.create", ["a"]):
                raise KeyError("x")
        with pytest.raises(KeyError):
            async with audit.action(ANN, "tokens.create", ["a"]) as action:
                action.end("published")
                raise KeyError("y")

    seen = audited(work)
    assert seen.outcomes == ["begun", "failed", "begun", "published"]
    assert seen.seen[1]["detail"] == "KeyError"


def test_what_may_have_been_done_is_unknown() -> None:
    class Unacknowledged(Exception):
        code = "OUTCOME_UNKNOWN"

    async def work(audit: AuditLog, log: Recorded) -> None:
        for error in (Unacknowledged, asyncio.CancelledError):
            with pytest.raises(error):
                async with audit.action(ANN, "transactions.publish", ["pay-1"]):
                    raise error

    seen = audited(work)
    assert seen.outcomes == ["begun", "unknown", "begun", "unknown"]
    assert seen.seen[1]["detail"] == "OUTCOME_UNKNOWN"


def test_a_client_that_leaves_takes_no_outcome_with_it() -> None:
    async def work(audit: AuditLog, log: Recorded) -> None:
        inside = asyncio.Event()

        async def request() -> None:
            async with audit.action(ANN, "transactions.publish", ["pay-1"]) as action:
                action.end("published")
                inside.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(request())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert audited(work).outcomes == ["begun", "published"]


def test_an_outcome_is_appended_for_as_long_as_it_takes_and_the_answer_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit_log, "OUTCOME_SECONDS", 0.01)

    async def work(audit: AuditLog, log: Recorded) -> None:
        async with audit.action(ANN, "transactions.publish", ["pay-1"]) as action:
            log.away = True
            action.end("published")
        assert log.outcomes == ["begun"]
        log.away = False
        async with asyncio.timeout(20):
            await asyncio.gather(*audit._pending)

    assert audited(work).outcomes == ["begun", "published"]
    assert "by token:0123456789 yet, which is published: TimeoutError" in caplog.text


def test_what_kafka_does_not_take_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(audit_log, "BEGIN_SECONDS", 0.01)
    monkeypatch.setattr(audit_log, "OUTCOME_SECONDS", 0.01)
    monkeypatch.setattr(audit_log, "PENDING_BYTES", 1_500)

    async def work(audit: AuditLog, log: Recorded) -> None:
        log.silent = True

        async def why() -> str:
            with pytest.raises(Unavailable) as caught:
                async with audit.action(ANN, "transactions.publish", ["pay-1"]):
                    log.seen.append("published")
            return str(caught.value)

        assert "within 0 s" in await why()
        assert "within 0 s" in await why()
        assert "within 0 s" in await why()
        assert "3 records wait" in await why()
        monkeypatch.setattr(audit_log, "PENDING_BYTES", 1_000_000)
        monkeypatch.setattr(audit_log, "STALLED_SECONDS", -1)
        assert "3 records wait" in await why()

    assert audited(work).seen == []
    assert "outcomes of 3 actions" in caplog.text


def test_a_bulk_is_one_record_of_any_size_that_is_allowed() -> None:
    ids = [f"{number:0255}" for number in range(1_000)]

    async def work(audit: AuditLog, log: Recorded) -> None:
        async with audit.action(ANN, "transactions.bulk", ids) as action:
            action.end("done", "x" * 5_000)

    before, after = audited(work).seen
    assert before["targets"] == after["targets"] == ids
    assert len(after["detail"]) == audit_log.DETAIL_LENGTH
