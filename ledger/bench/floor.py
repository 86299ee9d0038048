"""`python -m ledger.bench.floor`: the least work that posts transactions to the journal.

A plain loop: aiokafka's `getmany`, fastavro, and the journal's bulk posting on a thread, while the
next batch is decoded. It checks nothing, recognises no repetitions, keeps no state and publishes
nothing.
"""

import asyncio
import time
from collections.abc import Sequence

import uvloop
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from ledger.bench import child
from ledger.domain import avro
from ledger.domain.run import Content, Decision, Watermark
from ledger.gl.databases import open_journal
from ledger.gl.journal import Journal, PostingRun
from ledger.streaming.registry import HEADER

WORKER_FETCH_BYTES = 4 * 1024 * 1024
SCALE = 2


class Floor:
    """Posts the transactions of a topic."""

    def __init__(self, consumer: AIOKafkaConsumer, topic: str, journal: Journal) -> None:
        self._consumer, self._topic, self._journal = consumer, topic, journal
        self._marks: dict[int, Watermark] = {}
        self._posting: asyncio.Task[None] | None = None
        self._postings = self._posted = 0

    async def carry_out(self, order: child.Row) -> child.Row:
        """`{"starts", "ends"}`: offsets by shard. Reports `transactions`, `postings`, `seconds`."""
        starts = {TopicPartition(self._topic, int(at)): o for at, o in order["starts"].items()}
        ends = {TopicPartition(self._topic, int(at)): o for at, o in order["ends"].items()}
        self._consumer.assign(list(starts))
        for tp, offset in starts.items():
            self._consumer.seek(tp, offset)
            self._marks[tp.partition] = Watermark()
        began = time.monotonic()
        while any([await self._consumer.position(tp) < end for tp, end in ends.items()]):
            for tp, fetched in (await self._consumer.getmany(timeout_ms=1_000)).items():
                await self._take(tp.partition, [r for r in fetched if r.offset < ends[tp]])
        if self._posting is not None:
            await self._posting
        seconds = time.monotonic() - began
        return {"transactions": self._posted, "postings": self._postings, "seconds": seconds}

    async def _take(self, shard: int, records: Sequence[ConsumerRecord]) -> None:
        if not records:
            return
        content = unchecked_content(records)
        if self._posting is not None:
            await self._posting
        self._posting = asyncio.create_task(self._post(shard, records[-1].offset + 1, content))

    async def _post(self, shard: int, end: int, content: Content) -> None:
        before = self._marks[shard]
        decision = Decision(
            shard, before.end, end, before.digest, content.recorded_at[-1], 0,
            len(content.offsets), b"", b"",
        )  # fmt: skip
        run = PostingRun(decision, before.decisions_offset, content)
        await asyncio.to_thread(self._journal.post, shard, before, [run])
        self._marks[shard] = decision.after(before, decisions_offset=before.decisions_offset)
        self._postings += 1
        self._posted += len(content.offsets)


def unchecked_content(records: Sequence[ConsumerRecord]) -> Content:
    """The transactions as columns, without any check."""
    content = Content()
    stripes: dict[tuple[str, str], int] = {}
    for record in records:
        row = avro.decode("Transaction", record.value, HEADER.size)
        for entry in row["entries"]:
            stripe = entry["account"], entry["currency"]
            index = stripes.get(stripe)
            if index is None:
                index = stripes[stripe] = len(stripes)
                content.accounts.append(stripe[0])
                content.currencies.append(stripe[1])
                content.scales.append(SCALE)
            amount = int(entry["amount"].replace(".", ""))
            content.entry_stripes.append(index)
            content.entry_amounts.append(amount if entry["side"] == "debit" else -amount)
        content.entry_counts.append(len(row["entries"]))
        content.offsets.append(record.offset)
        content.recorded_at.append(record.timestamp * 1_000)
        content.effective_at.append(row["effective_at"])
        content.created_at.append(row["created_at"])
        content.transaction_ids.append(row["transaction_id"])
        content.kinds.append(row["kind"])
        content.descriptions.append(row["description"])
        content.ordering_keys.append(row["ordering_key"] or "")
        content.reverses.append("")
        content.metadata.append("")
    return content


async def main() -> None:
    """Serve orders until there are no more."""
    given = child.parameters()
    journal = open_journal(given["database_url"])
    journal.watermark(0)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=given["bootstrap_servers"], group_id="bench-floor",
        enable_auto_commit=False, auto_offset_reset="none",
        max_partition_fetch_bytes=WORKER_FETCH_BYTES,
    )  # fmt: skip
    await consumer.start()
    try:
        await child.serve_orders(Floor(consumer, given["topic"], journal).carry_out)
    finally:
        await consumer.stop()
        journal.close()


if __name__ == "__main__":
    uvloop.run(main())
