"""`GET /v1/trial-balance`: every account's net debit or credit at a time, and the totals."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import allowed
from ledger.api.cursors import Cursors
from ledger.api.parameters import Cursor, limit_query, new_router
from ledger.api.problems import answers
from ledger.api.reads import (
    After,
    AsOf,
    By,
    EffectiveBefore,
    Reads,
    RecordedBefore,
    Timeout,
)
from ledger.api.routes.models import CompleteTo, Moment
from ledger.api.services.history import HistoryService, TrialQuery
from ledger.api.services.instants import instants_of

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

    effective_before: Moment | None
    recorded_before: Moment | None
    balanced: Annotated[bool, Field(description="Debits equal credits in every currency.")]
    totals: list[TrialTotal]
    accounts: list[TrialRow]
    next: Annotated[str | None, Field(description="The cursor of the next page.")]
    complete_to: CompleteTo


def router(service: HistoryService, reads: Reads, cursors: Cursors) -> APIRouter:
    """The route over this service."""
    made = new_router("ledger")

    @made.get("/trial-balance", response_model=TrialBalance,
              responses=answers("DATABASE_UNAVAILABLE", "CURSOR_INVALID", "TOKEN_INVALID",
                                "NOT_FOUND", "NOT_YET"))  # fmt: skip
    async def trial_balance(
        caller: Annotated[Caller, allowed("finance")],
        *,
        as_of: AsOf = None,
        by: By = None,
        effective_before: EffectiveBefore = None,
        recorded_before: RecordedBefore = None,
        currency: Annotated[list[str], Query(max_length=100, description="Only these.")] = [],  # noqa: B006 - FastAPI copies it
        depth: Annotated[
            int | None, Query(ge=1, le=100, description="Sum accounts by so many segments.")
        ] = None,
        no_zero: Annotated[bool, Query(description="Without accounts whose net is 0.")] = False,
        after: After = None,
        timeout: Timeout = 10.0,  # noqa: ASYNC109 - the answer says how far it is
        limit: int = limit_query(1_000, MOST_ROWS),
        cursor: Cursor = None,
    ) -> Any:
        """Every account with its net debit or credit, and the totals by currency and type.

        Each page is computed anew, so that what is posted meanwhile is in the later ones; name both
        times to have pages of one state.
        """
        caller.require_all_accounts()
        instants = instants_of(as_of, by, effective_before, recorded_before)
        query = TrialQuery(instants, tuple(sorted(set(currency))), depth, no_zero)
        key = {"list": "trial-balance", "query": query}
        place = () if cursor is None else tuple(map(str, cursors.read(key, cursor)))
        found, following = await service.trial_balance(
            query, place, limit, await reads.after(after, timeout)
        )
        return found | {"next": None if following is None else cursors.write(key, following)}

    return made
