"""What decisions depend on besides transactions, lost or contradicted while a ledger runs."""

import json
import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from ledger.health.exits import Exit
from ledger.streaming.topics import topics
from tests.faults.another import Another, another
from tests.faults.conftest import Ledger
from tests.faults.world import World
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def one(world: World) -> Iterator[Another]:
    """Beside the one that the faults share."""
    with another(world) as made:
        yield made


@pytest.mark.fault(
    "a worker with another window than the ledger has",
    "it does not start (status 78) and says what contradicts what; the others go on",
)
def test_settings_that_differ(ledger: Ledger, one: Another) -> None:
    one.publish()
    stranger = one.world.command("worker", "--data-dir", one.world.data_dir, "--name", "other")
    environment = {**os.environ, **one.commands.environment, "FAUST_LEDGER_WINDOW_DAYS": "90"}
    log = one.world.data_dir / "other.log"
    with log.open("ab") as output:
        process = subprocess.Popen(stranger, env=environment, stdout=output, stderr=output)
    try:
        said = f"exit status {int(Exit.SETTINGS)}"
        until(lambda: "window_days is set to 90" in log.read_text(), "why")
        assert "this ledger has 30" in log.read_text(), said
        one.publish()
    finally:
        process.terminate()
        process.wait(PATIENCE)
    ledger.entry.times += 1


@pytest.mark.fault(
    "the window made longer and shorter while transactions flow",
    "a change counts from a position that each shard records; nothing is taken twice",
)
def test_policy_changes(ledger: Ledger, one: Another) -> None:
    for days in (1, 90):
        one.publish()
        said = one.commands.run(
            "policy", "set", "--window-days", days, "--reason", "a test", "--json"
        )
        assert json.loads(said)["policy"]["window_days"] == days
        assert json.loads(said)["behind"] == []
    one.publish()
    assert json.loads(one.commands.run("reconcile", "--full", "--json"))["breaks"] == []
    ledger.entry.times += 1


@pytest.mark.fault(
    "the reference data deleted and made anew",
    "an alarm in every shard; nothing is decided with less than was known, after a restart neither",
)
def test_reference_data_made_anew(ledger: Ledger, one: Another) -> None:
    """Last: nothing is decided there afterwards."""
    one.publish()
    decided = {shard: bounds[1] for shard, bounds in one.known().decisions.items()}
    name = topics(one.settings).reference.name
    since = time.monotonic()
    one.make_anew(name)
    log = one.world.data_dir / "worker.log"

    def alarms() -> int:
        return log.read_text().count(f"{name}[0]") + log.read_text().count(f"{name} no longer")

    until(lambda: alarms() > 0, "the alarm")
    ledger.note("the alarm, reference data made anew", time.monotonic() - since)
    one.flow.probe()
    one.stop()
    already = len(log.read_text())
    one.start()
    until(lambda: "docs/runbooks/topic-lost.md" in log.read_text()[already:], "it again")
    found = {shard: bounds[1] for shard, bounds in one.known().decisions.items()}
    assert found == decided, "something was decided with other reference data"
    ledger.entry.times += 1
