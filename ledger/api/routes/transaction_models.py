"""What the transactions' routes take and show, as the OpenAPI document describes it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, WithJsonSchema

from ledger.api.routes.models import Offset, Timestamp
from ledger.client.lines import ENTRY, REQUIRED
from ledger.domain.checks import MAX_DESCRIPTION, MAX_ENTRIES, MAX_ID, MAX_KIND, MIN_ENTRIES

_NAME = {"type": "string", "minLength": 1, "maxLength": MAX_ID}
_TIME = {"type": "string", "format": "date-time"}
_AMOUNT = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$", "examples": ["12.34"],
           "description": "Decimal text above zero; a JSON number is refused."}  # fmt: skip
SCHEMAS = "#/components/schemas/"
DRAFT: dict[str, Any] = {
    "type": "object",
    "description": "A balanced set of entries that is taken whole or not at all.",
    "additionalProperties": False,
    # The id may be in the header Idempotency-Key.
    "required": [each for each in REQUIRED if each != "transaction_id"],
    "properties": {
        "transaction_id": {**_NAME, "description": "Unique for ever; a retry repeats it."},
        "kind": {"type": "string", "minLength": 1, "maxLength": MAX_KIND},
        "description": {"type": "string", "maxLength": MAX_DESCRIPTION},
        "effective_at": {**_TIME, "description": "When it happened for the business."},
        "created_at": {**_TIME, "description": "When the producer made it; the present if not."},
        "ordering_key": {**_NAME, "description": "Transactions of one key keep their order."},
        "reverses": {**_NAME, "description": "The id of what this takes back."},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        "entries": {
            "type": "array",
            "minItems": MIN_ENTRIES,
            "maxItems": MAX_ENTRIES,
            "description": "Debits equal credits in each currency.",
            "items": {"$ref": f"{SCHEMAS}Entry"},
        },
    },
}
"""A transaction as `faust-ledger publish` takes it."""
LEG: dict[str, Any] = {
    "type": "object",
    "description": "One leg of a transaction.",
    "additionalProperties": False,
    "required": list(ENTRY),
    "properties": {
        "account": {"type": "string", "examples": ["liabilities:deposits:2378"]},
        "side": {"type": "string", "enum": ["debit", "credit"]},
        "amount": _AMOUNT,
        "currency": {"type": "string", "examples": ["CAD"]},
    },
}
BULK: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["transactions"],
    "properties": {
        "transactions": {
            "type": "array",
            "minItems": 1,
            "maxItems": 1_000,
            "items": {"$ref": f"{SCHEMAS}Transaction"},
        }
    },
}
REVERSAL: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "reason": {"type": "string", "description": "For the description of the reversal."},
        "effective_at": {**_TIME, "description": "That of the original if it is not given."},
        "created_at": _TIME,
        "transaction_id": {**_NAME, "description": "Of the reversal; made of the original's."},
    },
}


COMPONENTS = {"Transaction": DRAFT, "Entry": LEG, "Bulk": BULK, "Reversal": REVERSAL}
"""Schemas of the document that bodies name."""
EXAMPLES = {
    "topup": {
        "summary": "A client puts 50 dollars into her wallet",
        "value": {
            "transaction_id": "topup-1",
            "kind": "topup",
            "effective_at": "2026-11-30T15:00:00Z",
            "metadata": {"producer": "wallets"},
            "entries": [
                {
                    "account": "assets:bank:wallets",
                    "side": "debit",
                    "amount": "50.00",
                    "currency": "CAD",
                },
                {
                    "account": "liabilities:wallets:ada",
                    "side": "credit",
                    "amount": "50.00",
                    "currency": "CAD",
                },
            ],
        },
    }
}
_LEGS = {"type": "array", "items": {"$ref": f"{SCHEMAS}Entry"}}


def body_of(
    name: str, examples: dict[str, Any] | None = None, *, required: bool = True
) -> dict[str, Any]:
    """What the document says of a body that is one of COMPONENTS."""
    described: dict[str, Any] = {"schema": {"$ref": SCHEMAS + name}}
    if examples is not None:
        described["examples"] = examples
    content = {"application/json": described}
    return {"requestBody": {"content": content, "required": required}}


class DecidedPart(BaseModel):
    """By which run of the decision log."""

    done: bool
    decisions_offset: int | None
    at: Timestamp | None


class PostedPart(BaseModel):
    """`done` null: the general ledger could not be asked."""

    done: bool | None
    at: Timestamp | None


class ComparedPart(BaseModel):
    """`to_position`: how far its shard is compared."""

    done: bool | None
    to_position: Offset | None
    at: Timestamp | None = None


class ReversedBy(BaseModel):
    """A transaction that reverses it."""

    transaction_id: str
    shard: int
    offset: Offset
    effective_at: Timestamp
    recorded_at: Timestamp
    is_void: bool


class ShownTransaction(BaseModel):
    """An accepted transaction; `state` is decided, posted, compared or void."""

    transaction_id: str
    kind: str
    description: str
    effective_at: Timestamp
    recorded_at: Timestamp
    created_at: Timestamp
    ordering_key: str
    reverses: str | None
    metadata: dict[str, str]
    shard: int
    offset: Offset
    token: str
    entries: Annotated[list[dict[str, Any]], WithJsonSchema(_LEGS)]
    state: Literal["decided", "posted", "compared", "void"]
    decided: DecidedPart
    posted: PostedPart
    compared: ComparedPart
    reversed_by: list[ReversedBy]
    reversals_searched_to: int | None
    void: dict[str, Any] | None


class ShownRefusal(BaseModel):
    """A refused record with the id; `reason` is null for a token restricted to accounts."""

    shard: int
    offset: Offset
    token: str
    recorded_at: Timestamp
    code: str
    field: str
    reason: str | None
    by_key: bool


class Record(BaseModel):
    """A record of the log with the id."""

    shard: int
    offset: Offset
    recorded_at: Timestamp
    token: str | None = None


class LookedAt(BaseModel):
    """Offsets [start, end) of a topic's partition that were searched."""

    topic: str
    shard: int
    start: int
    end: int
    first: int
    whole: bool


class Shown(BaseModel):
    """All that the ledger has of an id."""

    transaction_id: str
    state: Annotated[
        Literal["compared", "posted", "decided", "waiting", "void", "refused"],
        Field(description="That of the newest one."),
    ]
    reversed_by: Annotated[list[ReversedBy], Field(description="What reverses the newest one.")]
    transactions: list[ShownTransaction]
    refusals: list[ShownRefusal]
    repetitions: list[Record]
    waiting: list[Record]
    looked_at: list[LookedAt]
    posted_to: dict[str, int]
    complete: bool
    unknown: list[str]
