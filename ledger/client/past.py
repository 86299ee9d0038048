"""Looks up ids that a ledger accepted before the window in which it remembers them.

A line without created_at is given one, which does not show how old the transaction is. The service
recognises a repetition for `window_days`. Whether an id was accepted before that, the general
ledger knows; or it cannot have been, because the log itself is younger.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from ledger.client.drafts import rfc3339
from ledger.client.ends import completeness_of, log_ends, nothing_before
from ledger.client.reference import shortest_window
from ledger.domain.checks import MAX_ID
from ledger.domain.completeness import Asked
from ledger.domain.partition import partition_of
from ledger.domain.policy import DAY
from ledger.domain.refusal import Reason, Refused
from ledger.domain.run import Watermark
from ledger.domain.transaction import Draft, ordering_key
from ledger.errors import LedgerError
from ledger.gl.books import Accepted
from ledger.settings import Settings
from ledger.streaming.reference import policy_of

HOUR = 3_600_000_000
"""What is known is renewed this long before it could be out of date, in microseconds."""
WHY = (
    "Repetitions are recognised for {days} days. Only the general ledger knows whether a line "
    "without created_at was accepted before that, and it cannot be asked here ({why}). Give the "
    "lines their created_at, or pass --created-at: a time, or `now` if none of them was ever "
    "published."
)


class IdLookup(Protocol):
    """The part of a Journal that is used here."""

    def watermarks(self) -> Mapping[int, Watermark]:
        """As Journal.watermarks."""

    def accepted(self, ids: Sequence[str]) -> Mapping[str, Accepted]:
        """As Journal.accepted."""


class _Source(Enum):
    """The source of what was accepted before the window."""

    NONE = 0
    JOURNAL = 1
    YOUNG_LOG = 2


class Past:
    """Finds ids that were accepted before. `journal` connects to the general ledger, or raises."""

    def __init__(
        self, settings: Settings, journal: Callable[[], IdLookup], *, clock: Callable[[], int]
    ) -> None:
        self._settings, self._connect, self._clock = settings, journal, clock
        self._window = policy_of(settings).window
        self._is_window_known = False
        self._journal: IdLookup | None = None
        self._source, self._until = _Source.NONE, 0
        self._why = ""

    @property
    def sentence(self) -> str:
        """After `find` returned None: why, and what to do."""
        return WHY.format(days=self._window // DAY, why=self._why.rstrip("."))

    @property
    def window(self) -> int:
        """Microseconds for which ids are remembered: the ledger's, once `find` has read it."""
        return self._window

    async def find(self, ids: Sequence[str]) -> Mapping[str, Accepted] | None:
        """The ids that the general ledger has, at least all that were accepted before the window.

        None if they cannot be determined.
        """
        if self._clock() >= self._until:
            await self._renew()
        if self._source is _Source.JOURNAL:
            try:
                return await self._accepted(ids)
            except LedgerError as error:
                await self._renew_without_journal(str(error))
        return {} if self._source is _Source.YOUNG_LOG else None

    async def _accepted(self, ids: Sequence[str]) -> Mapping[str, Accepted]:
        journal = self._journal
        assert journal is not None, "the journal is the source, so it is open"
        return await asyncio.to_thread(journal.accepted, storable(ids))

    async def _renew(self) -> None:
        try:
            if not self._is_window_known:
                # Of several windows that the ledger had, the shortest one counts.
                self._window = await shortest_window(self._settings)
                self._is_window_known = True
        except LedgerError as error:
            self._why, self._source, self._until = str(error), _Source.NONE, 0
            return
        horizon = self._clock() - self._window + HOUR
        try:
            through = await self._posted_through()
        except LedgerError as error:
            await self._renew_without_journal(str(error))
            return
        if through >= horizon:
            self._source, self._until = _Source.JOURNAL, through + self._window - HOUR
        else:
            await self._renew_without_journal("it is behind by more than the window")

    async def _posted_through(self) -> int:
        """The time before which everything recorded is posted."""
        log = await log_ends(self._settings)
        if self._journal is None:
            self._journal = await asyncio.to_thread(self._connect)
        marks = await asyncio.to_thread(self._journal.watermarks)
        found = await completeness_of(self._settings, Asked(), log, marks)
        if any(each.cut for each in found.positions):
            raise LedgerError("it belongs to another log: it has more than this one")
        return found.through or 0

    async def _renew_without_journal(self, why: str) -> None:
        now = self._clock()
        self._why, self._source, self._until = why, _Source.NONE, 0
        try:
            if await nothing_before(self._settings, now - self._window + HOUR):
                self._source, self._until = _Source.YOUNG_LOG, now + HOUR
        except LedgerError as error:
            self._why = f"{why}; {error}"


def storable(ids: Iterable[str]) -> list[str]:
    """Those of the ids that a database and the service take."""
    return [each for each in ids if len(each) <= MAX_ID and _is_text(each)]


def _is_text(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def with_time_of(known: Accepted, draft: Draft, *, shards: int) -> Draft | Refused:
    """`draft`, whose id was accepted as `known`, with a created_at that cannot make it new money.

    The service recognises it as long as it remembers the id, and refuses it TOO_LATE after that.
    """
    shard = partition_of(ordering_key(draft).encode("utf-8", "surrogatepass"), shards)
    if shard != known.shard:
        sentence = (
            f"Id {draft['transaction_id']!r} was accepted at offset {known.offset} of shard "
            f"{known.shard}, with another ordering key. Give a new transaction a new id."
        )
        return Refused(Reason.ID_REUSED, sentence, "transaction_id")
    return {**draft, "created_at": min(draft["created_at"], known.known_from)}


def already_in_ledger(transaction_id: str, known: Accepted, *, window: int) -> Refused:
    """The refusal of a transaction that was accepted before the window."""
    sentence = (
        f"Id {transaction_id!r} was accepted at {rfc3339(known.known_from)} (offset "
        f"{known.offset} of shard {known.shard}), longer ago than the {window // DAY} days in "
        "which repetitions are recognised. It is in the ledger and was not sent again. A new "
        "transaction needs a new id."
    )
    return Refused(Reason.TOO_LATE, sentence, "transaction_id")
