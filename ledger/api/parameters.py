"""Strict parsing of what a client sends: query parameters, paths and JSON bodies.

Whatever the API does not know is refused and never ignored.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin
from urllib.parse import parse_qsl, unquote_to_bytes

import pydantic_core
from fastapi import APIRouter, Path, Query, Request, Response, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from starlette.convertors import Convertor, register_url_convertor

from ledger.api.access.dependencies import guard_of
from ledger.api.problems import Problem
from ledger.client.drafts import EARLIEST_SHOWN, LATEST_SHOWN
from ledger.client.lines import parse_time
from ledger.domain.account import MAX_ACCOUNT, well_formed
from ledger.errors import LedgerError

MAX_BODY = 1024 * 1024
"""Bytes of a body where a route names no other limit."""
MAX_DEPTH = 32
"""Nesting of arrays and objects in a body."""
MAX_PARAMETERS = 100
MAX_QUERY = 32_768
"""Bytes of a query string: a position token of many shards is long."""
ENCODED_SLASH = "\udc2f"
"""Stands in a decoded path for a slash that was percent-encoded, which separates nothing."""
BODY_LIMIT = "max_body_bytes"

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def body_limit(size: int) -> Callable[[Endpoint], Endpoint]:
    """Let a route's body have `size` bytes, not MAX_BODY; goes below the route's decorator."""

    def marked(endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, BODY_LIMIT, size)
        return endpoint

    return marked


class _Slashed(Convertor[str]):
    """One or more segments of a path: `{transaction_id:slashed}`."""

    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("slashed", _Slashed())


def new_router(tag: str) -> APIRouter:
    """A router for the resources of one file, below /v1."""
    return APIRouter(
        prefix="/v1", route_class=StrictRoute, tags=[tag],
        # Clients that are generated from the document name their functions so.
        generate_unique_id_function=lambda route: route.name,
    )  # fmt: skip


class StrictRoute(APIRoute):
    """A route that refuses unknown and repeated query parameters, and reads JSON strictly.

    It asks who calls before it looks at anything else, or reads a body. One that is in the OpenAPI
    document names its scope with `allowed`; LedgerError otherwise.
    """

    @property
    def max_body(self) -> int:
        """Bytes that a body may have."""
        return int(getattr(self.endpoint, BODY_LIMIT, MAX_BODY))

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        guard = guard_of(self.dependant)
        if guard is None and self.include_in_schema:
            raise LedgerError(f"The route {self.path} names no scope: see ledger/api/access.")
        known = dict(_query_parameters(self))
        limit = self.max_body
        body = self.body_field
        has_body = body is not None
        may_lack_it = body is not None and not body.field_info.is_required()

        async def strictly(request: Request) -> Response:
            if guard is not None:
                await guard(request)
            if request.scope["query_string"]:
                check_query(request.scope["query_string"], known)
            if may_lack_it and _has_none(request):
                request._body = b""
            elif has_body:
                # Where Starlette keeps what it has read, and FastAPI asks it for that.
                request._body = await read_body(request, limit)
                request._json = parse_json(request._body)
            return await handle(request)

        return strictly


def _has_none(request: Request) -> bool:
    """Whether a request came without a body."""
    headers = request.headers
    return headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers


def _query_parameters(route: APIRoute) -> Iterable[tuple[str, bool]]:
    """By name, whether each query parameter may be repeated."""
    for field in get_flat_params(route.dependant):
        if not isinstance(field.field_info, params.Path | params.Header | params.Cookie):
            yield field.alias, _is_list(field.field_info.annotation)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(map(_is_list, get_args(annotation)))


def check_query(query: bytes, known: dict[str, bool]) -> None:
    """Raises Problem unless every parameter is known, UTF-8, and given once or a list."""
    if len(query) > MAX_QUERY:
        raise Problem("INVALID_PARAMETER", f"The query has more than {MAX_QUERY} bytes.")
    try:
        text = query.decode("ascii")
        pairs = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS
        )
    except ValueError as error:
        why = "is not percent-encoded UTF-8" if isinstance(error, UnicodeError) else str(error)
        raise Problem("INVALID_PARAMETER", f"The query cannot be read: {why}.") from None
    for name, count in Counter(name for name, _ in pairs).items():
        if name not in known:
            listed = ", ".join(sorted(known)) or "none"
            raise Problem(
                "UNKNOWN_PARAMETER",
                f"{_shown(name)} is no parameter of this resource; it takes: {listed}.",
                field=_shown(name),
            )
        if count > 1 and not known[name]:
            raise Problem(
                "DUPLICATE_PARAMETER", f"{name} is given {count} times; give it once.", field=name
            )
    for name, value in pairs:
        if "\0" in value:
            raise Problem("INVALID_PARAMETER", f"{name} has a NUL character.", field=name)


def _shown(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:40]}…"  # noqa: PLR2004 - enough to find it


async def read_body(request: Request, limit: int) -> bytes:
    """The body, JSON by its media type. Raises Problem before more than `limit` bytes are held."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json" and not (
        media.startswith("application/") and media.endswith("+json")
    ):
        shown = f" and not {_shown(media)}" if media else ""
        raise Problem("UNSUPPORTED_MEDIA_TYPE", f"Send the body as application/json{shown}.")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem("UNSUPPORTED_MEDIA_TYPE", "Send the body uncompressed.")
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or int(announced) > limit:
        raise _too_large(limit)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise _too_large(limit)
    return bytes(body)


