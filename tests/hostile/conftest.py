"""A ledger of its own to attack: what is done to it stays for ever in its log.

FAUST_LEDGER_HOSTILE_STACK=DIR uses, and keeps, the ledger of that directory.
FAUST_LEDGER_HOSTILE_SEED=N decides everything; it is printed when something fails; without it, 1.
FAUST_LEDGER_HOSTILE_RECORDS=N is how many are forged; without it, 10,000: `make fuzz` does more.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psutil
import pytest

from tests.commands import faust_ledger
from tests.conftest import Stack, one_worker
from tests.integration.bad_input import FOREIGN, UNFIT, VERSIONS
from tests.registry import Registry
from tests.waiting import PATIENCE
from tests.wire import Wire

SEED = int(os.environ.get("FAUST_LEDGER_HOSTILE_SEED", "1"))
RECORDS = int(os.environ.get("FAUST_LEDGER_HOSTILE_RECORDS", "10000"))
MEBIBYTES = {"stream": 512, "posting": 256, "history": 256}
"""That each application of a worker may take, whatever is written to the transactions topic."""
LOOK_SECONDS = 0.1


@dataclass
class Memory:
    """The most that each application was seen to take, in MiB."""

    most: dict[str, int] = field(default_factory=dict)

    def look(self, stack: Stack) -> None:
        for name, (pid, _) in stack.agents().items():
            application = name.split()[-1]
            now = psutil.Process(pid).memory_info().rss >> 20
            self.most[application] = max(now, self.most.get(application, 0))


@dataclass
class Attacked:
    """The ledger, its topics, and ids of schemas in its registry by name."""

    stack: Stack
    wire: Wire
    ids: dict[str, int]

    @contextmanager
    def unharmed(self) -> Iterator[Memory]:
        """No process ends meanwhile, and none takes more memory than is stated."""
        before, memory, done = self.stack.agents(), Memory(), threading.Event()
        memory.look(self.stack)
        first = dict(memory.most)

        def watch() -> None:
            while not done.wait(LOOK_SECONDS):
                memory.look(self.stack)

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield memory
        finally:
            done.set()
            watching.join()
            assert self.stack.agents() == before, "a process was started again"
        last = Memory()
        last.look(self.stack)
        sys.stderr.write(f"\n  MiB before {first}, at most {memory.most}, after {last.most}\n")
        for name, most in MEBIBYTES.items():
            assert memory.most[name] <= most, f"{name} took {memory.most[name]} MiB"


@pytest.fixture(scope="session")
def hostile_stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """One worker, the defaults, and nobody else's transactions."""
    with one_worker(request, os.environ.get("FAUST_LEDGER_HOSTILE_STACK")) as made:
        yield made


@pytest.fixture(scope="session")
def attacked(hostile_stack: Stack) -> Iterator[Attacked]:
    """With schemas of others, and of ours in several versions, in its registry."""
    settings = hostile_stack.settings
    subject = f"{settings.prefix}.transactions-value"
    with (
        Wire(settings, worker_log=hostile_stack.worker_log) as wire,
        Registry(settings.registry_url) as registry,
    ):
        ids = dict(wire.codec.ids)
        for name, (kind, schema) in FOREIGN.items():
            text = schema if kind == "PROTOBUF" else json.dumps(schema)
            ids[name] = registry.register(f"{name}-{uuid4().hex[:8]}-value", text, kind)
        for name, version in (VERSIONS | UNFIT).items():
            ids[name] = registry.register(subject, json.dumps(version))
        sys.stderr.write(f"\nHostile input with FAUST_LEDGER_HOSTILE_SEED={SEED}\n")
        yield Attacked(hostile_stack, wire, ids)


@pytest.fixture
def command(hostile_stack: Stack) -> Any:
    """`faust-ledger` on this ledger: what it printed with --json; it ended with 0."""

    def run(*words: str) -> Any:
        finished = subprocess.run(
            faust_ledger(*words, "--json"), capture_output=True, check=False, timeout=PATIENCE,
            env={**os.environ, "FAUST_LEDGER_DATA_DIR": str(hostile_stack.data_dir)},
        )  # fmt: skip
        assert finished.returncode == 0, finished
        return json.loads(finished.stdout)

    return run
