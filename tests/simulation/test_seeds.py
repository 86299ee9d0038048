"""Five thousand worlds, each different and each the same every time."""

import gc
import os
import subprocess
import sys

import pytest

from tests.simulation.world import World, run

SEEDS, CHUNK = 5_000, 100


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_all_is_well(first):
    for seed in range(first, first + CHUNK):
        run(seed)
        if seed % 10 == 9:
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
