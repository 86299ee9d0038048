"""Connections cut where it hurts: at a commit, and in the middle of sending."""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO

import pytest
from sqlalchemy import make_url

from tests.conftest import FAILED
from tests.faults.conftest import Ledger, times
from tests.faults.world import SESSION_SECONDS
from tests.integration.tcp_proxy import Proxy
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.faults
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def whole(ledger: Ledger, request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever an earlier fault has left; and two workers for the next."""
    ledger.both_work()
    yield
    if not request.node.stash[FAILED]:
        ledger.both_work()


@contextmanager
def worker_on(ledger: Ledger, database: str) -> Iterator[None]:
    """One worker alone, that knows the database by another address."""
    world = ledger.world
    world.up(0)
    environment = {
        **os.environ,
        "FAUST_LEDGER_SERVICE_DATABASE_URL": database,
        "FAUST_LEDGER_SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
    }
    command = world.command("worker", "--data-dir", world.data_dir, "--name", "worker-1")
    with (world.data_dir / "log" / "worker-1.log").open("ab") as log:
        child = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        world.ready("worker-1")
        yield
    finally:
        child.terminate()
        child.wait(PATIENCE)


@pytest.mark.fault(
    "the connection to the database cut after a COMMIT was sent, before its answer",
    "posting asks the database what became of it; nothing is posted twice",
)
def test_answers_to_commits_lost(ledger: Ledger) -> None:
    url = make_url(ledger.world.settings.service_database_url)
    assert url.port
    with Proxy(url.port) as proxy:
        address = url.set(port=proxy.port).render_as_string(hide_password=False)
        with worker_on(ledger, address):
            for _ in range(times(1, 20)):
                with ledger.flowing():
                    ledger.under_way()
                    ledger.moment(0.5)
                    proxy.lose_answer_to(b"COMMIT\0")
                    # On a new connection: after five it is a prepared statement, by another name.
                    proxy.cut()
                    until(lambda: not proxy.loses, "a COMMIT")
                    ledger.recovered("the answer to a COMMIT lost", time.monotonic())
                ledger.stood()
            proxy.freeze()
            until(lambda: not ledger.world.goes_on("worker-1", "posting"), "that being said")
            assert ledger.world.goes_on("worker-1", "stream")
            proxy.thaw()
            ledger.world.ready("worker-1")
            # With a worker that counts history's totals.
            ledger.settled()


def line_of(made: dict[str, Any]) -> str:
    """As `faust-ledger publish` takes it."""
    at = {
        name: (BEGINNING + timedelta(microseconds=made[name])).isoformat()
        for name in ("created_at", "effective_at")
    }
    return json.dumps({name: each for name, each in (made | at).items() if each is not None})


@pytest.mark.fault(
    "a producer killed in mid-send, and all it had to send sent again",
    "every transaction is accepted once",
)
def test_producer_killed(ledger: Ledger, tmp_path: Path) -> None:
    for _ in range(times(1, 5)):
        made = [ledger.flow.transaction() for _ in range(times(4_000, 20_000))]
        lines = [line_of(each) + "\n" for each in made]
        with ledger.flowing():
            send_in_part_twice(ledger, lines, {each["transaction_id"] for each in made}, tmp_path)
        ledger.stood()
    ledger.settled()


def send_most(lines: Sequence[str], pipe: TextIO) -> None:
    """Ten thousand a second, until nobody reads them; the last hundred are kept back."""
    with suppress(BrokenPipeError):
        for at in range(0, len(lines) - 100, 100):
            pipe.write("".join(lines[at : at + 100]))
            pipe.flush()
            time.sleep(0.01)


def send_in_part_twice(ledger: Ledger, lines: Sequence[str], names: set[str], folder: Path) -> None:
    """And then whole, by somebody who lives."""
    world, watch = ledger.world, ledger.watch

    def known() -> int:
        return len(names & watch.seen.accepted.keys())

    for _ in range(2):
        before = known()
        child = world.start("publish", "-", "--json", stdin=subprocess.PIPE)
        assert child.stdin
        with ThreadPoolExecutor(1) as sender:
            sent = sender.submit(send_most, lines, child.stdin)
            try:
                watch.until(lambda _, before=before: known() > before, "the first of what is sent")
                ledger.moment(0.2)
            finally:
                child.kill()
                child.wait()
        sent.result()
        child.communicate()
    since = time.monotonic()
    file = folder / "transactions.jsonl"
    file.write_text("".join(lines))
    world.run("publish", file, "--json")
    watch.until(lambda _: known() == len(names), "all of the file")
    ledger.note("sent again, whole, after two kills", time.monotonic() - since)
    ledger.flow.published |= {name: watch.seen.accepted[name][0] for name in names}
