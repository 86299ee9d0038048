"""Intake: checks, recognises repetitions and decides; its only effect is one append a run."""

from functools import partial

from agents.deciding import IntakeShard, Receiver
from agents.runtime.runs import Run
from agents.runtime.runtime import Runtime
from ledger.streaming.reference_follower import ReferenceFollower
from ledger.streaming.transactions import TransactionReader


class Intake:
    """The stage: decides the shards that this process owns."""

    name = "intake"

    def __init__(self, runtime: Runtime, reference: ReferenceFollower, receiver: Receiver) -> None:
        self._runtime, self._reference, self._receiver = runtime, reference, receiver
        self.topic = runtime.topics.transactions
        self._reader = TransactionReader.of(runtime.settings, runtime.codec.ids["Transaction"])
        self._shards: dict[int, IntakeShard] = {}
        reference.on_move(self._reference_moved)

    async def open(self, shard: int) -> int:
        """See Stage."""
        if shard not in self._shards:
            others = partial(self._recorded_until_but, shard)
            self._shards[shard] = IntakeShard(
                self._runtime, shard, self._reader, self._reference, self._receiver, others
            )
        await self._shards[shard].require_reference()
        await self._reference.ready.wait()
        return await self._shards[shard].open()

    async def learn_schemas(self) -> None:
        """Once: look up the versions of the transactions' schema, before a record needs them."""
        await self._reader.learn()

    async def take(self, run: Run) -> int:
        """See Stage."""
        return await self._shards[run.tp.partition].take(run)

    def clear(self) -> None:
        """See Stage: what is decided is in the log."""

    def _reference_moved(self) -> None:
        for shard in self._shards.values():
            shard.reference_moved()

    def _recorded_until_but(self, but: int) -> int:
        """The latest recorded time of all other shards, microseconds; 0 where there is none."""
        others = (each for shard, each in self._shards.items() if shard != but)
        return max((each.recorded_until for each in others), default=0)
