"""Whatever one row is altered to by whatever role: it is refused, or an audit names the row.

FAUST_LEDGER_ALTERATIONS says how many are tried, FAUST_LEDGER_ALTERATIONS_SEED with which seed.
"""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from ledger.audit.chain import Chain as DecisionChain
from ledger.audit.chain import ChainedRun
from ledger.audit.findings import Findings, Party
from ledger.audit.fold import ShardFold, StatedPosition
from ledger.audit.journal import JournalCheck, OrderedRows, orphan_break
from ledger.domain.run import Outcomes, Watermark
from ledger.gl.books import LOWEST_OFFSET
from ledger.gl.journal import Journal, PostingRun
from ledger.gl.postgresql import PostgresBooks, PostgresJournal
from ledger.gl.rows import JournalFinding, RowKey
from ledger.gl.verify import verify_journal
from tests.integration.gl_alterations import Alteration, Generator
from tests.integration.gl_runs import NOW, Chain, Leg, Made, made, void_of, without

if TYPE_CHECKING:
    from tests.integration.gl_database import Database

pytest_plugins = ["tests.integration.gl_database"]

SHARDS = 4
COUNT = int(os.environ.get("FAUST_LEDGER_ALTERATIONS", "2000"))
SEED = int(os.environ.get("FAUST_LEDGER_ALTERATIONS_SEED", "20261130"))
REFUSED = ("42501", "22", "23")
"""The states of a statement that the database refuses: no right to it, a value, a rule."""
SCALES = {"CAD": 2, "USD": 2, "JPY": 0, "GOLD": 4}
TEXTS = ("", "", "päy", "a payment", '{"a":"b"}')


class Open:
    """In an engine's place, one connection that stays open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        yield self._connection

    def dispose(self) -> None:
        """It is the caller's."""


class Rows(PostgresBooks):
    """Books whose rules are known to be whole: no statement on a row changes one.

    Looking them up in the catalogue takes three times as long as reading all rows of this ledger.
    """

    def broken_rules(self, connection: Connection) -> Iterable[JournalFinding]:
        return ()


def rows_within(connection: Connection) -> Rows:
    """What one open transaction sees."""
    return Rows("", read=Open(connection))


def rules_are_whole(engine: Engine) -> bool:
    """What `Rows` relies on."""
    with engine.connect() as connection:
        return not list(PostgresBooks("", read=Open(connection)).broken_rules(connection))


@dataclass(frozen=True)
class Ledger:
    """A healthy ledger: what is posted, what was published of it, what was decided."""

    database: "Database"
    heads: list[Watermark]
    decided: list[list[ChainedRun]]


@pytest.fixture
def ledger(database: "Database") -> Ledger:
    """Three shards of four, four to six runs each, four currencies, over a hundred transactions.

    In shard 0 one was left out, and in shard 1 one was posted before it was voided.
    """
    random, journal = Random(SEED), PostgresJournal(database.service)
    heads, decided = [], []
    for shard in range(SHARDS):
        chain = Chain(shard, outcomes=Outcomes().encode())
        check, settled = DecisionChain(shard, found := Findings()), []
        runs: list[tuple[Watermark, PostingRun]] = []
        for _ in range(random.randint(3, 5) if shard != 2 else 0):
            before = chain.watermark
            run = chain.run(
                *_transactions(random, before.end), end=before.end + 60,
                skipped=random.randint(0, 2),
            )  # fmt: skip
            runs.append((before, run))
        if shard < 2:
            _void_one(chain, runs, left_out=shard == 0)
        for before, run in runs:
            journal.post(shard, before, [run])
            settled.append(check.take(run.decisions_offset, run.decision.row()))
        assert found.breaks() == []
        heads.append(chain.watermark)
        decided.append([each for each in settled if each])
    assert journal.orphans(SHARDS) == []
    journal.close()
    return Ledger(database, heads, decided)


def _void_one(chain: Chain, runs: list[tuple[Watermark, PostingRun]], *, left_out: bool) -> None:
    """One run more, which voids a transaction of the second."""
    before, first = runs[1]
    void = void_of(first, first.content.offsets[3], at=chain.watermark.end)
    last = chain.watermark, chain.run(end=chain.watermark.end + 9, voided=[void])
    if left_out:
        runs[1] = before, without(first, void, last[1].decisions_offset)
    runs.append(last)


