"""The simulation can fail: each deliberate defect is found by the seeds that test_seeds.py runs."""

import gc

import pytest

from tests.simulation.mutants import MUTANTS, at_large
from tests.simulation.test_seeds import SEEDS
from tests.simulation.world import Violated, run


@pytest.mark.parametrize("name", MUTANTS)
def test_found(name):
    assert found(name) is not None, f"{SEEDS} seeds have not noticed that {name}"


def found(name):
    """The first seed that fails, and why."""
    with at_large(MUTANTS[name]):
        for seed in range(SEEDS):
            try:
                run(seed)
            except Violated as error:
                return seed, str(error)
            if seed % 10 == 9:
                gc.collect()
    return None
