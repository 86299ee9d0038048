"""The balances topic is deleted and made again, while all runs or before the workers start again."""

import asyncio

import pytest

from agents.public_balances import PublicBalances
from agents.summing import BalancesPart
from tests.simulation.mutants import Mutant, at_large
from tests.simulation.world import CALM_SECONDS, Violated, World

SEEDS = range(12)


class Losing(World):
    """Once all is reconciled the balances are gone; then everything must come to be there again."""

    def __init__(self, seed, *, dies):
        super().__init__(seed)
        self._dies = dies

    async def _live(self):
        await super()._live()
        if self.failed is not None:
            return
        name = self.names.balances.name
        for number in range(self.settings.balance_partitions):
            where = self.partition(name, number)
            where.records.clear()
            where.offsets.clear()
            where.end = 0
            self.oracle.published[number].clear()
        self.oracle.balances.clear()
        self.oracle.last.clear()
        self.oracle.covered.clear()
        self.made_again[name] = "another"
        self.note("the balances were deleted and made again")
        if self._dies:
            for process in self.groups["stream"].live():
                self.died(process)
        began = self.loop.now
        while self.failed is None and (missing := self.oracle.missing()):
            if self.loop.now - began > CALM_SECONDS:
                self.fail(f"not within {CALM_SECONDS:.0f} s: {missing}")
            await asyncio.sleep(0.5)


@pytest.mark.parametrize("dies", [False, True], ids=["while-all-runs", "and-workers-start-again"])
def test_all_is_published_again_before_it_is_covered(dies):
    for seed in SEEDS:
        Losing(seed, dies=dies).run()


DEFECTS = {
    "another id is not noticed": Mutant(PublicBalances, "note_id", "topic != self._id", "False"),
    "what is in the store alone is not published": Mutant(
        BalancesPart, "_publish_again", "await self._publish_stored()", "pass"
    ),
    "a topic that was lost before the start is not noticed": Mutant(
        PublicBalances, "open", "self.is_lost = True", "pass"
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_is_found(defect):
    with at_large(DEFECTS[defect]), pytest.raises(Violated):
        for seed in range(100):
            for dies in (False, True):
                Losing(seed, dies=dies).run()
