"""The audit log: who changed what, when, from where, and what became of it.

An action is recorded twice. The record before it (outcome `begun`) is on all replicas before
anything is changed, so that nothing is changed that the log does not have, even if the process ends
at the next instruction. The record after it has the outcome, and is appended for as long as that
takes; the answer to the action waits for it for a time. If the process ends in between, the log has
`begun` alone, with the ids by which the ledger itself shows what became of it. Where Kafka's answer
got lost, a record may be there twice.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from ledger.client.records import Records
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.registry import Codec
from ledger.streaming.topics import topics

SCHEMA = "AuditRecord"
BEGUN, DONE, FAILED, UNKNOWN = "begun", "done", "failed", "unknown"
BEGIN_SECONDS = 10.0
"""An action that is not recorded after this time is not begun."""
OUTCOME_SECONDS = 10.0
"""How long the answer to an action waits for the record of its outcome."""
STALLED_SECONDS = 5.0
"""Without an acknowledgement for so long, while some wait for one, no action is begun."""
PENDING_BYTES = 32 * 1024 * 1024
"""Of records that Kafka has not acknowledged. Past that no action is begun."""
OVERHEAD = 500
"""Bytes of a record's objects."""
DETAIL_LENGTH = 2_000

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, such as `token:ID`, and from where: a client's address, or a command's host."""

    who: str
    source: str


@dataclass(slots=True)
class Action:
    """An action under way; whoever carries it out sets its outcome."""

    request: str
    actor: Actor
    name: str
    targets: Sequence[str]
    outcome: str = BEGUN
    detail: str = ""

    def end(self, outcome: str, detail: str = "") -> None:
        """What became of it."""
        self.outcome, self.detail = outcome, detail


class AuditLog:
    """Appends what one process does; looks its schema up at the latest when it is first used."""

    def __init__(self, settings: Settings, log_: Log) -> None:
        self._settings, self._log = settings, log_
        self._codec: Codec | None = None
        self._topic = topics(settings).audit_log.name
        # The event loop alone does not keep a task alive.
        self._pending: dict[asyncio.Task[int], int] = {}
        self._bytes = 0
        self._acknowledged = 0.0

    @asynccontextmanager
    async def action(
        self, actor: Actor, name: str, targets: Sequence[str], detail: str = ""
    ) -> AsyncIterator[Action]:
        """Record an action before and after it is carried out within the `async with`.

        The outcome is `done`, or what was set by `end`. Where an exception leaves the block it is
        `failed`, with the exception's code; `unknown` where the request was cancelled, or the code
        is OUTCOME_UNKNOWN: then the action may have been carried out.

        Raises Unavailable or LedgerError, before the block, where the record before the action is
        not appended: nothing was changed then.
        """
        action = Action(uuid.uuid4().hex, actor, name, targets, detail=detail)
        await self._begin(action)
        try:
            yield action
        except BaseException as error:
            if action.outcome == BEGUN:
                code = str(getattr(error, "code", type(error).__name__))
                is_known = isinstance(error, Exception) and code != "OUTCOME_UNKNOWN"
                action.end(FAILED if is_known else UNKNOWN, code)
            raise
        finally:
            if action.outcome == BEGUN:
                action.end(DONE, action.detail)
            await self._end(action)

    async def _begin(self, action: Action) -> None:
        self._require_room()
        record = await self._record(action)
        append = self._started(self._log.append(self._topic, 0, [record]), record)
        try:
            async with asyncio.timeout(BEGIN_SECONDS):
                await asyncio.shield(append)
        except TimeoutError as error:
            raise Unavailable(
                f"Nothing was done: Kafka has not acknowledged the record of it in {self._topic} "
                f"within {BEGIN_SECONDS:.0f} s."
            ) from error

    async def _end(self, action: Action) -> None:
        record = await self._record(action)
        append = self._started(self._log.append_absolute(self._topic, 0, [record]), record)
        try:
            async with asyncio.timeout(OUTCOME_SECONDS):
                await asyncio.shield(append)
        except (LedgerError, TimeoutError) as error:
            log.error(
                "The audit log does not have the outcome of %s %s by %s yet, which is %s: %s",
                action.name, action.request, action.actor.who, action.outcome,
                str(error) or type(error).__name__,
            )  # fmt: skip

    def _require_room(self) -> None:
        waited = time.monotonic() - self._acknowledged
        if not self._pending:
            self._acknowledged = time.monotonic()
        elif self._bytes > PENDING_BYTES or waited > STALLED_SECONDS:
            raise Unavailable(
                f"Nothing was done: Kafka has acknowledged nothing of {self._topic} for "
                f"{waited:.0f} s, and {len(self._pending)} records wait for that."
            )

    def _started(
        self, append: Coroutine[Any, Any, int], record: tuple[bytes, bytes]
    ) -> asyncio.Task[int]:
        """The append in a task of its own: a request whose client left does not take it along."""
        task = asyncio.create_task(append, name="append to the audit log")
        self._pending[task] = sum(map(len, record)) + OVERHEAD
        self._bytes += self._pending[task]
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[int]) -> None:
        self._bytes -= self._pending.pop(task)
        # It is asked here, for nobody else may ask any more.
        if not task.cancelled() and task.exception() is None:
            self._acknowledged = time.monotonic()

    async def _record(self, action: Action) -> tuple[bytes, bytes]:
        row = {
            "request": action.request,
            "who": action.actor.who,
            "action": action.name,
            "targets": list(action.targets),
            "source": action.actor.source,
            "outcome": action.outcome,
            "detail": action.detail[:DETAIL_LENGTH],
        }
        if self._codec is None:
            await self.learn()
        assert self._codec is not None, "it was learnt"
        return action.request.encode(), self._codec.encode(SCHEMA, row)

    async def learn(self) -> None:
        """Look the schema up; from then on nothing here needs the registry."""
        self._codec = (await Records.of(self._settings, SCHEMA)).codec

    async def close(self) -> None:
        """Wait for what is under way, for OUTCOME_SECONDS; log what is given up."""
        if not self._pending:
            return
        _, left = await asyncio.wait(list(self._pending), timeout=OUTCOME_SECONDS)
        if left:
            log.error("The audit log does not have the outcomes of %s actions.", len(left))
        for task in left:
            task.cancel()
