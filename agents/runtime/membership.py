"""Which partitions this process owns, and where reading each of them stands."""

import asyncio
from typing import TYPE_CHECKING, Any

from faust.types import TP

if TYPE_CHECKING:
    from agents.runtime.run_consumer import RunConsumer
    from agents.runtime.runs import Run


class Membership:
    """What stages ask of the consumer, and tell it.

    `app` makes the consumer when it starts; before that this process owns nothing.
    """

    def __init__(self, app: Any, transactions: str) -> None:
        self._app, self._transactions = app, transactions
        self._rebalanced = asyncio.Event()
        self._paused: dict[TP, set[object]] = {}

    @property
    def _consumer(self) -> "RunConsumer":
        consumer: RunConsumer = self._app.consumer
        return consumer

    @property
    def generation(self) -> int:
        """The number of the group's last assignment."""
        return int(self._app.consumer_generation_id)

    def shards(self) -> set[int]:
        """The shards that this process decides."""
        owned = self._consumer.assignment()
        return {tp.partition for tp in owned if tp.topic == self._transactions}

    def is_assigned(self, tp: TP) -> bool:
        """Whether `tp` is this process's, though it may still be being opened."""
        return tp in self._consumer.assignment()

    def is_open(self, tp: TP) -> bool:
        """Whether `tp` is this process's and is read from."""
        return tp in self._consumer.opened

    async def rewind(self, run: "Run", position: int) -> None:
        """Fetch the partition of `run` again from `position`: what is before `run` never came."""
        await self._consumer.rewind(run, position)

    def reopen(self, tp: TP) -> bool:
        """Open `tp` again. False: it is being opened already, or is another worker's."""
        return self._consumer.reopen(tp)

    async def skip(self, tp: TP, position: int) -> None:
        """Fetch `tp` on from `position`; what is before it came another way."""
        await self._consumer.skip(tp, position)

    def done(self, tp: TP, position: int) -> None:
        """The effects of a run of `tp` are durable up to `position`."""
        self._consumer.done(tp, position)

    def reached(self, tp: TP, position: int) -> None:
        """Effects are durable up to `position`, though no run of `tp` has just been taken."""
        self._consumer.reached(tp, position)

    def pause(self, tp: TP, owner: object) -> None:
        """Fetch nothing more from `tp`, until each owner of a pause has resumed it."""
        self._paused.setdefault(tp, set()).add(owner)
        self._consumer.pause_partitions({tp})

    def resume(self, tp: TP, owner: object) -> None:
        """Fetch from `tp` again, unless it is paused for another owner, or not open."""
        owners = self._paused.get(tp, set())
        if owner not in owners:
            return
        owners.discard(owner)
        if not owners and self.is_open(tp):
            self._consumer.resume_partitions({tp})

    def opened(self, tp: TP) -> None:
        """It was opened, and is fetched from: pauses of before no longer count."""
        self._paused.pop(tp, None)

    def positions(self) -> dict[TP, int]:
        """Up to where the effects of each open partition are durable; a copy."""
        consumer = self._app._consumer
        return {} if consumer is None else consumer.positions.copy()

    def unconfirmed(self) -> float:
        """Seconds since the broker confirmed this membership; 0 before there is one."""
        consumer = self._app._consumer
        return 0.0 if consumer is None else float(consumer.unconfirmed())

    def rebalance_ended(self) -> None:
        """The group has assigned its partitions."""
        self._rebalanced.set()

    async def rebalanced(self) -> None:
        """Return after the next rebalance, or one that nobody has waited for yet."""
        await self._rebalanced.wait()
        self._rebalanced.clear()
