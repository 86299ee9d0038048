"""The balance view of an API process: what an account has, and which transactions that contains."""

import asyncio
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import partial
from pathlib import Path
from typing import Self

from ledger.api.view.copy import BalanceCopy
from ledger.api.view.figures import Figures
from ledger.api.view.following import Changed, Following, end
from ledger.api.view.kept import Change
from ledger.api.view.reached import Part, Reached, ViewState
from ledger.api.view.shown import Shown
from ledger.api.view.waits import is_covered
from ledger.domain.balance import Balance
from ledger.domain.partition import partition_of
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming.store import is_damage

MAX_WAITS = 20_000
"""Who may wait at the same time; a wait takes about 1 KB."""


class TooManyWaits(LedgerError):
    """As many wait as may."""


class BalanceView:
    """An async context manager; entering it opens the copy in `folder` and begins to follow.

    It needs neither Kafka nor the registry to be entered: it answers from the copy, and `state`
    says how old that is. What it answers is of one moment as long as nothing is awaited in between.
    Raises LedgerError where another process has the folder.
    """

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._reached = Reached()
        self._listeners: list[Changed] = []
        self._waiting = 0

    async def __aenter__(self) -> Self:
        with ExitStack() as opened:
            lock = _locked(self._folder)
            opened.callback(os.close, lock)
            self._copy = BalanceCopy(self._folder / "copy")
            opened.callback(self._copy.close)
            self._following = Following(self._settings, self._copy, self._reached, self._tell)
            places, covered = self._copy.places(), self._copy.coverage()
            if places.keys() == set(range(len(places))):
                positions = [places[each].position for each in range(len(places))]
                self._reached.begin(positions, covered, self._copy.as_of)
            opened.callback(self._following.note)
            self._opened = opened.pop_all()
        self._task = asyncio.create_task(self._following.run(), name="balance view")
        return self

    async def __aexit__(self, *_: object) -> None:
        await end([self._task])
        self._opened.close()

    # Balances.

    def balances(self, account: str) -> list[Balance]:
        """The account's balances, by currency; none for an account without entries."""
        try:
            return self._copy.balances(account)
        except Exception as error:
            raise self._unreadable(error) from error

    def many(self, accounts: Collection[str]) -> dict[str, list[Balance]]:
        """The same of many accounts."""
        return dict(zip(accounts, (each.balances for each in self._shown(accounts)), strict=True))

    def json(self, accounts: Collection[str], currency: str | None = None) -> bytes:
        """JSON of the balances of these accounts, in their order, with commas between.

        `currency`: only those in it.
        """
        return b",".join(filter(None, [each.json(currency) for each in self._shown(accounts)]))

    def _shown(self, accounts: Collection[str]) -> list[Shown]:
        try:
            return self._copy.shown(accounts)
        except Exception as error:
            raise self._unreadable(error) from error

    def under(
        self, path: str, *, after: tuple[str, str] | None = None, limit: int
    ) -> list[Balance]:
        """The balances of the account `path` and of those below it, by path and then currency.

        `after`: account and currency of the last one of the page before.
        """
        try:
            return self._copy.under(path, after, limit)
        except Exception as error:
            raise self._unreadable(error) from error

    def sums_under(self, path: str) -> dict[str, Figures]:
        """By currency what they add up to: kept with each change, so it costs a look-up."""
        try:
            return self._copy.sums_under(path)
        except Exception as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> Exception:
        """What is raised where the copy cannot be read; one that is damaged is read again."""
        if not is_damage(error):
            return error
        self._following.note_damage(error)
        return Unavailable(f"The copy of the balances is damaged and is read again: {error}")

    # Completeness.

    def complete_to(self, account: str) -> Mapping[int, int]:
        """By shard: every transaction before this offset is in the account's balances."""
        return dict(enumerate(self.ends([account])))

    def complete_everywhere(self) -> Mapping[int, int]:
        """The same of all accounts."""
        return dict(enumerate(self.ends(None)))

    def ends(self, accounts: Collection[str] | None) -> tuple[int, ...]:
        """The same of these accounts, None for all: positions by shard, the least of each."""
        return self._reached.least(self._parts(accounts))

    @property
    def is_fresh(self) -> bool:
        """Whether it can answer and `state` has no problem."""
        return self._reached.is_fresh

    @property
    def as_of(self) -> int | None:
        """As in `state`."""
        return self._reached.as_of

    def state(self) -> ViewState:
        """Whether it can answer, and how old that is."""
        return self._reached.state()

    async def wait_for(
        self,
        account: str,
        positions: Mapping[int, int],
        timeout: float,  # noqa: ASYNC109 - past it there is an answer too
    ) -> bool:
        """As `wait_for_all`, of one account."""
        return await self.wait_for_all([account], positions, timeout)

    async def wait_for_all(
        self,
        accounts: Collection[str] | None,
        positions: Mapping[int, int],
        timeout: float,  # noqa: ASYNC109 - past it there is an answer too
    ) -> bool:
        """Wait until the balances of these accounts contain the transactions at these offsets.

        `accounts`: None for all; `positions`: offsets by shard. False where they do not within
        `timeout` seconds. Raises TooManyWaits.
        """
        if self._contain(accounts, positions):
            return True
        if timeout <= 0:
            return False
        if self._waiting >= MAX_WAITS:
            raise TooManyWaits(f"{MAX_WAITS} requests wait already.")
        self._waiting += 1
        self._reached.hurried.set()
        try:
            async with asyncio.timeout(timeout):
                while not self._contain(accounts, positions):
                    await self._contained(accounts, positions)
        except TimeoutError:
            return False
        finally:
            self._waiting -= 1
        return True

    def _parts(self, accounts: Collection[str] | None) -> list[Part]:
        parts = self._reached.parts
        if accounts is None or not parts:
            return parts
        return [parts[each] for each in self._partitions(accounts)]

    def _partitions(self, accounts: Collection[str]) -> set[int]:
        """Where the balances of these accounts are."""
        found, count = set[int](), len(self._reached.parts)
        for account in accounts:
            found.add(partition_of(account.encode(), count))
            if len(found) == count:
                break
        return found

    def _contain(self, accounts: Collection[str] | None, positions: Mapping[int, int]) -> bool:
        ends = self.ends(accounts)
        return all(is_covered(ends, shard, offset) for shard, offset in positions.items())

    async def _contained(
        self, accounts: Collection[str] | None, positions: Mapping[int, int]
    ) -> None:
        reached = self._reached
        await reached.has_begun.wait()
        everywhere = range(len(reached.parts))
        for number in everywhere if accounts is None else self._partitions(accounts):
            # Where the copy is read again, the same wait goes on with its coverage.
            await reached.waits[number].until(partial(reached.ends_of, number), positions)

    # Changes.

    def subscribe(self, listener: Changed) -> Callable[[], None]:
        """Call `listener` with what each batch has changed, on the event loop, once it is written.

        It must not block nor raise. Returns what ends that.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _tell(self, partition: int, end: int, changes: Sequence[Change]) -> None:
        for listener in list(self._listeners):
            listener(partition, end, changes)

    @property
    def origin(self) -> str:
        """Which topic it is a copy of; empty while that is not known."""
        return self._copy.origin

    @property
    def is_ready(self) -> bool:
        """Whether it has all that was there at some moment."""
        return self._reached.is_ready

    def positions(self) -> Sequence[int]:
        """By partition of `ledger.balances`, the offset before which everything is in the copy.

        Listeners were called with all of that, and with nothing more.
        """
        return [part.position for part in self._reached.parts]


def _locked(folder: Path) -> int:
    """The descriptor that keeps the folder this process's. Raises LedgerError."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        owner = os.read(descriptor, 20).decode(errors="replace").strip()
        os.close(descriptor)
        raise LedgerError(
            f"{folder} is in use by another API process{f' (pid {owner})' if owner else ''}: each "
            "needs a folder of its own. Start this one with another name."
        ) from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor
