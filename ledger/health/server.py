"""Answers over HTTP from a thread with a loop of its own, however busy the process is otherwise."""

import asyncio
import json
import os
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

ADDRESS = "health.json"
START_SECONDS = 10.0
WELL, UNWELL = 200, 503


class Answer(NamedTuple):
    """What a route says."""

    status: int
    content_type: str
    body: bytes


def as_json(well: bool, found: Mapping[str, Any]) -> Answer:  # noqa: FBT001 - the answer's first word
    """One object; 200 when it is well, 503 otherwise."""
    body = json.dumps(found).encode() + b"\n"
    return Answer(WELL if well else UNWELL, "application/json", body)


def as_metrics(text: bytes) -> Answer:
    """What prometheus_client made."""
    return Answer(WELL, CONTENT_TYPE_LATEST, text)


def leave_address(folder: Path, url: str) -> None:
    """Say below `folder` where this process answers. Raises OSError when it cannot be written."""
    partial = folder / f".{ADDRESS}"
    partial.write_text(json.dumps({"pid": os.getpid(), "url": url}))
    partial.replace(folder / ADDRESS)


def address_in(folder: Path, pid: int) -> str | None:
    """Where the process `pid` answers; None if it has not said so, or another one has."""
    try:
        said = json.loads((folder / ADDRESS).read_text())
        return str(said["url"]) if said["pid"] == pid else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


Route = Callable[[], Awaitable[Answer]]


class Served:
    """`routes` by path, on `host`:`port` until the process ends; port 0 takes a free one."""

    def __init__(self, host: str, port: int, routes: Mapping[str, Route]) -> None:
        self._host, self.port, self._routes = host, port, routes
        self._listening = threading.Event()
        self._error: OSError | None = None

    @property
    def url(self) -> str:
        """For clients on this machine."""
        anywhere = self._host in ("0.0.0.0", "::", "")  # noqa: S104 - said, not bound to
        return f"http://{'127.0.0.1' if anywhere else self._host}:{self.port}"

    def start(self) -> None:
        """Return once it listens. Raises OSError when the port cannot be had."""
        threading.Thread(target=self._run, name="health", daemon=True).start()
        self._listening.wait(START_SECONDS)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        app = web.Application()
        for path, route in self._routes.items():
            app.router.add_get(path, self._answering(route))
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

    @staticmethod
    def _answering(route: Route) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def answer(request: web.Request) -> web.Response:
            status, content_type, body = await route()
            return web.Response(status=status, body=body, headers={"Content-Type": content_type})

        return answer
