"""The API as an ASGI application: routers, problems, health, and the OpenAPI document."""

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from ledger.api import openapi
from ledger.api.edge import Edge, fault_of, response_of
from ledger.api.live.encoding import PATH as LIVE
from ledger.api.live.websocket import LiveSockets
from ledger.api.parameters import StrictRoute
from ledger.api.problems import Problem
from ledger.api.quick import Quick
from ledger.api.routes import (
    accounts,
    assets,
    audit_log,
    balances,
    breaks,
    lines,
    live,
    rejects,
    reports,
    status,
    transactions,
    trial_balance,
    why,
)
from ledger.api.wiring import Services
from ledger.errors import Unavailable, sentence
from ledger.gl.journal import JournalUnavailable
from ledger.settings_sources import nearest
from ledger.unfit import why_unfit

OF_STATUS = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED", 413: "BODY_TOO_LARGE"}
"""The codes of Starlette's own answers."""
LISTED = 10
"""Values that a sentence lists; of more it names the nearest one."""
_QUOTED = re.compile("'([^']*)'")


def build_app(services: Services) -> ASGIApp:
    """The whole API over these services."""
    app = FastAPI(
        title="faust-ledger",
        version=version("faust-ledger"),
        summary="A general ledger: write, wait, read, ask why.",
        description=openapi.DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            Problem: _problem,
            RequestValidationError: _invalid,
            HTTPException: _refused_by_framework,
            Unavailable: _unavailable,
            JournalUnavailable: _database_unavailable,
            ClientDisconnect: _gone,
            Exception: _fault,
        },
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.state.services = services
    for router in (
        balances.router(services.balances),
        status.router(services.status),
        assets.router(services.assets, services.cursors),
        accounts.router(services.accounts, services.cursors),
        breaks.router(services.breaks, services.cursors),
        audit_log.router(services.audit_log),
        transactions.router(services.transactions),
        lines.router(services.history),
        trial_balance.router(services.history),
        why.router(services.why),
        rejects.router(services.rejects),
        reports.router(services.reports),
        live.router(services.live, services.access, services.signer),
    ):
        # Not include_router: its routes are whole as they are, and it takes 40 µs a request.
        app.router.routes.extend(router.routes)
    app.router.routes.extend(_health(services).routes)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    sockets = {LIVE: LiveSockets(services.live, services.access)}
    return Edge(app, services.traffic, Quick(services), sockets)


def _health(services: Services) -> APIRouter:
    router = APIRouter(route_class=StrictRoute, include_in_schema=False)

    @router.get("/live")
    async def live() -> Response:
        return JSONResponse({"live": True})

    @router.get("/ready")
    async def ready() -> Response:
        found = services.readiness.report()
        return JSONResponse(found, 200 if found["ready"] else 503)

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(services.traffic.metrics(), media_type=CONTENT_TYPE_LATEST)

    return router


async def _problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return response_of(problem, request.scope)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return response_of(invalid(error.errors()[0]), request.scope)


def invalid(error: Mapping[str, Any]) -> Problem:
    """The problem of one error that pydantic found in parameters or a body."""
    place, *path = error["loc"]
    why = sentence(_why(error))
    if place == "body":
        field = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path)
        return Problem("INVALID_BODY", f"{field[1:] or 'The body'}: {why}", field=field[1:])
    name = ".".join(map(str, path))
    return Problem("INVALID_PARAMETER", f"{name}: {why}", field=name)


def _why(error: Mapping[str, Any]) -> str:
    known = _QUOTED.findall(str((error.get("ctx") or {}).get("expected", "")))
    if len(known) > LISTED:
        near = nearest(str(error["input"]), known)
        return f"it is none of the {len(known)} values that /openapi.json lists.{near}"
    return "it is no field of this body" if error["type"] == "extra_forbidden" else why_unfit(error)


async def _refused_by_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = OF_STATUS.get(error.status_code, "MALFORMED_REQUEST")
    allowed = (error.headers or {}).get("Allow", "other methods")
    detail = {
        "NOT_FOUND": "There is nothing at this path; /openapi.json lists all paths.",
        "METHOD_NOT_ALLOWED": f"This path takes {allowed} and not {request.method}.",
    }.get(code, f"{error.detail}.")
    return response_of(Problem(code, detail, headers=error.headers), request.scope)


async def _unavailable(request: Request, error: Exception) -> Response:
    return response_of(Problem("KAFKA_UNAVAILABLE", str(error)), request.scope)


async def _database_unavailable(request: Request, error: Exception) -> Response:
    return response_of(Problem("DATABASE_UNAVAILABLE", str(error)), request.scope)


async def _gone(request: Request, error: Exception) -> Response:
    """Nobody is there to read it."""
    return Response(status_code=400)


async def _fault(request: Request, error: Exception) -> Response:
    return response_of(fault_of(error, request.scope), request.scope)
