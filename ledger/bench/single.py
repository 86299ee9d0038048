"""`python -m ledger.bench.single`: a usual Faust application, which takes one record at a time.

It follows Faust's user guide: an agent over events, a Faust table of balances, and a posting for
each transaction, which is checked by the ledger's rules. Faust commits the offsets, so a crash
would lose and repeat transactions. Nothing is reconciled or published.
"""

import asyncio
import time
from typing import Any

import faust

from ledger.bench import child
from ledger.domain import avro
from ledger.domain.decide import Received, decide
from ledger.domain.memory import AcceptedId, Memory
from ledger.domain.policy import Policy
from ledger.domain.reference import Reference
from ledger.domain.run import Watermark
from ledger.gl.databases import open_journal
from ledger.gl.journal import PostingRun
from ledger.streaming.registry import HEADER


class Single:
    """The Faust application, its table, and the journal."""

    def __init__(self, given: child.Row) -> None:
        self._given, self._shards = given, int(given["shards"])
        self._journal = open_journal(given["database_url"])
        self._marks: dict[int, Watermark] = {}
        self._seen: dict[str, AcceptedId] = {}
        self._reversals: dict[str, int] = {}
        self._posted = 0
        self._reference, self._policy = Reference(), Policy()
        self._app = self._new_app()

    def _new_app(self) -> faust.App:
        given = self._given
        app = faust.App(
            f"bench-single-{time.time_ns()}", broker=f"kafka://{given['bootstrap_servers']}",
            datadir=given["data_dir"], store="memory://", topic_partitions=self._shards,
            web_enabled=False, topic_disable_leader=True, consumer_auto_offset_reset="earliest",
        )  # fmt: skip
        self._balances: Any = app.Table("balances", default=int, partitions=self._shards)

        async def take(stream: Any) -> None:
            async for event in stream.events():
                await self._take(event)

        topic = app.topic(given["topic"], value_serializer="raw", key_serializer="raw")
        app.agent(topic, name="single")(take)
        return app

    async def carry_out(self, order: child.Row) -> child.Row:
        """`{"count"}`. Reports `transactions`, `postings`, `seconds` from the first to the last."""
        self._wanted, self._done = order["count"], asyncio.Event()
        self._began = 0.0
        await self._app.start()
        await self._done.wait()
        seconds = time.monotonic() - self._began
        await self._app.stop()
        self._journal.close()
        return {"transactions": self._posted, "postings": self._posted, "seconds": seconds}

    async def _take(self, event: Any) -> None:
        if self._done.is_set():
            return
        self._began = self._began or time.monotonic()
        message = event.message
        shard, offset = message.partition, message.offset
        before = self._marks.get(shard, Watermark())
        value = message.value
        received = Received(
            offset, int(message.timestamp * 1e6), message.key, value,
            avro.decode("Transaction", value, HEADER.size),  # type: ignore[arg-type]
        )  # fmt: skip
        memory = Memory(self._seen.get, self._reversals.get)
        settled = decide(
            [received], shard=shard, shards=self._shards, end=offset + 1, watermark=before,
            memory=memory, reference=self._reference, policy=self._policy,
        )  # fmt: skip
        self._seen |= {name: AcceptedId.unpack(packed) for name, packed in memory.ids.items()}
        self._reversals |= memory.reversals
        content = settled.content
        for legs in content.legs():
            for account, _, amount in legs:
                self._balances[account] += amount
        run = PostingRun(settled.decision, before.decisions_offset, content)
        await asyncio.to_thread(self._journal.post, shard, before, [run])
        self._marks[shard] = settled.decision.after(
            before, decisions_offset=before.decisions_offset
        )
        self._posted += 1
        if self._posted == self._wanted:
            self._done.set()


async def main() -> None:
    """Serve orders until there are no more."""
    await child.serve_orders(Single(child.parameters()).carry_out)


if __name__ == "__main__":
    asyncio.run(main())
