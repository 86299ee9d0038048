"""`GET /v1/breaks`: the open breaks."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import allowed
from ledger.api.cursors import Cursors
from ledger.api.parameters import Cursor, Under, limit_query, new_router
from ledger.api.problems import answers
from ledger.api.routes.accounts import visible
from ledger.api.routes.models import Breaks
from ledger.api.services.breaks import BreakQuery, BreaksService

MOST = 1_000
MOST_SHARDS = 512
MAX_CURRENCY = 64


def router(service: BreaksService, cursors: Cursors) -> APIRouter:
    """The routes over this service."""
    made = new_router("checks")

    @made.get(
        "/breaks", response_model=Breaks, responses=answers("CURSOR_INVALID", "KAFKA_UNAVAILABLE")
    )
    async def list_breaks(
        caller: Annotated[Caller, allowed("finance")],
        under: Under = None,
        currency: Annotated[str | None, Query(max_length=MAX_CURRENCY)] = None,
        shard: Annotated[int | None, Query(ge=0, lt=MOST_SHARDS)] = None,
        cursor: Cursor = None,
        limit: int = limit_query(100, MOST),
    ) -> Any:
        """Stripes on which stream and general ledger disagree now: there should be none."""
        query = {"of": "breaks", "under": under, "currency": currency, "shard": shard}
        roots = visible(caller, under)
        place = cursors.read(query, cursor) if cursor else None
        found = service.breaks(
            roots, BreakQuery(currency, shard),
            after=None if place is None else (place[0], place[1], place[2]), limit=limit + 1,
        )  # fmt: skip
        last = found[limit - 1] if len(found) > limit else None
        following = last and [last["account"], last["currency"], last["shard"]]
        return {
            "breaks": found[:limit],
            "next": cursors.write(query, following) if following else None,
        }

    return made
