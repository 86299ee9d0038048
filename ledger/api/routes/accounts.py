"""`GET /v1/accounts` and `GET /v1/accounts/{account}`: what is declared, and what is in use."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import allowed
from ledger.api.cursors import Cursors
from ledger.api.parameters import AccountPath, Cursor, Under, limit_query, new_router
from ledger.api.problems import Problem, answers
from ledger.api.routes.models import Account, Accounts
from ledger.api.services.accounts import AccountQuery, AccountsService, State, is_below, roots_of
from ledger.clock import now

MOST = 1_000


def router(service: AccountsService, cursors: Cursors) -> APIRouter:
    """The routes over this service."""
    made = new_router("accounts")

    @made.get(
        "/accounts",
        response_model=Accounts,
        responses=answers("CURSOR_INVALID", "KAFKA_UNAVAILABLE", "VIEW_NOT_READY"),
    )
    async def list_accounts(
        caller: Annotated[Caller, allowed("read")],
        under: Under = None,
        declared: Annotated[
            bool | None, Query(description="Only declared accounts, or only the others.")
        ] = None,
        state: Annotated[State | None, Query(description="Whether it takes entries now.")] = None,
        cursor: Cursor = None,
        limit: int = limit_query(100, MOST),
    ) -> Any:
        """Accounts that are declared or have entries. A page may have fewer than `limit`."""
        query = {"of": "accounts", "under": under, "declared": declared, "state": state}
        roots = visible(caller, under)
        after = "" if cursor is None else str(cursors.read(query, cursor)[0])
        page = await service.accounts(
            roots, AccountQuery(declared, state), after=after, limit=limit,
            at=now(),
        )  # fmt: skip
        following = None if page.after is None else cursors.write(query, [page.after])
        return {"accounts": page.rows, "next": following}

    @made.get(
        "/accounts/{account}",
        response_model=Account,
        responses=answers("NOT_FOUND", "KAFKA_UNAVAILABLE", "VIEW_NOT_READY"),
    )
    async def get_account(caller: Annotated[Caller, allowed("read")], account: AccountPath) -> Any:
        """One account."""
        caller.require("read", [account])
        found = service.account(account, at=now())
        if found is None:
            raise Problem(
                "NOT_FOUND", f"{account} is neither declared nor in use.", field="account"
            )
        return found

    return made


def visible(caller: Caller, under: str | None) -> list[str]:
    """The paths below which this caller may see what is asked for. Raises Problem 403."""
    if under is None:
        return roots_of(caller.paths)
    if caller.covers(under):
        return [under]
    below = [path for path in caller.paths if is_below(path, [under])]
    if not below:
        caller.require("read", [under])
    return roots_of(below)
