"""What a ledger accepted longer ago than it remembers ids: looked up before a line is called new.

A line without a created_at of its own is given one here, so its age says nothing. The service
recognises a repetition for `window_days`; whether the id was accepted before that the general
ledger knows, or it cannot have been, because the log itself is younger.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from ledger.client.drafts import shown
from ledger.client.ends import completeness_of, ends, nothing_before
from ledger.client.reference import shortest_window
from ledger.domain.completeness import Asked
from ledger.domain.partition import partition_of
from ledger.domain.policy import DAY
from ledger.domain.refusal import Reason, Refused
from ledger.domain.run import Watermark
from ledger.domain.transaction import MAX_ID, Draft, ordering_key
from ledger.errors import LedgerError
from ledger.gl.journal import Accepted
from ledger.settings import Settings
from ledger.streaming.reference import policy_of

HOUR = 3_600_000_000
"""What is known is asked for anew this long before it could be out of date, in microseconds."""
WHY = (
    "Repetitions are recognised for {days} days. Whether a line without created_at was accepted "
    "before that only the general ledger knows, and it cannot be asked here ({why}). Give the "
    "lines their created_at, or pass --created-at: a time, or `now` if none of them was ever "
    "published."
)


class Books(Protocol):
    """Of a Journal, what is asked here."""

    def watermarks(self) -> Mapping[int, Watermark]:
        """As Journal.watermarks."""

    def accepted(self, ids: Sequence[str]) -> Mapping[str, Accepted]:
        """As Journal.accepted."""


class _By(Enum):
    """How it is known what was accepted before the window."""

    NOTHING = 0
    JOURNAL = 1
    YOUNG_LOG = 2


class Past:
    """Asked for ids before they are sent. `books` opens the general ledger, or raises."""

    def __init__(
        self, settings: Settings, books: Callable[[], Books], *, clock: Callable[[], int]
    ) -> None:
        self._settings, self._open, self._clock = settings, books, clock
        self._window = policy_of(settings).window
        self._is_window_known = False
        self._books: Books | None = None
        self._by, self._until = _By.NOTHING, 0
        self._why = ""

    @property
    def sentence(self) -> str:
        """After `find` returned None: why it is not known, and what to do."""
        return WHY.format(days=self._window // DAY, why=self._why.rstrip("."))

    @property
    def window(self) -> int:
        """How long ids are remembered, microseconds: the ledger's, once `find` could ask for it."""
        return self._window

    async def find(self, ids: Sequence[str]) -> Mapping[str, Accepted] | None:
        """Those accepted that the general ledger has, at the least all that are past the window.

        None where that cannot be known.
        """
        if self._clock() >= self._until:
            await self._renew()
        if self._by is _By.JOURNAL:
            try:
                return await self._accepted(ids)
            except LedgerError as error:
                await self._renew_without_journal(str(error))
        return {} if self._by is _By.YOUNG_LOG else None

    async def _accepted(self, ids: Sequence[str]) -> Mapping[str, Accepted]:
        books = self._books
        assert books is not None, "the journal was opened when it was found to know"
        # No database takes these, and neither does the service.
        askable = [each for each in ids if len(each) <= MAX_ID and _plain(each)]
        return await asyncio.to_thread(books.accepted, askable)

    async def _know_window(self) -> None:
        """Of several that the ledger had, ids are remembered by the shortest one."""
        if not self._is_window_known:
            self._window = await shortest_window(self._settings)
            self._is_window_known = True

    async def _renew(self) -> None:
        try:
            await self._know_window()
        except LedgerError as error:
            self._why, self._by, self._until = str(error), _By.NOTHING, 0
            return
        horizon = self._clock() - self._window + HOUR
        try:
            through = await self._posted_through()
        except LedgerError as error:
            await self._renew_without_journal(str(error))
            return
        if through >= horizon:
            self._by, self._until = _By.JOURNAL, through + self._window - HOUR
        else:
            await self._renew_without_journal("it is behind by more than the window")

    async def _posted_through(self) -> int:
        """The time before which everything recorded is posted."""
        log = await ends(self._settings)
        if self._books is None:
            self._books = await asyncio.to_thread(self._open)
        marks = await asyncio.to_thread(self._books.watermarks)
        found = await completeness_of(self._settings, Asked(), log, marks)
        if any(each.cut for each in found.positions):
            raise LedgerError("it is not this log's: it has more than the log")
        return found.through or 0

    async def _renew_without_journal(self, why: str) -> None:
        now = self._clock()
        self._why, self._by, self._until = why, _By.NOTHING, 0
        try:
            if await nothing_before(self._settings, now - self._window + HOUR):
                self._by, self._until = _By.YOUNG_LOG, now + HOUR
        except LedgerError as error:
            self._why = f"{why}; {error}"


def _plain(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= each <= "\udfff" for each in text)


def dated(draft: Draft, known: Accepted, *, shards: int) -> Draft | Refused:
    """`draft`, whose id was accepted, so that the service cannot take it for new.

    With this created_at it is recognised as long as the id is remembered, and too late after that.
    """
    shard = partition_of(ordering_key(draft).encode("utf-8", "surrogatepass"), shards)
    if shard != known.shard:
        sentence = (
            f"Id {draft['transaction_id']!r} was accepted at offset {known.offset} of shard "
            f"{known.shard}, with another ordering key. Give a new transaction a new id."
        )
        return Refused(Reason.ID_REUSED, sentence, "transaction_id")
    return {**draft, "created_at": min(draft["created_at"], known.known_from)}


def in_ledger(transaction_id: str, known: Accepted, *, window: int) -> Refused:
    """Why what was accepted before the window is not sent."""
    sentence = (
        f"Id {transaction_id!r} was accepted at {shown(known.known_from)} (offset "
        f"{known.offset} of shard {known.shard}), longer ago than the {window // DAY} days in "
        "which repetitions are recognised. It is in the ledger and was not sent again. A new "
        "transaction needs a new id."
    )
    return Refused(Reason.TOO_LATE, sentence, "transaction_id")
