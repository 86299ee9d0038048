"""FastAPI's dependency that names a route's scope, asks who calls, and describes both in OpenAPI.

@router.get("/assets")
async def assets(caller: Annotated[Caller, allowed("read")]) -> ...:
"""

from typing import Any

from fastapi import Security
from fastapi.dependencies.models import Dependant
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from ledger.api.access.caller import Caller
from ledger.domain.access import Scope

SCHEME = "bearer"
DESCRIPTION = (
    "A token of `faust-ledger tokens create`, or one of the OpenID Connect issuer where one is "
    "configured. The names beside it are the scopes that the operation needs: publish, read, "
    "finance (which includes read) or admin (which includes all)."
)
X_SCOPE = "x-scope"


class Allowed(SecurityBase):
    """Callers with a scope; others get 401 or 403."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.model = HTTPBearer(bearerFormat="flt_[0-9A-Za-z]{59}", description=DESCRIPTION)
        self.scheme_name = SCHEME

    async def __call__(self, request: HTTPConnection) -> Caller:
        """The caller, asked for once a request: it counts for the token's rate. Raises Problem."""
        found: Caller | None = request.scope.get(CALLER)
        if found is None:
            found = request.scope[CALLER] = await self.caller(request)
        found.require(self.scope)
        return found

    async def caller(self, request: HTTPConnection) -> Caller:
        """Ask who calls. Raises Problem."""
        who = request.app.state.services.access.who
        address = request.client.host if request.client else ""
        caller: Caller = await who(request.headers.get("authorization"), address)
        return caller


CALLER = "faust_ledger.caller"
"""In the scope of a request: who sent it, once it is known."""


def allowed(scope: str) -> Any:
    """The dependency for callers with `scope`, which is a `Caller`."""
    return Security(Allowed(Scope(scope)), scopes=[scope])


def guard_of(dependant: Dependant) -> Allowed | None:
    """The `Allowed` of a route; None where it has none."""
    return next(
        (each.call for each in dependant.dependencies if isinstance(each.call, Allowed)), None
    )


def name_scopes(operation: dict[str, Any]) -> str | None:
    """Add x-scope to an operation of the OpenAPI document; its scope, None where it needs none."""
    for each in operation.get("security", ()):
        for scope in each.get(SCHEME, ()):
            operation[X_SCOPE] = scope
            return str(scope)
    return None
