"""Publish the stream: most of it at once, for the rate, and the rest at a pace, for the latency."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.client.balances import BalanceReader
from ledger.client.import_checks import Line
from ledger.client.imports import Importer, ImportResult
from ledger.client.outcomes import OutcomeWatch, Tally
from ledger.client.publisher import Publisher
from ledger.client.receipt import Receipt
from ledger.client.resource import cancel
from ledger.demo.generate import Made
from ledger.demo.market import assets
from ledger.demo.watch import Arrivals, ProgressCounter
from ledger.domain.refusal import Refused
from ledger.domain.run import Refusal
from ledger.errors import LedgerError
from ledger.settings import Settings

PACE = 250
"""Transactions a second while the latency is measured."""
PACED_AT_MOST = 1_250
REFRESH_SECONDS = 0.1


class Live(NamedTuple):
    """The progress, in transactions."""

    published: int
    decided: int
    reconciled: int


@dataclass(slots=True)
class Played:
    """The results; times in seconds.

    `latencies`: of the paced part, from publishing to the reconciled balance. `unexpected`: by kind
    of outcome, how many more or fewer there are than the stream was generated for.
    """

    tally: Tally
    finished: bool
    refusals: list[Refusal]
    bulk: int
    bulk_seconds: float
    latencies: list[float]
    unexpected: dict[str, int] = field(default_factory=dict)

    @property
    def well(self) -> bool:
        """Whether all outcomes are as expected, in time and without a break."""
        return self.finished and not (self.tally.breaks or self.unexpected)


async def register_assets(settings: Settings, seconds: float) -> None:
    """Register the demo's assets; returns when every shard decides with them."""
    async with Importer(settings) as importer:
        lines = [Line(number, asset) for number, asset in enumerate(assets(), 1)]
        bad, _ = importer.check(lines)
        imported = ImportResult() if bad else await importer.add(lines, seconds)
        if bad := bad + imported.lost:
            raise LedgerError(f"The demo's assets cannot be registered: {bad[0][1]}")
        if behind := imported.behind:
            raise LedgerError(
                f"Shards {behind} did not take up the demo's assets within {seconds:.0f} s; the "
                "worker's log shows why (`faust-ledger status` names it)."
            )


class Player:
    """Publishes a stream and watches its outcomes."""

    def __init__(
        self, settings: Settings, *, seconds: float, on_live: Callable[[Live], None]
    ) -> None:
        self._settings, self._seconds, self._on_live = settings, seconds, on_live
        self._published = 0
        self._refusals: list[Refusal] = []
        self._failures: list[BaseException] = []

    async def play(self, stream: Sequence[Made]) -> Played:
        """Publish the stream; returns when all is reconciled or refused, or after `seconds`."""
        async with AsyncExitStack() as stack:
            enter, refused = stack.enter_async_context, lambda _, each: self._refusals.append(each)
            reader = await enter(BalanceReader(self._settings))
            self._arrivals = Arrivals(reader, await reader.snapshot())
            self._outcomes = await enter(OutcomeWatch(self._settings, on_refused=refused))
            # Without checks: the service is to find the mistakes.
            self._publisher = await enter(Publisher(self._settings, check=False))
            self._positions = await enter(ProgressCounter(self._settings))
            for work in (self._arrivals.follow(), self._show()):
                task = asyncio.create_task(work)
                stack.push_async_callback(cancel, task)
            return await self._publish_all(stream)

    async def _publish_all(self, stream: Sequence[Made]) -> Played:
        paced = min(len(stream) // 5, PACED_AT_MOST)
        bulk, steady = stream[: len(stream) - paced], stream[len(stream) - paced :]
        began = time.monotonic()
        until = began + self._seconds
        for made in bulk:
            await self._publish(made)
        await self._publisher.flush()
        await self._arrivals.wait(until - time.monotonic())
        bulk_seconds = self._arrivals.last - began
        self._arrivals.seconds.clear()
        await self._at_pace(steady)
        await self._publisher.flush()
        tally, finished = await self._outcomes.wait(max(until - time.monotonic(), 1))
        finished = await self._arrivals.wait(until - time.monotonic()) and finished
        self._report()
        if self._failures:
            raise self._failures[0]
        return Played(
            tally, finished, self._refusals, len(bulk), bulk_seconds, self._arrivals.seconds,
            self._unexpected(stream, tally),
        )  # fmt: skip

    async def _at_pace(self, stream: Sequence[Made]) -> None:
        began = time.monotonic()
        for number, made in enumerate(stream):
            early = began + number / PACE - time.monotonic()
            if early > 0:
                await asyncio.sleep(early)
            await self._publish(made)

    async def _publish(self, made: Made) -> None:
        self._arrivals.expect(made.clients, time.monotonic())
        sent = await self._publisher.submit(made.draft)
        if isinstance(sent, Refused):
            raise LedgerError(f"The demo's own transaction cannot be sent: {sent.sentence}")
        sent.add_done_callback(self._acknowledged)

    def _acknowledged(self, sent: asyncio.Future[Receipt]) -> None:
        if sent.cancelled():
            return
        if error := sent.exception():
            self._failures.append(error)
            return
        self._published += 1
        self._outcomes.add(sent.result())

    def _unexpected(self, stream: Sequence[Made], tally: Tally) -> dict[str, int]:
        wanted = Counter(str(made.expected) for made in stream)
        found = Counter({"accepted": tally.accepted, "duplicate": tally.duplicates})
        found.update(refusal.code for refusal in self._refusals)
        differences = {each: found[each] - wanted[each] for each in wanted | found}
        return {each: by for each, by in differences.items() if by}

    async def _show(self) -> None:
        while True:
            self._report()
            await asyncio.sleep(REFRESH_SECONDS)

    def _report(self) -> None:
        self._on_live(Live(self._published, self._positions.decided, self._positions.compared))
