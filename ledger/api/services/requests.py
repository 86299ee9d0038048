"""What a client asks for when it writes: the transaction, and how far it waits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.api.flow.fate import Level
from ledger.api.problems import Problem
from ledger.client import lines
from ledger.clock import now
from ledger.domain.checks import MAX_ID
from ledger.domain.refusal import Refused
from ledger.domain.transaction import Draft

KEY = "Idempotency-Key"
DEFAULT_SECONDS = 10.0
LONGEST_SECONDS = 60.0
LONGEST_PREFER = 1_000
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)
_PREFERENCE = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*(?:=\s*("[^"]*"|[^\s;,"]*))?[^,]*')


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait until `level` is reached, `seconds` at most."""

    level: Level
    seconds: float


@dataclass(frozen=True, slots=True)
class Asked:
    """One transaction of a request; `dated`: it has a created_at of its own."""

    draft: Draft
    dated: bool


def wait_of(prefer: str | None, seconds: float | None) -> Wait | None:
    """How far to wait, by the header Prefer (RFC 7240) and the parameter `timeout`.

    `wait` is a level, or the RFC's whole seconds, or both, given twice; seconds alone wait for
    reconciled. The shortest time counts. Other preferences are ignored, as the RFC has it. Raises
    Problem for a `wait` that is neither, and for a `timeout` with nothing to wait for.
    """
    level, limit = _waits(prefer or "")
    if level is None and limit is None:
        if seconds is not None:
            raise Problem(
                "INVALID_PARAMETER",
                "timeout: it needs the header `Prefer: wait=decided`, `posted` or `reconciled`.",
                field="timeout",
            )
        return None
    given = [float(each) for each in (seconds, limit) if each is not None]
    longest = min(*given, LONGEST_SECONDS) if given else DEFAULT_SECONDS
    return Wait(level or Level.RECONCILED, longest)


def _waits(prefer: str) -> tuple[Level | None, int | None]:
    """The first level and the first number of seconds; of others of a kind the RFC ignores all."""
    if len(prefer) > LONGEST_PREFER:
        raise Problem("INVALID_PARAMETER", "Prefer: it is too long.", field="Prefer")
    level, seconds = None, None
    for found in _PREFERENCE.finditer(prefer):
        name, value = found[1].lower(), (found[2] or "").strip('"').lower()
        if name != "wait":
            continue
        if value in set(Level):
            level = level or Level(value)
        elif _SECONDS.fullmatch(value):
            seconds = int(value) if seconds is None else seconds
        else:
            raise Problem(
                "INVALID_PARAMETER",
                "Prefer: wait is one of decided, posted and reconciled, or a number of whole "
                "seconds.",
                field="Prefer",
            )
    return level, seconds


def asked(body: Any, key: str | None) -> Asked | Refused:
    """The transaction in a body; `key`: of the header, its id where the body has none.

    Raises Problem for a key that differs from the body's id.
    """
    if not isinstance(body, dict):
        raise Problem("INVALID_BODY", "A transaction is a JSON object in braces.")
    fields = with_key(body, key)
    draft = lines.draft_of(fields, created_at=now())
    if isinstance(draft, Refused):
        return draft
    return Asked(draft, dated=fields.get("created_at") is not None)


def with_key(fields: Mapping[str, Any], key: str | None) -> Mapping[str, Any]:
    """The fields with the header's key as the id, where they have none."""
    if key is None:
        return fields
    name = _unquoted(key)
    if not name or len(name) > MAX_ID or not name.isascii() or not name.isprintable():
        raise Problem(
            "INVALID_PARAMETER", f"{KEY}: 1 to {MAX_ID} printable characters of ASCII.", field=KEY
        )
    given = fields.get("transaction_id")
    if given is None:
        return {**fields, "transaction_id": name}
    if given != name:
        raise Problem(
            "IDEMPOTENCY_KEY_MISMATCH",
            f"The header {KEY} and the body's transaction_id differ. They are the same thing: "
            "leave one of them out.",
            field=KEY,
        )
    return fields


def _unquoted(key: str) -> str:
    """Without the quotes of a structured header (RFC 9651), which some clients send."""
    if len(key) > 1 and key[0] == key[-1] == '"':
        return key[1:-1]
    return key
