"""PostgreSQL, Kafka and the registry killed, paused and brought back while transactions flow."""

import time

import psycopg
import pytest

from tests.faults.checks import reconciled
from tests.faults.conftest import Ledger, long
from tests.faults.watch import Seen
from tests.faults.world import kill

pytestmark = pytest.mark.faults


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


def test_database_killed(ledger: Ledger) -> None:
    world = ledger.world
    agents = world.agents()
    with ledger.flow.flowing():
        ledger.under_way()
        ledger.moment()
        kill(world.service("postgres"))
        pending_alone(ledger)
        world.up()
        ledger.recovered("kill -9 postgres, from up's end", time.monotonic())
    assert world.agents() == agents, "a worker restarted, and need not have"
    ledger.settled(commands=False)


def test_database_paused(ledger: Ledger) -> None:
    world = ledger.world
    agents = world.agents()
    with ledger.flow.flowing():
        ledger.under_way()
        ledger.moment()
        with world.stopped(*world.backends()):
            pending_alone(ledger)
        ledger.recovered("postgres paused and continued", time.monotonic())
    assert world.agents() == agents
    ledger.settled(commands=False)


def test_posting_abandoned(ledger: Ledger) -> None:
    """A writer that is gone in the middle of its COPY keeps the shards' rows locked, no longer."""
    address = ledger.world.settings.service_database_url.replace("+psycopg", "")
    with ledger.flow.flowing(), psycopg.connect(address, autocommit=True) as abandoned:
        ledger.under_way()
        abandoned.execute("BEGIN")
        abandoned.execute("SELECT * FROM shards WHERE shard < 2 FOR UPDATE")
        copying = abandoned.cursor().copy("COPY entries FROM STDIN")
        with pytest.raises(psycopg.OperationalError), copying:
            ledger.recovered("shards locked by a writer that is gone", time.monotonic())
    ledger.settled(commands=False)


@long
def test_database_paused_past_its_timeouts(ledger: Ledger) -> None:
    world = ledger.world
    agents = world.agents()
    with ledger.flow.flowing():
        ledger.under_way()
        with world.stopped(*world.backends()):
            pending_alone(ledger)
            time.sleep(60)
        ledger.recovered("postgres paused for 60 s and continued", time.monotonic())
    assert world.agents() == agents
    ledger.settled()


def test_kafka_killed(ledger: Ledger) -> None:
    world = ledger.world
    with ledger.flow.flowing():
        ledger.under_way()
        ledger.moment()
        kill(world.service("kafka"))
        ledger.moment()
        world.up()
        ledger.recovered("kill -9 kafka, from up's end", time.monotonic())
    ledger.settled(commands=False)


def test_registry_killed(ledger: Ledger) -> None:
    """Known schemas go on; a record of an unknown one waits, with all behind it, unacked."""
    world, flow, watch = ledger.world, ledger.flow, ledger.watch
    with flow.flowing():
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
    with flow.flowing():
        ledger.under_way()
    assert watch.seen.ends[shard] <= place[1], "decided what nobody could know"
    world.up()
    since = time.monotonic()
    watch.until(lambda seen: reconciled(seen, [behind]), "the record behind the unknown one")
    ledger.note("registry back: unknown schemas are decided", time.monotonic() - since)
    assert watch.seen.refused[place] == "UNKNOWN_SCHEMA"
    ledger.settled(commands=False)
