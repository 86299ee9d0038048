"""PostgreSQL under the journal when things go wrong: lost, frozen, killed, overtaken."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url, text

from ledger.domain.run import Watermark
from ledger.errors import InvariantBroken
from ledger.gl.journal import JournalUnavailable, NotPostable, Posting, Superseded
from ledger.gl.postgresql import POST_SECONDS, PostgresJournal, connection
from tests.integration.gl_runs import Chain, moved
from tests.integration.tcp_proxy import Proxy
from tests.waiting import until

if TYPE_CHECKING:
    from tests.integration.gl_database import Database

pytest_plugins = ["tests.integration.gl_database"]

KILL = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.fixture
def journal(database: "Database") -> Iterator[PostgresJournal]:
    """An empty ledger, as the posting service."""
    made = PostgresJournal(database.service)
    yield made
    made.close()


@pytest.fixture
def proxy(database: "Database") -> Iterator[Proxy]:
    """In between."""
    with Proxy(make_url(database.admin).port or 5432) as made:
        yield made


@pytest.fixture
def through(database: "Database", proxy: Proxy) -> Iterator[PostgresJournal]:
    """The same ledger through the proxy."""
    url = make_url(database.service).set(port=proxy.port)
    made = PostgresJournal(url.render_as_string(hide_password=False))
    yield made
    made.close()


def rows(database: "Database") -> list[int]:
    """How many rows each table has."""
    tables = ("shards", "runs", "currencies", "transactions", "entries", "stripes")
    return [database.run(f"SELECT count(*) FROM {table}")[0][0] for table in tables]


def await_true(seen: Callable[[], object]) -> None:
    """Wait for it."""
    until(seen, "what is to be seen in the database")


def await_waiting(database: "Database") -> None:
    """Until some session waits for another's lock."""
    await_true(lambda: database.run("SELECT 1 FROM pg_locks WHERE NOT granted"))


def test_a_terminated_backend_is_unavailable_once(
    database: "Database", journal: PostgresJournal
) -> None:
    chain = Chain()
    journal.post(0, Watermark(), [chain.run(moved(0, 1))])
    before = chain.watermark
    run = chain.run(moved(1, 1))
    database.run(KILL)
    with pytest.raises(JournalUnavailable, match="does not answer"):
        journal.post(0, before, [run])
    assert journal.watermark(0) == before
    journal.post(0, before, [run])
    assert journal.watermark(0) == chain.watermark
    database.run(KILL)
    with pytest.raises(JournalUnavailable):
        journal.watermark(0)
    assert journal.watermark(0) == chain.watermark


def test_reports_outlive_a_terminated_backend(
    database: "Database", journal: PostgresJournal
) -> None:
    journal.post(0, Watermark(), [Chain().run(moved(0, 1))])
    assert len(journal.balances()) == 2
    database.run(KILL)
    assert len(journal.balances()) == 2


def test_killed_between_copy_and_commit_leaves_nothing(
    database: "Database", journal: PostgresJournal
) -> None:
    chain = Chain()
    run = chain.run(moved(0, 1), moved(1, 1))
    with (
        ThreadPoolExecutor(1) as thread,
        database.engine() as engine,
        engine.begin() as blocker,
    ):
        # What comes after the copies: the runs.
        blocker.execute(text("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE"))
        posting: Future[object] = thread.submit(journal.post, 0, Watermark(), [run])
        await_waiting(database)
        database.run("SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE NOT granted")
        with pytest.raises(JournalUnavailable):
            posting.result(10)
    assert rows(database) == [0] * 6
    journal.post(0, Watermark(), [run])
    assert rows(database) == [1, 1, 1, 2, 4, 2]


def test_an_answer_lost_during_commit_is_found_out_by_the_watermark(
    database: "Database", through: PostgresJournal, proxy: Proxy
) -> None:
    chain = Chain()
    through.post(0, Watermark(), [chain.run(moved(0, 1))])
    before = chain.watermark
    run = chain.run(moved(1, 1))
    proxy.lose_answer_to(b"COMMIT\0")
    with pytest.raises(JournalUnavailable):
        through.post(0, before, [run])
    await_true(lambda: through.watermark(0) == chain.watermark)
    with pytest.raises(Superseded):
        through.post(0, before, [run])
    assert rows(database)[3:] == [2, 4, 2]


def test_a_frozen_server_is_given_up(
    proxy: Proxy, through: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "GRACE_SECONDS", 0.5 - POST_SECONDS)
    chain = Chain()
    through.post(0, Watermark(), [chain.run(moved(0, 1))])
    before = chain.watermark
    run = chain.run(moved(1, 1))
    proxy.freeze()
    began = monotonic()
    with pytest.raises(JournalUnavailable):
        through.post(0, before, [run])
    assert 0.4 < monotonic() - began < 5
    proxy.cut()
    proxy.thaw()
    through.post(0, before, [run])
    assert through.watermark(0) == chain.watermark


def test_nobody_there_is_unavailable(proxy: Proxy, through: PostgresJournal) -> None:
    proxy.__exit__()
    for _ in range(2):
        with pytest.raises(JournalUnavailable, match="does not answer"):
            through.watermark(0)
        with pytest.raises(JournalUnavailable):
            through.post(0, Watermark(), [Chain().run(moved(0, 1))])
        with pytest.raises(JournalUnavailable):
            list(through.transactions(0))


