"""History in PostgreSQL: what is folded, counted in totals and made into blocks, once."""

from collections.abc import Iterator
from random import Random

import pytest

from ledger.domain.history import (
    BLOCK,
    LEVELS,
    SPLIT_STEP,
    Figures,
    Piece,
    completed,
    covering,
    spans,
)
from ledger.domain.run import Refusal
from ledger.errors import LedgerError
from ledger.gl.journal import Superseded
from ledger.gl.postgresql import history_tidying
from ledger.gl.postgresql.history import PostgresHistoryWriter
from tests.builders import CASH, DEPOSIT, FEES, NOW
from tests.decision_log import DecisionLog
from tests.integration.gl_database import Database
from tests.integration.gl_history import emptied, folded, rows
from tests.integration.gl_runs import Leg, made, moved, void_of

pytest_plugins = ["tests.integration.gl_database"]

LINES = (
    "recorded_at - 1767225600000000, n, log_offset, entry, amount, change, debits, credits, entries"
)
OF = """AS l JOIN ledger_history.stripes AS s ON s.id = l.stripe
JOIN ledger_history.accounts AS a ON a.id = s.account_id WHERE a.account = '{}' ORDER BY shard, n"""


@pytest.fixture
def history(database: Database) -> Database:
    return emptied(database)


@pytest.fixture
def writer(history: Database) -> Iterator[PostgresHistoryWriter]:
    made = PostgresHistoryWriter(history.service)
    yield made
    made.close()


def test_lines_are_numbered_and_summed_over_several_folds(
    history: Database, writer: PostgresHistoryWriter
) -> None:
    log = DecisionLog()
    log.run(moved(0, 500), moved(1, 30, credit=FEES))
    first = log.runs[0]
    log.run(moved(2, 7, debit=DEPOSIT, credit=CASH), voided=[void_of(first, 0, at=3)], end=4)
    assert writer.positions() == {}
    writer.fold([folded(log.runs[:1])])
    assert writer.positions() == {0: first.after}
    writer.fold([folded(log.runs[1:])])
    assert writer.positions() == {0: log.runs[1].after}
    assert rows(history, LINES, "lines", OF.format(CASH)) == [
        (0, 1, 0, 0, 500, 1, 500, 0, 1),
        (1, 2, 1, 0, 30, 1, 530, 0, 2),
        (2, 3, 2, 1, -7, 1, 530, 7, 3),
        (3, 4, 3, 0, 500, -1, 30, 7, 2),
    ]


def test_a_second_writer_goes_on_where_the_first_one_was(
    history: Database, writer: PostgresHistoryWriter
) -> None:
    log = DecisionLog()
    log.run(moved(0, 5)), log.run(moved(1, 7)), log.run(moved(2, 11))
    writer.fold([folded(log.runs[:1])])
    other = PostgresHistoryWriter(history.service)
    try:
        other.fold([folded(log.runs[1:2])])
        with pytest.raises(Superseded, match="decision offset 1"):
            writer.fold([folded(log.runs[1:])])
        with pytest.raises(Superseded):
            writer.fold([folded(log.runs[:1])])
        # What the first one remembers of the stripe is of before the other.
        writer.fold([folded(log.runs[2:])])
    finally:
        other.close()
    assert [row[6] for row in rows(history, LINES, "lines", OF.format(CASH))] == [5, 12, 23]


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_remembered_is_not_counted_on_after_history_was_made_anew(
    history: Database, writer: PostgresHistoryWriter, count: int
) -> None:
    """By another worker, up to where this one has left it or less far, with other keys."""
    log, other = DecisionLog(), DecisionLog(1)
    log.run(moved(0, 5)), log.run(moved(1, 7)), log.run(moved(2, 11))
    other.run(moved(0, 1, debit=FEES, credit=DEPOSIT))
    writer.fold([folded(log.runs[:2])])
    emptied(history)
    again = PostgresHistoryWriter(history.service)
    try:
        again.fold([folded(other.runs, 1)])
        again.fold([folded(log.runs[:count])])
    finally:
        again.close()
    writer.fold([folded(log.runs[count:])])
    assert [row[6] for row in rows(history, LINES, "lines", OF.format(CASH))] == [5, 12, 23]
    deposits = rows(history, "shard, credits", "lines", OF.format(DEPOSIT))
    assert [int(each[1]) for each in deposits] == [5, 12, 23, 1]


