"""The shortest way to the balance of one account, which is asked for more often than anything else.

Routing, dependencies and validation of the frameworks take several times what reading a balance
does. A request that is as usual is answered here, any other by its route, of which the OpenAPI
document is made.
"""

import re
from typing import NamedTuple

from starlette.types import Scope, Send

from ledger.api.routes.balances import HEADERS, JSON, is_matched
from ledger.api.services.balances import Answer
from ledger.api.wiring import Services
from ledger.domain.account import well_formed

PATH = "/v1/balances/"
SCOPE = "read"
_QUERY = re.compile(rb"(?:currency=([A-Za-z0-9]{1,64}))?")
_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
_TYPE = (b"content-type", JSON.encode())
NOT_MODIFIED = 304


class _Route(NamedTuple):
    """What metrics name."""

    path: str


ROUTE = _Route("/v1/balances/{account}")


class Quick:
    """Answers `GET /v1/balances/{account}`, with `currency` alone or no query."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def answer(self, scope: Scope, send: Send) -> bool:
        """Answer a request that is as usual; False for any other, of which nothing is sent.

        Raises Problem.
        """
        path: str = scope["path"]
        if scope["method"] != "GET" or not path.startswith(PATH):
            return False
        account, query = path[len(PATH) :], scope["query_string"]
        wanted = _QUERY.fullmatch(query)
        if wanted is None or not well_formed(account):
            return False
        scope["route"] = ROUTE
        authorization = match = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value.decode("latin-1")
            elif name == b"if-none-match":
                match = value.decode("latin-1")
        client = scope["client"]
        caller = await self._services.access.who(authorization, client[0] if client else "")
        caller.require(SCOPE, (account,))
        currency = None if wanted[1] is None else wanted[1].decode()
        found = self._services.balances.present(account, currency)
        await _send(found, match, send)
        return True


async def _send(answer: Answer, match: str | None, send: Send) -> None:
    body, tag = answer
    headers, status = _HEADERS, 200
    if tag is not None:
        headers = [*headers, (b"etag", tag.encode())]
        if match is not None and is_matched(tag, match):
            status, body = 304, b""
    if status != NOT_MODIFIED:
        headers = [*headers, _TYPE, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
