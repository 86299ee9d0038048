"""A change of the policy that came second is an error, whatever came after it."""

import asyncio
from typing import Any

import pytest

from ledger.client.policy import change_policy
from ledger.domain.policy import DAY, Policy
from ledger.domain.reference import PolicyChange, Reference
from ledger.errors import LedgerError


class Shared:
    """An importer whose topic another program writes to as well, before and after it."""

    def __init__(self, *, before: tuple[int, ...], after: tuple[int, ...]) -> None:
        self.known = Reference(scales={})
        self._before, self._after, self._next = before, after, 0
        self._add(PolicyChange(Policy(), 8))

    def _add(self, item: PolicyChange) -> int:
        self.known.offset = self._next
        if self.known.policies and item.follows != self.known.policies[-1][0]:
            self._next += 1
            return self._next - 1
        self.known.add([item])
        self._next += 1
        return self._next - 1

    def _others(self, windows: tuple[int, ...]) -> None:
        for days in windows:
            self._add(PolicyChange(Policy(window=days * DAY), 8, self.known.policies[-1][0]))

    async def put(self, item: PolicyChange, seconds: float) -> tuple[int, list[int]]:
        self._others(self._before)
        offset = self._add(item)
        self._others(self._after)
        return offset, []

    async def read_again(self) -> Reference:
        return self.known


def changed(**others: tuple[int, ...]) -> Any:
    importer: Any = Shared(**others)
    return asyncio.run(change_policy(importer, {"window_days": 60}, reason="a test", seconds=1))


def test_a_change_that_counts_is_returned() -> None:
    assert changed(before=(), after=()).policy["window_days"] == 60
    assert changed(before=(), after=(7,)).policy["window_days"] == 7


@pytest.mark.parametrize("after", [(), (7,)])
def test_a_change_that_came_second_is_an_error(after: tuple[int, ...]) -> None:
    with pytest.raises(LedgerError, match="The policy was not changed"):
        changed(before=(5,), after=after)
