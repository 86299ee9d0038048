"""`GET /v1/live`: balances as they change; `POST /v1/live/tickets` for browsers.

The WebSocket of the same path is answered by `ledger/api/live/websocket.py`.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request, Response, Security
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from ledger.api.access.access import Access
from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import Allowed, allowed
from ledger.api.live.events import MEDIA_TYPE, NO_PLACE, Events
from ledger.api.live.messages import (
    LONGEST_TOKEN,
    MAX_COUNT,
    MAX_OFFSET,
    Sort,
    SortedList,
    Subscribe,
)
from ledger.api.live.opening import LiveParts
from ledger.api.live.tickets import caller_of, ticket_of
from ledger.api.parameters import AccountCode, Order, Under, new_router
from ledger.api.problems import Problem, answers
from ledger.api.routes.models import Timestamp
from ledger.api.signing import Signer
from ledger.client.drafts import rfc3339
from ledger.clock import now
from ledger.domain.access import Scope

ID = "live"
"""Of the one subscription that a stream of events has."""
MAX_ACCOUNTS = 90
"""In the address of a stream of events."""


class TicketAnswer(BaseModel):
    """`expires_at`: until then it opens a stream of events."""

    ticket: str
    expires_at: Timestamp


class AllowedWithTicket(Allowed):
    """Callers with the scope read, by their bearer token or by a ticket in the address."""

    def __init__(self, signer: Signer, access: Access) -> None:
        super().__init__(Scope.READ)
        self._signer, self._access = signer, access

    async def caller(self, request: HTTPConnection) -> Caller:
        """Ask who calls. Raises Problem."""
        ticket = request.query_params.get("ticket")
        if ticket is None or "authorization" in request.headers:
            return await super().caller(request)
        address = request.client.host if request.client else ""
        found = caller_of(self._signer, ticket, address, now())
        found.require(self.scope)
        # Its bearer token may have been revoked since.
        self._access.require_active(found)
        return found


def router(parts: LiveParts, access: Access, signer: Signer) -> APIRouter:
    """The routes over live updates."""
    made = new_router("live")
    with_ticket = Security(AllowedWithTicket(signer, access), scopes=[Scope.READ.value])

    @made.get(
        "/live",
        response_class=Response,
        responses={
            200: {
                "description": "Server-sent events (text/event-stream): `snapshot`, `resumed`, "
                "`changes`, `heartbeat` and `refused`, whose data are JSON objects. An event's id "
                "is the token to resume from.",
                "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
            },
            **answers("INVALID_PARAMETER", "TOKEN_INVALID", "TOO_MANY_CONNECTIONS",
                      "TOO_MANY_SUBSCRIPTIONS"),
        },
    )  # fmt: skip
    async def follow_balances(
        request: Request,
        caller: Annotated[Caller, with_ticket],
        wanted: Annotated[Subscribe, Depends(_wanted)],
    ) -> Any:
        """Follow accounts, all below a path, or a part of a sorted list, as they change."""
        caller.require("read", wanted.covered)
        return Events(parts, caller, wanted, _check_of(access, request, caller))

    @made.post("/live/tickets", status_code=201, response_model=TicketAnswer, responses=answers())
    async def create_live_ticket(caller: Annotated[Caller, allowed("read")]) -> Any:
        """A ticket with which a browser opens a stream of events: `GET /v1/live?ticket=...`."""
        found = ticket_of(signer, caller, now())
        return TicketAnswer(ticket=found.text, expires_at=rfc3339(found.expires_at))

    return made


def _check_of(access: Access, request: Request, caller: Caller) -> Callable[[], Awaitable[object]]:
    authorization = request.headers.get("authorization")
    if authorization is not None:
        return lambda: access.require_still(caller, authorization)

    async def still() -> None:
        access.require_active(caller)

    return still


def _wanted(
    request: Request,
    accounts: Annotated[
        list[AccountCode] | None,
        Query(description="Follow these accounts.", min_length=1, max_length=MAX_ACCOUNTS),
    ] = None,
    under: Under = None,
    sort: Annotated[
        Sort | None, Query(description="Follow a part of the list of those below `under`.")
    ] = None,
    currency: Annotated[
        str | None, Query(description="Of a list: only this currency.", min_length=1, max_length=64)
    ] = None,
    order: Annotated[Order, Query(description="Of a list.")] = "asc",
    offset: Annotated[int, Query(description="Of a list: rows before.", ge=0, le=MAX_OFFSET)] = 0,
    count: Annotated[int, Query(description="Of a list: rows.", ge=1, le=MAX_COUNT)] = 50,
    after: Annotated[
        str | None, Query(description="A token to resume from.", max_length=LONGEST_TOKEN)
    ] = None,
    last_event_id: Annotated[
        str | None, Header(description="The same; counts before `after`.", max_length=LONGEST_TOKEN)
    ] = None,
    ticket: Annotated[
        str | None, Query(description="In the place of a bearer token.", max_length=4096)
    ] = None,
) -> Subscribe:
    """The subscription that the address asks for. Raises Problem."""
    if (accounts is None) == (under is None):
        raise Problem("INVALID_PARAMETER", "Give either accounts or under.", field="under")
    of_list = {"currency", "order", "offset", "count"} & request.query_params.keys()
    if sort is None and of_list:
        given = min(of_list)
        raise Problem("INVALID_PARAMETER", f"{given} is of a list: give sort, too.", field=given)
    if sort is not None and under is None:
        raise Problem("INVALID_PARAMETER", "A list is of what is below a path.", field="under")
    if sort == "posted" and currency is None:
        raise Problem(
            "INVALID_PARAMETER", "A list sorted by posted needs its currency.", field="currency"
        )
    seen = None
    if sort is not None and under is not None:
        seen = SortedList(
            under=under, sort=sort, currency=currency, order=order, offset=offset, count=count
        )
    token = last_event_id or after
    return Subscribe(
        type="subscribe",
        id=ID,
        accounts=accounts,
        under=under if seen is None else None,
        list=seen,
        after=None if token == NO_PLACE else token,
    )
