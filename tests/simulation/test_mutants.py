"""The simulation can fail: each deliberate defect is found, and soon.

Without it all of these seeds pass: see test_seeds.py.
"""

import gc

import pytest

from tests.simulation.mutants import MUTANTS, at_large
from tests.simulation.world import Violated, run


@pytest.mark.parametrize("name", MUTANTS)
def test_found(name):
    assert found(name) is not None, f"{MUTANTS[name].seeds} seeds have not noticed that {name}"


def found(name):
    """The first seed that fails, and why."""
    mutant = MUTANTS[name]
    with at_large(mutant):
        for seed in range(mutant.seeds):
            try:
                run(seed)
            except Violated as error:
                return seed, str(error)
            if seed % 10 == 9:
                gc.collect()
    return None
