"""The shortest way to balances, which are asked for more often than anything else.

Routing, dependencies and validation of the frameworks take several times what reading balances
does. A request that is as usual is answered here, any other by its route, of which the OpenAPI
document is made.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from pydantic_core import from_json
from starlette.types import Message, Receive, Scope, Send

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import CALLER
from ledger.api.parameters import MAX_BODY
from ledger.api.routes.balances import HEADERS, JSON, MOST_ACCOUNTS, is_matched
from ledger.api.services.balances import Answer
from ledger.api.services.wanted import Wanted
from ledger.api.wiring import Services
from ledger.domain.account import MAX_ACCOUNT, well_formed

ONE, MANY = "/v1/balances/", "/v1/balances/query"
SCOPE = "read"
REMEMBERED = 20_000
"""Accounts that are known to be well formed, in about 4 MB."""
_QUERY = re.compile(rb"(?:currency=([A-Za-z0-9]{1,64}))?")
_HEADERS = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
_TYPE = (b"content-type", JSON.encode())
NOT_MODIFIED = 304
_is_account = lru_cache(REMEMBERED)(well_formed)


class _Route(NamedTuple):
    """What metrics name."""

    path_format: str


ROUTE_OF_ONE, ROUTE_OF_MANY = _Route("/v1/balances/{account}"), _Route(MANY)


class _Asked(NamedTuple):
    """The headers that count; one that is not there is empty, but for `authorization`."""

    authorization: str | None
    if_none_match: str
    size: str
    media_type: str
    encoding: str


class Quick:
    """Answers `GET /v1/balances/{account}` and `POST /v1/balances/query`.

    With `currency` alone or no query.
    """

    def __init__(self, services: Services) -> None:
        self._services = services

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> Receive | None:
        """Answer a request that is as usual; None then.

        Of any other nothing is sent; its route is to have what is returned in place of `receive`.
        Raises Problem.
        """
        path: str = scope["path"]
        if not path.startswith(ONE):
            return receive
        wanted = _QUERY.fullmatch(scope["query_string"])
        if wanted is None:
            return receive
        currency = None if wanted[1] is None else wanted[1].decode()
        if path == MANY and scope["method"] == "POST":
            return await self._many(scope, currency, receive, send)
        account = path[len(ONE) :]
        if scope["method"] != "GET" or not well_formed(account):
            return receive
        scope["route"] = ROUTE_OF_ONE
        asked = _asked(scope)
        caller = await self._caller(scope, asked)
        caller.require(SCOPE, (account,))
        await _send(self._services.balances.present(account, currency), asked, send)
        return None

    async def _many(
        self, scope: Scope, currency: str | None, receive: Receive, send: Send
    ) -> Receive | None:
        asked = _asked(scope)
        size = int(asked.size) if asked.size.isdecimal() else MAX_BODY + 1
        if asked.media_type != JSON or asked.encoding or size > MAX_BODY:
            return receive
        caller = await self._caller(scope, asked)
        messages = await _body(receive)
        accounts = accounts_in(b"".join(each.get("body", b"") for each in messages))
        if accounts is None:
            # The route reads it again, and knows who asks: that counts once for the token's rate.
            scope[CALLER] = caller
            return _again(messages, receive)
        scope["route"] = ROUTE_OF_MANY
        caller.require(SCOPE, accounts)
        found = await self._services.balances.many(accounts, Wanted(currency))
        await _send(found, asked, send)
        return None

    async def _caller(self, scope: Scope, asked: _Asked) -> Caller:
        client = scope["client"]
        return await self._services.access.who(asked.authorization, client[0] if client else "")


def accounts_in(body: bytes) -> list[str] | None:
    """The accounts that a usual body asks for, each once; None for any other body."""
    # A name that is there twice, perhaps once with an escape, is refused by the route.
    if body.count(b'"accounts"') != 1 or b"\\" in body:
        return None
    try:
        found = from_json(body)
    except ValueError:
        return None
    accounts = found.get("accounts") if isinstance(found, dict) and len(found) == 1 else None
    if not isinstance(accounts, list) or not 0 < len(accounts) <= MOST_ACCOUNTS:
        return None
    for each in accounts:
        if type(each) is not str or len(each) > MAX_ACCOUNT or not _is_account(each):
            return None
    return list(dict.fromkeys(accounts))


async def _body(receive: Receive) -> list[Message]:
    """The messages of a request's body."""
    messages: list[Message] = []
    more = True
    while more:
        messages.append(await receive())
        more = messages[-1].get("more_body", False)
    return messages


def _again(messages: list[Message], receive: Receive) -> Receive:
    """Receives these messages, and then what comes."""
    left = iter(messages)

    async def receiving() -> Message:
        message = next(left, None)
        return await receive() if message is None else message

    return receiving


def _asked(scope: Scope) -> _Asked:
    authorization, if_none_match, size, media_type, encoding = None, "", "", "", ""
    for name, value in scope["headers"]:
        if name == b"authorization":
            authorization = value.decode("latin-1")
        elif name == b"if-none-match":
            if_none_match = value.decode("latin-1")
        elif name == b"content-length":
            size = value.decode("latin-1")
        elif name == b"content-type":
            media_type = value.decode("latin-1")
        elif name in (b"content-encoding", b"transfer-encoding"):
            encoding = value.decode("latin-1")
    return _Asked(authorization, if_none_match, size, media_type, encoding)


async def _send(answer: Answer, asked: _Asked, send: Send) -> None:
    body, tag = answer
    headers, status = _HEADERS, 200
    if tag is not None:
        headers = [*headers, (b"etag", tag.encode())]
        if asked.if_none_match and is_matched(tag, asked.if_none_match):
            status, body = NOT_MODIFIED, b""
    if status != NOT_MODIFIED:
        headers = [*headers, _TYPE, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
