"""Runs of the decision log: what is handed on in memory, and how many go together."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from ledger.domain.decide import decide
from ledger.domain.policy import Policy
from ledger.domain.portions import portions
from ledger.domain.reference import Reference
from ledger.domain.run import Watermark
from ledger.domain.valid_run import STRIPE_BYTES, ValidRun, weight_of
from ledger.errors import InvariantBroken
from ledger.streaming.decisions import require_decided
from tests.builders import draft, no_memory, numbered


def chain(*counts: int) -> list[ValidRun]:
    """Runs of so many transactions, each with an account of its own."""
    mark, runs = Watermark(), []
    for number, count in enumerate(counts):
        drafts = [
            draft(f"t-{number}-{each}", debit=f"assets:a{number}-{each}") for each in range(count)
        ]
        settled = decide(
            numbered(drafts, mark.end), shard=0, shards=1, end=mark.end + count, watermark=mark,
            memory=no_memory(), reference=Reference(), policy=Policy(),
        )  # fmt: skip
        runs.append(ValidRun.of(settled, number, mark))
        mark = runs[-1].after
    return runs


def test_what_is_handed_on_is_what_the_log_says() -> None:
    for run in chain(3, 1):
        read = ValidRun(run.decision, run.decisions_offset, run.before, run.after)
        assert (read.content, read.outcomes) == (run.content, run.outcomes)
        assert run.decision.continues(run.before)


def test_portions_are_by_weight_and_hold_one_run_at_least() -> None:
    runs = chain(1, 1, 50, 1, 1)
    light, heavy = runs[0].weight, runs[2].weight
    assert heavy > 50 * STRIPE_BYTES

    def cut(size: int) -> list[list[int]]:
        return [
            [run.decisions_offset for run in part]
            for part in portions(runs, size=size, weight=weight_of)
        ]

    assert cut(2 * light) == [[0, 1], [2], [3, 4]]
    assert cut(1) == [[0], [1], [2], [3], [4]]
    assert cut(10 * heavy) == [[0, 1, 2, 3, 4]]
    assert list(portions([], size=1, weight=weight_of)) == []


class Topic:
    """Records at these offsets and times, in milliseconds."""

    def __init__(self, times: dict[int, int], first: int = 0) -> None:
        self.times, self.first = times, first

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        return self.first, max(self.times, default=-1) + 1

    async def read(self, topic: str, partition: int, start: int, until: int) -> AsyncIterator[Any]:
        assert start >= self.first
        yield [
            ConsumerRecord(topic, partition, offset, time, 1, b"k", b"v", None, 1, 1, ())
            for offset, time in self.times.items()
            if start <= offset < until
        ]


@pytest.mark.parametrize(
    "topic",
    [
        Topic({0: 10, 1: 20, 2: 99}),
        Topic({0: 10, 2: 99}),  # 1 is a control record
        Topic({2: 99, 3: 99}, first=2),
        Topic({}),
    ],
)
def test_what_was_decided_is_there(topic: Any) -> None:
    asyncio.run(require_decided(topic, "t", 0, Watermark(end=2, recorded_until=20_000)))


@pytest.mark.parametrize("times", [{0: 21, 1: 22, 2: 23}, {0: 21, 2: 30}])
def test_a_topic_that_was_made_anew_is_not_taken_for_the_old_one(times: dict[int, int]) -> None:
    topic: Any = Topic(times)
    with pytest.raises(InvariantBroken, match=r"t\[0\] has at 0 a younger record"):
        asyncio.run(require_decided(topic, "t", 0, Watermark(end=2, recorded_until=20_000)))
