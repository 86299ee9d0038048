"""Writes: one transaction, many, a reversal, and what would become of one.

Each is checked by the ledger's own rules. What those refuse is answered with the code, sentence and
field that the log's reader would be refused with; what they take is appended, and counts once, by
its id, however often it is sent.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

from ledger.api.access.caller import Caller
from ledger.api.flow.flow import Flow
from ledger.api.positions import Position, token_of
from ledger.api.problems import Problem, refusal
from ledger.api.services.dating import Dating, known_before
from ledger.api.services.judging import Judge
from ledger.api.services.logged import LoggedDrafts
from ledger.api.services.outcomes import Written, written
from ledger.api.services.past_fates import PastFates
from ledger.api.services.publishing import STALLED_SECONDS, Examined, Publishing
from ledger.api.services.requests import Asked, Wait, asked
from ledger.api.signing import Signer
from ledger.client.audit_log import AuditLog
from ledger.domain.partition import partition_of
from ledger.domain.refusal import Reason, Refused
from ledger.domain.reversal import unknown_original
from ledger.domain.transaction import Draft, ordering_key
from ledger.errors import LedgerError

FIRST_SECONDS = 5.0
"""For which the database is asked where the transaction is that another one repeats."""
_AFTER_REPETITION = frozenset(list(Reason)[list(Reason).index(Reason.TOO_FEW_ENTRIES) :])
"""Reasons that a repetition is recognised before."""
_BY_MEMORY = _AFTER_REPETITION | {Reason.FIELD_MALFORMED}
"""Reasons that do not apply to a transaction that was accepted before."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A transaction that may be published: `record` is what is appended."""

    draft: Draft
    record: Examined


@dataclass(frozen=True, slots=True)
class WriteParts:
    """What writes are made with."""

    publishing: Publishing
    flow: Flow
    judge: Judge
    fates: PastFates
    drafts: LoggedDrafts
    dating: Dating
    audit: AuditLog
    signer: Signer


