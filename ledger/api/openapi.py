"""The OpenAPI 3.1 document: what FastAPI derives, with every answer that is a problem."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ledger.api.access.dependencies import name_scopes
from ledger.api.parameters import StrictRoute
from ledger.api.problems import COMMON, OF_BODIES, OF_CALLERS, SCHEMA, answers
from ledger.api.routes.transaction_models import COMPONENTS

DESCRIPTION = (
    "Amounts are decimal text with their currency, never JSON numbers. Times are RFC 3339. Errors "
    "are problem details (RFC 9457) with a stable `code`. A list is read page by page: give `next` "
    "of an answer as `cursor` of the same query until it is null. An answer has a `token`; as "
    "`after` of any read, at any API process, it has that read include what the answer does."
)
TAGS = [
    {"name": "transactions", "description": "Publish, take back, and see what became of one."},
    {"name": "balances", "description": "What accounts have, now or at another time, and why."},
    {"name": "accounts", "description": "What is declared and in use, and an account's lines."},
    {"name": "live", "description": "Balances as they change: server-sent events. The WebSocket "
                                    "of the same path is described in docs/api.md."},
    {"name": "checks", "description": "Where stream and general ledger disagree."},
    {"name": "ledger", "description": "The ledger as a whole."},
]  # fmt: skip


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            tags=TAGS,
            openapi_version="3.1.0",
            routes=app.routes,
        )
        _describe_problems(made)
        _describe_bodies(made, app)
        _describe_answers(made)
        _describe_parameters(made)
        app.openapi_schema = made
    return app.openapi_schema


def _describe_problems(made: dict[str, Any]) -> None:
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = SCHEMA
    schemas |= COMPONENTS
    for operation in _operations(made):
        responses = operation["responses"]
        # FastAPI's own answer to invalid parameters, which are status 400 here.
        if "HTTPValidationError" in str(responses.get("422", "")):
            del responses["422"]
        codes = (
            *COMMON,
            *(OF_BODIES if "requestBody" in operation else ()),
            *(OF_CALLERS if name_scopes(operation) else ()),
        )
        for status, found in answers(*codes).items():
            _add(responses, str(status), found)
        operation["responses"] = dict(sorted(responses.items()))


def _describe_bodies(made: dict[str, Any], app: FastAPI) -> None:
    for route in app.routes:
        if isinstance(route, StrictRoute) and route.body_field is not None:
            for method in route.methods or ():
                operation = made["paths"][route.path_format][method.lower()]
                operation["requestBody"]["description"] = f"At most {route.max_body:,} bytes."
                operation["requestBody"]["x-max-bytes"] = route.max_body


def _describe_answers(made: dict[str, Any]) -> None:
    """Say of what is answered what its schema says, in the place of FastAPI's words."""
    schemas = made["components"]["schemas"]
    for operation in _operations(made):
        for found in operation["responses"].values():
            if found["description"] == "Successful Response":
                schema = found["content"]["application/json"]["schema"]
                found["description"] = schemas[schema["$ref"].rpartition("/")[2]]["description"]


def _describe_parameters(made: dict[str, Any]) -> None:
    """Leave null out: a parameter that is not required is left out, and never null."""
    for operation in _operations(made):
        for parameter in operation.get("parameters", ()):
            schema = parameter["schema"]
            some = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
            if len(some) == 1:
                del schema["anyOf"]
                parameter["schema"] = some[0] | schema


def _add(responses: dict[str, Any], status: str, found: dict[str, Any]) -> None:
    known = responses.get(status)
    if known is None:
        responses[status] = found
        return
    missing = [line for line in found["description"].split("`")[1::2]
               if f"`{line}`" not in known["description"]]  # fmt: skip
    if missing:
        more = answers(*missing)[int(status)]["description"]
        known["description"] = f"{known['description']} {more}"


def _operations(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in made["paths"].values():
        for method, operation in path.items():
            if method in ("get", "post", "put", "patch", "delete"):
                yield operation
