"""The OpenAPI 3.1 document: what FastAPI derives, with every answer that is a problem."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ledger.api.access.dependencies import name_scopes
from ledger.api.parameters import StrictRoute
from ledger.api.problems import COMMON, OF_BODIES, OF_CALLERS, SCHEMA, answers


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            openapi_version="3.1.0",
            routes=app.routes,
        )
        _describe_problems(made)
        _describe_bodies(made, app)
        app.openapi_schema = made
    return app.openapi_schema


def _describe_problems(made: dict[str, Any]) -> None:
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = SCHEMA
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
