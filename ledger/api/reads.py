"""What reads have in common: the position that an answer must count, and decimals of currencies."""

import time
from typing import Annotated, Literal

from fastapi import Query

from ledger.api import parameters
from ledger.api.database import Database
from ledger.api.flow.flow import Flow
from ledger.api.parameters import Time
from ledger.api.positions import Position, is_token, positions_of
from ledger.api.problems import Problem
from ledger.api.reference import ApiReference
from ledger.api.services import history
from ledger.api.signing import Signer
from ledger.gl.books import Books

After = Annotated[
    str | None,
    Query(
        max_length=16_384,
        description="The `token` of a write, or a transaction_id: the answer counts it, and waits "
        "for that up to `timeout`. What begins with `pos.` is a token.",
    ),
]
Timeout = parameters.Timeout
AsOf = Annotated[
    Time | None, Query(description="Count entries strictly before this time, RFC 3339, on `by`.")
]
By = Annotated[
    Literal["effective", "recorded"] | None,
    Query(description="Which time `as_of` is about; `effective` if not given."),
]
EffectiveBefore = Annotated[
    Time | None, Query(description="Count entries that are effective strictly before this.")
]
RecordedBefore = Annotated[
    Time | None, Query(description="Count entries that were recorded strictly before this.")
]


class Reads:
    """Reads a position token, or finds the transaction with an id."""

    def __init__(
        self, signer: Signer, flow: Flow, reference: ApiReference, database: Database[Books]
    ) -> None:
        self._signer, self._flow = signer, flow
        self._reference, self._database = reference, database

    async def after(self, text: str | None, seconds: float) -> history.After | None:
        """By shard the offset that must be counted, and how long may still be waited.

        Raises Problem for a token that was altered, and for an id that has not been seen in time.
        """
        if text is None:
            return None
        if is_token(text):
            return history.After(positions_of(self._signer, text), seconds)
        until = time.monotonic() + seconds
        place = await self._find(text, seconds)
        if place is None:
            raise Problem(
                "NOT_YET",
                f"No transaction with the id {text[:128]} was decided while this waited. A token "
                "of its write names it for as long as the log has it.",
                field="after",
            )
        left = max(until - time.monotonic(), 0)
        return history.After({place.shard: place.offset}, left)

    async def _find(self, transaction_id: str, seconds: float) -> Position | None:
        """Where the id was accepted: lately, at any time, or while this waits."""
        known = await self._flow.find(transaction_id)
        if known is not None:
            return known
        try:
            found = await self._database.ask(lambda books: books.accepted([transaction_id]))
        except Problem:
            # What is accepted from now on is known without the database.
            found = {}
        if (accepted := found.get(transaction_id)) is not None:
            return Position(accepted.shard, accepted.offset)
        return await self._flow.find(transaction_id, seconds)

    def scale(self, currency: str) -> int:
        """The decimals of a currency. Raises Problem for one that the ledger does not have."""
        scale = self._reference.known.scales.get(currency)
        if scale is None:
            raise Problem(
                "NOT_FOUND", f"The ledger has no currency {currency}; /v1/assets has all.",
                field="currency",
            )  # fmt: skip
        return scale
