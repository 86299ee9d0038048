"""Two thousand worlds, each different and each the same every time.

FAUST_LEDGER_SEEDS=N is how many, the first N: `make fuzz` runs more.
"""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.world import World, run

SEEDS, CHUNK = int(os.environ.get("FAUST_LEDGER_SEEDS", "2000")), 100
KNOWN = Path(__file__).with_name("found.json")
"""By deliberate defect the seed that found it last: `python -m tests.simulation --mutants`."""


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_all_is_well(first):
    run_all(range(first, min(first + CHUNK, SEEDS)))


def test_all_is_well_in_a_world_that_finds_a_defect():
    """Those of them that are not among the first SEEDS."""
    run_all(sorted({seed for seed in json.loads(KNOWN.read_text()).values() if seed >= SEEDS}))


def run_all(seeds):
    for seed in seeds:
        run(seed)
        # At once: what one world leaves is still in the processor's cache.
        gc.collect()


def test_a_seed_is_the_same_again():
    """Whatever the hashes of texts are, or the module random's state: both differ between processes."""
    found = [traces(hash_seed) for hash_seed in ("1", "2")]
    assert found[0] == found[1]
    assert len(found[0]) > 1000


def traces(hash_seed):
    """What happens in a few seeds, in a process of its own."""
    words = [sys.executable, "-c", "from tests.simulation.test_seeds import show; show()"]
    run = subprocess.run(
        words, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, check=True, text=True
    )  # fmt: skip
    return run.stdout.splitlines()


def show():
    for seed in range(60):
        World(seed, trace=(lines := [])).run()
        sys.stdout.write("\n".join([*lines, ""]))
