"""Posting over SQLAlchemy: what does not depend on the database."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from sqlalchemy import Connection, Engine

from ledger.domain.balance import Totals
from ledger.domain.run import Content, Stripe
from ledger.errors import LedgerError
from ledger.gl.books import Snapshot
from ledger.gl.journal import Journal, NotPostable, Posting, Prepared
from ledger.gl.posting import follow, same_scale, scales_of
from ledger.gl.sql_books import SqlBooks


class SqlJournal(SqlBooks, Journal):
    """`Journal`; who inherits from it calls `post_with` when it is made."""

    _post: Engine
    _scales: dict[str, int]
    """Of the currencies that this journal has seen committed."""

    def post_with(self, engine: Engine) -> None:
        """Post over connections of `engine`."""
        self._post = engine
        # Within the time of a posting: workers read watermarks every few seconds to notice a
        # database that hangs.
        self._marks = engine
        self._scales = {}

    @abstractmethod
    def _rows(self, shard: int, contents: Sequence[Content]) -> tuple[Any, Any]:
        """The rows of transactions and of entries, as `_post_all` sends them."""

    @abstractmethod
    def _post_all(self, prepared: Sequence[Prepared]) -> list[dict[Stripe, Totals]]:
        """`post_all` of at least one posting, in one transaction."""

    @abstractmethod
    def _first_refused(self, posting: Posting) -> str:
        """The first transaction that the database refuses, as `named_refused` has it."""

    def prepare(self, posting: Posting) -> Prepared:
        shard, before, runs = posting
        after = follow(shard, before, runs)
        contents = [content for run in runs if (content := run.posted).offsets]
        return Prepared(posting, after, scales_of(contents), self._rows(shard, contents))

    def post_all(self, prepared: Sequence[Prepared]) -> list[dict[Stripe, Totals]]:
        if not prepared:
            return []
        try:
            return self._post_all(prepared)
        except NotPostable as error:
            # Several postings are first retried one by one; an error without a cause is not the
            # database's but a contradiction in what was prepared.
            if len(prepared) > 1 or error.__cause__ is None:
                raise
            refused = ""
            with suppress(LedgerError):
                refused = self._first_refused(prepared[0].posting)
            raise NotPostable(f"{refused}{error}") from error

    def _unknown(self, scales: Mapping[str, int]) -> dict[str, int]:
        """Currencies that this journal has not seen committed; NotPostable on a change."""
        for code in scales.keys() & self._scales.keys():
            same_scale(code, scales[code], self._scales[code])
        return {code: scale for code, scale in scales.items() if code not in self._scales}

    @contextmanager
    def _posting(self) -> Iterator[Connection]:
        """The connection that posts; after any error it is closed, which ends its transaction."""
        with self._post.connect() as connection:
            try:
                yield connection
            except BaseException:
                connection.invalidate()
                raise

    def snapshot(self, shard: int, since: int) -> Snapshot:
        # Asked when it is not certain what the database has: it may have been restored from a
        # backup, and then lack currencies that this journal has seen committed.
        self._scales.clear()
        return super().snapshot(shard, since)

    def close(self) -> None:
        self._post.dispose()
        super().close()
