"""What reconciliation publishes of a shard: its stripes, its breaks and what was refused."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from agents.runtime.runtime import Runtime
from ledger.domain.compare import Difference, Mark
from ledger.domain.fold import Row
from ledger.domain.partition import partition_of
from ledger.domain.portions import portions
from ledger.domain.run import Stripe
from ledger.domain.valid_run import ValidRun
from ledger.streaming.log import PORTION
from ledger.streaming.messages import PORTION_BYTES, Message, Messages
from ledger.streaming.stripe_rows import message_key


class StripeReceiver(Protocol):
    """Where rows go in this process; they are in the stripes topic already."""

    def receive(self, partition: int, shard: int, first: int, rows: Mapping[Stripe, Row]) -> None:
        """Take a shard's rows, appended to a partition of the topic from offset `first` on."""


class ShardPublisher:
    """Appends what may be there twice without harm; waits for Kafka as long as it takes."""

    def __init__(self, runtime: Runtime, shard: int, receiver: StripeReceiver) -> None:
        self._runtime, self._shard, self._receiver = runtime, shard, receiver
        self._messages = Messages(runtime.codec, shard)

    async def refusals(self, runs: Sequence[ValidRun]) -> None:
        """The refused records of `runs`, with their original bytes."""
        refused = (refusal for run in runs for refusal in run.outcomes.refused)
        for records in portions(
            map(self._messages.reject, refused), size=PORTION_BYTES, weight=_value_bytes
        ):
            await self._append(self._runtime.topics.rejects.name, records)

    async def breaks(
        self, found: Sequence[tuple[Difference, str]], span: tuple[int, int], at: int
    ) -> None:
        """Breaks with their state, found at the end of `span` and `at`, microseconds."""
        records = [
            self._messages.break_(sides, span, state=state, detected_at=at)
            for sides, state in found
        ]
        if records:
            await self._append(self._runtime.topics.breaks.name, records)

    async def stripes(self, rows: Mapping[Stripe, Row], values: Mapping[Stripe, bytes]) -> None:
        """Rows and their bytes, each in the partition of its account."""
        partitions = self._runtime.settings.balance_partitions
        by_partition: dict[int, list[Stripe]] = {}
        for stripe in rows:
            partition = partition_of(stripe.account.encode(), partitions)
            by_partition.setdefault(partition, []).append(stripe)
        await asyncio.gather(
            *(
                self._stripes_of(partition, {stripe: rows[stripe] for stripe in part}, values)
                for partition, stripes in by_partition.items()
                for part in portions(stripes, count=PORTION)
            )
        )

    async def _stripes_of(
        self, partition: int, rows: Mapping[Stripe, Row], values: Mapping[Stripe, bytes]
    ) -> None:
        topic = self._runtime.topics.stripes.name
        messages = [(message_key(stripe, self._shard), values[stripe]) for stripe in rows]
        first = await self._runtime.log.append_absolute(topic, partition, messages)
        self._receiver.receive(partition, self._shard, first, rows)

    def progress(self, mark: Mark) -> Message:
        """How far the shard is compared."""
        return self._messages.progress(mark.compared, mark.breaks)

    async def _append(self, topic: str, records: Sequence[Message]) -> None:
        await self._runtime.log.append_absolute(topic, self._shard, records)


def _value_bytes(message: Message) -> int:
    return len(message[1])
