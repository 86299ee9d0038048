"""The database of three data centres: its primary lost under load, its replica promoted."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import psycopg
import pytest

from ledger.stack import files, identity, postgres
from ledger.stack.identity import REPLICATOR, Identity, Server
from ledger.streaming.registry import known_ids
from tests.faults.conftest import Ledger, long, times
from tests.faults.runbook import follow
from tests.faults.world import SESSION_SECONDS, World, gone, kill
from tests.waiting import until

pytestmark = pytest.mark.faults
pytest_plugins = ["tests.faults.centres"]
POSTED = "SELECT shard, end_offset FROM shards"
COUNT = "SELECT count(*) FROM transactions"
LACKED = times(100, 1_000)
"""Transactions that the replica lacks when the primary is killed."""


def me_of(world: World) -> Identity:
    """What is recorded of the stack now."""
    return identity.require_identity(files.layout(world.data_dir))


def replica_of(world: World) -> Server:
    found = me_of(world).replica_database
    assert found is not None, "three data centres have one"
    return found


def asked(world: World, query: str, *, of: Server) -> list[tuple[Any, ...]]:
    """What one server of the two answers to the superuser."""
    place = files.layout(world.data_dir)
    with postgres.connect(place, me_of(world), postgres.DATABASE, to=of) as connection:
        return connection.execute(query.encode()).fetchall()


def cut_off_replica(world: World) -> int:
    """Cut replication, as a network does, and wait for postings that the replica lacks; how many."""
    primary, replica = me_of(world).primary_database, replica_of(world)
    place = files.layout(world.data_dir)
    with postgres.connect(place, me_of(world)) as connection:
        connection.execute(f"ALTER ROLE {REPLICATOR} NOLOGIN".encode())
        connection.execute(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots"
            " WHERE active_pid IS NOT NULL"
        )

    def lacked() -> int:
        ((has,),) = asked(world, COUNT, of=primary)
        ((copied,),) = asked(world, COUNT, of=replica)
        return int(has) - int(copied)

    until(lambda: lacked() >= LACKED, "postings that the replica lacks")
    return lacked()


def replica_has(world: World, ends: dict[int, int]) -> None:
    """Wait until the replica, which still replays what it received, has each shard up to there."""

    def has() -> bool:
        posted = dict(asked(world, POSTED, of=replica_of(world)))
        return all(posted.get(shard, 0) >= end for shard, end in ends.items())

    until(has, f"{ends} in the replica", 30)


@contextmanager
def started_again(words: list[str], directory: str, user: int) -> Iterator[None]:
    """The old server, as whoever knows its command line starts it; ended if it still runs then."""
    child = subprocess.Popen(
        words, cwd=directory, user=user, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True, env={"PATH": os.environ["PATH"], "TZ": "UTC"},
    )  # fmt: skip
    try:
        yield
    finally:
        if child.poll() is None and not gone(child.pid):
            child.terminate()
        child.wait()


def takes_no_writes(world: World, old: Server) -> None:
    """It answers, and refuses every write; the ledger's addresses lead to the other one."""

    def answers() -> bool:
        try:
            return asked(world, "SELECT pg_is_in_recovery()", of=old) == [(True,)]
        except psycopg.OperationalError:
            return False

    until(answers, f"{old.name} answering as a replica")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        asked(world, "CREATE TABLE written ()", of=old)
    for address in (world.settings.database_url, world.settings.service_database_url):
        with psycopg.connect(address.replace("+psycopg", ""), connect_timeout=10) as connection:
            found = connection.execute("SELECT inet_server_port()").fetchone()
            assert found == (me_of(world).primary_database.port,)


def page(world: World, steps: slice) -> list[str]:
    """What the runbook says, on this ledger."""
    given = {
        "FAUST_LEDGER_DATA_DIR": str(world.data_dir),
        "FAUST_LEDGER_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
    }
    return follow("database-primary-lost.md", given, [postgres.programs()], steps=steps)


def lose_primary(centres: Ledger) -> int:
    """Under load and with its replica behind; then the runbook, with the old one back in between.

    Returns how many transactions the replica lacked, or some fewer.
    """
    world = centres.world
    old, new = me_of(world).primary_database, replica_of(world)
    process = psutil.Process(world.service(old.name))
    command = process.cmdline(), process.cwd(), process.uids().real
    workers = world.agents()
    with centres.flowing():
        centres.under_way()
        lacked = cut_off_replica(world)
        since = time.monotonic()
        kill(process.pid)
        kill(world.service("registry"))
        page(world, slice(1))
        centres.note("the primary killed: the replica is promoted", time.monotonic() - since)
        centres.recovered("the primary killed: all shards reconcile", since)
        assert me_of(world).primary_database == new
        assert world.agents() == workers, "a worker restarted, and need not have"
        # By the other registry, whose database is the new primary.
        assert known_ids(world.settings)
        with started_again(*command):
            takes_no_writes(world, old)
            centres.recovered("the old primary back: all shards reconcile", time.monotonic())
            page(world, slice(1, 2))
    page(world, slice(2, None))
    assert me_of(world).primary_database == new
    assert asked(world, "SELECT pg_is_in_recovery()", of=old) == [(True,)]
    centres.stood()
    return lacked


@pytest.mark.fault(
    "the database's primary killed under load, its replica behind, and a registry; `database promote`; "
    "the old one started again",
    "nothing lost, nothing twice: what the replica lacked is posted again from the log; the old one "
    "takes no writes; no worker restarts",
)
def test_primary_lost_with_what_its_replica_lacks(centres: Ledger) -> None:
    lacked = [lose_primary(centres) for _ in range(times(1, 3))]
    centres.entry.facts.append(f"the replica lacked {min(lacked):,} transactions and more")
    centres.settled()


@long
@pytest.mark.fault(
    "the database's primary killed under load, its replica synchronous",
    "the replica has whatever was acknowledged; nothing lost, nothing twice",
)
def test_primary_lost_with_a_synchronous_replica(centres: Ledger) -> None:
    world = centres.world
    world.run("up", "--synchronous", "--json")
    for _ in range(2):
        with centres.flowing():
            centres.under_way()
            centres.moment()
            compared = {shard: row["end"] for shard, row in centres.watch.seen.progress.items()}
            since = time.monotonic()
            kill(world.service(me_of(world).primary))
            # What was compared had been acknowledged by the database.
            replica_has(world, compared)
            world.run("database", "promote", "--json")
            centres.recovered("the primary killed: all shards reconcile", since)
            world.up()
        centres.stood()
    world.run("up", "--asynchronous", "--json")


@long
@pytest.mark.fault(
    "the database's primary gives its place up under load (`database promote --switch-over`)",
    "refused unless it is asked for; the replica has everything; nothing lost, nothing twice",
)
def test_primary_gives_its_place_up(centres: Ledger) -> None:
    world = centres.world
    for _ in range(2):
        with centres.flowing():
            centres.under_way()
            before = me_of(world)
            child = world.start("database", "promote")
            _, said = child.communicate()
            assert child.returncode == 3
            assert "answers and takes writes" in said
            assert me_of(world) == before
            since = time.monotonic()
            done = json.loads(world.run("database", "promote", "--switch-over", "--json"))
            assert done["fenced"] == before.primary != done["primary"]
            centres.recovered("the place given up: all shards reconcile", since)
            world.up()
        centres.stood()
