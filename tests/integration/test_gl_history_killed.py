"""`kill -9` of a writer of history at random moments: each line once, and all that is derived right.

Processes are forked: to import everything anew would take longer than what they are killed in.
"""

import multiprocessing
import random

import pytest

from ledger.domain.run import Watermark
from ledger.gl.journal import PostingRun
from ledger.gl.postgresql import PostgresBooks, PostgresJournal, history_tidying
from ledger.gl.postgresql.history import PostgresHistoryWriter
from tests.decision_log import DecisionLog
from tests.integration.gl_database import Database
from tests.integration.gl_history import emptied, folded, rows
from tests.integration.test_gl_history import long_log

pytest_plugins = ["tests.integration.gl_database"]
KILLS = 10
LONGEST = 0.2
"""Seconds until a writer is killed: a fold takes some thousandths, with its blocks some more."""


def fold_on(url: str, logs: dict[int, DecisionLog]) -> None:
    """Fold two runs of each shard at once, from where the database stands, and tidy."""
    writer = PostgresHistoryWriter(url)
    while True:
        known = writer.positions()
        folds = []
        for shard, log in logs.items():
            at = known.get(shard, Watermark()).decisions_offset
            if runs := log.runs[at : at + 2]:
                folds.append(folded(runs, shard))
        if not folds:
            break
        writer.fold(folds)
        writer.tidy([*logs], idle=True)
    while writer.tidy([*logs], idle=True):
        pass


def test_whenever_a_writer_is_killed_each_line_is_there_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_tidying, "SPLIT_LINES", 300)
    emptied(database)
    logs = {shard: long_log(4_000, 2**20, shard) for shard in (0, 1)}
    journal = PostgresJournal(database.service)
    for shard, log in logs.items():
        runs = [PostingRun(each.decision, each.decisions_offset, each.content) for each in log.runs]
        journal.post(shard, Watermark(), runs)
    journal.close()
    forked, dice = multiprocessing.get_context("fork"), random.Random(20)
    killed_at_work = 0
    while killed_at_work < KILLS:
        child = forked.Process(target=fold_on, args=[database.service, logs])
        child.start()
        child.join(dice.uniform(0.02, LONGEST))
        if child.is_alive():
            child.kill()
            child.join()
            killed_at_work += 1
        else:
            # It had the time to do it all: once more, from the beginning.
            assert child.exitcode == 0
            emptied(database)
    fold_on(database.service, logs)
    found = rows(database, "shard, decisions_offset, end_offset", "positions", "ORDER BY shard")
    assert found == [(shard, len(log.runs), 4_000) for shard, log in logs.items()]
    books = PostgresBooks(database.owner)
    assert books.history_findings() == []
    books.close()
    assert rows(database, "count(*)", "lines") == [(16_000,)]
    assert rows(database, "count(*)", "unblocked") == [(0,)]
    assert rows(database, "sum(lines)", "periods", "WHERE level = 48") == [(16_000,)]
