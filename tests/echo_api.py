"""An API process for tests of the server: no ledger behind it, and routes that do what tests need.

`python -m tests.echo_api DATA_DIR`; settings are those of the environment.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import uvloop
from fastapi import Body, Query, Request, WebSocket
from fastapi.responses import StreamingResponse

from ledger.api.app import build_app
from ledger.api.edge import Edge
from ledger.api.listening import allow_connections, listen, url_of
from ledger.api.parameters import body_limit, new_router
from ledger.api.server import Server
from ledger.api.wiring import wired
from ledger.health.server import write_address
from ledger.settings import Settings

LARGE = 20_000_000
router = new_router("tests")
# Without it a route must name its scope, which asks for a ledger.
router.include_in_schema = False


@router.post("/echo", include_in_schema=False)
async def echo(content: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    return content


@router.post("/bulk", include_in_schema=False)
@body_limit(2_000_000)
async def bulk(content: Annotated[list[str], Body()]) -> int:
    return len(content)


@router.get("/headers", include_in_schema=False)
async def headers(request: Request) -> dict[str, str]:
    return dict(request.headers)


@router.get("/slow", include_in_schema=False)
async def slow(seconds: Annotated[float, Query(le=60)]) -> float:
    await asyncio.sleep(seconds)
    return seconds


@router.get("/large", include_in_schema=False)
async def large() -> str:
    return "x" * LARGE


@router.get("/fault", include_in_schema=False)
async def fault() -> None:
    raise KeyError("secret")


@router.get("/broken", include_in_schema=False)
async def broken() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"begun"
        raise KeyError("halfway")

    return StreamingResponse(parts())


@router.websocket("/socket")
async def socket(opened: WebSocket) -> None:
    await opened.accept()
    while True:
        await opened.send_text(await opened.receive_text())


async def run(settings: Settings) -> None:
    allow_connections(settings.api_connections)
    listening = listen(settings)
    async with wired(settings, "echo") as services:
        app = build_app(services)
        assert isinstance(app, Edge)
        app.app.include_router(router)
        write_address(settings.data_dir, url_of(settings, listening))
        await Server(settings, app, services).serve([listening])


if __name__ == "__main__":
    uvloop.run(run(Settings(data_dir=Path(sys.argv[1]))))