def test_history_that_was_emptied_begins_again(
    history: Database, writer: PostgresHistoryWriter
) -> None:
    log = DecisionLog()
    log.run(moved(0, 5)), log.run(moved(1, 7))
    writer.fold([folded(log.runs)])
    emptied(history)
    assert writer.positions() == {}
    writer.fold([folded(log.runs)])
    assert [row[6] for row in rows(history, LINES, "lines", OF.format(CASH))] == [5, 12]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_account_has_the_decimals_of_the_journal_whatever_came_first(
    history: Database, writer: PostgresHistoryWriter, order: tuple[int, int]
) -> None:
    """Shard 0 has a transaction of other decimals, which is void; the last to come is no better."""
    history.run("INSERT INTO currencies VALUES ('CAD', 2)")
    logs = DecisionLog(0), DecisionLog(1)
    odd = logs[0].run(made(0, Leg(CASH, 5, scale=3), Leg(FEES, -5, scale=3)))
    logs[0].run(voided=[void_of(odd, 0, at=1)], end=2)
    logs[1].run(moved(0, 7)), logs[1].run(moved(1, 7, credit=FEES))
    for shard in order:
        for run in logs[shard].runs:
            writer.fold([folded([run], shard)])
    assert rows(history, "DISTINCT scale", "accounts") == [(2,)]


def test_decimals_that_are_not_the_journals_are_mended_by_whoever_starts(
    history: Database, writer: PostgresHistoryWriter
) -> None:
    """An older version went by the run; and a run may come before its currency's row."""
    log = DecisionLog()
    log.run(made(0, Leg(CASH, 5, scale=3), Leg(FEES, -5, scale=3)))
    writer.fold([folded(log.runs)])
    assert rows(history, "DISTINCT scale", "accounts") == [(3,)]
    history.run("INSERT INTO currencies VALUES ('CAD', 2)")
    writer.tidy([0], idle=False)
    assert rows(history, "DISTINCT scale", "accounts") == [(2,)]


def test_of_several_shards_all_are_folded_or_none(
    history: Database, writer: PostgresHistoryWriter
) -> None:
    one, two = DecisionLog(1), DecisionLog(2)
    one.run(moved(0, 5)), two.run(moved(0, 7)), two.run(moved(1, 9))
    with pytest.raises(Superseded):
        writer.fold([folded(one.runs, 1), folded(two.runs[1:], 2)])
    assert rows(history, "*", "lines") == rows(history, "*", "positions") == []
    writer.fold([folded(two.runs, 2), folded(one.runs, 1)])
    assert writer.positions() == {1: one.runs[-1].after, 2: two.runs[-1].after}
    assert [row[:2] for row in rows(history, "shard, debits", "lines", OF.format(CASH))] == [
        (1, 5), (2, 7), (2, 16),
    ]  # fmt: skip


def test_a_database_that_refuses_leaves_nothing_behind(
    history: Database, writer: PostgresHistoryWriter
) -> None:
    log = DecisionLog()
    log.run(moved(0, 5)), log.run(moved(1, 7))
    writer.fold([folded(log.runs[:1])])
    history.run("ALTER TABLE ledger_history.lines ADD CONSTRAINT fails CHECK (n < 2) NOT VALID")
    try:
        with pytest.raises(LedgerError):
            writer.fold([folded(log.runs[1:])])
    finally:
        history.run("ALTER TABLE ledger_history.lines DROP CONSTRAINT fails")
    assert writer.positions() == {0: log.runs[0].after}
    writer.fold([folded(log.runs[1:])])
    assert [row[6] for row in rows(history, LINES, "lines", OF.format(CASH))] == [5, 12]


def test_refusals_of_any_text_are_kept(history: Database, writer: PostgresHistoryWriter) -> None:
    log = DecisionLog()
    made = [
        Refusal(0, NOW, "t\0" + 200 * "é", "FIELD_TOO_LONG", "transaction_id", "why", None, b""),
        Refusal(1, NOW + 1, None, "UNREADABLE", "", "it does not decode", b"k", b"v"),
    ]
    log.run(refused=made, end=2)
    writer.fold([folded(log.runs)._replace(producers={0: "erp"})])
    wanted = "log_offset, transaction_id, code, field, reason, producer, decisions_offset"
    assert rows(history, wanted, "refusals", "ORDER BY 1") == [
        (0, "t\ufffd" + 126 * "é", "FIELD_TOO_LONG", "transaction_id", "why", "erp", 0),
        (1, None, "UNREADABLE", None, "it does not decode", None, 0),
    ]


