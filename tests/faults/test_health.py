"""What a worker, `status`, `doctor` and the metrics say while something is wrong, and afterwards."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from prometheus_client.parser import text_string_to_metric_families
from psycopg import sql

from ledger.health.checks.database import database
from ledger.stack import files, identity, postgres
from ledger.streaming.topics import topics
from tests.conftest import FAILED
from tests.faults.another import WORKER, Another, another
from tests.faults.conftest import Ledger, long
from tests.faults.world import SESSION_SECONDS, World, gone, kill
from tests.waiting import until

pytestmark = pytest.mark.faults
WORKERS = ("worker-1", "worker-2")
ROLE = "ledger_service"


@pytest.fixture(autouse=True)
def whole(ledger: Ledger, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever an earlier fault has left; and afterwards everything must be well again."""
    ledger.both_work()
    yield
    if request.node.stash[FAILED]:
        return  # what it has left is stopped
    ledger.world.ready(*WORKERS)
    assert ledger.world.status()["ok"]
    ledger.entry.times = max(ledger.entry.times, 1)
    for worker in WORKERS:
        assert ledger.world.ask(worker, "/ready")[0] == 200
        assert set(figures(ledger.world, worker, "faust_ledger_ready").values()) == {1.0}


def named(world: World, name: str, words: str) -> dict[str, list[str]]:
    """What `doctor` finds amiss; fails unless something called `name…` is found to be as `words`."""
    amiss = world.diagnosis()
    details = [each for key, found in amiss.items() if key.startswith(name) for each in found]
    assert any(words in detail for detail in details), (words, amiss)
    return amiss


def figures(world: World, worker: str, name: str) -> dict[tuple[str, ...], float]:
    """A metric's samples by the values of their labels."""
    code, text = world.ask(worker, "/metrics")
    assert code == 200
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == name
    }


def why(world: World, worker: str) -> str:
    """What keeps a worker from going on."""
    return "; ".join(world.health(worker).get("why", ()))


@dataclass
class Saying:
    """What is waited for, and what is said instead."""

    world: World
    worker: str
    words: str

    def __str__(self) -> str:
        return f"{self.worker} saying {self.words!r}, it says {why(self.world, self.worker)!r}"


def says(world: World, worker: str, words: str) -> float:
    """Wait until a worker says so; seconds that it took."""
    since = time.monotonic()
    until(lambda: words in why(world, worker), Saying(world, worker, words))
    return time.monotonic() - since


def live(world: World) -> bool:
    return all(world.ask(worker, "/live")[0] == 200 for worker in WORKERS)


def as_superuser(world: World, *statements: sql.Composed | sql.SQL) -> None:
    """On the embedded database."""
    place = files.layout(world.data_dir)
    me = identity.load_identity(place)
    assert me is not None
    with postgres.connect(place, me, "ledger") as connection:
        for each in statements:
            connection.execute(each)


END_SESSIONS = sql.SQL(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = {}"
).format(sql.Literal(ROLE))


@long
@pytest.mark.fault(
    "PostgreSQL stopped (SIGSTOP) while nothing flows: what is said of it",
    "posting is not ready and says why, the rest is; `up` does not come back before it is well",
)
def test_database_hanging(ledger: Ledger) -> None:
    world, agents = ledger.world, ledger.world.agents()
    with world.stopped(*world.backends()):
        took = says(world, "worker-1", "general ledger")
        ledger.note("a hanging database shows in /ready", took)
        says(world, "worker-2", "general ledger")
        assert live(world)
        assert world.goes_on("worker-1", "stream")
        assert figures(world, "worker-1", "faust_ledger_ready") == {
            ("stream",): 1, ("posting",): 0, ("history",): 0,
        }  # fmt: skip
        said = world.status()
        assert "posting: waiting" in said["parts"]["worker-1"]["trouble"]
        assert said["parts"]["postgres"]["trouble"].startswith("process")
        up = world.start("up", "--json")
        found = named(world, "postgres", "is stopped (SIGSTOP)")
        assert "worker-1 posting" in found
        assert up.poll() is None
    world.finish(up)
    since = time.monotonic()
    world.ready(*WORKERS)
    ledger.note("let go: /ready is well", time.monotonic() - since)
    assert world.agents() == agents


