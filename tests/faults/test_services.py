"""PostgreSQL, Kafka and the registry killed, paused and brought back while transactions flow."""

import signal
import time

import psycopg
import pytest

from tests.faults.checks import reconciled
from tests.faults.conftest import Ledger, long
from tests.faults.watch import Seen
from tests.faults.world import gone, kill, send
from tests.waiting import until

pytestmark = pytest.mark.faults
PAUSED_SECONDS = 60.0


@pytest.fixture(autouse=True)
def whole(ledger: Ledger) -> None:
    """Whatever an earlier fault has left."""
    ledger.both_work()


def pending_alone(ledger: Ledger) -> None:
    """With the database away, a new account's balance is published, all of it pending."""
    flow = ledger.flow
    account = f"liabilities:{flow.name}:away-{time.monotonic_ns()}"
    made = flow.transaction(entries=[
        {"account": account, "side": "credit", "amount": "12.34", "currency": "CAD"},
        {"account": f"assets:{flow.name}:cash", "side": "debit", "amount": "12.34",
         "currency": "CAD"},
    ])  # fmt: skip
    since = time.monotonic()
    (place,) = flow.publish(made)
    row = ledger.watch.until(lambda seen: seen.newest.get((account, "CAD")), f"a balance of {made}")
    ledger.note("pending balance while the database is away", time.monotonic() - since)
    assert (row["status"], row["posted"], row["pending"]) == ("pending", "0.00", "12.34"), row
    assert not reconciled(ledger.watch.seen, [place])
    ledger.watch.until(
        lambda seen: seen.newest[f"assets:{flow.name}:cash", "CAD"]["status"] == "pending",
        "the hot account pending as well",
    )


@pytest.mark.fault(
    "`kill -9` of the PostgreSQL postmaster, then `up`",
    "balances move on as pending; no worker restarts; posting catches up",
)
def test_database_killed(ledger: Ledger) -> None:
    world = ledger.world
    agents = world.agents()
    with ledger.flowing():
        ledger.under_way()
        ledger.moment()
        kill(world.service("postgres"))
        pending_alone(ledger)
        world.up()
        ledger.recovered("kill -9 postgres, from up's end", time.monotonic())
    assert world.agents() == agents, "a worker restarted, and need not have"
    ledger.stood()
    ledger.settled()


@pytest.mark.fault(
    "every PostgreSQL process stopped (SIGSTOP), then let go",
    "balances move on as pending; no worker restarts; posting catches up",
)
def test_database_paused(ledger: Ledger) -> None:
    world = ledger.world
    agents = world.agents()
    with ledger.flowing():
        ledger.under_way()
        ledger.moment()
        with world.stopped(*world.backends()):
            pending_alone(ledger)
        ledger.recovered("postgres paused and continued", time.monotonic())
    assert world.agents() == agents
    ledger.stood()
    ledger.settled()


@pytest.mark.fault(
    "a database session that holds the shards' rows, and is gone",
    "the database ends it; posting goes on",
)
def test_posting_abandoned(ledger: Ledger) -> None:
    """A writer that is gone in the middle of its COPY keeps the shards' rows locked, no longer."""
    address = ledger.world.settings.service_database_url.replace("+psycopg", "")
    with ledger.flowing(), psycopg.connect(address, autocommit=True) as abandoned:
        ledger.under_way()
        abandoned.execute("BEGIN")
        abandoned.execute("SELECT * FROM shards WHERE shard < 2 FOR UPDATE")
        copying = abandoned.cursor().copy("COPY entries FROM STDIN")
        with pytest.raises(psycopg.OperationalError), copying:
            ledger.recovered("shards locked by a writer that is gone", time.monotonic())
    ledger.stood()
    ledger.settled()


@long
@pytest.mark.fault(
    "every PostgreSQL process stopped (SIGSTOP) for 60 s, and a worker leaves meanwhile",
    "balances move on as pending, in its shards too once the other has them; posting catches up",
)
def test_database_paused_past_its_timeouts(ledger: Ledger) -> None:
    world = ledger.world
    with ledger.flowing():
        ledger.under_way()
        with world.stopped(*world.backends()):
            since = time.monotonic()
            pending_alone(ledger)
            pid = world.supervisors()["worker-2"]
            send(pid, signal.SIGTERM)
            until(lambda: gone(pid), "the end of worker-2")
            pending_alone(ledger)
            until(lambda: time.monotonic() - since > PAUSED_SECONDS, "a minute")
            pending_alone(ledger)
        ledger.recovered("postgres stopped for 60 s, let go", time.monotonic())
        world.up(2)
        ledger.recovered("worker-2 back", time.monotonic())
    ledger.stood()
    ledger.settled()


@pytest.mark.fault(
    "`kill -9` of the broker, then `up`",
    "everything waits, and goes on",
)
def test_kafka_killed(ledger: Ledger) -> None:
    world = ledger.world
    with ledger.flowing():
        ledger.under_way()
        ledger.moment()
        kill(world.service("kafka"))
        ledger.moment()
        world.up()
        ledger.recovered("kill -9 kafka, from up's end", time.monotonic())
    ledger.stood()
    ledger.settled()


@pytest.mark.fault(
    "the registry gone",
    "known schemas go on; a record of an unknown one waits, with all behind it in its shard",
)
def test_registry_killed(ledger: Ledger) -> None:
    """Known schemas go on; a record of an unknown one waits, with all behind it, unacked."""
    world, flow, watch = ledger.world, ledger.flow, ledger.watch
    with ledger.flowing():
        kill(world.service("registry"))
        ledger.recovered("registry gone: known schemas go on", time.monotonic())
    log = {name: len(world.log(name)) for name in world.supervisors()}
    made = flow.transaction(ordering_key=f"{flow.name}-unknown-{time.monotonic_ns()}")
    key = made["ordering_key"].encode()
    shard = flow._shard_of(made)
    foreign = b"\0" + (1_000_001).to_bytes(4, "big") + b"?"
    place = flow.send(key, foreign, shard)
    (behind,) = flow.publish(made)
    assert behind[0] == place[0]

    def waits(_: Seen) -> bool:
        return any("Waiting to look up schemas" in world.log(name)[at:] for name, at in log.items())

    watch.until(waits, "the log saying that it waits for the registry")
    assert watch.seen.ends[shard] <= place[1]
    with ledger.flowing():
        ledger.under_way()
    assert watch.seen.ends[shard] <= place[1], "decided what nobody could know"
    world.up()
    since = time.monotonic()
    watch.until(lambda seen: reconciled(seen, [behind]), "the record behind the unknown one")
    ledger.note("registry back: unknown schemas are decided", time.monotonic() - since)
    assert watch.seen.refused[place] == "UNKNOWN_SCHEMA"
    ledger.stood()
    ledger.settled()
