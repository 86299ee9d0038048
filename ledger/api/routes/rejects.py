"""`GET /v1/rejects`: what was refused, by code, producer, account and time."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import allowed
from ledger.api.parameters import Cursor, Order, Time, Under, limit_query, new_router
from ledger.api.problems import REFUSALS, answers
from ledger.api.reads import After, Timeout, wanted_of
from ledger.api.routes.models import CompleteTo, Next, Offset, Timestamp, Token
from ledger.api.services.rejects import RejectsQuery, RejectsService
from ledger.client.rejects import Selection
from ledger.domain.checks import MAX_ID, MAX_METADATA_BYTES
from ledger.domain.refusal import Reason


class Reject(BaseModel):
    """A refused record; `transaction` is null where its value is none that can be read, or gone."""

    shard: int
    offset: Offset
    token: str
    recorded_at: Timestamp
    transaction_id: str | None
    code: str
    field: Annotated[str, Field(description="Empty where it is the whole record.")]
    reason: str
    producer: Annotated[str | None, Field(description="`producer` of its metadata.")]
    transaction: Annotated[dict[str, Any] | None, Field(description="As `publish` takes it.")]


class Rejects(BaseModel):
    """A page. It may have fewer rows than `limit` though `next` is there."""

    rejects: list[Reject]
    next: Next
    order: Annotated[Order, Field(description="desc: the newest first. asc: the oldest first.")]
    token: Annotated[Token | None, Field(description="Null of the oldest first.")]
    complete_to: Annotated[CompleteTo | None, Field(description="Null of the oldest first.")]


def router(service: RejectsService) -> APIRouter:
    """The routes over this service."""
    made = new_router("transactions")

    @made.get(
        "/rejects",
        response_model=Rejects,
        responses=answers(
            "KAFKA_UNAVAILABLE",
            "DATABASE_UNAVAILABLE",
            "CURSOR_INVALID",
            "TOKEN_INVALID",
            "NOT_YET",
            "REFUSED",
            *REFUSALS,
        ),
    )
    async def list_rejects(
        caller: Annotated[Caller, allowed("finance")],
        *,
        code: Annotated[Reason | None, Query(description="With this code.")] = None,
        producer: Annotated[str | None, Query(max_length=MAX_METADATA_BYTES)] = None,
        account: Annotated[Under, Query(description="That touch it, or one below it.")] = None,
        transaction_id: Annotated[str | None, Query(max_length=MAX_ID)] = None,
        start: Annotated[
            Time | None, Query(alias="from", description="Recorded at or after this: RFC 3339.")
        ] = None,
        end: Annotated[Time | None, Query(alias="to", description="Recorded before this.")] = None,
        order: Annotated[
            Order | None,
            Query(
                description="desc, from history: the newest first. asc, from the topic of "
                "refusals: the oldest first. Without it desc, where the ledger keeps history."
            ),
        ] = None,
        after: After = None,
        timeout: Timeout = None,  # noqa: ASYNC109 - the answer says how far it is
        limit: int = limit_query(100, 1_000),
        cursor: Cursor = None,
    ) -> Any:
        """What was refused, the newest first, with the transaction where it can be read.

        History is asked, and the answer says up to where it counts. The oldest first come from the
        topic of refusals, a page of at most 20,000 records, so that a rare selection has pages
        without rows before its end.
        """
        caller.require_all_accounts()
        selection = Selection(
            codes=_one(code and code.value), ids=_one(transaction_id), accounts=_one(account),
            producers=_one(producer), start=start, end=end,
        )  # fmt: skip
        asked = RejectsQuery(selection, order, cursor, limit)
        return await service.page(asked, wanted_of(caller, after, timeout))

    return made


def _one(text: str | None) -> frozenset[str]:
    return frozenset() if text is None else frozenset([text])
