"""The project's image, and a ledger whose workers and API are containers: for `make images-test`.

Kafka, the registry and PostgreSQL are those of the embedded stack, processes on 127.0.0.1, for their
images are on registries that not every machine reaches; containers use the machine's network.
"""

import json
import os
import shutil
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ledger.stack import files, stack
from ledger.stack.export import ROLES, export
from ledger.stack.identity import Ports, Shape, require_identity
from ledger.stack.ports import choose
from tests import warden
from tests.images import engine as engines
from tests.images.engine import API_CONNECTIONS, UID, Engine, environment
from tests.waiting import until

SECRETS = "/run/secrets/ledger"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Builds the image and runs containers of it."""
    if why := engines.missing():
        pytest.skip(why)
    with engines.opened() as made:
        yield made


@dataclass
class Containers:
    """A ledger on the servers of `place`, with the folder of each role for containers to read."""

    engine: Engine
    place: Path
    folders: Path
    ports: dict[str, int] = field(default_factory=dict)

    def options(self, role: str, **settings: object) -> list[str]:
        """Of a container that connects as `role`."""
        given = {f"FAUST_LEDGER_{name.upper()}": str(value) for name, value in settings.items()}
        given["FAUST_LEDGER_CONFIG"] = f"{SECRETS}/faust-ledger.toml"
        return ["--volume", f"{self.folders / role}:{SECRETS}:ro", *environment(given)]

    def command(self, role: str, *words: object, stdin: str = "", code: int | None = 0) -> Any:
        """Run a command as `role`; it ends with `code`."""
        ended = self.engine.command(*words, options=self.options(role), stdin=stdin)
        assert code is None or ended.code == code, f"{words}: {ended}"
        return ended

    def start_worker(self, name: str, *words: str, writable: bool = False) -> None:
        """Start a worker; `writable`: its root file system too, to see what it would write."""
        self.ports[name] = choose(set(self.ports.values()))
        given = self.options("service", health_host="127.0.0.1", health_port=self.ports[name])
        if not writable:
            given += ["--read-only", "--read-only-tmpfs=false"]
        self.engine.start(name, "worker", "--name", name, *words, options=given)

    def start_api(self, name: str) -> None:
        """Start an API process, whose root file system may be written to."""
        self.ports[name] = choose(set(self.ports.values()))
        given = self.options(
            "api", api_host="127.0.0.1", api_port=self.ports[name], api_connections=API_CONNECTIONS
        )
        self.engine.start(name, "api", "--name", name, options=given)

    def await_ready(self, name: str) -> None:
        """Return when the image's own program says that it is ready."""

        def is_ready() -> bool:
            return self.engine.execute(name, "faust-ledger", "health", "--ready").code == 0

        def lost() -> str:
            state = self.engine.inspect(name)["State"]
            return "" if state["Running"] else f"it ended: {self.engine.logs(name)[-4000:]}"

        until(is_ready, lambda: self.engine.logs(name)[-4000:], 180, lost=lost)

    def ask(self, name: str, path: str, token: str = "", body: Any = None, **headers: str) -> Any:
        """What an API process answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.ports[name]}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", **headers,
                     **({"Authorization": f"Bearer {token}"} if token else {})},
        )  # fmt: skip
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())


@pytest.fixture(scope="session")
def containers(engine: Engine) -> Iterator[Containers]:
    """Servers in which nothing of a ledger is made yet, secure, and what roles connect with."""
    place = warden.new_place()
    layout = files.layout(place / "stack")
    files.create_directories(layout)
    try:
        with stack.locked(layout, stack.unsaid):
            stack.start_services(layout, Ports(), Shape(secure=True))
        folders = place / "handed-out"
        for role in ROLES:
            export(layout, require_identity(layout), role, folders / role)
            for each in (folders / role, *(folders / role).iterdir()):
                os.chown(each, UID, UID)
        yield Containers(engine, place, folders)
    finally:
        engine.clean()
        stack.down(layout.root)
        warden.left(place)
        shutil.rmtree(place, ignore_errors=True)