def test_a_zombie_that_waits_for_its_successor_loses(
    database: "Database", journal: PostgresJournal
) -> None:
    chain = Chain()
    journal.post(0, Watermark(), [chain.run(moved(0, 1))])
    before = chain.watermark
    with ThreadPoolExecutor(1) as thread, database.engine() as engine:
        with engine.begin() as successor:
            successor.execute(text("UPDATE shards SET end_offset = 77 WHERE shard = 0"))
            zombie: Future[object] = thread.submit(
                journal.post, 0, before, [chain.run(moved(1, 1))]
            )
            await_waiting(database)
            assert not zombie.done()
        with pytest.raises(Superseded):
            zombie.result(10)
    assert rows(database)[3:5] == [1, 2]


def test_a_row_that_is_there_already_is_a_fault(
    database: "Database", journal: PostgresJournal
) -> None:
    database.run(
        "INSERT INTO transactions (shard, log_offset, transaction_id, kind, effective_at,"
        " recorded_at, created_at) VALUES (0, 1, 'x', 'x', now(), now(), now())"
    )
    run = Chain().run(moved(0, 1), moved(1, 1))
    with pytest.raises(InvariantBroken, match="transactions_pk"):
        journal.post(0, Watermark(), [run])
    assert journal.watermark(0) == Watermark()
    assert rows(database) == [0, 0, 0, 1, 0, 0]


@contextmanager
def rule(database: "Database", table: str, condition: str) -> Iterator[None]:
    """One more rule of a table, for as long as it is needed."""
    database.run(f"ALTER TABLE {table} ADD CONSTRAINT odd CHECK ({condition})")
    try:
        yield
    finally:
        database.run(f"ALTER TABLE {table} DROP CONSTRAINT odd")


@pytest.mark.parametrize("place", [0, 6, 9])
def test_what_the_database_refuses_is_named(
    journal: PostgresJournal, database: "Database", place: int
) -> None:
    run = Chain().run(*(
        moved(offset, 100 + offset, description="bad" if offset == place else "good")
        for offset in range(10)
    ))  # fmt: skip
    before = rows(database)
    with (
        rule(database, "transactions", "description <> 'bad'"),
        pytest.raises(NotPostable, match=rf"^'t-{place}' at offset {place}: .* violates"),
    ):
        journal.post(0, Watermark(), [run])
    assert rows(database) == before, "what was tried is taken back"
    journal.post(0, Watermark(), [run])


def test_what_no_sum_can_hold_is_named(journal: PostgresJournal, database: "Database") -> None:
    run = Chain().run(moved(0, 200), moved(1, 200))
    with (
        rule(database, "stripes", "debits <= 300"),
        pytest.raises(NotPostable, match=r"^'t-1' at offset 1: "),
    ):
        journal.post(0, Watermark(), [run])


def test_missing_tables_and_rights_are_waited_for(
    database: "Database", journal: PostgresJournal
) -> None:
    run = Chain().run(moved(0, 1))
    database.run("REVOKE INSERT ON runs FROM ledger_service")
    try:
        with pytest.raises(JournalUnavailable, match="permission denied"):
            journal.post(0, Watermark(), [run])
    finally:
        database.run("GRANT INSERT ON runs TO ledger_service")
    journal.post(0, Watermark(), [run])


def test_a_lock_that_lasts_is_unavailable(
    database: "Database", journal: PostgresJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "DATABASE_LOCK_SECONDS", 1)
    quick = PostgresJournal(database.service)
    run = Chain().run(moved(0, 1))
    with database.engine() as engine, engine.begin() as blocker:
        blocker.execute(text("LOCK TABLE stripes IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(JournalUnavailable, match="lock timeout"):
            quick.post(0, Watermark(), [run])
    quick.post(0, Watermark(), [run])
    quick.close()


def test_round_trips(proxy: Proxy, through: PostgresJournal) -> None:
    chain = Chain()
    through.post(0, Watermark(), [chain.run(moved(0, 1))])
    for count in (1, 1, 1, 3):
        before, proxy.trips = chain.watermark, 0
        runs = [chain.run(moved(chain.watermark.end, 1)) for _ in range(count)]
        through.post(0, before, runs)
        # Begin and move; two a COPY; runs, stripes and commit.
        assert proxy.trips <= 6


def test_round_trips_are_no_more_for_several_shards(proxy: Proxy, through: PostgresJournal) -> None:
    chains = [Chain(shard) for shard in range(8)]
    for turn in range(3):
        proxy.trips = 0
        through.post_all([
            through.prepare(Posting(chain.shard, chain.watermark, [chain.run(moved(turn, 1))]))
            for chain in chains
        ])  # fmt: skip
        if turn:  # statements are prepared for good at first
            assert proxy.trips <= 6


def test_stripes_are_summed_by_primary_key_without_statistics(
    database: "Database", journal: PostgresJournal
) -> None:
    """The plan that a session keeps from a ledger's first minute must be good for ever."""
    chain = Chain()
    for _ in range(12):
        before = chain.watermark
        journal.post(0, before, [chain.run(*(moved(before.end + i, 1) for i in range(50)))])
    with journal._post.connect() as session:
        driver = session.connection.driver_connection
        assert driver is not None
        plan = driver.execute(
            "EXPLAIN SELECT account, currency, sum(amount) FROM entries WHERE shard = 0"
            " AND log_offset >= 5 AND log_offset < 9 GROUP BY account, currency"
        ).fetchall()
    assert "entries_pk" in str(plan)
