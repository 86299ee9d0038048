"""`/v1/balances`: of one account, of many, or under a path; now, or at another time."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import allowed
from ledger.api.parameters import (
    AccountCode,
    AccountPath,
    Cursor,
    account_path,
    limit_query,
    new_router,
)
from ledger.api.problems import REFUSALS, answers
from ledger.api.reads import Asked
from ledger.api.routes.balance_models import Balances, BalancesOfAccount, BalancesUnder
from ledger.api.services.balances import Answer, BalanceService
from ledger.domain.account import MAX_ACCOUNT

MOST_ACCOUNTS = 1_000
JSON = "application/json"
CODES = answers(
    "VIEW_NOT_READY", "DATABASE_UNAVAILABLE", "TOKEN_INVALID", "NOT_YET", "REFUSED", *REFUSALS
)
HEADERS = {"Cache-Control": "private, no-cache"}
"""Of every answer: it may be kept, and must be asked about each time."""
_TAG = re.compile(r'"[^"]*"')

UnderPath = Annotated[
    str,
    Query(description="An account's path, such as `liabilities` or `liabilities:deposits`.",
          max_length=MAX_ACCOUNT),
    AfterValidator(account_path),
]  # fmt: skip

IfNoneMatch = Annotated[
    str | None, Header(description="An earlier ETag: 304 where nothing has changed since.")
]
ETAG = {
    "ETag": {"description": "For If-None-Match; of the present only.",
             "schema": {"type": "string"}}
}  # fmt: skip
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {
    200: {"headers": ETAG},
    304: {"description": "The balances are those of the ETag in If-None-Match.", "headers": ETAG},
}


class AccountsAsked(BaseModel):
    """The accounts that are asked for; each once in the answer."""

    model_config = ConfigDict(extra="forbid")

    accounts: Annotated[
        list[AccountCode],
        Field(
            min_length=1,
            max_length=MOST_ACCOUNTS,
            examples=[["liabilities:wallets:ada", "liabilities:wallets:bob"]],
        ),
    ]


def router(service: BalanceService) -> APIRouter:
    """The routes over this service."""
    made = new_router("balances")
    _add_one(made, service)
    _add_many(made, service)
    return made


def _add_one(made: APIRouter, service: BalanceService) -> None:
    @made.get(
        "/balances/{account}", response_model=BalancesOfAccount, responses=NOT_MODIFIED | CODES
    )
    async def get_balances(
        caller: Annotated[Caller, allowed("read")],
        account: AccountPath,
        wanted: Asked,
        if_none_match: IfNoneMatch = None,
    ) -> Any:
        """What an account has: now, or at another time.

        An account without entries has no balances. The answer says how complete it is, and when
        the balances may be older than they should be.
        """
        caller.require("read", [account])
        return _response(await service.one(account, wanted), if_none_match)


def _add_many(made: APIRouter, service: BalanceService) -> None:
    @made.post("/balances/query", response_model=Balances, responses=NOT_MODIFIED | CODES)
    async def query_balances(
        caller: Annotated[Caller, allowed("read")],
        body: AccountsAsked,
        wanted: Asked,
        if_none_match: IfNoneMatch = None,
    ) -> Any:
        """What up to 1,000 accounts have, in their order, in one answer."""
        accounts = list(dict.fromkeys(body.accounts))
        caller.require("read", accounts)
        return _response(await service.many(accounts, wanted), if_none_match)

    @made.get(
        "/balances", response_model=BalancesUnder,
        responses=NOT_MODIFIED | CODES | answers("CURSOR_INVALID"),
    )  # fmt: skip
    async def list_balances(
        caller: Annotated[Caller, allowed("read")],
        under: UnderPath,
        wanted: Asked,
        limit: int = limit_query(100, MOST_ACCOUNTS),
        cursor: Cursor = None,
        if_none_match: IfNoneMatch = None,
    ) -> Any:
        """The balances of an account and of all below it, a page of them, and the sums of all."""
        caller.require("read", [under])
        return _response(await service.under(under, limit, cursor, wanted), if_none_match)


def _response(answer: Answer, if_none_match: str | None) -> Response:
    if answer.tag is None:
        return Response(answer.body, headers=HEADERS, media_type=JSON)
    if if_none_match is not None and is_matched(answer.tag, if_none_match):
        return Response(status_code=304, headers={"ETag": answer.tag, **HEADERS})
    return Response(answer.body, headers={"ETag": answer.tag, **HEADERS}, media_type=JSON)


def is_matched(tag: str, if_none_match: str) -> bool:
    """Whether the header names the tag, compared weakly (RFC 9110, 13.1.2)."""
    if if_none_match.strip() == "*":
        return True
    opaque = tag.removeprefix("W/")
    return opaque in _TAG.findall(if_none_match)
