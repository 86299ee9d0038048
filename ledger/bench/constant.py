"""`python -m ledger.bench.constant`: a plain Starlette route that answers a constant.

The comparator of the API: the same server and protocol parser, and nothing of ours.
"""

import asyncio
import socket

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ledger.bench.child import Row, serve_orders

ANSWER = b'{"constant":true}'


async def constant(request: Request) -> Response:
    """The same for everybody."""
    return Response(ANSWER, media_type="application/json")


async def main() -> None:
    """Serve until there are no more orders; each is answered with the port."""
    app = Starlette(routes=[Route("/", constant)])
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, http="httptools", ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False,
    )  # fmt: skip
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve([listening]))

    async def port(order: Row) -> Row:
        return {"port": listening.getsockname()[1]}

    await serve_orders(port)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    uvloop.run(main())
