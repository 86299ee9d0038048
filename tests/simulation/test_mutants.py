"""The simulation can fail: each deliberate defect is found, and soon."""

import gc

import pytest

from tests.simulation.mutants import MUTANTS, at_large
from tests.simulation.world import Violated, run

SEEDS = 300
"""Within so many each must be found; without the defect all of them pass, here or in test_seeds.py."""


@pytest.mark.parametrize("name", MUTANTS)
def test_found(name):
    assert found(name) is not None, f"{SEEDS} seeds have not noticed that {name}"


@pytest.mark.parametrize("only", sorted({each.only for each in MUTANTS.values() if each.only}))
def test_nothing_found_without_it(only):
    for seed in range(SEEDS):
        run(seed, only=only)
    gc.collect()


def found(name, seeds=SEEDS):
    """The first seed that fails, and why."""
    mutant = MUTANTS[name]
    with at_large(mutant):
        for seed in range(seeds):
            try:
                run(seed, only=mutant.only)
            except Violated as error:
                return seed, str(error)
            if seed % 10 == 9:
                gc.collect()
    return None
