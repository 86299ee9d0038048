"""Which transaction the database refuses, so that an alarm can name it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import psycopg

from ledger.domain.run import Content
from ledger.gl.postgresql import copying


class RefusedTransaction(NamedTuple):
    """A transaction that the database refuses."""

    offset: int
    transaction_id: str


def first_refused(
    driver: psycopg.Connection[Any], shard: int, contents: Sequence[Content], add_up: str
) -> RefusedTransaction | None:
    """The first transaction of `contents` that is refused; None where none is.

    `add_up`: the statement that sums entries into stripes. A bisection, in a transaction that is
    rolled back: a dozen attempts for thousands.
    """
    offsets = [offset for content in contents for offset in content.offsets]
    names = [name for content in contents for name in content.transaction_ids]
    good, bad = 0, len(offsets) + 1
    driver.execute("BEGIN")
    try:
        while bad - good > 1:
            middle = (good + bad) // 2
            if _accepts(driver, shard, contents, set(offsets[:middle]), add_up):
                good = middle
            else:
                bad = middle
    finally:
        driver.execute("ROLLBACK")
    return RefusedTransaction(offsets[good], names[good]) if good < len(offsets) else None


def _accepts(
    driver: psycopg.Connection[Any],
    shard: int,
    contents: Sequence[Content],
    offsets: set[int],
    add_up: str,
) -> bool:
    parts = [content.part(offsets) for content in contents]
    bounds = {"shard": shard, "start": min(offsets, default=0), "end": max(offsets, default=-1) + 1}
    rows = copying.transaction_stream([copying.transaction_rows(shard, parts)])
    try:
        with driver.transaction(force_rollback=True):
            copying.copy_rows(driver, copying.COPY_TRANSACTIONS, rows)
            copying.copy_rows(driver, copying.COPY_ENTRIES, copying.entry_rows(shard, parts))
            driver.execute(add_up, bounds)
    except (psycopg.DataError, psycopg.IntegrityError, psycopg.ProgrammingError):
        return False
    return True
