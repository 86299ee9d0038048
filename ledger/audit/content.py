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
CONTENT = PostedTransaction._fields[2:]
"""From the id to the entries."""


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
) -> tuple[Any, ...]:
    """The fields of CONTENT that the decision to accept a published transaction must have."""
    entries = []
    for entry in draft["entries"]:
        account, currency = entry["account"], entry["currency"]
        minor = minor_units(entry["amount"], scales.get(currency, 0))
        is_debit = entry["side"] == "debit"
        entries.append((account, currency, minor if is_debit or minor is None else -minor))
    return (
        draft["transaction_id"], draft["kind"], draft["description"], draft["effective_at"],
        recorded_at, draft["created_at"], draft["ordering_key"] or "", draft["reverses"] or "",
        draft["metadata"], entries,
    )  # fmt: skip


def decided_content(accepted: PostedTransaction) -> tuple[Any, ...]:
    """The fields of CONTENT that the decision has."""
    entries = [(account, currency, amount) for account, currency, _, amount in accepted.entries]
    return (*accepted[2:10], metadata_in(accepted.metadata), entries)


def metadata_in(text: str) -> Any:
    """The pairs in an accepted transaction's metadata; the text itself if it is no JSON."""
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return text
