"""Problem details (RFC 9457): every code with its status and title, and the exception that is one.

    {"type": "urn:faust-ledger:problem:UNKNOWN_PARAMETER", "title": "Unknown query parameter",
     "status": 400, "detail": "...", "instance": "/v1/accounts", "code": "UNKNOWN_PARAMETER",
     "field": "limti"}

A refusal of the ledger is a problem with status 422 and the refusal's own code.
"""

import json
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from ledger.domain.refusal import Reason, Refused

MEDIA_TYPE = "application/problem+json"
TYPE = "urn:faust-ledger:problem:"
RETRY_SECONDS = 2
"""What a client is asked to wait where nothing better is known."""


class Kind(NamedTuple):
    """What is the same in every problem of a code."""

    status: int
    title: str


PROBLEMS: Mapping[str, Kind] = MappingProxyType({
    "MALFORMED_REQUEST": Kind(400, "The request is not HTTP as the API reads it"),
    "MALFORMED_PATH": Kind(400, "The path cannot be read"),
    "UNKNOWN_PARAMETER": Kind(400, "Unknown query parameter"),
    "DUPLICATE_PARAMETER": Kind(400, "Query parameter given twice"),
    "INVALID_PARAMETER": Kind(400, "A parameter has a value that it cannot have"),
    "MALFORMED_BODY": Kind(400, "The body is not JSON as the API reads it"),
    "INVALID_BODY": Kind(400, "The body has a value that it cannot have"),
    "CURSOR_INVALID": Kind(400, "The cursor is not of this query"),
    "TOKEN_INVALID": Kind(400, "The position token is not of this ledger"),
    "UNAUTHENTICATED": Kind(401, "No valid bearer token"),
    "FORBIDDEN": Kind(403, "The bearer token does not allow this"),
    "NOT_FOUND": Kind(404, "Not found"),
    "METHOD_NOT_ALLOWED": Kind(405, "The resource has no such method"),
    "NOT_ACCEPTABLE": Kind(406, "The answer cannot be had in that form"),
    "REQUEST_TIMEOUT": Kind(408, "The request took too long to arrive"),
    "CONFLICT": Kind(409, "Contradicts what is there"),
    "NOT_REVERSIBLE": Kind(409, "The transaction cannot be taken back"),
    "BODY_TOO_LARGE": Kind(413, "The body is too large"),
    "UNSUPPORTED_MEDIA_TYPE": Kind(415, "The body must be JSON"),
    "IDEMPOTENCY_KEY_MISMATCH": Kind(422, "The key and the transaction's id differ"),
    "TOO_MANY_BALANCES": Kind(400, "More balances than one subscription may have"),
    "TOO_MANY_CONNECTIONS": Kind(429, "Too many live connections"),
    "TOO_MANY_SUBSCRIPTIONS": Kind(429, "Too many live subscriptions"),
    "REFUSED": Kind(422, "The ledger refused the transaction, by a rule of a later version"),
    "TOO_MANY_REQUESTS": Kind(429, "Too many requests"),
    "HEADERS_TOO_LARGE": Kind(431, "The request's headers are too large"),
    "FAULT": Kind(500, "A fault of the ledger"),
    "OVERLOADED": Kind(503, "More requests than this API process answers at once"),
    "STOPPING": Kind(503, "The API process stops"),
    "VIEW_NOT_READY": Kind(503, "The balance view is not ready"),
    "KAFKA_UNAVAILABLE": Kind(503, "Kafka or the schema registry does not answer"),
    "ISSUER_UNAVAILABLE": Kind(503, "The OpenID Connect issuer does not answer"),
    "OUTCOME_UNKNOWN": Kind(503, "Whether the log has the transaction is not known"),
    "DATABASE_UNAVAILABLE": Kind(503, "The general ledger's database does not answer"),
    "NOT_YET": Kind(504, "Not within the time that was given"),
})  # fmt: skip
"""Every code of the API; a code never changes its meaning, nor its status."""
REFUSED = 422
REFUSALS: Mapping[str, Kind] = MappingProxyType({
    each.value: Kind(REFUSED, each.value.replace("_", " ").capitalize()) for each in Reason
})  # fmt: skip
"""The refusals of docs/producers.md, which writes answer with."""
WAITED = frozenset(code for code, kind in PROBLEMS.items() if kind.status in (429, 503))
"""Codes whose answer has Retry-After."""


class Problem(Exception):
    """An answer that is a problem; `more` has members beside those of every problem."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        field: str = "",
        headers: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.kind = PROBLEMS.get(code) or REFUSALS[code]
        self.code, self.detail, self.field, self.more = code, detail, field, more
        self.headers = dict(headers or {})
        if code in WAITED:
            self.headers["Retry-After"] = str(max(1, round(retry_after or RETRY_SECONDS)))

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.kind.status

    def body(self, instance: str) -> bytes:
        """The JSON object; `instance` is the path that was asked for, as it was sent."""
        found: dict[str, Any] = {
            "type": TYPE + self.code,
            "title": self.kind.title,
            "status": self.kind.status,
            "detail": self.detail,
            "instance": instance,
            "code": self.code,
        }
        found |= {**({"field": self.field} if self.field else {}), **self.more}
        # In ASCII, whatever the client has sent.
        return json.dumps(found).encode()


def refusal(refused: Refused, **more: Any) -> Problem:
    """The problem that a refusal of the ledger is."""
    return Problem(refused.reason.value, refused.sentence, field=refused.field, **more)


SCHEMA = {
    "title": "Problem",
    "description": "What went wrong (RFC 9457). `code` is stable; `detail` is for people.",
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "code": {"type": "string"},
        "field": {"type": "string", "description": "The parameter or field that it is about."},
    },
}
"""The schema of every problem, for the OpenAPI document."""
COMMON = (
    "MALFORMED_REQUEST", "MALFORMED_PATH", "UNKNOWN_PARAMETER", "DUPLICATE_PARAMETER",
    "INVALID_PARAMETER", "REQUEST_TIMEOUT", "HEADERS_TOO_LARGE", "FAULT", "OVERLOADED",
    "STOPPING",
)  # fmt: skip
"""Codes that every route may answer with."""
OF_BODIES = ("MALFORMED_BODY", "INVALID_BODY", "BODY_TOO_LARGE",
             "UNSUPPORTED_MEDIA_TYPE")  # fmt: skip
"""Codes of a route that takes a body."""

OF_CALLERS = ("UNAUTHENTICATED", "FORBIDDEN", "TOO_MANY_REQUESTS", "KAFKA_UNAVAILABLE",
              "ISSUER_UNAVAILABLE")  # fmt: skip
"""Codes of a route that needs a scope."""


def answers(*codes: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: the answers with these codes, by status.

    Those of COMMON, and for a route with a body those of OF_BODIES, are added to every route.
    """
    by_status: dict[int, list[str]] = {}
    for code in codes:
        kind = PROBLEMS.get(code) or REFUSALS[code]
        by_status.setdefault(kind.status, []).append(code)
    return {status: _answer(status, some) for status, some in sorted(by_status.items())}


def _answer(status: int, codes: Iterable[str]) -> dict[str, Any]:
    lines = [f"`{code}`: {(PROBLEMS.get(code) or REFUSALS[code]).title}." for code in codes]
    found: dict[str, Any] = {
        "description": " ".join(lines),
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if status in (429, 503):
        found["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}
        }
    return found
