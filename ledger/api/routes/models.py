"""What the ledger's own resources answer, as the OpenAPI document describes it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

Timestamp = Annotated[
    str, Field(json_schema_extra={"format": "date-time"}, description="RFC 3339, UTC.")
]
Offset = Annotated[int, Field(description="An offset of the shard's log.")]
Amount = Annotated[str, Field(description="Decimal text, such as `12.34`.")]
Next = Annotated[
    str | None, Field(description="The `cursor` of the next page; null where this is the last.")
]


class Mark(BaseModel):
    """How far a shard is: everything before `offset` of its log."""

    offset: int
    at: Annotated[
        Timestamp | None,
        Field(description="Since when; null where that was before it was followed."),
    ]


class HistoryMark(BaseModel):
    """How far history is: everything before `offset`, recorded up to a time."""

    offset: int
    recorded_through: Timestamp | None


class ShardStatus(BaseModel):
    """One shard; null where Kafka or, of history, the database does not answer."""

    shard: int
    log_end: Annotated[int | None, Field(description="The offset of the next record.")]
    decided: Mark | None
    posted: Annotated[Mark | None, Field(description="In the general ledger.")]
    reconciled: Annotated[Mark | None, Field(description="Compared, stream and database.")]
    history: Annotated[HistoryMark | None, Field(description="In the tables of history.")]
    waiting: Annotated[int | None, Field(description="Offsets that are not reconciled yet.")]
    whole: bool


class Status(BaseModel):
    """The ledger; `whole`: all that was in the log when it was asked is reconciled."""

    as_of: Timestamp
    whole: bool
    why: Annotated[list[str], Field(description="What did not answer.")]
    shards: list[ShardStatus]


CompleteTo = Annotated[
    dict[str, int],
    Field(
        description="By shard: every transaction before this offset is counted.",
        examples=[{"0": 1204, "1": 1187}],
    ),
]


class Asset(BaseModel):
    """An asset that transactions may use."""

    code: str
    scale: Annotated[int, Field(description="Its decimals.")]
    name: str
    source: Literal["ISO 4217", "imported"]


class Assets(BaseModel):
    """A page of assets, by code."""

    assets: list[Asset]
    next: Next


class Account(BaseModel):
    """An account; without a currency it takes every one."""

    account: str
    type: Literal["assets", "liabilities", "equity", "income", "expenses"]
    name: str
    currency: str | None
    opened_at: Timestamp | None
    closed_at: Timestamp | None
    state: Annotated[
        Literal["planned", "open", "closed"], Field(description="Whether it takes entries now.")
    ]
    declared: Annotated[bool, Field(description="Whether it was imported.")]
    in_use: Annotated[bool, Field(description="Whether it has entries.")]


class Accounts(BaseModel):
    """A page of accounts: each path is followed by what is below it."""

    accounts: list[Account]
    next: Next


class BreakSide(BaseModel):
    """The totals of a stripe as one side has them."""

    debits: Amount
    credits: Amount
    entries: int
    offset: Annotated[int, Field(description="Of the last transaction counted; -1: none.")]


class Break(BaseModel):
    """A stripe (account, currency, shard) on which stream and general ledger disagree."""

    account: str
    currency: str
    shard: int
    compared_from: Annotated[int, Field(description="Compared up to here before.")]
    compared_to: Annotated[int, Field(description="Both sides are those at this position.")]
    stream: BreakSide | None
    ledger: BreakSide | None
    detected_at: Timestamp


class Breaks(BaseModel):
    """A page of open breaks, by account, currency and shard."""

    breaks: list[Break]
    next: Next


Token = Annotated[str, Field(description="For `after=`: another answer includes what this does.")]
