"""Ending a task whose cancellation is lost on the way."""

import asyncio

import pytest

from ledger.client import resource
from ledger.client.resource import cancel


def test_a_task_that_swallows_a_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "AGAIN_SECONDS", 0.01)
    swallowed = []

    async def stubborn() -> None:
        while len(swallowed) < 3:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed.append(1)
        await asyncio.Event().wait()

    async def scenario() -> bool:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await cancel(task)
        return task.cancelled()

    assert asyncio.run(scenario())
    assert len(swallowed) == 3


def test_what_ended_it_before_is_raised() -> None:
    async def fails() -> None:
        raise KeyError("x")

    async def scenario() -> None:
        task = asyncio.create_task(fails())
        await asyncio.sleep(0)
        await cancel(task)

    with pytest.raises(KeyError):
        asyncio.run(scenario())
