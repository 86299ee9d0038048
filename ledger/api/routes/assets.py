"""`GET /v1/assets`: the assets that transactions may use."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import allowed
from ledger.api.cursors import Cursors
from ledger.api.parameters import Cursor, limit_query, new_router
from ledger.api.problems import answers
from ledger.api.routes.models import Assets
from ledger.api.services.assets import AssetsService

MOST = 1_000


def router(service: AssetsService, cursors: Cursors) -> APIRouter:
    """The routes over this service."""
    made = new_router("ledger")

    @made.get(
        "/assets", response_model=Assets, responses=answers("CURSOR_INVALID", "KAFKA_UNAVAILABLE")
    )
    async def list_assets(
        caller: Annotated[Caller, allowed("read")],
        imported: Annotated[
            bool | None, Query(description="Only those that were imported, or only the others.")
        ] = None,
        cursor: Cursor = None,
        limit: int = limit_query(500, MOST),
    ) -> Any:
        """The currencies of ISO 4217 and what was imported beside them, by code."""
        query = {"of": "assets", "imported": imported}
        after = "" if cursor is None else str(cursors.read(query, cursor)[0])
        found = service.assets(imported=imported, after=after, limit=limit + 1)
        more = len(found) > limit
        return {
            "assets": [each._asdict() for each in found[:limit]],
            "next": cursors.write(query, [found[limit - 1].code]) if more else None,
        }

    return made
