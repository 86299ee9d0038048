"""Faults at random, for FAUST_LEDGER_SOAK_MINUTES, from FAUST_LEDGER_FAULTS_SEED.

What fails is found again by the seed only as far as the machine's own timing allows; the faults
and their moments are printed as they come.
"""

import shutil
import signal
import sys
import time
from collections.abc import Callable

import pytest

from tests.faults.conftest import SEED, SOAK_MINUTES, Ledger
from tests.faults.world import SESSION_SECONDS, gone, kill, send
from tests.waiting import until

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not SOAK_MINUTES, reason="set FAUST_LEDGER_SOAK_MINUTES"),
]
SETTLE_EVERY = 4


def kill_applications(ledger: Ledger) -> str:
    some = ledger.random.sample(sorted(ledger.world.agents()), ledger.random.randint(1, 3))
    for name in some:
        if pid := ledger.world.agents().get(name):
            kill(pid)
        ledger.moment(0.5)
    return f"kill -9 {len(some)} applications"


def kill_again_and_again(ledger: Ledger) -> str:
    """The same one while it starts, at any point of that."""
    name = ledger.random.choice(sorted(ledger.world.agents()))
    for _ in range(4):
        kill(ledger.world.agent(*name))
        ledger.moment(8.0)
    return "kill -9 one application four times"


def kill_supervisor(ledger: Ledger) -> str:
    kill(ledger.random.choice(sorted(ledger.world.supervisors().values())))
    ledger.moment(1.0)
    ledger.world.up(2)
    return "kill -9 supervisor, up"


def zombies(ledger: Ledger) -> str:
    agents, worker = ledger.world.agents(), ledger.random.choice(["worker-1", "worker-2"])
    names = ledger.random.choice(
        [["stream"], ["posting"], ["history"], ["stream", "posting", "history"]]
    )
    with ledger.world.stopped(
        *(agents[worker, each] for each in names if (worker, each) in agents)
    ):
        time.sleep(SESSION_SECONDS + ledger.random.uniform(1.0, 8.0))
    return f"{'+'.join(names)} paused past its session"


def short_pause(ledger: Ledger) -> str:
    """Around the session's end, where it is not clear who owns what."""
    agents = ledger.world.agents()
    name = ledger.random.choice(sorted(agents))
    with ledger.world.stopped(agents[name]):
        time.sleep(ledger.random.uniform(0.5, SESSION_SECONDS + 1.0))
    return "an application paused about its session"


def kill_database(ledger: Ledger) -> str:
    kill(ledger.world.service("postgres"))
    ledger.moment(8.0)
    ledger.world.up()
    return "kill -9 postgres, up"


def pause_database(ledger: Ledger) -> str:
    with ledger.world.stopped(*ledger.world.backends()):
        ledger.moment(12.0)
    return "postgres paused"


def kill_kafka(ledger: Ledger) -> str:
    kill(ledger.world.service("kafka"))
    ledger.moment(10.0)
    ledger.world.up()
    return "kill -9 kafka, up"


def pause_kafka(ledger: Ledger) -> str:
    with ledger.world.stopped(ledger.world.service("kafka")):
        ledger.moment(15.0)
    return "kafka paused"


def kill_all_services(ledger: Ledger) -> str:
    for name in ("kafka", "postgres", "registry"):
        kill(ledger.world.service(name))
        ledger.moment(1.0)
    ledger.world.up()
    return "kill -9 all services, up"


def kill_registry_and_application(ledger: Ledger) -> str:
    kill(ledger.world.service("registry"))
    kill(ledger.random.choice(sorted(ledger.world.agents().values())))
    ledger.moment(5.0)
    ledger.world.up()
    return "kill -9 registry and an application, up"


def come_and_go(ledger: Ledger) -> str:
    for _ in range(ledger.random.randint(1, 3)):
        ledger.world.up(1)
        ledger.moment(3.0)
        ledger.world.up(2)
        ledger.moment(3.0)
    return "a worker comes and goes"


def lose_state(ledger: Ledger) -> str:
    ledger.world.up(1)
    folder = ledger.world.data_dir / "workers" / "worker-2"
    what = ledger.random.choice(
        ["", "stream", "stream/stripes", "stream/intake", "stream/balances"]
    )
    shutil.rmtree(folder / what, ignore_errors=True)
    ledger.world.up(2)
    return f"local state lost ({what or 'all'})"


def terminate(ledger: Ledger) -> str:
    """As an operator does, while another fault is under way."""
    pid = ledger.random.choice(sorted(ledger.world.supervisors().values()))
    kill_applications(ledger)
    send(pid, signal.SIGTERM)
    # `up` would take one that is still stopping for one that runs.
    until(lambda: gone(pid), "the supervisor's end")
    ledger.world.up(2)
    return "kill applications, terminate a worker, up"


FAULTS: list[Callable[[Ledger], str]] = [
    kill_applications, kill_again_and_again, kill_supervisor, zombies, zombies, zombies,
    short_pause, short_pause, kill_database, pause_database, kill_kafka, pause_kafka,
    kill_all_services, kill_registry_and_application, come_and_go, lose_state, terminate,
]  # fmt: skip


def test_soak(ledger: Ledger) -> None:
    ledger.both_work()
    deadline, count = time.monotonic() + SOAK_MINUTES * 60, 0
    while time.monotonic() < deadline:
        with ledger.flowing():
            for _ in range(SETTLE_EVERY):
                ledger.moment(3.0)
                fault = ledger.random.choice(FAULTS)
                sys.stderr.write(
                    f"{time.strftime('%H:%M:%S')} seed {SEED}, {count}: {fault.__name__}"
                )
                what = fault(ledger)
                ledger.recovered(f"soak: {what}", time.monotonic())
                count += 1
        ledger.both_work()
        ledger.settled(commands=False)
    ledger.settled()
