"""`GET /v1/trial-balance`: every account's net debit or credit at a time, and the totals."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import allowed
from ledger.api.parameters import Cursor, limit_query, new_router
from ledger.api.problems import REFUSALS, answers
from ledger.api.reads import After, AtMoment, Timeout, wanted_of
from ledger.api.routes.models import CompleteTo, Next, Timestamp, Token
from ledger.api.services.history import HistoryService, TrialQuery

MOST_ROWS = 20_000


class TrialRow(BaseModel):
    """An account, or all below a part of its path; `posted` is on the normal side."""

    account: str
    currency: str
    posted: str
    pending: str
    debits: str
    credits: str
    net_debit: str
    net_credit: str
    entries: int
    status: str


class TrialTotal(BaseModel):
    """The columns added up; `type` null: of all types of account."""

    type: str | None
    currency: str
    net_debit: str
    net_credit: str
    debits: str
    credits: str
    entries: int


class TrialBalance(BaseModel):
    """`totals` are of all accounts; `accounts` is a page of them."""

    effective_before: Timestamp | None
    recorded_before: Timestamp | None
    balanced: Annotated[bool, Field(description="Debits equal credits in every currency.")]
    totals: list[TrialTotal]
    accounts: list[TrialRow]
    next: Next
    token: Token
    complete_to: CompleteTo


def router(service: HistoryService) -> APIRouter:
    """The route over this service."""
    made = new_router("ledger")

    @made.get("/trial-balance", response_model=TrialBalance,
              responses=answers("DATABASE_UNAVAILABLE", "CURSOR_INVALID", "TOKEN_INVALID",
                                "NOT_FOUND", "NOT_YET", "REFUSED", *REFUSALS))  # fmt: skip
    async def get_trial_balance(
        caller: Annotated[Caller, allowed("finance")],
        moment: AtMoment,
        *,
        currency: Annotated[list[str], Query(max_length=100, description="Only these.")] = [],  # noqa: B006 - FastAPI copies it
        depth: Annotated[
            int | None, Query(ge=1, le=100, description="Sum accounts by so many segments.")
        ] = None,
        no_zero: Annotated[bool, Query(description="Without accounts whose net is 0.")] = False,
        after: After = None,
        timeout: Timeout = None,  # noqa: ASYNC109 - the answer says how far it is
        limit: int = limit_query(1_000, MOST_ROWS),
        cursor: Cursor = None,
    ) -> Any:
        """Every account with its net debit or credit, and the totals by currency and type.

        Each page is computed anew, so that what is posted meanwhile is in the later ones; name both
        times to have pages of one state.
        """
        caller.require_all_accounts()
        query = TrialQuery(tuple(sorted(set(currency))), depth, no_zero)
        wanted = wanted_of(caller, after, timeout, moment)
        return await service.trial_balance(query, cursor, limit, wanted)

    return made
