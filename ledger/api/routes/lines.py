"""`GET /v1/accounts/{account}/lines`: the lines of an account, each with the balance after it."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import allowed
from ledger.api.parameters import AccountPath, Cursor, Order, Time, limit_query, new_router
from ledger.api.problems import REFUSALS, Problem, answers
from ledger.api.reads import After, Timeout, wanted_of
from ledger.api.routes.models import CompleteTo, Offset, Timestamp, Token
from ledger.api.services.history import HistoryService
from ledger.gl.history.books import LinesQuery

AMOUNT = re.compile(r"\d{1,40}(\.\d{1,18})?", re.ASCII)
Text = Annotated[str | None, Query(max_length=255)]


def _amount(text: str) -> str:
    if not AMOUNT.fullmatch(text):
        raise ValueError("it is no amount such as 12.34")
    return text


Amount = Annotated[
    Annotated[
        str,
        AfterValidator(_amount),
        WithJsonSchema({"type": "string", "pattern": f"^{AMOUNT.pattern}$", "examples": ["12.34"]}),
    ]
    | None,
    Query(),
]


class Line(BaseModel):
    """An entry of the account, and its balance in the currency after it, in recorded order."""

    recorded_at: Timestamp
    effective_at: Timestamp
    transaction_id: str
    kind: str
    description: str | None
    currency: str
    debit: str | None
    credit: str | None
    takes_back: Annotated[
        bool, Field(description="A void takes the entry back: its amount is below zero.")
    ]
    balance: Annotated[str, Field(description="On the normal side of the account.")]
    debits: str
    credits: str
    entries: int
    reverses: str | None
    metadata: dict[str, str]
    counterparts: Annotated[list[str], Field(description="Other accounts of it that may be seen.")]
    redacted: Annotated[
        bool,
        Field(description="It has accounts that may not be seen: no description, no metadata."),
    ]
    shard: int
    offset: Offset
    entry: int


class Lines(BaseModel):
    """A page; it may have fewer lines than `limit` though `next` is there, where it filters."""

    account: str
    lines: list[Line]
    next: Annotated[str | None, Field(description="The cursor of what follows in this order.")]
    previous: Annotated[str | None, Field(description="The cursor of what precedes.")]
    searched_to: Annotated[
        Timestamp | None, Field(description="Up to where a filter has looked; null: at everything.")
    ]
    token: Token
    complete_to: CompleteTo


def router(service: HistoryService) -> APIRouter:
    """The route over this service."""
    made = new_router("accounts")

    @made.get("/accounts/{account}/lines", response_model=Lines,
              responses=answers("DATABASE_UNAVAILABLE", "CURSOR_INVALID", "TOKEN_INVALID",
                                "NOT_FOUND", "NOT_YET", "REFUSED", *REFUSALS))  # fmt: skip
    async def list_lines(
        caller: Annotated[Caller, allowed("read")],
        account: AccountPath,
        *,
        currency: Annotated[str | None, Query(max_length=32)] = None,
        effective_from: Annotated[Time | None, Query(description="At or after this.")] = None,
        effective_before: Annotated[Time | None, Query(description="Before this.")] = None,
        recorded_from: Annotated[Time | None, Query(description="At or after this.")] = None,
        recorded_before: Annotated[Time | None, Query(description="Before this.")] = None,
        kind: Text = None,
        min_amount: Annotated[Amount, Query(description="With `currency`.")] = None,
        max_amount: Annotated[Amount, Query(description="With `currency`.")] = None,
        metadata: Annotated[
            str | None, Query(max_length=512, description="name=value, as it was published.")
        ] = None,
        counterpart: Annotated[Text, Query(description="Another account of it.")] = None,
        after: After = None,
        timeout: Timeout = None,  # noqa: ASYNC109 - the answer says how far it is
        order: Annotated[
            Order, Query(description="desc: the newest first, and `next` has older ones.")
        ] = "asc",
        limit: int = limit_query(100, 1_000),
        cursor: Cursor = None,
    ) -> Any:
        """The lines of an account in the order in which they were recorded, or its reverse.

        Filters leave lines out, and the balances stay what they are.
        """
        caller.require("read", [account] if counterpart is None else [account, counterpart])
        bounds = [
            _minor(service, currency, min_amount, "min_amount"),
            _minor(service, currency, max_amount, "max_amount"),
        ]
        query = LinesQuery(
            account, currency, limit=limit, effective_from=effective_from,
            effective_before=effective_before, recorded_from=recorded_from,
            recorded_before=recorded_before, kind=kind, min_amount=bounds[0],
            max_amount=bounds[1], metadata=_pair(metadata), counterpart=counterpart,
        )  # fmt: skip
        return await service.lines(query, cursor, wanted_of(caller, after, timeout), order)

    return made


def _minor(
    service: HistoryService, currency: str | None, amount: str | None, field: str
) -> int | None:
    """An amount in minor units. Raises Problem without a currency, or for too many decimals."""
    if amount is None:
        return None
    if currency is None:
        raise Problem("INVALID_PARAMETER", f"{field} needs the currency: give currency too.",
                      field=field)  # fmt: skip
    scale = service.scale(currency)
    whole, _, fraction = amount.partition(".")
    if len(fraction) > scale:
        raise Problem(
            "INVALID_PARAMETER",
            f"{field} has {len(fraction)} decimals and {currency} has {scale}.",
            field=field,
        )
    return int(whole + fraction.ljust(scale, "0"))


def _pair(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Problem("INVALID_PARAMETER", "metadata is name=value.", field="metadata")
    return name, value
