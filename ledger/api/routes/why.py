"""`GET /v1/balances/{account}/why`: what a balance is made of, and how each part was checked."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import allowed
from ledger.api.parameters import AccountPath, new_router
from ledger.api.problems import REFUSALS, answers
from ledger.api.reads import Asked
from ledger.api.routes.models import CompleteTo, Offset, Timestamp, Token
from ledger.api.services.why import WhyAsked, WhyService


class Figures(BaseModel):
    """What entries add up to; `posted` is on the account's normal side."""

    posted: str
    debits: str
    credits: str
    entries: int


class Before(Figures):
    """What was recorded before the lines that are shown one by one."""

    recorded_before: Timestamp | None
    is_whole_day: Annotated[
        bool, Field(description="The lines are a whole day (UTC); otherwise its last ones.")
    ]


class WhyLine(BaseModel):
    """An entry; `shard` and `offset` name its record in the log."""

    recorded_at: Timestamp
    effective_at: Timestamp
    transaction_id: str
    kind: str
    producer: str | None
    description: str
    debit: str | None
    credit: str | None
    taken_back: bool
    counterparts: list[str]
    redacted: Annotated[
        bool, Field(description="It has accounts that may not be seen: no description, producer.")
    ]
    balance: str
    shard: int
    offset: Offset
    entry: int


class OfKind(Figures):
    """The lines of one kind, without `entries`."""

    kind: str
    lines: int


class OfProducer(Figures):
    """The lines of one producer: `producer` in their metadata; empty without one."""

    producer: str
    lines: int


class OfShard(Figures):
    """What a shard contributes, and how far and when it was checked."""

    shard: int
    position: Annotated[Offset, Field(description="Counted up to here.")]
    recorded_through: Timestamp
    compared_to: Annotated[Offset | None, Field(description="By stream and database.")]
    compared_at: Timestamp | None
    posted_to: Offset | None
    posted_at: Timestamp | None


class Pending(BaseModel):
    """An entry that is decided and not in the balance yet."""

    transaction_id: str
    kind: str
    debit: str | None
    credit: str | None
    taken_back: bool
    recorded_at: Timestamp
    decided_at: Timestamp
    shard: int
    offset: Offset
    waits_for: Literal["posting", "comparison", "history"]


class WhyFigure(Figures):
    """A currency of the account: `before`, `lines` and `later` add up to the figure.

    So does `by_shard`; `by_kind` and `by_producer` add up to the lines.
    """

    currency: str
    before: Before
    lines: list[WhyLine]
    later: Annotated[
        Figures, Field(description="Recorded after the lines, and effective before the time asked.")
    ]
    by_kind: list[OfKind]
    by_producer: list[OfProducer]
    by_shard: list[OfShard]
    pending: list[Pending]
    adds_up: Annotated[bool, Field(description="False only where history was altered.")]


class WhyOfAccount(BaseModel):
    """The figures of an account; none for an account without entries."""

    account: str
    effective_before: Timestamp | None
    recorded_before: Timestamp | None
    figures: list[WhyFigure]
    not_read: Annotated[list[str], Field(description="What could not be read, in sentences.")]
    token: Token
    complete_to: CompleteTo


def router(service: WhyService) -> APIRouter:
    """The route over this service."""
    made = new_router("balances")

    @made.get("/balances/{account}/why", response_model=WhyOfAccount,
              responses=answers("DATABASE_UNAVAILABLE", "TOKEN_INVALID", "NOT_YET", "REFUSED",
                                *REFUSALS))  # fmt: skip
    async def explain_balance(
        caller: Annotated[Caller, allowed("finance")],
        account: AccountPath,
        wanted: Asked,
        lines: Annotated[
            int, Query(ge=1, le=1_000, description="At most so many one by one, the last ones.")
        ] = 100,
    ) -> Any:
        """What a balance is made of, how each part was checked, and what is pending."""
        caller.require("finance", [account])
        return await service.why(WhyAsked(account, wanted.currency, lines), wanted)

    return made
