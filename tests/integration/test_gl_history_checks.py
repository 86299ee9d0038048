"""An altered row of history is named, whatever table it is in."""

import pytest
from sqlalchemy import text

from ledger.domain.run import Watermark
from ledger.gl.journal import PostingRun
from ledger.gl.postgresql import PostgresBooks, PostgresJournal, history_tidying
from ledger.gl.postgresql.history import PostgresHistoryWriter
from ledger.gl.postgresql.history_checks import HistoryChecks
from tests.integration.gl_database import TABLES, Database
from tests.integration.gl_history import emptied, folded
from tests.integration.gl_runs import moved, void_of
from tests.integration.test_gl_history import long_log

pytest_plugins = ["tests.integration.gl_database"]


@pytest.fixture(scope="module")
def history(migrated: Database) -> Database:
    """A journal and its history of some thousand lines, with a void."""
    migrated.run(f"TRUNCATE {TABLES}")
    emptied(migrated)
    log = long_log(2_500, 2**20)
    first = log.runs[0]
    log.run(moved(2_500, 5), voided=[void_of(first, 3, at=2_501)], end=2_502)
    journal, writer = PostgresJournal(migrated.service), PostgresHistoryWriter(migrated.service)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history_tidying, "SPLIT_LINES", 300)
        runs = [
            PostingRun(each.decision, each.decisions_offset, each.content, each.voided)
            for each in log.runs
        ]
        journal.post(0, Watermark(), runs)
        writer.fold([folded(log.runs[:-1])])
        writer.tidy([0], idle=True)
        writer.fold([folded(log.runs[-1:])])
    journal.close()
    writer.close()
    return migrated


def test_nothing_is_wrong_in_what_was_folded(history: Database) -> None:
    books = PostgresBooks(history.as_role("ledger_finance"))
    assert books.history_findings() == []
    books.close()


LAST = "stripe = {} AND n = (SELECT max(n) FROM lines WHERE stripe = {})"
ALTERED = {
    "lines": {
        "an amount": "UPDATE lines SET amount = amount + 1 WHERE n = 7 AND stripe = 1",
        "an amount and its total": "UPDATE lines SET amount = amount + 1, debits = debits + 1 WHERE "
        + LAST.format(1, 1),
        "a running total": "UPDATE lines SET debits = debits + 1 WHERE n = 9",
        "a time of effect": "UPDATE lines SET effective_at = 5 WHERE n = 1",
        "a time of recording": "UPDATE lines SET recorded_at = recorded_at + 1 WHERE "
        + LAST.format(1, 1),
        "a missing line": "DELETE FROM lines WHERE n = 20 AND stripe = 2",
        "a missing last line": "DELETE FROM lines WHERE " + LAST.format(2, 2),
        "a line too many": "INSERT INTO lines SELECT stripe, recorded_at, n + 1, log_offset, 1, 5, "
        "folded_at, entries + 1, 7, 1, debits + 5, credits FROM lines WHERE " + LAST.format(1, 1),
        "a missing void": "DELETE FROM lines WHERE change = -1",
        "a line of no stripe": "UPDATE lines SET stripe = 99 WHERE n = 3 AND stripe = 1",
        "an account's name": "UPDATE accounts SET account = 'assets:theirs' WHERE id = 1",
        "a shorter position": "UPDATE positions SET end_offset = 100",
    },
    "accounts": {
        "a scale": "UPDATE accounts SET scale = 3 WHERE id = 2",
        "one without lines": "INSERT INTO accounts (account, currency, scale) VALUES ('a', 'C', 2)",
    },
    "stripes": {"one without lines": "INSERT INTO stripes (account_id, shard) VALUES (1, 7)"},
    "totals": {
        "a sum": "UPDATE totals SET credits = credits + 1 WHERE level = 36",
        "a fine sum": "UPDATE totals SET entries = entries + 1 WHERE level < 36",
        "a missing one": "DELETE FROM totals WHERE level = 48 AND account_id = 1",
        "another level": "UPDATE totals SET level = 47 WHERE level = 48",
        "a period that is split": "UPDATE periods SET is_split = 0 WHERE level = 36",
    },
    "periods": {
        "a count": "UPDATE periods SET lines = lines + 1 WHERE level = 40",
        "a time": "UPDATE periods SET last_recorded = last_recorded - 1 WHERE level = 40",
    },
    "blocks": {
        "a line": "UPDATE blocks SET lines = set_byte(lines, 9, 77) WHERE level = 0 AND block = 2",
        "a sum": "UPDATE blocks SET entries = entries + 1 WHERE level = 1",
        "a missing piece": "DELETE FROM blocks WHERE level = 1 AND piece = 2",
    },
    "positions": {"a digest": "UPDATE positions SET digest = decode(repeat('ab', 32), 'hex')"},
    "refusals": {
        "one of nowhere": "INSERT INTO refusals (shard, log_offset, recorded_at, code, "
        "decisions_offset) VALUES (0, 9999, 1, 'VOIDED', 0)"
    },
}
"""By the table that is to be named."""


@pytest.mark.parametrize(
    ("table", "kind"), [(table, kind) for table, kinds in ALTERED.items() for kind in kinds]
)
def test_an_altered_row_is_named(history: Database, table: str, kind: str) -> None:
    with history.engine() as engine, engine.connect() as connection:
        connection.execute(text("SET LOCAL search_path TO ledger_history"))
        connection.execute(text(ALTERED[table][kind]))
        connection.execute(text("SET LOCAL search_path TO public"))
        found = list(HistoryChecks(connection).findings())
        connection.rollback()
    assert f"ledger_history.{table}" in {each.row.table for each in found if each.row}
    assert all("rebuild history" in each.sentence for each in found)