def long_log(count: int, spread: int, shard: int = 0) -> DecisionLog:
    """Transactions between three accounts, effective within `spread` microseconds."""
    log, random = DecisionLog(shard), Random(7)
    for start in range(0, count, 500):
        log.run(*(
            moved(offset, random.randrange(1, 99), credit=random.choice((DEPOSIT, FEES)),
                  effective_at=NOW - random.randrange(spread))
            for offset in range(start, min(start + 500, count))
        ))  # fmt: skip
    return log


def model(log: DecisionLog, account: str, before: int) -> Figures:
    amounts = [
        amount
        for run in log.runs
        for at, legs in zip(run.content.effective_at, run.content.legs(), strict=True)
        for name, _, amount in legs
        if name == account and at < before
    ]
    debits = sum(amount for amount in amounts if amount > 0)
    return Figures(debits, debits - sum(amounts), len(amounts))


def counted(history: Database, account: str, before: int) -> Figures:
    """By totals of periods, and lines in the last part of one."""
    split = dict.fromkeys(rows(history, "level, period", "periods", "WHERE is_split = 1"))
    finest = LEVELS[-1]
    while (finest, before >> finest) in split:
        finest -= SPLIT_STEP
    made, end = spans(before, finest)
    sums = "coalesce(sum({}), 0), coalesce(sum({}), 0), coalesce(sum({}), 0)"
    whose = f"JOIN ledger_history.accounts AS a ON a.id = account_id WHERE account = '{account}'"
    found = [0, 0, 0]
    for level, start, until, sign in made:
        within = f"{whose} AND level = {level} AND period < {until}"
        within += "" if start is None else f" AND period >= {start}"
        [row] = rows(history, sums.format("debits", "credits", "entries"), "totals", within)
        found = [one + sign * int(other) for one, other in zip(found, row, strict=True)]
    rest = OF.format(account).partition("WHERE")[0]
    rest += f"WHERE a.account = '{account}' AND effective_at >= {end} AND effective_at < {before}"
    signed = "greatest(amount, 0) * change", "greatest(-amount, 0) * change", "change"
    [row] = rows(history, sums.format(*signed), "lines", rest)
    return Figures(*(one + int(other) for one, other in zip(found, row, strict=True)))


@pytest.mark.parametrize("spread", [2**20, 2**48])
def test_totals_of_periods_and_a_few_lines_are_the_sum_before_any_instant(
    history: Database,
    writer: PostgresHistoryWriter,
    spread: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(history_tidying, "SPLIT_LINES", 300)
    log = long_log(2_000, spread)
    for start in range(len(log.runs)):
        writer.fold([folded(log.runs[start : start + 1])])
        writer.tidy([0], idle=True)
    finest = min(level for level, _ in rows(history, "level, period", "periods"))
    assert (finest < LEVELS[-1]) == (spread == 2**20)
    [(lines,)] = rows(history, "sum(lines)", "periods", f"WHERE level = {LEVELS[0]}")
    assert lines == 4_000
    random = Random(spread)
    for _ in range(12):
        before = NOW - random.randrange(spread)
        for account in (CASH, FEES):
            assert counted(history, account, before) == model(log, account, before)


def test_blocks_have_the_lines_of_their_stripe_by_effect(
    history: Database, writer: PostgresHistoryWriter
) -> None:
    log = long_log(9 * BLOCK + 100, 1_000)
    writer.fold([folded(log.runs)])
    while writer.tidy([0], idle=True):
        pass
    assert rows(history, "*", "unblocked") == []
    of = OF.format(CASH).partition("ORDER")[0]
    columns = "level, block, first_effective, piece, debits, credits, l.entries, lines"
    found = rows(history, columns, "blocks", of + "ORDER BY 1, 2, 3, 4")
    made = {name for block in range(9) for name in completed(block)}
    assert {(level, block) for level, block, *_ in found} == made
    for before in (NOW - 700, NOW - 100, NOW + 1):
        wanted, covered = covering(9 * BLOCK + 100)
        assert covered == 9 * BLOCK
        total = Figures()
        for name in wanted:
            reached = [row for row in found if row[:2] == name and row[2] < before]
            if reached:
                row = reached[-1]
                piece = Piece.unpacked(Figures(*map(int, row[4:7])), bytes(row[7]))
                total = Figures(*map(int.__add__, total, piece.figures(before)))
        rest = rows(history, "effective_at, amount", "lines", of + f"AND n > {covered}")
        late = [amount for at, amount in rest if at < before]
        total = Figures(total.debits + sum(late), total.credits, total.entries + len(late))
        assert total == model(log, CASH, before)
