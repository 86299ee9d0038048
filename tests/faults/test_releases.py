"""The release before: its data directory carried forward, its workers beside ours, and the way back.

What a release has left is in tests/releases; the release itself is installed from this repository's
history, for the tests that run it.
"""

import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from ledger.cli.supervisor import APPLICATIONS
from ledger.stack import files, workers
from ledger.streaming.registry import register_all
from tests.faults.conftest import Ledger, entry_of, lasting, long, opened
from tests.faults.world import SESSION_SECONDS, World, gone, send
from tests.releases import fixture, installed
from tests.releases.fixture import Books
from tests.releases.installed import Release
from tests.releases.make import jsonl, reversal, rows_of, transaction
from tests.waiting import until

pytestmark = pytest.mark.faults
RATE = 1_050
TOGETHER_SECONDS = 20
"""For which workers of both releases share the shards, each way."""
SHOWN = ("posted", "debits", "credits", "entries", "status")
SESSION = {"FAUST_LEDGER_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS)}


def balances(world: World) -> dict[tuple[str, str], dict[str, Any]]:
    """By account and currency, what `balances` says."""
    return by_account(rows_of(world.run("balances", "--json")))


def by_account(rows: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(row["account"], row["currency"]): {name: row[name] for name in SHOWN} for row in rows}


def publish(world: World, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What `publish --wait` says of them."""
    file = world.data_dir.parent / f"{world.data_dir.name}.jsonl"
    file.write_text(jsonl(rows))
    try:
        words = ("publish", file, "--wait", "--no-check", "--allow-rejects", "--json")
        found: dict[str, Any] = json.loads(world.run(*words))
        return found
    finally:
        file.unlink()


def audited(world: World) -> None:
    """Every audit finds nothing, history included."""
    for words in (("reconcile",), ("reconcile", "--full"), ("verify",)):
        report = json.loads(world.run(*words, "--json"))
        assert report.get("breaks", report.get("findings")) == [], words
    assert json.loads(world.run("topics", "check", "--json"))["differences"] == []


@pytest.fixture(params=[installed.BEFORE, pytest.param("0.1.0", marks=long)])
def carried(request: pytest.FixtureRequest) -> Iterator[tuple[World, Books]]:
    """The data directory of a release, after `up`."""
    with lasting(request.session) as world:
        books = fixture.unpack(request.param, world.data_dir)
        world.up(1)
        yield world, books


@pytest.mark.fault(
    "a data directory of the release before, and `up`",
    "all balances as they were, every audit clean, no id is accepted again",
)
def test_a_directory_of_an_earlier_release_is_carried_forward(
    carried: tuple[World, Books],
) -> None:
    world, books = carried
    world.ready("worker-1")
    assert balances(world) == by_account(books.balances)
    until(lambda: history_is_whole(world), "history of what was there")
    audited(world)
    replay = json.loads(world.run("replay", "--from", "1970-01-01", "--into", "again", "--json"))
    assert (replay["differences"], replay["decided_otherwise"]) == ([], [])
    world.run("shadows", "drop", "again")
    # What was accepted before stays so.
    ids = [books.accepted[0], books.accepted[-1], books.refused[0]]
    shown = [world.start("transaction", "show", each, "--json") for each in ids]
    states = [json.loads(world.finish(each))["state"] for each in shown]
    assert states == ["compared", "compared", "refused"]
    new = [
        transaction(f"after-{each}", "CAD", f"{each + 1}.50", "liabilities:a") for each in range(50)
    ]
    done = publish(world, [*new, reversal(new[0]), *new[:3]])
    assert (done["accepted"], done["duplicates"]) == (51, 3)
    assert balances(world)["liabilities:a", "CAD"]["entries"] == 51
    audited(world)
    assert world.diagnosis() == {}


def history_is_whole(world: World) -> bool:
    """Whether history counts all that is compared, of every shard."""
    application = world.health("worker-1")["applications"]["history"]
    behind = [each.get("behind_transactions") for each in application["partitions"]]
    return bool(behind) and not any(each != 0 for each in behind)


# Side by side.


@pytest.fixture
def before() -> Release:
    """The release before, which can be run."""
    return installed.required(installed.BEFORE)


@pytest.fixture
def theirs(before: Release, request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """A ledger of the release before: its directory, its services and two of its workers run."""
    with lasting(request.session) as world:
        fixture.unpack(before.version, world.data_dir)
        before.run(world.data_dir, "up", "--workers", 2, **SESSION)
        # What publishes here is a client of this release: it knows its schemas alone.
        register_all(world.settings)
        with opened(world, world.settings, world.settings) as made:
            made.flow.rate, made.entry = RATE, entry_of(request.node)
            yield made


def running(world: World) -> dict[str, int]:
    """Pids of the supervisors, by worker, whichever release they are of."""
    return {part.name: part.pid for part in workers.found(files.layout(world.data_dir))}


def of_before(world: World, release: Release) -> set[str]:
    """The workers that run with the environment of `release`."""
    environment = str(release.program.parent)
    return {
        name
        for name, pid in running(world).items()
        if psutil.Process(pid).cmdline()[0].startswith(environment)
    }


def replaced(ledger: Ledger, worker: str, start: Callable[[], None]) -> None:
    """Stop a worker as an operator does, and have `start` start it again."""
    pid, since = running(ledger.world)[worker], time.monotonic()
    send(pid, signal.SIGTERM)
    until(lambda: gone(pid), f"the end of {worker}")
    start()
    ledger.world.ready("worker-1", "worker-2")
    ledger.note(f"{worker} replaced under {RATE}/s", time.monotonic() - since)


def together(ledger: Ledger) -> None:
    """Let both releases work side by side."""
    end = time.monotonic() + TOGETHER_SECONDS
    while time.monotonic() < end:
        ledger.under_way()


@long
@pytest.mark.fault(
    "workers of the release before and of this one in one group, each replaced in its turn, and back",
    "nothing is refused, no break, nothing is lost or doubled; audits of both are clean",
)
def test_two_releases_share_the_shards(theirs: Ledger, before: Release) -> None:
    world, flow = theirs.world, theirs.flow

    def up() -> None:
        world.up(2)

    def up_before() -> None:
        before.run(world.data_dir, "up", "--workers", 2, **SESSION)

    with theirs.flowing():
        theirs.under_way()
        # Ours prepares database, registry and topics while their workers go on.
        up()
        assert of_before(world, before) == running(world).keys() == {"worker-1", "worker-2"}
        together(theirs)
        replaced(theirs, "worker-1", up)
        assert of_before(world, before) == {"worker-2"}
        together(theirs)
        replaced(theirs, "worker-2", up)
        assert of_before(world, before) == set()
        together(theirs)
        # And back: one, then both.
        replaced(theirs, "worker-1", up_before)
        assert of_before(world, before) == {"worker-1"}
        together(theirs)
        replaced(theirs, "worker-2", up_before)
        together(theirs)
    ours = {name for name in flow.published if flow.published[name] in theirs.watch.seen.refused}
    assert ours == set()
    assert theirs.watch.seen.breaks_ever == 0
    for words in (("reconcile",), ("reconcile", "--full"), ("verify",)):
        report = json.loads(before.run(world.data_dir, *words, "--json"))
        assert report.get("breaks", report.get("findings")) == [], words
    # Forward again: ours finds what both have written, and history is folded from it.
    for worker in ("worker-1", "worker-2"):
        replaced(theirs, worker, up)
    until(lambda: len(world.agents()) == 2 * len(APPLICATIONS), "all applications")
    theirs.stood()
    theirs.looked_through()
    assert json.loads(world.run("reconcile", "--full", "--json"))["breaks"] == []


@long
@pytest.mark.fault(
    "this release has run, is stopped, and the release before is started on what it has written",
    "it starts, goes on, and its audits are clean; then this one goes on again",
)
def test_the_release_before_goes_on_with_what_this_one_has_written(
    before: Release, request: pytest.FixtureRequest
) -> None:
    with lasting(request.session) as world:
        fixture.unpack(before.version, world.data_dir)
        world.up(2)
        world.run("up", "--api", "1", "--json")
        publish(
            world, [transaction(f"ours-{n}", "CAD", "1.00", "liabilities:a") for n in range(50)]
        )
        world.down()
        before.run(world.data_dir, "up", "--workers", 1, **SESSION)
        lines = jsonl(transaction(f"theirs-{n}", "CAD", "1.00", "liabilities:a") for n in range(50))
        before.run(world.data_dir, "publish", "-", "--wait", stdin=lines)
        for words in (("reconcile",), ("reconcile", "--full"), ("verify",)):
            report = json.loads(before.run(world.data_dir, *words, "--json"))
            assert report.get("breaks", report.get("findings")) == [], words
        theirs = by_account(rows_of(before.run(world.data_dir, "balances", "--json")))
        assert theirs["liabilities:a", "CAD"]["entries"] == 100
        before.run(world.data_dir, "down")
        world.up()
        # As many of each as this release remembered; the other did not touch that.
        assert running(world).keys() == {"worker-1", "worker-2"}
        assert [each["name"] for each in world.record()["api"]] == ["api-1"]
        assert balances(world) == theirs
        audited(world)
