"""Cursors: where the next page of a list begins, signed, and good for the same query alone."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from ledger.api.problems import Problem
from ledger.api.signing import Altered, Signer

USE = "cursor"
DIGEST_CHARACTERS = 16
Place = Sequence[str | int | None]
"""What names a row's place in the order of its list, such as its account and offset."""


class Cursors:
    """Writes and reads cursors.

    A cursor names the row after which a page begins, not a count of rows. What is added before that
    row moves nothing.
    """

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def write(self, query: Mapping[str, Any], place: Place) -> str:
        """The cursor after `place` in the answer to `query`, its limit and cursor left out."""
        content = {"q": _digest(query), "p": list(place)}
        return self._signer.sign(json.dumps(content, separators=(",", ":")).encode(), USE)

    def read(self, query: Mapping[str, Any], cursor: str) -> list[Any]:
        """The place in a cursor of the same query.

        Raises Problem for a cursor that was altered, and for one of another query.
        """
        try:
            content = json.loads(self._signer.read(cursor, USE))
        except Altered as error:
            raise _invalid(f"This is no cursor of this ledger. {error}") from None
        if content["q"] != _digest(query):
            raise _invalid("This cursor belongs to a query with other parameters.")
        place: list[Any] = content["p"]
        return place


def _digest(query: Mapping[str, Any]) -> str:
    counted = {name: value for name, value in query.items() if name not in ("cursor", "limit")}
    text = json.dumps(counted, sort_keys=True, default=str)
    return sha256(text.encode()).hexdigest()[:DIGEST_CHARACTERS]


def _invalid(why: str) -> Problem:
    return Problem(
        "CURSOR_INVALID", f"{why} Leave `cursor` out to begin with the first page.", field="cursor"
    )
