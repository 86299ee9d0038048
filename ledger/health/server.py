"""HTTP answers from a thread with an event loop of its own, however busy the process is."""

import asyncio
import json
import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from aiohttp import web

ADDRESS_FILE = "health.json"
START_SECONDS = 10.0
OK, NOT_OK = 200, 503


class Answer(NamedTuple):
    """One HTTP response."""

    status: int
    content_type: str
    body: bytes


Route = Callable[[], Awaitable[Answer]]


def json_answer(content: Mapping[str, Any], *, ok: bool) -> Answer:
    """A JSON object, with status 200 or 503."""
    return Answer(OK if ok else NOT_OK, "application/json", json.dumps(content).encode() + b"\n")


def metrics_answer(text: bytes) -> Answer:
    """Metrics in Prometheus's text format."""
    from prometheus_client import CONTENT_TYPE_LATEST

    return Answer(OK, CONTENT_TYPE_LATEST, text)


def write_address(folder: Path, url: str) -> None:
    """Write to `folder` where this process answers. Raises OSError when that fails."""
    partial = folder / f".{ADDRESS_FILE}"
    partial.write_text(json.dumps({"pid": os.getpid(), "url": url}))
    partial.replace(folder / ADDRESS_FILE)


def read_address(folder: Path, pid: int) -> str | None:
    """Where the process `pid` answers; None if it has not written that, or another process has."""
    found = read_last_address(folder)
    return found[1] if found and found[0] == pid else None


def read_last_address(folder: Path) -> tuple[int, str] | None:
    """The process that wrote last where it answers, and its address; None where none has."""
    try:
        found = json.loads((folder / ADDRESS_FILE).read_text())
        return int(found["pid"]), str(found["url"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


class HealthServer:
    """Serves `routes`, by path, on `host`:`port` until the process ends; port 0 is any free one."""

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        self._host, self.port, self._routes = host, port, routes
        self._listening = threading.Event()
        self._error: OSError | None = None

    @property
    def url(self) -> str:
        """Its address for clients on this machine."""
        anywhere = self._host in ("0.0.0.0", "::", "")  # noqa: S104 - compared, not bound to
        return f"http://{'127.0.0.1' if anywhere else self._host}:{self.port}"

    def start(self) -> None:
        """Return once it listens. Raises OSError when the port is not available."""
        threading.Thread(target=self._run, name="health", daemon=True).start()
        self._listening.wait(START_SECONDS)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        # Imported here: whoever reads an address needs none of it.
        from aiohttp import web

        app = web.Application()
        for path, route in self._routes.items():
            app.router.add_get(path, _responding(route))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, self._host, self.port)
            await site.start()
            self.port = int(runner.addresses[0][1])
        except OSError as error:
            self._error = error
            return
        finally:
            self._listening.set()
        await asyncio.Event().wait()


def _responding(route: Route) -> "Callable[[web.Request], Awaitable[web.Response]]":
    from aiohttp import web

    async def respond(request: web.Request) -> web.Response:
        status, content_type, body = await route()
        return web.Response(status=status, body=body, headers={"Content-Type": content_type})

    return respond
