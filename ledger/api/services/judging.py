"""What would be decided of a transaction now: by the ledger's own function, on what it remembers.

A shard's intake remembers each id that it accepted. A decision asks about two ids, that of the
transaction and that of what it reverses. What is remembered of them is found in the newest runs,
which the flow keeps, and in the general ledger.
"""

from dataclasses import dataclass, field

from ledger.api.database import Database
from ledger.api.flow.flow import Flow
from ledger.api.flow.past import PastRuns
from ledger.api.flow.runs import AcceptedTransaction
from ledger.api.positions import Position
from ledger.api.problems import Problem
from ledger.api.services.publishing import Publishing
from ledger.client.past import storable
from ledger.clock import now
from ledger.domain.decide import Decided, Received, decide
from ledger.domain.memory import AcceptedId, Memory
from ledger.domain.partition import partition_of
from ledger.domain.transaction import Draft, ordering_key
from ledger.gl.books import Books
from ledger.gl.lookups import FoundTransaction, LookupResult


@dataclass(slots=True)
class _Remembered:
    """What a shard remembers of some ids: where each was accepted and reversed last, and voids."""

    ids: dict[str, AcceptedId] = field(default_factory=dict)
    reversals: dict[str, int] = field(default_factory=dict)
    voided: set[int] = field(default_factory=set)

    def take(self, name: str, found: AcceptedTransaction) -> None:
        known = self.ids.get(name)
        if known is None or known.offset < found.known.offset:
            self.ids[name] = found.known

    def reverse(self, name: str, offset: int) -> None:
        self.reversals[name] = max(offset, self.reversals.get(name, -1))

    def memory(self) -> Memory:
        return Memory(self.ids.get, self.reversals.get, voided=self.voided)


class Judge:
    """Decides single transactions without publishing them."""

    def __init__(
        self, flow: Flow, past: PastRuns, database: Database[Books], publishing: Publishing
    ) -> None:
        self._flow, self._past = flow, past
        self._database, self._publishing = database, publishing

    async def decided(self, draft: Draft) -> Decided:
        """The run of this transaction alone.

        Raises Problem where the general ledger cannot be asked, or is behind what is kept.
        """
        publisher = self._publishing.publisher
        key = ordering_key(draft).encode("utf-8", "surrogatepass")
        shard = partition_of(key, publisher.shards)
        remembered = _Remembered()
        for name in storable({draft["transaction_id"], draft["reverses"] or ""} - {""}):
            await self._recall(remembered, shard, name)
        mark = self._flow.shard(shard).decided
        return decide(
            [Received(mark.end, now(), key, None, draft)],
            shard=shard,
            shards=publisher.shards,
            end=mark.end + 1,
            watermark=mark,
            memory=remembered.memory(),
            reference=publisher.reference,
            policy=publisher.policy,
        )

    async def accepted(self, transaction_id: str, shard: int) -> Position | None:
        """Where the shard accepted the id last. Raises Problem where that cannot be looked up."""
        if not transaction_id or not storable([transaction_id]):
            return None
        async for where, run in self._flow.runs_with(transaction_id.encode()):
            if where == shard and (offset := run.offset_of(transaction_id)) is not None:
                return Position(shard, offset)
        books = await self._database.ask(lambda asked: asked.find(transaction_id))
        ours = [each.transaction for each in books.found if each.transaction.shard == shard]
        return Position(shard, ours[-1].offset) if ours else None

    async def _recall(self, remembered: _Remembered, shard: int, name: str) -> None:
        books = await self._database.ask(lambda asked: asked.find(name))
        self._require_whole(books, shard)
        ours = [each for each in books.found if each.transaction.shard == shard]
        for each in ours:
            await self._take_posted(remembered, name, each)
        remembered.voided |= self._flow.shard(shard).voided.keys()
        async for where, run in self._flow.runs_with(name.encode("utf-8", "surrogatepass")):
            if where != shard:
                continue
            if (offset := run.offset_of(name)) is not None:
                remembered.take(name, run.accepted(offset))
            if (offset := run.reversal_of(name)) is not None:
                remembered.reverse(name, offset)

    async def _take_posted(
        self, remembered: _Remembered, name: str, each: FoundTransaction
    ) -> None:
        shard, offset = each.transaction.shard, each.transaction.offset
        if each.void is not None:
            remembered.voided.add(offset)
        for one in each.reversals:
            remembered.reverse(name, one.offset)
            if one.is_void:
                remembered.voided.add(one.offset)
        decided = each.run.decisions_offset if each.run else each.void and each.void.run
        if decided is not None:
            run = await self._past.at(shard, decided)
            remembered.take(name, run.accepted(offset))

    def _require_whole(self, books: LookupResult, shard: int) -> None:
        mark, kept = books.watermarks.get(shard), self._flow.known_from(shard)
        posted = mark.end if mark else 0
        if posted < kept:
            raise Problem(
                "DATABASE_UNAVAILABLE",
                f"Shard {shard} is posted up to {posted} only, so an id accepted between that and "
                f"{kept} is not found now.",
            )
