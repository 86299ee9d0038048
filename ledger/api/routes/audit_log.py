"""`GET /v1/audit-log`: who changed what through the API, when, from where, and the outcome."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import allowed
from ledger.api.parameters import Cursor, Time, limit_query, new_router
from ledger.api.problems import answers
from ledger.api.routes.models import Next, Timestamp
from ledger.api.services.audit_log import AuditLogService
from ledger.client.audit_reader import AuditSelection

LONGEST = 512
Text = Annotated[str | None, Query(max_length=LONGEST)]


class AuditRecord(BaseModel):
    """An action, before it (outcome `begun`) or after it; both have the same `request`."""

    at: Timestamp
    offset: Annotated[int, Field(description="Its place in the audit log.")]
    request: str
    who: Annotated[str, Field(description="token:ID, oidc:SUBJECT, or command:USER.")]
    action: Annotated[str, Field(description="Such as transactions.publish or tokens.create.")]
    targets: Annotated[list[str], Field(description="Ids of transactions, or of tokens.")]
    source: Annotated[str, Field(description="The client's address, or a command's host.")]
    outcome: Annotated[str, Field(description="begun; afterwards what became of it.")]
    detail: str


class AuditLog(BaseModel):
    """A page, the oldest first. It may have fewer records than `limit` though `next` is there."""

    records: list[AuditRecord]
    next: Next


def router(service: AuditLogService) -> APIRouter:
    """The routes over this service."""
    made = new_router("ledger")

    @made.get(
        "/audit-log",
        response_model=AuditLog,
        responses=answers("KAFKA_UNAVAILABLE", "CURSOR_INVALID"),
    )
    async def list_audit_log(
        caller: Annotated[Caller, allowed("finance")],
        start: Annotated[
            Time | None, Query(alias="from", description="At or after this: RFC 3339.")
        ] = None,
        end: Annotated[Time | None, Query(alias="to", description="Before this.")] = None,
        who: Annotated[Text, Query(description="By this one, such as token:3kTMd7Qz0a.")] = None,
        action: Annotated[Text, Query(description="This action, such as tokens.create.")] = None,
        target: Annotated[Text, Query(description="Done to this transaction or token.")] = None,
        limit: int = limit_query(100, 1_000),
        cursor: Cursor = None,
    ) -> Any:
        """Who changed what through the API, when, from where, and the outcome.

        A page is of at most 20,000 records of the log, so that a rare selection has pages without
        records before its end.
        """
        caller.require_all_accounts()
        wanted = AuditSelection(start, end, who, action, target)
        query = {"list": "audit-log", "from": start, "to": end, "who": who, "action": action,
                 "target": target}  # fmt: skip
        return await service.page(wanted, query, cursor, limit)

    return made
