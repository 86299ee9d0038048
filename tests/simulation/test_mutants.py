"""The simulation can fail: each deliberate defect is found by the seeds that test_seeds.py runs."""

import gc
import json
import sys
from itertools import chain
from pathlib import Path

import pytest

from tests.simulation.mutants import MUTANTS, at_large
from tests.simulation.test_seeds import SEEDS
from tests.simulation.world import Violated, World, run

KNOWN = Path(__file__).with_name("found.json")
"""By mutant the seed that found it last, tried before all others: `python -m tests.simulation --mutants`."""


@pytest.mark.parametrize("name", MUTANTS)
def test_found(name):
    seed = known().get(name)
    found = first_found(name, () if seed is None else (seed,))
    assert found is not None, f"{SEEDS} seeds have not noticed that {name}"
    if found[0] != seed:
        sys.stderr.write(f"\n{name}: found by seed {found[0]}; {KNOWN.name} has {seed}\n")


def known():
    """Of those below SEEDS."""
    return {name: seed for name, seed in json.loads(KNOWN.read_text()).items() if seed < SEEDS}


def first_found(name, before=()):
    """The first seed that fails, and why; `before` are tried before all others."""
    fault = MUTANTS[name].fault
    with at_large(MUTANTS[name]):
        for count, seed in enumerate(chain(before, range(SEEDS))):
            if fault and fault not in World(seed).on:
                continue
            try:
                run(seed)
            except Violated as error:
                return seed, str(error)
            if count % 10 == 9:
                gc.collect()
    return None
