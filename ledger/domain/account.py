"""Accounts: a path whose first segment is the type, and with it the normal side."""

import re
from typing import Literal

Side = Literal["debit", "credit"]

MAX_ACCOUNT = 255
"""Characters of an account code."""

_NORMAL: dict[str, Side] = {
    "assets": "debit",
    "expenses": "debit",
    "liabilities": "credit",
    "equity": "credit",
    "income": "credit",
}
TYPES = tuple(_NORMAL)
"""What an account's path may begin with."""
_CODE = re.compile(rf"(?:{'|'.join(_NORMAL)})(?::[A-Za-z0-9][A-Za-z0-9._-]*)+")


def well_formed(code: str) -> bool:
    """Whether `code` is an account code such as `liabilities:deposits:2378`."""
    return len(code) <= MAX_ACCOUNT and _CODE.fullmatch(code) is not None


def normal_side(code: str) -> Side:
    """The side on which the account's balance is counted as positive.

    Raises KeyError for a code that is not well formed.
    """
    return _NORMAL[code.partition(":")[0]]


def on_normal_side(code: str, *, debits: int, credits: int) -> int:
    """Balance in minor units: debits less credits, or the other way round."""
    return debits - credits if normal_side(code) == "debit" else credits - debits
