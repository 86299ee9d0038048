"""`/v1/transactions`: publish one or many, take one back, and see what became of one."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Header, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import allowed
from ledger.api.flow.fate import Level
from ledger.api.parameters import TransactionId, body_limit, new_router
from ledger.api.problems import REFUSALS, answers
from ledger.api.routes.models import Offset, Timestamp
from ledger.api.routes.transaction_models import EXAMPLES, Shown, body_of
from ledger.api.services.outcomes import Written
from ledger.api.services.requests import Wait, wait_of
from ledger.api.services.transaction_services import TransactionServices

BULK_BYTES = 4 * 1024 * 1024
WRITES = (
    "IDEMPOTENCY_KEY_MISMATCH", "TOKEN_INVALID", "TOO_MANY_REQUESTS", "KAFKA_UNAVAILABLE",
    "DATABASE_UNAVAILABLE", "VIEW_NOT_READY", "OUTCOME_UNKNOWN", *REFUSALS,
)  # fmt: skip
"""Codes that a write may be answered with."""

HEADERS = {
    "Location": {"description": "Where the transaction is found.",
                 "schema": {"type": "string", "format": "uri-reference"}},
    "Preference-Applied": {"description": "`wait=` and the level that is reached.",
                           "schema": {"type": "string"}},
}  # fmt: skip
"""Of the answer to a write, in the document; a dry run has none."""
DryRun = Annotated[
    bool, Query(description="Say what would be decided and the balances after it; write nothing.")
]
Timeout = Annotated[
    float | None,
    Query(ge=0, le=60, allow_inf_nan=False,
          description="Seconds to wait at most, with the header Prefer; 10 if not given."),
]  # fmt: skip
Prefer = Annotated[
    str | None,
    Header(description="`wait=decided`, `wait=posted` or `wait=reconciled`, and `wait=` with whole "
           "seconds as the longest time (RFC 7240); others are ignored.",
           examples=["wait=reconciled"]),
]  # fmt: skip
Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", description="The transaction_id, where the body has none."),
]


WrittenStatus = Literal["published", "decided", "posted", "reconciled", "duplicate"]


class First(BaseModel):
    """Where a transaction is that another one repeats."""

    shard: int
    offset: Offset


class OpenBreak(BaseModel):
    """A stripe on which stream and general ledger disagree."""

    shard: int
    account: str
    currency: str


class WrittenTransaction(BaseModel):
    """Where a transaction is, and how far; `token` is for `after=` of reads."""

    transaction_id: str
    token: str
    status: Annotated[
        WrittenStatus, Field(description="How far it is; or that it repeats another.")
    ]
    shard: int
    offset: Offset
    reached: Annotated[Level | None, Field(description="How far it is, or what it repeats.")]
    first: Annotated[First | None, Field(description="Of a duplicate: what it repeats.")]
    decided_at: Timestamp | None
    posted_at: Timestamp | None
    compared_at: Timestamp | None
    breaks: Annotated[list[OpenBreak], Field(description="Open ones that touch it.")]


class BulkResult(WrittenTransaction):
    """The result of one; `code`, `detail` and `field` of what is refused or failed."""

    index: Annotated[int, Field(description="Its place among the transactions, from 0.")]
    status: Annotated[  # type: ignore[assignment]
        Literal[WrittenStatus, "refused", "failed"],
        Field(description="failed: not known to be done; send it again."),
    ]
    token: str | None = None  # type: ignore[assignment]
    transaction_id: str | None = None  # type: ignore[assignment]
    shard: int | None = None  # type: ignore[assignment]
    offset: Offset | None = None  # type: ignore[assignment]
    reached: Level | None = None
    first: First | None = None
    decided_at: Timestamp | None = None
    posted_at: Timestamp | None = None
    compared_at: Timestamp | None = None
    breaks: list[OpenBreak] = []
    code: str | None = None
    detail: str | None = None
    field: str | None = None


class BulkWritten(BaseModel):
    """The results in the order of the transactions; `token` is of all that were published."""

    token: str | None
    results: list[BulkResult]


class BalanceAfter(BaseModel):
    """What an account has, pending included, and would have; on its normal side."""

    account: str
    currency: str
    before: str
    after: str


class DryRunResult(BaseModel):
    """What would be decided now."""

    transaction_id: str
    dry_run: bool
    outcome: Literal["accepted", "duplicate"]
    first: First | None
    balances: list[BalanceAfter]
    balances_as_of: Timestamp | None


def router(services: TransactionServices) -> APIRouter:
    """The routes over these services."""
    made = new_router("transactions")
    _add_writes(made, services)
    _add_reads(made, services)
    return made


def _add_writes(made: APIRouter, services: TransactionServices) -> None:
    written: dict[int | str, dict[str, Any]] = {
        200: {"model": WrittenTransaction | DryRunResult, "headers": HEADERS,
              "description": "A repetition, which changes nothing; or what a dry run says."},
        201: {"model": WrittenTransaction, "headers": HEADERS,
              "description": "It is as far as was waited for."},
        202: {"model": WrittenTransaction, "headers": HEADERS,
              "description": "All replicas of the log have it; the ledger decides it next, and "
              "may still refuse it."},
    }  # fmt: skip

    @made.post("/transactions", responses=written | answers(*WRITES), status_code=202,
               openapi_extra=body_of("Transaction", EXAMPLES))  # fmt: skip
    async def publish_transaction(
        caller: Annotated[Caller, allowed("publish")],
        body: Annotated[Any, Body()],
        *,
        prefer: Prefer = None,
        key: Key = None,
        dry_run: DryRun = False,
        timeout: Timeout = None,  # noqa: ASYNC109 - it bounds the answer, which says how far it is
    ) -> Response:
        """Publish one transaction, and wait as far as is wanted."""
        wait = wait_of(prefer, timeout)
        if dry_run:
            return JSONResponse(await services.trial.run(caller, body, key=key))
        return _answer(await services.writes.publish(caller, body, key=key, wait=wait), wait)

    @made.post("/transactions/bulk", response_model=BulkWritten, openapi_extra=body_of("Bulk"),
               responses=answers(*WRITES))  # fmt: skip
    @body_limit(BULK_BYTES)
    async def publish_transactions(
        caller: Annotated[Caller, allowed("publish")],
        body: Annotated[Any, Body()],
        *,
        prefer: Prefer = None,
        timeout: Timeout = None,  # noqa: ASYNC109 - it bounds the answer, which says how far it is
    ) -> Any:
        """Publish up to 1,000 transactions; each has its own result, in their order."""
        return await services.bulk.publish(caller, body, wait_of(prefer, timeout))

    @made.post("/transactions/{transaction_id:slashed}/reverse", status_code=202,
               responses=written | answers("NOT_FOUND", "NOT_REVERSIBLE", "NOT_YET", *WRITES),
               openapi_extra=body_of("Reversal", required=False))  # fmt: skip
    async def reverse_transaction(
        caller: Annotated[Caller, allowed("publish")],
        transaction_id: TransactionId,
        body: Annotated[Any, Body()] = None,
        *,
        prefer: Prefer = None,
        key: Key = None,
        dry_run: DryRun = False,
        timeout: Timeout = None,  # noqa: ASYNC109 - it bounds the answer, which says how far it is
    ) -> Response:
        """Take a transaction back: the same entries with debit and credit exchanged.

        The reversal's id is made of the original's, so that asking again is a repetition.
        """
        wait = wait_of(prefer, timeout)
        if dry_run:
            found = await services.reversals.dry_run(caller, transaction_id, body, key=key)
            return JSONResponse(found)
        made = await services.reversals.publish(caller, transaction_id, body, key=key, wait=wait)
        return _answer(made, wait)


def _add_reads(made: APIRouter, services: TransactionServices) -> None:
    @made.get("/transactions/{transaction_id:slashed}", response_model=Shown,
              responses=answers("NOT_FOUND", "DATABASE_UNAVAILABLE", "NOT_YET"))  # fmt: skip
    async def get_transaction(
        caller: Annotated[Caller, allowed("read")], transaction_id: TransactionId
    ) -> Response:
        """A transaction's way: published, decided, posted, compared; reversed, void or refused.

        What is neither posted nor among the newest runs is searched for in the topics.
        """
        return JSONResponse(await services.transactions.show(caller, transaction_id))


def _answer(found: Written, wait: Wait | None) -> Response:
    """201 once it is as far as was waited for, 200 for a repetition, else 202."""
    headers = {"Location": f"/v1/transactions/{found.path}"}
    if wait is not None and found.applied is not None:
        headers["Preference-Applied"] = f"wait={wait.level}"
    status = 200 if found.is_repetition else 201 if found.is_new else 202
    return JSONResponse(found.as_json(), status, headers)
