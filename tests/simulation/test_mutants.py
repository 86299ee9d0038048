"""The simulation can fail: each deliberate defect is found, and soon."""

import gc

import pytest

from tests.simulation.mutants import MUTANTS, at_large
from tests.simulation.world import Violated, run

SEEDS = 300
"""Within so many each must be found; test_seeds.py runs the same ones without any defect."""


@pytest.mark.parametrize("name", MUTANTS)
def test_found(name):
    assert found(name) is not None, f"{SEEDS} seeds have not noticed that {name}"


def found(name, seeds=SEEDS):
    """The first seed that fails, and why."""
    with at_large(MUTANTS[name]):
        for seed in range(seeds):
            try:
                run(seed)
            except Violated as error:
                return seed, str(error)
            gc.collect()
    return None
