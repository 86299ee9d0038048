"""Records of the transactions' log, and the decisions about them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ledger.audit.chain import Void, stripes_of
from ledger.domain.run import Refusal, Stripe
from ledger.gl.rows import PostedTransaction

Decided = PostedTransaction | Refusal | Void | str
"""The decision about a record; a text for a repetition."""
VOID_KIND = "ledger.void"
REFUSAL_BYTES = 1_048_576
"""Bytes that a refusal keeps of a record's key and of its value; the log may have more."""


class LogRecord(NamedTuple):
    """A record of the log; `taken_at` is its own time in microseconds.

    `draft`: the transaction in it; the reason why it cannot be read; None if it was not decoded.
    `code`: of the refusal of a record that cannot be read.
    """

    offset: int
    taken_at: int
    key: bytes | None
    value: bytes | None
    draft: dict[str, Any] | str | None
    code: str = ""


def asks_to_void(draft: Mapping[str, Any]) -> bool:
    """Whether a record asks to void what it reverses: of a kind of its own, without entries."""
    return draft["kind"] == VOID_KIND and not draft["entries"]


def stripes_decided(decided: Decided) -> tuple[Stripe, ...]:
    """The stripes that the decision changes."""
    if isinstance(decided, Void):
        decided = decided.accepted
    return stripes_of(decided.entries) if isinstance(decided, PostedTransaction) else ()


def shown_decision(decided: Decided) -> str:
    """The decision as a sentence has it."""
    match decided:
        case PostedTransaction():
            return f"accepted as {decided.transaction_id!r}"
        case Refusal():
            return "refused"
        case Void():
            return f"the void of {decided.accepted.transaction_id!r}"
        case _:
            return decided
