"""The audit log: who changed what, when, from where, and what became of it.

An action is recorded twice. The record before it (outcome `begun`) is on all replicas before
anything is changed, so that nothing is changed that the log does not have, even if the process ends
at the next instruction. The record after it has the outcome. If the process ends in between, the
log has `begun` alone, with the ids by which the ledger itself shows what became of it. If the
record after the action cannot be appended, the action is done all the same, and that is logged.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from ledger.client.records import Records
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.registry import Codec
from ledger.streaming.topics import topics

SCHEMA = "AuditRecord"
BEGUN, DONE, FAILED = "begun", "done", "failed"
OUTCOME_SECONDS = 10.0
"""How long the answer to an action waits for the record of its outcome."""
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
    """Appends what one process does; it looks its schema up when it is first used."""

    def __init__(self, settings: Settings, log_: Log) -> None:
        self._settings, self._log = settings, log_
        self._codec: Codec | None = None
        self._topic = topics(settings).audit_log.name
        # The event loop alone does not keep a task alive.
        self._outcomes: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def action(
        self, actor: Actor, name: str, targets: Sequence[str], detail: str = ""
    ) -> AsyncIterator[Action]:
        """Record an action before and after it is carried out within the `async with`.

        The outcome is `done`, `failed` where an exception leaves the block, or what was set by
        `end`. Raises Unavailable or LedgerError, before the block, where the record before the
        action is not appended: nothing was changed then.
        """
        action = Action(uuid.uuid4().hex, actor, name, targets, detail=detail)
        await self._append(action)
        try:
            yield action
        except BaseException as error:
            if action.outcome == BEGUN:
                action.end(FAILED, type(error).__name__)
            raise
        finally:
            if action.outcome == BEGUN:
                action.end(DONE, action.detail)
            # A request that is cancelled, because its client left, has an outcome all the same.
            task = asyncio.create_task(self._append_outcome(replace(action)), name="audit outcome")
            self._outcomes.add(task)
            task.add_done_callback(self._outcomes.discard)
            await asyncio.shield(task)

    async def flush(self) -> None:
        """Return when the outcomes of all actions that have ended are appended, or given up."""
        await asyncio.gather(*self._outcomes)

    async def _append_outcome(self, action: Action) -> None:
        try:
            async with asyncio.timeout(OUTCOME_SECONDS):
                await self._append(action)
        except (LedgerError, TimeoutError) as error:
            log.error(
                "The audit log has no outcome of %s %s by %s, which is %s: %s",
                action.name, action.request, action.actor.who, action.outcome,
                error or type(error).__name__,
            )  # fmt: skip

    async def _append(self, action: Action) -> None:
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
            self._codec = (await Records.of(self._settings, SCHEMA)).codec
        value = self._codec.encode(SCHEMA, row)
        await self._log.append(self._topic, 0, [(action.request.encode(), value)])
