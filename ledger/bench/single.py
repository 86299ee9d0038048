"""`python -m ledger.bench.single`: the same work the usual way, one record at a time.

An agent over events, a Faust table of balances, a posting for each transaction: Faust's user guide
in everything but that a transaction is checked by the ledger's own rules. Offsets are Faust's, so
that a crash here would lose and repeat; nothing is reconciled and nothing published.
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
from ledger.gl.journal import PostingRun
from ledger.gl.postgresql import PostgresJournal
from ledger.streaming.registry import HEADER


class Single:
    """Faust, its table, and the journal."""

    def __init__(self, needs: child.Row) -> None:
        self._needs, self._shards = needs, int(needs["shards"])
        self._journal = PostgresJournal(needs["database_url"])
        self._marks: dict[int, Watermark] = {}
        self._seen: dict[str, AcceptedId] = {}
        self._reversals: dict[str, int] = {}
        self._posted = 0
        self._reference, self._policy = Reference(), Policy()
        self._app = self._new_app()

    def _new_app(self) -> faust.App:
        needs = self._needs
        app = faust.App(
            f"bench-single-{time.time_ns()}", broker=f"kafka://{needs['bootstrap_servers']}",
            datadir=needs["data_dir"], store="memory://", topic_partitions=self._shards,
            web_enabled=False, topic_disable_leader=True, consumer_auto_offset_reset="earliest",
        )  # fmt: skip
        self._balances: Any = app.Table("balances", default=int, partitions=self._shards)

        async def take(stream: Any) -> None:
            async for event in stream.events():
                await self._take(event)

        topic = app.topic(needs["topic"], value_serializer="raw", key_serializer="raw")
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
    """Until there are no more orders."""
    await child.obey(Single(child.needs()).carry_out)


if __name__ == "__main__":
    asyncio.run(main())