def _transactions(random: Random, start: int) -> Iterator[Made]:
    """At some of the next fifty positions."""
    for offset in sorted(random.sample(range(start, start + 50), random.randint(8, 11))):
        code = random.choice(list(SCALES))
        amounts = [random.randint(1, 10**6) for _ in range(random.choice([1, 1, 2]))]
        accounts = [f"assets:a:{random.randrange(9)}" for _ in amounts]
        legs = [Leg(*each, code, SCALES[code]) for each in zip(accounts, amounts, strict=True)]
        credit = Leg(f"liabilities:d:{random.randrange(9)}", -sum(amounts), code, SCALES[code])
        fields = {
            name: random.choice(TEXTS)
            for name in ("description", "ordering_key", "reverses", "metadata")
        }
        yield made(offset, *legs, credit, effective_at=NOW - random.randrange(10**9), **fields)


def verified(journal: Journal, ledger: Ledger) -> set[RowKey]:
    """The rows that `verify` names."""
    return {each.row for each in verify_journal(journal, ledger.heads).findings if each.row}


def audited(journal: Journal, ledger: Ledger) -> set[RowKey]:
    """Those that `reconcile --full` names, of what it compares with the journal."""
    findings = Findings()
    for shard, decided in enumerate(ledger.decided):
        posted, totals = journal.snapshot(shard, LOWEST_OFFSET)
        voids = {each.offset: each for each in journal.voids(shard)}
        fold, check = ShardFold(shard, SCALES, findings), JournalCheck(shard, findings, voids)
        fold.expect(StatedPosition(
            Party.DATABASE, "the database", posted,
            lambda sums, fold=fold, totals=totals: fold.exactly(Party.DATABASE, totals, sums),
        ))  # fmt: skip
        fold.begin()
        runs = OrderedRows(journal.runs(shard), lambda run: run.decisions_offset)
        rows = OrderedRows(journal.transactions(shard, LOWEST_OFFSET), lambda each: each.offset)
        for settled in decided:
            head = settled.head
            if head.decisions_offset < posted.decisions_offset:
                check.take(settled, runs.below(head.decisions_offset + 1), rows.below(head.end))
            else:
                check.beyond(settled)
            fold.take(settled)
        fold.finish()
        check.finish()
    for each in journal.orphans(SHARDS):
        findings.add(orphan_break(each))
    return {each.row for each in findings.breaks() if each.row}


def done(connection: Connection, alteration: Alteration) -> str:
    """What became of it: refused, nothing (no row was changed), or done."""
    try:
        with connection.begin_nested():
            connection.execute(text(f"SET LOCAL ROLE {alteration.role}"))
            result = connection.execute(text(alteration.statement), alteration.values)
            connection.execute(text("RESET ROLE"))
    except DBAPIError as error:
        state = getattr(error.orig, "sqlstate", None) or ""
        if not state.startswith(REFUSED):
            raise
        return "refused"
    return "done" if result.rowcount else "nothing"


def test_no_alteration_is_done_and_not_named(ledger: Ledger) -> None:
    random, came = Random(SEED), Counter[str]()
    with ledger.database.engine() as engine:
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
        assert rules_are_whole(engine)
        with engine.connect() as connection:
            generator = Generator(connection, random)
            journal = PostgresBooks("", read=Open(connection))
            assert verified(journal, ledger) == audited(journal, ledger) == set()
        for number in range(COUNT):
            with engine.connect() as connection:
                journal, alteration = rows_within(connection), generator.next()
                became = done(connection, alteration)
                came[became] += 1
                if became == "done":
                    found = verified(journal, ledger)
                    came["seen by verify"] += bool(found)
                    if not alteration.named_by(found):
                        found |= audited(journal, ledger)
                        came["named by --full"] += 1
                    assert alteration.named_by(found), (
                        f"seed {SEED}, alteration {number}: {alteration}\nfound: {found}"
                    )
        assert rules_are_whole(engine)
    sys.stderr.write(f"\n{COUNT} alterations: {dict(came)}\n")
    assert came["done"] > COUNT // 3
    assert came["refused"] > COUNT // 10
