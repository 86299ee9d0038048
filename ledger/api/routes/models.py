"""What the API answers, as the OpenAPI document describes it."""

from typing import Annotated

from pydantic import BaseModel, Field

Offset = Annotated[int, Field(description="An offset of the shard's log.")]
Moment = Annotated[
    str, Field(json_schema_extra={"format": "date-time"}, description="RFC 3339, UTC.")
]


class ShardStatus(BaseModel):
    """One shard; null where Kafka or the database did not answer."""

    shard: int
    log_end: Annotated[Offset | None, Field(description="Where the log ends.")]
    posted: Annotated[Offset | None, Field(description="All before it is in the general ledger.")]
    reconciled: Annotated[Offset | None, Field(description="All before it is compared.")]
    recorded_through: Moment | None
    waiting: Annotated[int | None, Field(description="Records that are not reconciled yet.")]
    whole: bool


class Status(BaseModel):
    """The ledger; `whole`: all that was in the log when it was asked is reconciled."""

    as_of: Moment
    whole: bool
    why: Annotated[list[str], Field(description="What did not answer.")]
    shards: list[ShardStatus]
