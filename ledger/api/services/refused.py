"""The newest refusal of an id, for reads that would wait for its transaction in vain."""

from typing import NamedTuple

from ledger.api.database import Database
from ledger.api.flow.flow import Flow
from ledger.api.positions import Position
from ledger.api.problems import Problem
from ledger.client.past import storable
from ledger.gl.history.books import History, RefusalsQuery


class RefusedId(NamedTuple):
    """Where the record is that was refused, and why."""

    place: Position
    code: str
    reason: str


class RefusedIds:
    """Looks in the newest runs, and in history."""

    def __init__(self, flow: Flow, history: Database[History]) -> None:
        self._flow, self._history = flow, history

    async def is_of_old(self, transaction_id: str, place: Position) -> bool:
        """Whether the record there was refused, longer ago than the flow remembers."""
        if self._flow.fate(place).verdict is not None:
            return False
        found = await self.newest(transaction_id)
        return found is not None and found.place == place

    async def newest(self, transaction_id: str) -> RefusedId | None:
        """None where it was not refused, and where history cannot tell now."""
        found = await self._flow.refusal(transaction_id)
        if found is not None:
            shard, refusal = found
            return RefusedId(Position(shard, refusal.offset), refusal.code, refusal.reason)
        if not storable([transaction_id]):
            return None
        query = RefusalsQuery(transaction_id=transaction_id)
        try:
            page = await self._history.ask(lambda asked: asked.refusals(query))
        except Problem:
            # As for an id that nobody knows: it is waited for.
            return None
        for each in page.refusals[:1]:
            return RefusedId(Position(each.shard, each.offset), each.code, each.reason)
        return None
