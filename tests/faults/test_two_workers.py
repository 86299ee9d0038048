"""Two workers under load, each killed and each stopped in its turn, the other taking over.

Most accounts of this flow move for a moment, in many shards, and then only once more, at the end: a
stripe that a worker has overlooked at the other's is in that balance, where on an account that goes
on moving its next record would have set it right.
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment

from ledger.cli.supervisor import APPLICATIONS
from ledger.stack.environment import EXTRA_IMPORTS
from tests.builders import pair
from tests.faults.conftest import PLAN, Ledger, long, times
from tests.faults.flow import SCALES, Flow
from tests.faults.world import gone, kill, send
from tests.waiting import until

pytestmark = pytest.mark.faults
RATE = 1_050
MOVES = 100
"""Transactions for which an account is in use."""
KEPT = 2
"""Positions of balances that a worker keeps, each for five seconds, before it is killed."""
TIMES = times(1, 4)
SLOWLY = Path(__file__).parent / "slowly"


@pytest.fixture
def loaded(ledger: Ledger) -> Iterator[Ledger]:
    """Two workers, and a flow of `RATE` transactions a second.

    Those that are started from here on, and to the session's end, read late: see `slowly`.
    """
    ledger.both_work()
    flow, environment = ledger.flow, ledger.world.environment
    before, flow.rate, flow.moves = flow.rate, RATE, MOVES
    environment[EXTRA_IMPORTS] = str(SLOWLY)
    yield ledger
    del environment[EXTRA_IMPORTS]
    flow.rate, flow.moves = before, 0


def members(ledger: Ledger, application: str) -> list[str]:
    """Who has partitions in the application's group, by what Kafka says; empty while it changes."""

    async def asked() -> list[str]:
        admin = AIOKafkaAdminClient(bootstrap_servers=ledger.world.settings.bootstrap_servers)
        await admin.start()
        try:
            group = f"{ledger.world.settings.prefix}-{application}"
            (answer,) = await admin.describe_consumer_groups([group])
        finally:
            await admin.close()
        _, _, state, _, _, found, *_ = answer.groups[0]
        if state != "Stable":
            return []
        return [
            member[0]
            for member in found
            if ConsumerProtocolMemberAssignment.decode(member[-1]).assignment
        ]

    return asyncio.run(asked())


def shared_by(ledger: Ledger, count: int, what: str) -> None:
    """Wait until so many workers have the partitions of both groups between them."""
    for application in APPLICATIONS:
        until(
            lambda application=application: len(members(ledger, application)) == count,
            f"{application} shared by {count} after {what}",
        )  # fmt: skip


def killed(ledger: Ledger, worker: str) -> None:
    """kill -9 of the supervisor and, at once, of its applications."""
    pids = [ledger.world.agent(worker, each) for each in APPLICATIONS]
    for pid in [ledger.world.supervisors()[worker], *pids]:
        kill(pid)


def stopped(ledger: Ledger, worker: str) -> None:
    """SIGTERM, as an operator's restart does."""
    pid = ledger.world.supervisors()[worker]
    send(pid, signal.SIGTERM)
    until(lambda: gone(pid), f"the end of {worker}")


def stream_killed(ledger: Ledger, worker: str) -> None:
    """Once it has kept positions; it comes back by itself, to the same partitions, from there."""
    folder = ledger.world.data_dir / "workers" / worker / "stream"
    before = written(folder)
    until(
        lambda: sum(before.get(name) != at for name, at in written(folder).items()) >= KEPT,
        f"{KEPT} positions of balances kept by {worker}",
    )  # fmt: skip
    pid = ledger.world.agent(worker, "stream")
    kill(pid)
    until(lambda: ledger.world.agent(worker, "stream") != pid, f"stream of {worker} again")
    until(lambda: ledger.world.goes_on(worker, "stream"), f"stream of {worker} open")


def written(folder: Path) -> dict[str, str]:
    """By partition of the balances, the last file that its table was written to."""
    return {
        each.name: max((file.name for file in each.glob("*.sst")), default="")
        for each in (folder / "balances").iterdir()
    }


def move_once_more(flow: Flow) -> None:
    """Every account that had moved for a moment, so that its balance is said again."""
    flow.moves = 0
    made = [
        flow.transaction(
            entries=pair(
                "1.00" if SCALES[currency] else "1",
                currency,
                debit=account,
                credit=f"liabilities:{flow.name}:last",
            )
        )
        for account, currency in list(flow.book)
        if ":at-" in account
    ]
    flow.publish(*made)


@long
@pytest.mark.fault(
    "each of two workers killed and stopped in its turn, both reading late",
    "the other has all its shards; back again, both have their part; no stripe is overlooked",
)
def test_each_worker_killed_and_restarted_in_turns(loaded: Ledger) -> None:
    turns: list[tuple[str, Callable[[Ledger, str], None], str]] = [
        ("kill -9", killed, "worker-1"), ("SIGTERM", stopped, "worker-2"),
        ("kill -9", killed, "worker-2"), ("SIGTERM", stopped, "worker-1"),
    ]  # fmt: skip
    world, flow = loaded.world, loaded.flow
    begun, before = time.monotonic(), len(flow.published)
    with loaded.flowing():
        for how, end, worker in turns if PLAN else turns[:2]:
            loaded.under_way()
            loaded.moment(1.0)
            since = time.monotonic()
            end(loaded, worker)
            shared_by(loaded, 1, f"{how} {worker}")
            loaded.note(f"{how} under {RATE}/s: the other worker has all", time.monotonic() - since)
            since = time.monotonic()
            up = world.start("up", "--workers", 2, "--json")
            shared_by(loaded, 2, f"{worker} is back")
            loaded.note("back: both have their part", time.monotonic() - since)
            world.finish(up)
        for worker in ("worker-1", "worker-2") * TIMES:
            since = time.monotonic()
            stream_killed(loaded, worker)
            loaded.note(
                f"positions kept, kill -9 stream under {RATE}/s, open", time.monotonic() - since
            )
        seconds = time.monotonic() - begun
    rate = (len(flow.published) - before) / seconds
    sys.stderr.write(f"\n  {rate:.0f} transactions/s for {seconds:.0f} s\n")
    move_once_more(flow)
    loaded.stood()
    loaded.looked_through()
    audit = json.loads(world.run("reconcile", "--full", "--json"))
    assert audit["breaks"] == []
    sys.stderr.write(f"\n  {time.monotonic() - begun:.0f} s in all\n")
