"""The pages of an account's lines, both ways and in both orders."""

import asyncio
import random
from typing import Any

import pytest

from ledger.api.cursors import Cursors
from ledger.api.services.history import HistoryService
from ledger.api.services.wanted import Wanted
from ledger.api.signing import Signer
from ledger.gl.history.books import LinesQuery
from tests.decision_log import DecisionLog
from tests.integration.gl_runs import NOW, moved
from tests.integration.history_openers import in_memory
from tests.integration.history_world import World


class Past:
    """Asks a history in memory."""

    def __init__(self) -> None:
        world = World(random.Random(1), shards=1)
        log = world.logs.setdefault(0, DecisionLog(0))
        for offset in range(1, 8):
            log.run(moved(offset, 100, debit="assets:cash", credit="income:fees",
                          recorded_at=NOW + offset), end=offset + 1)  # fmt: skip
        self._history = in_memory(world)

    async def ask(self, wanted: Wanted, question: Any) -> Any:
        return question(self._history)

    def counted(self, found: Any) -> dict[str, Any]:
        return {}


def service() -> HistoryService:
    past: Any = Past()
    reference: Any = None
    return HistoryService(past, Cursors(Signer(b"k" * 32)), reference)


async def pages(order: Any, way: str, cursor: str | None = None) -> tuple[list[list[int]], str]:
    """The offsets of each page, and the cursor that the last page was read with."""
    asked, found, last = service(), [], ""
    while True:
        query = LinesQuery("assets:cash", limit=3)
        page = await asked.lines(query, cursor, Wanted(None, None, None, None), order)
        found.append([line["offset"] for line in page["lines"]])
        if page[way] is None:
            return found, last
        cursor = last = page[way]


@pytest.mark.parametrize(
    ("order", "wanted"),
    [("asc", [[1, 2, 3], [4, 5, 6], [7]]), ("desc", [[7, 6, 5], [4, 3, 2], [1]])],
)
def test_pages_follow_each_other_in_either_order(order: str, wanted: list[Any]) -> None:
    found, last = asyncio.run(pages(order, "next"))
    assert found == wanted
    back, _ = asyncio.run(pages(order, "previous", last))
    assert [offset for page in back[::-1] for offset in page] == [
        offset for page in wanted for offset in page
    ]


def test_the_balance_after_a_line_is_the_same_in_both_orders() -> None:
    query, none = LinesQuery("assets:cash"), Wanted(None, None, None, None)
    up = asyncio.run(service().lines(query, None, none))
    down = asyncio.run(service().lines(query, None, none, "desc"))
    assert down["lines"] == up["lines"][::-1]
