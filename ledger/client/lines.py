"""Parses a transaction from a JSON object, the format of `faust-ledger publish`, or refuses it.

    {"transaction_id": "dep-1", "kind": "deposit", "effective_at": "2024-05-01T14:00:00Z",
     "entries": [{"account": "assets:cash", "side": "debit", "amount": "12.34", "currency": "CAD"},
                 {"account": "liabilities:deposits:2378", "side": "credit", "amount": "12.34",
                  "currency": "CAD"}]}

Optional: description, ordering_key, created_at, reverses, metadata. An unknown field is refused, so
that a misspelt name of an optional field is found.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ledger.domain.refusal import Reason, Refused
from ledger.domain.transaction import Draft, DraftEntry

MAX_LINE = 4 * 1024 * 1024
"""Bytes of a line; the largest record in Kafka is far smaller."""
MAX_PATH = 100
"""Characters of a field's name that a message repeats."""

REQUIRED = ("transaction_id", "kind", "effective_at", "entries")
OPTIONAL = ("description", "ordering_key", "created_at", "reverses", "metadata")
ENTRY = ("account", "side", "amount", "currency")

# No library fits: ciso8601, pyRFC3339 and `fromisoformat` cut long fractions and know no year 0.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):\d\d:\d\d(?:\.(?P<fraction>\d+))?"
    r"(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CYCLE = 146_097 * 86_400_000_000
"""Microseconds of 400 years, after which the calendar repeats."""


class Malformed(Exception):
    """Carries a refusal to the parser of the whole line."""

    def __init__(self, refused: Refused) -> None:
        self.refused = refused


def read(line: bytes | str, *, created_at: int | None) -> Draft | Refused:
    """The transaction in `line`; `created_at` (microseconds since 1970) is its default."""
    found = read_object(line)
    return found if isinstance(found, Refused) else draft_of(found, created_at=created_at)


def read_object(line: bytes | str) -> dict[str, Any] | Refused:
    """The JSON object in `line`, which is UTF-8 and has no name twice."""
    if len(line) > MAX_LINE:
        sentence = f"The line has more than {MAX_LINE} bytes; no transaction needs so many."
        return Refused(Reason.TOO_LARGE, sentence)
    try:
        text = line.decode() if isinstance(line, bytes) else line
        found = json.loads(text, object_pairs_hook=_without_repeats)
    except Malformed as error:
        return error.refused
    except UnicodeDecodeError as error:
        return Refused(Reason.UNREADABLE, f"The line is not UTF-8: byte {error.start} is wrong.")
    except (ValueError, RecursionError) as error:
        return Refused(Reason.UNREADABLE, _why_unreadable(error))
    if not isinstance(found, dict):
        return Refused(Reason.UNREADABLE, "The line is JSON, but not an object in braces.")
    return found


