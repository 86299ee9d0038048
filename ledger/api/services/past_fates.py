"""How transactions were decided that the flow does not know of: longer ago, or before it began."""

import asyncio
from dataclasses import replace

from ledger.api.database import Database
from ledger.api.flow.fate import Fate, Verdict
from ledger.api.flow.flow import Flow
from ledger.api.flow.past import PastRuns
from ledger.api.problems import Problem
from ledger.client.outcomes import Outcome
from ledger.client.past import storable
from ledger.domain.run import Refusal
from ledger.errors import LedgerError
from ledger.gl.books import Books
from ledger.gl.history.books import History, RefusalsQuery
from ledger.gl.lookups import FoundTransaction

SECONDS = 5.0
"""For which the database is waited for: whoever waits has waited already."""


class PastFates:
    """Finds accepted ones in the general ledger, refused ones in history."""

    def __init__(
        self, flow: Flow, past: PastRuns, database: Database[Books], history: Database[History]
    ) -> None:
        self._flow, self._past = flow, past
        self._database, self._history = database, history

    async def completed(self, transaction_id: str, fate: Fate) -> Fate:
        """`fate` with its verdict, where the flow has none; as it is where nothing can tell now."""
        if fate.verdict is not None or not storable([transaction_id]):
            return fate
        try:
            async with asyncio.timeout(SECONDS):
                return await self._found(transaction_id, fate)
        except (Problem, LedgerError, TimeoutError):
            return fate

    async def _found(self, name: str, fate: Fate) -> Fate:
        books = await self._database.ask(lambda asked: asked.find(name))
        ours = [each for each in books.found if each.transaction.shard == fate.shard]
        for each in ours:
            if each.transaction.offset == fate.offset:
                return await self._accepted(each, fate)
        page = await self._history.ask(
            lambda asked: asked.refusals(RefusalsQuery(transaction_id=name))
        )
        for one in page.refusals:
            if (one.shard, one.offset) == (fate.shard, fate.offset):
                refusal = Refusal(
                    one.offset, one.recorded_at, name, one.code, one.field, one.reason, None, None
                )
                return replace(fate, verdict=Verdict(Outcome.REFUSED, refusal=refusal))
        # What history has not reached may be refused yet.
        folded = page.positions.get(fate.shard)
        is_known = folded is not None and folded.end > fate.offset
        if is_known and any(each.transaction.offset < fate.offset for each in ours):
            return replace(fate, verdict=Verdict(Outcome.DUPLICATE))
        return fate

    async def _accepted(self, found: FoundTransaction, fate: Fate) -> Fate:
        outcome = Outcome.ACCEPTED if found.void is None else Outcome.VOIDED
        if found.run is None:
            return replace(fate, verdict=Verdict(outcome))
        run = await self._past.at(fate.shard, found.run.decisions_offset)
        return replace(
            fate,
            verdict=Verdict(outcome, run.place),
            posted_at=fate.posted_at or found.run.posted_at,
            breaks=run.breaks_of(fate.offset, self._flow.shard(fate.shard).breaks),
        )