@pytest.mark.fault(
    "the broker stopped (SIGSTOP) for longer than a session, under load: what is said of it",
    "both applications say that they are not confirmed, are live, and do not end for it",
)
def test_broker_hanging_past_the_session(ledger: Ledger) -> None:
    world, agents = ledger.world, ledger.world.agents()
    with ledger.flowing():
        ledger.under_way()
        since = time.monotonic()
        with world.stopped(world.service("kafka")):
            ledger.note("a hanging broker shows in /ready", says(world, "worker-1", "confirmed"))
            named(world, "kafka", "is stopped (SIGSTOP)")
            assert live(world)
            assert not world.status()["ok"]
            until(lambda: time.monotonic() - since > 2 * SESSION_SECONDS, "two sessions")
            assert "posting: the broker has not confirmed" in why(world, "worker-1")
            lease = figures(world, "worker-2", "faust_ledger_membership_unconfirmed_seconds")
            assert min(lease.values()) > SESSION_SECONDS
        since = time.monotonic()
        world.ready(*WORKERS)
        ledger.recovered("broker stopped for two sessions", since)
    assert world.agents() == agents, "an application ended, and need not have"
    ledger.stood()


@pytest.mark.fault(
    "the registry, PostgreSQL and the broker killed one after another, and an application started "
    "without them: what is said of it",
    "without the registry all go on; the others are waited for, in a new process as well",
)
def test_all_services_dead(ledger: Ledger) -> None:
    world, agents = ledger.world, ledger.world.agents()
    kill(world.service("registry"))
    assert not world.status()["parts"]["registry"]["running"]
    assert all(world.health(worker)["ready"] for worker in WORKERS)
    kill(world.service("postgres"))
    says(world, "worker-1", "posting: waiting")
    assert world.goes_on("worker-1", "stream")
    waits = figures(world, "worker-1", "faust_ledger_waits_total")
    assert waits["posting", "application"] >= 1
    kill(world.service("kafka"))
    says(world, "worker-1", "stream: the broker has not confirmed")
    amiss = named(world, "registry", "has died")
    assert {name.split()[0] for name in amiss} >= {"registry", "postgres", "kafka", "worker-1"}
    kill(world.agent("worker-2", "stream"))
    says(world, "worker-2", "stream: waiting")
    again = world.agent("worker-2", "stream")
    assert world.health("worker-2")["applications"]["stream"]["last_exit"]["status"] == -9
    assert live(world)
    world.up()
    world.ready(*WORKERS)
    assert world.agents() == agents | {("worker-2", "stream"): again}


@pytest.mark.fault(
    "a worker's application stopped (SIGSTOP) past its session, under load: what is said of it",
    "its worker is not live, `status` and `doctor` name the process; let go, it is back, or ends with 75",
)
def test_application_stopped(ledger: Ledger) -> None:
    world = ledger.world
    with ledger.flowing():
        ledger.under_way()
        pid = world.agent("worker-1", "stream")
        since = time.monotonic()
        with world.stopped(pid):
            said = world.status()["parts"]["worker-1"]["trouble"]
            assert f"kill -CONT {pid}" in said
            named(world, "worker-1", f"kill -CONT {pid}")
            code, body = world.ask("worker-1", "/live")
            assert (code, json.loads(body)["dead"]) == (503, ["stream"])
            assert f"process {pid}" in why(world, "worker-1")
            until(lambda: time.monotonic() - since > SESSION_SECONDS + 2, "a session")
        until(lambda: gone(pid) or world.goes_on("worker-1", "stream"), "its end, or its return")
        world.ready(*WORKERS)
        if gone(pid):
            ended = world.health("worker-1")["applications"]["stream"]["last_exit"]
            assert ended["status"] == 75
            assert "replaced" in ended["meaning"]
    ledger.stood()


def of_database(world: World) -> str:
    """What `doctor` finds amiss with it."""
    return "; ".join(each.detail for each in database(world.settings) if not each.well)


