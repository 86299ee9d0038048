"""What the balances' routes show, as the OpenAPI document describes it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from ledger.api.routes.models import Amount, CompleteTo, Next, Timestamp, Token


class Figures(BaseModel):
    """Amounts of one currency; `posted` and `pending` on the normal side of the accounts."""

    currency: str
    posted: Annotated[str, Field(description="Reconciled balance, decimal text.")]
    pending: Annotated[str, Field(description="Decided on top of it and not reconciled yet.")]
    debits: Amount
    credits: Amount
    entries: Annotated[int, Field(description="Reconciled entries.")]
    status: Annotated[
        Literal["reconciled", "pending", "break"],
        Field(
            description="pending: a part waits for the general ledger; break: stream and general "
            "ledger disagree."
        ),
    ]


class AccountBalance(Figures):
    """What an account has in one currency."""

    account: str
    version: Annotated[
        int | None, Field(description="Rises with every change; null for another time.")
    ]


class PathSum(Figures):
    """What the accounts at and below a path have; the worst status of theirs."""

    accounts: Annotated[int, Field(description="How many balances are summed.")]


class Lag(BaseModel):
    """How old the balances may be, and why."""

    seconds: float | None
    records: int
    why: str


class _Complete(BaseModel):
    """How complete an answer is."""

    token: Token
    complete_to: CompleteTo
    as_of: Annotated[
        Timestamp | None,
        Field(
            description="Every balance that workers had published by then is in it; of the present."
        ),
    ] = None
    lag: Annotated[
        Lag | None, Field(description="Where the balances may be older than they should be.")
    ] = None
    effective_before: Annotated[Timestamp | None, Field(description="As it was asked for.")] = None
    recorded_before: Annotated[Timestamp | None, Field(description="As it was asked for.")] = None


class Balances(_Complete):
    """Balances by account, and then by currency."""

    balances: list[AccountBalance]


class BalancesOfAccount(Balances):
    """What an account has, in each of its currencies; nothing without entries."""

    account: str


class BalancesUnder(Balances):
    """A page of the accounts at and below a path, and the sums of all of them.

    With `currency` a page may have fewer balances than `limit` though `next` is there.
    """

    under: str
    sums: list[PathSum]
    next: Next
