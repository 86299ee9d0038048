"""Why a value is refused that came from outside: what pydantic finds, in the ledger's words."""

from collections.abc import Mapping
from typing import Any

MAX_SHOWN = 64
"""Characters of a text from outside that a message repeats."""
SENTENCES = {
    "missing": "it is missing",
    "less_than": "it is not less than {lt}",
    "less_than_equal": "it is more than {le}",
    "greater_than": "it is not more than {gt}",
    "greater_than_equal": "it is less than {ge}",
    "finite_number": "it is no number",
    "too_short": "it has fewer than {min_length}",
    "too_long": "it has more than {max_length}",
    "int_parsing": "it is no whole number",
    "int_type": "it is no whole number",
    "int_from_float": "it is no whole number",
    "float_parsing": "it is no number",
    "float_type": "it is no number",
    "bool_parsing": "it is neither true nor false",
    "bool_type": "it is neither true nor false",
    "literal_error": "it is none of {expected}",
    "enum": "it is none of {expected}",
    "union_tag_invalid": "it is none of {expected_tags}",
    "union_tag_not_found": "it is missing",
    "string_type": "it is no text",
    "string_pattern_mismatch": "it does not match {pattern}",
    "path_type": "it is no path",
    "list_type": "it is no array",
    "dict_type": "it is no object",
    "model_attributes_type": "it is no JSON object",
    "model_type": "it is no JSON object",
    "string_too_short": "it has fewer than {min_length} characters",
    "string_too_long": "it has more than {max_length} characters",
    "extra_forbidden": "there is no such field",
}
"""By the type of an error of pydantic's."""


def why_unfit(error: Mapping[str, Any]) -> str:
    """Why one value is refused, of an error with its context; without a full stop."""
    kind = error["type"]
    if kind in ("value_error", "assertion_error"):
        # Raised by a check of the ledger's own.
        return str(error["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
    known = SENTENCES.get(kind, "it cannot have this value")
    bounds = {name: _whole(each) for name, each in (error.get("ctx") or {}).items()}
    return known.format_map(bounds)


def _whole(bound: Any) -> Any:
    return int(bound) if isinstance(bound, float) and bound.is_integer() else bound


def shown(text: str) -> str:
    """A text from outside in quotes, as a message repeats it."""
    return repr(text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}...")
