"""Workers' processes killed, paused and restarted while transactions flow."""

import json
import shutil
import signal
import time

import pytest

from ledger.cli.supervisor import APPLICATIONS
from tests.faults.conftest import PLAN, Ledger, long, times
from tests.faults.world import SESSION_SECONDS, gone, kill, send
from tests.waiting import until

pytestmark = pytest.mark.faults


@pytest.fixture(autouse=True)
def whole(ledger: Ledger) -> None:
    """Whatever an earlier fault has left."""
    ledger.both_work()


@pytest.mark.fault(
    "`kill -9` of a stream, posting or history application, at a random moment",
    "started again by its supervisor, it goes on from its tables and the log",
)
def test_applications_killed(ledger: Ledger) -> None:
    turns = [("stream", "worker-1"), ("posting", "worker-2"), ("history", "worker-1")]
    if PLAN:
        turns = [
            (application, ledger.random.choice(("worker-1", "worker-2")))
            for application in APPLICATIONS * 25
        ]
    for application, worker in turns:
        with ledger.flowing():
            ledger.under_way()
            ledger.moment()
            pid = ledger.world.agent(worker, application)
            kill(pid)
            ledger.recovered(f"kill -9 {application}, 2 workers", time.monotonic())
            assert ledger.world.agent(worker, application) != pid
        ledger.stood()
    ledger.settled()


@pytest.mark.fault(
    "`kill -9` of a worker's supervisor",
    "its applications end with it; `up` starts them again",
)
def test_supervisor_killed(ledger: Ledger) -> None:
    world = ledger.world
    with ledger.flowing():
        ledger.under_way()
        ledger.moment()
        children = [world.agent("worker-1", each) for each in APPLICATIONS]
        kill(world.supervisors()["worker-1"])
        since = time.monotonic()
        for child in children:
            until(lambda pid=child: gone(pid), f"the end of {child} with its supervisor")
        world.up()
        assert len(world.supervisors()) == 2
        ledger.recovered("kill -9 supervisor, then up, 2 workers", since)
    ledger.stood()
    ledger.settled()


@pytest.mark.fault(
    "a worker's processes stopped (SIGSTOP) past their session in the middle of work, then let go",
    "the other worker takes over; what the stopped ones still send changes nothing",
)
def test_zombies(ledger: Ledger) -> None:
    """All applications of a worker paused in the middle of work, until others have their shards.

    What they then still send must change nothing.
    """
    world = ledger.world
    with ledger.flowing():
        ledger.under_way()
        ledger.moment()
        before = {each: world.agent("worker-1", each) for each in APPLICATIONS}
        since = time.monotonic()
        with world.stopped(*before.values()):
            ledger.recovered("stop a worker's processes: the other takes over", since)
        since = time.monotonic()
        ledger.recovered("continue them: zombies gone or back", since)
        until(
            lambda: all(
                gone(pid) or world.goes_on("worker-1", each) for each, pid in before.items()
            ),
            "the zombies dead or members again",
        )
    world.ready("worker-1")
    ledger.stood()
    ledger.settled()


@pytest.mark.fault(
    "history emptied under load, and its applications killed while they fold it again",
    "it is folded again from the log, whole, each entry once; nothing else waits for it",
)
def test_history_made_again(ledger: Ledger) -> None:
    world = ledger.world
    for _ in range(times(1, 10)):
        with ledger.flowing():
            ledger.under_way()
            rebuilding = world.start("rebuild", "history", "--json")
            for worker in ("worker-1", "worker-2") * times(1, 3):
                ledger.moment(0.7)
                kill(world.agent(worker, "history"))
            ledger.recovered("history emptied, its applications killed", time.monotonic())
            assert json.loads(world.finish(rebuilding))["left"] == 0
        ledger.looked_through(commands=bool(PLAN))
        ledger.stood()
    ledger.settled()


@long
@pytest.mark.fault("a worker leaves, and joins again", "shards change hands without a gap")
def test_workers_come_and_go(ledger: Ledger) -> None:
    world = ledger.world
    for _ in range(times(1, 10)):
        with ledger.flowing():
            world.up(1)
            ledger.recovered("worker-2 stopped under load", time.monotonic())
            world.up(2)
            ledger.recovered("worker-2 started under load", time.monotonic())
        ledger.stood()
    ledger.entry.times *= 2
    ledger.settled()


@pytest.mark.fault(
    "a worker's data directory deleted, and the other's ids and stripes",
    "both restore from Kafka; repetitions of before are still known",
)
def test_down_and_up_under_load_with_state_lost(ledger: Ledger) -> None:
    """One worker's disk, whole, and the other's ids and stripes; repetitions are still known."""
    world, flow = ledger.world, ledger.flow
    with ledger.flowing():
        ledger.under_way()
        ledger.moment()
        world.down()
        shutil.rmtree(world.data_dir / "workers" / "worker-1")
        for table in ("stripes", "intake"):
            shutil.rmtree(world.data_dir / "workers" / "worker-2" / "stream" / table)
        since = time.monotonic()
        world.up(2)
        ledger.note("up after down", time.monotonic() - since)
        ledger.recovered("down, local state lost, from up's end", time.monotonic())
        again = flow.again(100)
        ledger.watch.until(
            lambda seen: set(again) <= set(seen.duplicates), "the repetitions recognised"
        )
    ledger.stood()
    ledger.settled(commands=True)


@long
@pytest.mark.fault("a worker told to stop (SIGTERM) under load", "it ends by itself, in time")
def test_stop_signal_is_enough(ledger: Ledger) -> None:
    """A worker told to stop under load does so by itself, well before it would be killed."""
    world = ledger.world
    with ledger.flowing():
        ledger.under_way()
        pid = world.supervisors()["worker-2"]
        said = len(world.log("worker-2"))
        send(pid, signal.SIGTERM)
        until(lambda: gone(pid), "the supervisor's end", SESSION_SECONDS + 20)
        assert "killing it" not in world.log("worker-2")[said:]
        world.up(2)
    ledger.stood()
    ledger.settled()
