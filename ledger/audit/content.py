"""The content of a transaction as it was published, and as the decision log has it."""

import json
import re
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any

from ledger.audit import rules
from ledger.gl.rows import PostedTransaction

_PLAIN = re.compile(r"[0-9]{1,64}(?:\.[0-9]{1,64})?")
_EXACT = Context(prec=1_000)
_TIMES_AND_TEXTS = PostedTransaction._fields[2:10]


def minor_units(text: str, scale: int) -> int | None:
    """Whole minor units of a plain decimal; None for any other text."""
    found = rules.amount(text, scale)
    return found if isinstance(found, int) else _of_no_amount(text, scale)


def _of_no_amount(text: str, scale: int) -> int | None:
    """Minor units of decimals that no rule allows: zero, trailing zeros, over 64 bits."""
    if _PLAIN.fullmatch(text) is None:
        return None
    value = Decimal(text).scaleb(scale, _EXACT)
    whole = int(value)
    return whole if whole == value else None


def published_content(
    draft: Mapping[str, Any], recorded_at: int, scales: Mapping[str, int]
) -> dict[str, Any]:
    """The content that the decision to accept a published transaction must have."""
    fields = {
        **draft,
        "recorded_at": recorded_at,
        "ordering_key": draft["ordering_key"] or "",
        "reverses": draft["reverses"] or "",
    }
    return {
        **{name: fields[name] for name in _TIMES_AND_TEXTS},
        "metadata": dict(draft["metadata"]),
        "entries": [_leg(entry, scales) for entry in draft["entries"]],
    }


def _leg(entry: Mapping[str, str], scales: Mapping[str, int]) -> tuple[str, str, int | None]:
    currency = entry["currency"]
    amount = minor_units(entry["amount"], scales.get(currency, 0))
    if amount is not None and entry["side"] != "debit":
        amount = -amount
    return entry["account"], currency, amount


def decided_content(accepted: PostedTransaction) -> dict[str, Any]:
    """The content that the decision has, in the same form."""
    entries = accepted.entries
    return {
        **dict(zip(_TIMES_AND_TEXTS, accepted[2:10], strict=True)),
        "metadata": metadata_in(accepted.metadata),
        "entries": [(account, currency, amount) for account, currency, _, amount in entries],
    }


def metadata_in(text: str) -> Any:
    """The pairs in an accepted transaction's metadata; the text itself if it is no JSON."""
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return text
