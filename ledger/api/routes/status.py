"""`GET /v1/status`: how far each shard is."""

from typing import Annotated, Any

from fastapi import APIRouter

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import allowed
from ledger.api.parameters import new_router
from ledger.api.problems import answers
from ledger.api.routes.models import Status
from ledger.api.services.status import StatusService


def router(service: StatusService) -> APIRouter:
    """The routes over this service."""
    made = new_router("ledger")

    @made.get("/status", response_model=Status, responses=answers("KAFKA_UNAVAILABLE"))
    async def get_status(caller: Annotated[Caller, allowed("read")]) -> Any:
        """How far each shard is, and whether everything in the log is reconciled."""
        return await service.status()

    return made
