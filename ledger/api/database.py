"""The general ledger's database as an API process asks it: in threads, a few questions at once."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol

from typing_extensions import TypeVar

from ledger.api.problems import Problem
from ledger.gl.books import Books
from ledger.gl.journal import JournalUnavailable

AT_ONCE = 8
"""Connections, each with a thread."""
WAITING = 200
"""Questions that may wait for a connection; more are refused at once."""
SECONDS = 30.0
"""Without an answer for so long, the database counts as unavailable."""

T = TypeVar("T")


class Closable(Protocol):
    """Books, or History: what reads the database."""

    def close(self) -> None:
        """Close what is open."""


B = TypeVar("B", bound=Closable, default=Books)


class Database(Generic[B]):
    """Asks questions of the books, or of history, that `opened` opens, one for each thread."""

    def __init__(self, opened: Callable[[], B], *, at_once: int = AT_ONCE) -> None:
        self._books = [opened() for _ in range(at_once)]
        self._free = list(self._books)
        self._threads = ThreadPoolExecutor(at_once, "database")
        self._open = 0
        self._last: str | None = None

    async def ask(self, question: Callable[[B], T]) -> T:
        """The answer. Raises Problem when the database does not answer, or too many ask."""
        if self._open >= WAITING:
            raise Problem("OVERLOADED", f"{self._open} questions wait for the database.")
        self._open += 1
        try:
            async with asyncio.timeout(SECONDS):
                found = await asyncio.get_running_loop().run_in_executor(
                    self._threads, self._asked, question
                )
        except JournalUnavailable as error:
            self._last = str(error)
            raise Problem("DATABASE_UNAVAILABLE", str(error)) from error
        except TimeoutError as error:
            self._last = f"The database has not answered for {SECONDS:.0f} s."
            raise Problem("DATABASE_UNAVAILABLE", self._last) from error
        finally:
            self._open -= 1
        self._last = None
        return found

    def _asked(self, question: Callable[[B], T]) -> T:
        # There are as many books as threads.
        books = self._free.pop()
        try:
            return question(books)
        finally:
            self._free.append(books)

    def trouble(self) -> str | None:
        """Why the last question had no answer; None if it had."""
        return self._last

    def close(self) -> None:
        """Let go; a question under way ends with its connection."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for books in self._books:
            books.close()
