"""What is around the balances of an answer, as JSON: sums, and how complete it is."""

import json
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b

from ledger.api.positions import Position, token_of
from ledger.api.signing import Signer
from ledger.api.view.figures import Figures
from ledger.api.view.shown import quoted
from ledger.api.view.view import BalanceView
from ledger.client.drafts import rfc3339
from ledger.domain import money

TAG_BYTES = 12
REMEMBERED = 1_024
"""Coverages whose token is kept: each partition has one, and now and then another."""


def sum_json(path: str, currency: str, sums: Figures) -> bytes:
    """What the accounts at and below a path have in a currency."""
    scale = sums.scale
    return (
        f'{{"currency":{quoted(currency)},"posted":"{money.show(sums.posted(path), scale)}",'
        f'"pending":"{money.show(sums.pending, scale)}","debits":"{money.show(sums.debits, scale)}"'
        f',"credits":"{money.show(sums.credits, scale)}","entries":{sums.entries},'
        f'"accounts":{sums.accounts},"status":"{sums.status}"}}'
    ).encode()


def tag_of(content: bytes) -> str:
    """A weak ETag of the balances in an answer, without how complete they are.

    A change raises a balance's version; a break changes its status alone, which is in here too.
    """
    return f'W/"{blake2b(content, digest_size=TAG_BYTES).hexdigest()}"'


class Completeness:
    """How complete an answer of the view is, as the end of a JSON object.

    ,"token":"...","complete_to":{"0":12},"as_of":"...","lag":null}

    `lag`, where the view may be old: {"seconds", "records", "why"}.
    """

    def __init__(self, view: BalanceView, signer: Signer) -> None:
        self._view, self._signer = view, signer
        self._contents = lru_cache(REMEMBERED)(self._content)
        self._moments = lru_cache(REMEMBERED)(rfc3339)

    def end(self, ends: tuple[int, ...]) -> bytes:
        """The end of an answer that counts everything before these positions, by shard."""
        view = self._view
        moment = view.as_of
        as_of = "null" if moment is None else f'"{self._moments(moment)}"'
        lag = "null" if view.is_fresh else json.dumps(self.lag(), separators=(",", ":"))
        return self._contents(ends) + f'"as_of":{as_of},"lag":{lag}}}'.encode()

    def lag(self) -> Mapping[str, object] | None:
        """How old the view is, and why; None where it is as new as it should be."""
        state = self._view.state()
        if state.problem is None:
            return None
        return {
            "seconds": None if state.behind_seconds is None else round(state.behind_seconds, 3),
            "records": state.records_behind,
            "why": state.problem,
        }

    def token(self, ends: tuple[int, ...]) -> str:
        """The token of everything before these positions."""
        last = (Position(shard, end - 1) for shard, end in enumerate(ends) if end)
        return token_of(self._signer, last)

    def _content(self, ends: tuple[int, ...]) -> bytes:
        complete_to = ",".join(f'"{shard}":{end}' for shard, end in enumerate(ends))
        return f',"token":"{self.token(ends)}","complete_to":{{{complete_to}}},'.encode()