def _why_unreadable(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "The line is not a transaction: it is nested too deeply."
    if isinstance(error, json.JSONDecodeError):
        return f"The line is not JSON: {error}."
    # Python makes no number of thousands of digits.
    return "The line is not a transaction: a number in it has too many digits."


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise malformed(twice, "is there twice; leave one of them out")
    return found


def draft_of(fields: Mapping[str, Any], *, created_at: int | None) -> Draft | Refused:
    """The transaction in a parsed object; without a default a missing created_at is refused."""
    try:
        check_names(fields, required=REQUIRED, optional=OPTIONAL)
        return Draft(
            transaction_id=text_of(fields, "transaction_id"),
            kind=text_of(fields, "kind"),
            description=optional_text(fields, "description") or "",
            effective_at=time_of(fields, "effective_at"),
            created_at=_created_at(fields, created_at),
            ordering_key=optional_text(fields, "ordering_key"),
            reverses=optional_text(fields, "reverses"),
            entries=_entries(fields["entries"]),
            metadata=_metadata(fields.get("metadata")),
        )
    except Malformed as error:
        return error.refused


def check_names(
    fields: Mapping[str, Any], *, required: Iterable[str], optional: Iterable[str], where: str = ""
) -> None:
    """Raises Malformed unless every required name is there, and no unknown one."""
    for name in required:
        if fields.get(name) is None:
            path = f"{where}{name}"
            raise Malformed(Refused(Reason.FIELD_MISSING, f"{path} is missing; add it.", path))
    known = (*required, *optional)
    for name in fields:
        if name not in known:
            raise malformed(f"{where}{name}", f"is not a field; known are {', '.join(known)}")


def malformed(path: str, what: str) -> Malformed:
    """An exception to raise: `path` names the field, `what` is the rest of the sentence."""
    path = path if len(path) <= MAX_PATH else f"{path[:MAX_PATH]}..."
    return Malformed(Refused(Reason.FIELD_MALFORMED, f"{path} {what}.", path))


def text_of(fields: Mapping[str, Any], name: str, where: str = "") -> str:
    """The string of an existing field. Raises Malformed."""
    found = fields[name]
    if not isinstance(found, str):
        raise malformed(f"{where}{name}", f"is {_kind(found)} and must be a string in quotes")
    return found


def optional_text(fields: Mapping[str, Any], name: str) -> str | None:
    """The string of a field, None if it is missing. Raises Malformed."""
    return None if fields.get(name) is None else text_of(fields, name)


def _kind(found: object) -> str:
    kinds = {bool: "true or false", int: "a number", float: "a number", list: "an array"}
    return kinds.get(type(found), "an object" if isinstance(found, dict) else "null")


def time_of(fields: Mapping[str, Any], name: str) -> int:
    """The RFC 3339 time of a field, in microseconds since 1970. Raises Malformed."""
    found = parse_time(text_of(fields, name))
    if isinstance(found, str):
        raise malformed(name, found)
    return found


def _created_at(fields: Mapping[str, Any], default: int | None) -> int:
    if fields.get("created_at") is not None:
        return time_of(fields, "created_at")
    if default is None:
        sentence = "created_at is missing; give the time when the producer made the transaction."
        raise Malformed(Refused(Reason.FIELD_MISSING, sentence, "created_at"))
    return default


def _entries(found: Any) -> Sequence[DraftEntry]:
    if not isinstance(found, list):
        raise malformed("entries", f"is {_kind(found)} and must be an array in brackets")
    return [_entry(each, f"entries[{index}]") for index, each in enumerate(found)]


def _entry(found: Any, path: str) -> DraftEntry:
    if not isinstance(found, dict):
        raise malformed(path, f"is {_kind(found)} and must be an object in braces")
    where = f"{path}."
    check_names(found, required=ENTRY, optional=(), where=where)
    if isinstance(found["amount"], int | float):
        what = 'is a number and must be a string such as "12.34": a JSON number is never money'
        raise malformed(f"{where}amount", what)
    side = text_of(found, "side", where)
    if side not in ("debit", "credit"):
        raise malformed(f"{where}side", "is neither debit nor credit")
    return DraftEntry(
        account=text_of(found, "account", where),
        side="debit" if side == "debit" else "credit",
        amount=text_of(found, "amount", where),
        currency=text_of(found, "currency", where),
    )


def _metadata(found: Any) -> Mapping[str, str]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise malformed("metadata", f"is {_kind(found)} and must be an object in braces")
    for name in found:
        text_of(found, name, "metadata.")
    return found


def parse_time(text: str) -> int | str:
    """Microseconds since 1970 of an RFC 3339 time, or what is wrong with it.

    The years are 0 to 9999. Leap seconds and fractions of a microsecond are refused.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return "is not an RFC 3339 time with an offset, such as 2024-05-01T14:00:00Z"
    fraction = match["fraction"] or ""
    if len(fraction) > 6:  # noqa: PLR2004 - the digits of a microsecond
        return f"is finer than a microsecond: {len(fraction)} digits after the point"
    # Python has no year 0, whose calendar is that of the year 400.
    is_year_0 = text.startswith("0000")
    try:
        # It takes more forms than RFC 3339 has; the pattern refuses those.
        time = datetime.fromisoformat(f"0400{text[4:]}".upper() if is_year_0 else text.upper())
    except ValueError:
        return "names a day or an hour that does not exist"
    return (time - _EPOCH) // _MICROSECOND - is_year_0 * _CYCLE
