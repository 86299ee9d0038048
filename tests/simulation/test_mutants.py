"""The simulation can fail: each deliberate defect is found, by a seed that test_seeds.py runs as well."""

import gc
import json
import warnings
from itertools import chain

import pytest

from tests.simulation.mutants import MUTANTS, at_large
from tests.simulation.test_seeds import KNOWN
from tests.simulation.world import Violated, World, run

WITHIN = 5_000
"""The first seeds, by one of which each defect must be found."""


@pytest.mark.parametrize("name", MUTANTS)
def test_found(name):
    seed = known().get(name)
    found = first_found(name, () if seed is None else (seed,))
    assert found is not None, f"{WITHIN} seeds have not noticed that {name}"
    if found[0] != seed:
        # In the summary: to look for it takes up to a minute.
        warnings.warn(
            f"{name}: found by seed {found[0]}, {KNOWN.name} has {seed}:"
            " `python -m tests.simulation --mutants` renews it",
            stacklevel=1,
        )


def known():
    """By defect the seed that is tried first."""
    return {name: seed for name, seed in json.loads(KNOWN.read_text()).items() if seed < WITHIN}


def first_found(name, before=()):
    """The first seed that fails, and why; `before` are tried before all others."""
    fault = MUTANTS[name].fault
    with at_large(MUTANTS[name]):
        for seed in chain(before, range(WITHIN)):
            if fault and fault not in World(seed).on:
                continue
            try:
                run(seed)
            except Violated as error:
                return seed, str(error)
            gc.collect()
    return None