@pytest.mark.fault(
    "the posting role's connections used up, its password changed, a table gone: what is said of it",
    "posting waits with PostgreSQL's words, `doctor` names each; mended, it goes on by itself",
)
def test_database_role_and_tables(ledger: Ledger) -> None:
    world, agents, role = ledger.world, ledger.world.agents(), sql.Identifier(ROLE)
    limit = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}")
    as_superuser(world, limit.format(role, sql.Literal(0)), END_SESSIONS)
    says(world, "worker-1", "too many connections for role")
    assert "too many connections for role" in of_database(world)
    as_superuser(world, limit.format(role, sql.Literal(-1)))
    world.ready(*WORKERS)

    as_superuser(world, sql.SQL("ALTER ROLE {} PASSWORD 'another'").format(role), END_SESSIONS)
    says(world, "worker-2", "password authentication failed")
    assert "password authentication failed" in of_database(world)
    world.up()
    world.ready(*WORKERS)

    rename = sql.SQL("ALTER TABLE {} RENAME TO {}")
    names = sql.Identifier("shards"), sql.Identifier("shards_gone")
    as_superuser(world, rename.format(*names))
    says(world, "worker-1", '"shards" does not exist')
    named(world, "general ledger", "tables are missing: shards")
    as_superuser(world, rename.format(*reversed(names)))
    world.ready(*WORKERS)
    assert world.agents() == agents
    ledger.stood()


def connected(one: Another) -> list[int]:
    """The processes that keep connections to its database."""
    return [one.world.agent(WORKER, each) for each in ("posting", "history")]


@long
@pytest.mark.fault(
    "a database restored from an old backup, a log cut by retention below what it needs, a topic "
    "made anew: what is said of it",
    "`doctor` names each; the restored database catches up; what is cut stops its shard with a "
    "sentence, and no other",
)
def test_backups_and_topics(ledger: Ledger) -> None:
    with another(ledger.world) as one:
        one.publish()
        end_sessions = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"
            f"{one.settings.prefix}'"
        )
        with one.world.stopped(*connected(one)):
            one.on_database(end_sessions, "CREATE DATABASE {old} TEMPLATE {name}")
        one.publish()
        with one.world.stopped(*connected(one)):
            one.on_database(
                "DROP DATABASE {name} WITH (FORCE)", "ALTER DATABASE {old} RENAME TO {name}"
            )
            named(one.commands, "topics", "it is from an older backup")
        one.publish()
        one.world.ready(WORKER)
        assert "topics" not in one.commands.diagnosis()

        posting = one.world.agent(WORKER, "posting")
        with one.world.stopped(posting):
            # A fetch under way brings the first of them, into the stopped process's socket.
            for times in (1, 2):
                one.flow.probe()
                until(lambda times=times: behind(one, times), "decisions that are not posted")
            one.cut_decisions(0)
            named(one.commands, "topics", "retention has cut it; shards 0")
        says(one.world, WORKER, "posting 0: stopped")
        states = figures(one.world, WORKER, "faust_ledger_partition_state")
        assert states["posting", "0", "posting", "stopped"] == 1
        assert states["posting", "1", "posting", "going_on"] == 1

        one.stop()
        one.make_anew(topics(one.settings).decisions.name)
        found = named(one.commands, "topics", "decisions: it ends before what was posted")
        assert any("shards 0-1" in each for each in found["topics"])
        one.start()
        for stage in ("posting", "reconciliation"):
            says(one.world, WORKER, f"{stage} 0: stopped")
            says(one.world, WORKER, f"{stage} 1: stopped")


@pytest.mark.fault(
    "the transactions' topic made anew, and grown past what had been decided",
    "an alarm for each shard; what is before the position is not passed over in silence",
)
def test_transactions_made_anew(ledger: Ledger) -> None:
    with another(ledger.world) as one:
        one.publish()
        one.stop()
        one.make_anew(topics(one.settings).transactions.name)
        for _ in range(3):
            one.flow.probe()
        one.start()
        for shard in range(one.settings.shards):
            says(one.world, WORKER, f"intake {shard}: stopped")
        says(one.world, WORKER, "a younger record than the one that was decided there")


def behind(one: Another, runs: int) -> bool:
    """Whether each shard has decided so many runs more than it has posted."""
    known = one.known()
    return all(
        end >= known.posted[shard].decisions_offset + runs
        for shard, (_, end) in known.decisions.items()
    )