class Writes:
    """Publishes for callers. Every method raises Problem, which a refusal is too."""

    def __init__(self, parts: WriteParts) -> None:
        self._parts = parts
        self._publishing, self._flow, self._signer = parts.publishing, parts.flow, parts.signer

    async def publish(
        self, caller: Caller, body: Any, *, key: str | None = None, wait: Wait | None = None
    ) -> Written:
        """Publish the transaction in `body`; `key`: of the header Idempotency-Key."""
        checked = await self.check(caller, body, key)
        return await self.publish_checked(caller, checked, wait, "transactions.publish")

    async def publish_checked(
        self, caller: Caller, checked: Checked | Written | Refused, wait: Wait | None, action: str
    ) -> Written:
        """Publish what was checked, unless nothing need be published."""
        if isinstance(checked, Refused):
            raise refusal(checked)
        if isinstance(checked, Written):
            return checked
        name = checked.draft["transaction_id"]
        async with AsyncExitStack() as stack:
            recorded = await self._begin(stack, caller, action, [name])
            try:
                position = await self._append(checked)
            except Problem as problem:
                known = problem.code != "OUTCOME_UNKNOWN"
                recorded.end("failed" if known else "unknown", problem.code)
                raise
            recorded.end("published", f"shard {position.shard} offset {position.offset}")
            # The outcome is recorded while the ledger decides.
            waiting = asyncio.create_task(self._outcome(checked.draft, position, wait))
        return await waiting

    async def publish_all(
        self, caller: Caller, checked: Sequence[Checked], wait: Wait | None
    ) -> list[Written | Problem]:
        """Publish all, in this order; what became of each."""
        if not checked:
            return []
        names = [each.draft["transaction_id"] for each in checked]
        async with AsyncExitStack() as stack:
            recorded = await self._begin(stack, caller, "transactions.publish", names)
            # Tasks begin in the order in which they are made.
            appended = await asyncio.gather(*map(self._append, checked), return_exceptions=True)
            recorded.end(*_recorded(appended))
        outcomes = map(self._outcome_of, checked, appended, repeat(wait))
        found = await asyncio.gather(*outcomes, return_exceptions=True)
        return [_known(each) for each in found]

    async def _outcome_of(
        self, checked: Checked, appended: Position | BaseException, wait: Wait | None
    ) -> Written:
        if isinstance(appended, BaseException):
            raise appended
        return await self._outcome(checked.draft, appended, wait)

    async def _begin(
        self, stack: AsyncExitStack, caller: Caller, action: str, names: Sequence[str]
    ) -> Any:
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                return await stack.enter_async_context(
                    self._parts.audit.action(caller.actor, action, names)
                )
        except TimeoutError as error:
            why = "Nothing was sent: Kafka does not acknowledge the audit log's record."
            raise Problem("KAFKA_UNAVAILABLE", why) from error
        except LedgerError as error:
            raise Problem("KAFKA_UNAVAILABLE", f"Nothing was sent: {error}") from error

    async def _append(self, checked: Checked) -> Position:
        receipt = await self._publishing.append(checked.record)
        position = Position(receipt.shard, receipt.offset)
        self._flow.published(checked.draft["transaction_id"], position)
        return position

    async def _outcome(self, draft: Draft, position: Position, wait: Wait | None) -> Written:
        """What became of it. Raises Problem for a refusal."""
        name, token = draft["transaction_id"], token_of(self._signer, [position])
        if wait is None:
            return Written(name, position, token)
        fate = await self._flow.wait(position, wait.level, wait.seconds)
        fate = await self._parts.fates.completed(name, fate)
        first = None
        if fate.is_duplicate and (first := await self._first(draft, position)) is not None:
            # It is reconciled where what it repeats is.
            origin = await self._parts.fates.completed(name, self._flow.fate(first))
            fate = replace(fate, breaks=origin.breaks)
        return written(name, token, fate, wait.level, first)

    async def _first(self, draft: Draft, position: Position) -> Position | None:
        """Where the transaction is that a duplicate repeats: where its shard accepted its id."""
        try:
            # Whoever is answered has waited already.
            async with asyncio.timeout(FIRST_SECONDS):
                return await self._parts.judge.accepted(draft["transaction_id"], position.shard)
        except (Problem, LedgerError, TimeoutError):
            return None

    # Checks.

    async def check(
        self, caller: Caller, body: Any, key: str | None = None
    ) -> Checked | Written | Refused:
        """A transaction that may be published, its refusal, or what is known of a repetition."""
        found = asked(body, key)
        if isinstance(found, Refused):
            return found
        caller.require("publish", [each["account"] for each in found.draft["entries"]])
        if caller.paths and await self._takes_back_others(caller, found.draft):
            return unknown_original(found.draft["reverses"] or "")
        return await self.check_draft(found)

    async def _takes_back_others(self, caller: Caller, draft: Draft) -> bool:
        """Whether it names an original of others, which a refusal would tell of."""
        if draft["reverses"] is None:
            return False
        shard = partition_of(ordering_key(draft).encode(), self._publishing.publisher.shards)
        first = await self._parts.judge.accepted(draft["reverses"], shard)
        return first is not None and not await self._parts.drafts.is_seen(
            caller.permission, first, whole=True
        )

    async def check_draft(self, found: Asked) -> Checked | Written | Refused:
        """The same of a draft."""
        draft, known = found.draft, None
        publisher = self._publishing.publisher
        if not found.dated:
            dated, known = await self._parts.dating.dated(draft, shards=publisher.shards)
            if isinstance(dated, Refused):
                return dated
            draft = dated
        examined = await self._publishing.examine(draft)
        if not isinstance(examined, Refused):
            return Checked(draft, examined)
        if examined.reason in _BY_MEMORY:
            return await self._judged(draft, examined)
        return known_before(examined, draft, known, publisher.window)

    async def _judged(self, draft: Draft, refused: Refused) -> Written | Refused:
        """The answer to what the rules refuse, unless it repeats what was accepted before them."""
        decided = await self._parts.judge.decided(draft)
        outcomes = decided.outcomes
        if outcomes.refused:
            found = outcomes.refused[0]
            return Refused(Reason(found.code), found.reason, found.field)
        if not outcomes.duplicates:
            return refused
        shard = decided.decision.shard
        first = await self._parts.judge.accepted(draft["transaction_id"], shard)
        if first is None:
            return refused
        name, token = draft["transaction_id"], token_of(self._signer, [first])
        fate = await self._parts.fates.completed(name, self._flow.fate(first))
        return written(name, token, fate, None, first, repeated=True)


def _recorded(appended: Sequence[Position | BaseException]) -> tuple[str, str]:
    """The outcome of many and its detail, for the audit log."""
    failed = [each for each in appended if isinstance(each, BaseException)]
    unknown = sum(getattr(each, "code", "OUTCOME_UNKNOWN") == "OUTCOME_UNKNOWN" for each in failed)
    detail = f"{len(appended) - len(failed)} of {len(appended)}"
    if unknown:
        detail += f"; {unknown} not known"
    if len(failed) < len(appended):
        return "published", detail
    return "unknown" if unknown else "failed", detail


def _known(found: Written | BaseException) -> Written | Problem:
    if isinstance(found, Written | Problem):
        return found
    raise found