def _too_large(limit: int) -> Problem:
    return Problem("BODY_TOO_LARGE", f"The body has more than {limit} bytes.", limit_bytes=limit)


def parse_json(body: bytes) -> Any:
    """A JSON value: UTF-8, no name twice in an object, no NaN, nested at most MAX_DEPTH deep."""
    try:
        # It bounds what it takes, where the standard library's parser recurses.
        pydantic_core.from_json(body, allow_inf_nan=False)
        _check_depth(body)
        return json.loads(body, object_pairs_hook=_without_repeats, parse_float=_finite)
    except RecursionError:
        raise _malformed("It is nested too deeply.") from None
    except UnicodeDecodeError as error:
        raise _malformed(f"It is not UTF-8: byte {error.start} is wrong.") from None
    except ValueError as error:
        raise _malformed(f"{error}.") from None


_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def _check_depth(body: bytes) -> None:
    if body.count(b"[") + body.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", body)):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise _malformed(f"It is nested more than {MAX_DEPTH} deep.")


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise Problem("MALFORMED_BODY", f"{_shown(twice)} is there twice in one object.",
                      field=_shown(twice))  # fmt: skip
    return found


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{_shown(text)} is too large for a number")
    return number


def _malformed(why: str) -> Problem:
    return Problem("MALFORMED_BODY", f"The body is not JSON as the API reads it. {why}")


def decoded_path(raw: bytes) -> str:
    """A path with every segment decoded; an encoded slash in one becomes ENCODED_SLASH.

    Raises Problem for what is not UTF-8, and for a NUL.
    """
    try:
        segments = [unquote_to_bytes(each).decode() for each in raw.split(b"/")]
    except UnicodeDecodeError:
        raise Problem("MALFORMED_PATH", "The path is not percent-encoded UTF-8.") from None
    if any("\0" in each for each in segments):
        raise Problem("MALFORMED_PATH", "The path has a NUL character.")
    return "/".join(each.replace("/", ENCODED_SLASH) for each in segments)


def with_slashes(text: Any) -> Any:
    """A path parameter whose encoded slashes are slashes again."""
    return text.replace(ENCODED_SLASH, "/") if isinstance(text, str) else text


def _account(text: str) -> str:
    if not well_formed(text):
        raise ValueError("it is no account such as liabilities:deposits:2378")
    return text


def account_path(text: str) -> str:
    """An account's code, or its first segments. Raises ValueError for what is neither."""
    # One segment alone, such as `liabilities`, is above accounts and none itself.
    if not well_formed(text) and not well_formed(f"{text}:a"):
        raise ValueError("it is no path of accounts such as liabilities:deposits")
    return text


_BLANK_OFFSET = re.compile(r" \d\d:\d\d$")
"""Of a time whose + was not percent-encoded."""


def microseconds(text: Any) -> int:
    """Microseconds since 1970 of an RFC 3339 time with its offset from UTC."""
    if not isinstance(text, str):
        raise ValueError("it is no text")  # noqa: TRY004 - pydantic reports ValueError
    found = parse_time(text)
    if isinstance(found, str):
        blank = ". In an address a + is a blank: write it %2B" if _BLANK_OFFSET.search(text) else ""
        raise ValueError(f"it {found}{blank}")  # noqa: TRY004 - pydantic reports ValueError
    if not EARLIEST_SHOWN <= found <= LATEST_SHOWN:
        raise ValueError("it is outside the years 1 to 9999 in UTC, so no answer could name it")
    return found


AccountPath = Annotated[
    str,
    Path(description="An account, such as `liabilities:deposits:2378`.", max_length=MAX_ACCOUNT),
    AfterValidator(_account),
]
AccountCode = Annotated[str, AfterValidator(_account)]
Under = Annotated[
    str | None,
    Query(description="Only this account and those below it.", max_length=MAX_ACCOUNT),
    AfterValidator(lambda text: None if text is None else account_path(text)),
]
TransactionId = Annotated[
    str,
    BeforeValidator(with_slashes),
    Path(description="A transaction's id; a slash in it as `/` or `%2F`.", max_length=512),
]
Time = Annotated[
    int,
    BeforeValidator(microseconds),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-30T15:00:00Z"]}),
]
"""Microseconds since 1970, of a text."""
Cursor = Annotated[
    str | None,
    Query(description="`next` (or `previous`) of an earlier answer to the same query."),
]
Timeout = Annotated[
    float, Query(description="Seconds that the answer may wait.", ge=0, le=60, allow_inf_nan=False)
]
Order = Literal["asc", "desc"]


def limit_query(default: int, most: int) -> Any:
    """A `limit` of at most `most` rows."""
    return Query(default, description="Most rows of the answer.", ge=1, le=most)
