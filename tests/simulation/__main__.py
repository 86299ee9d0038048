"""`python -m tests.simulation --seeds N`: run many; `--seed N --trace`: show one; `--mutants`: find all."""

import argparse
import gc
import json
import time
import traceback

from tests.simulation.world import FAULTS, Violated, World, run


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--from", dest="first", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--off", default="", help="classes of faults to leave out, with commas")
    parser.add_argument("--only", default="", help="classes of faults to have, and no others")
    parser.add_argument("--mutants", action="store_true", help="write down which seed finds each")
    options = parser.parse_args()
    if options.mutants:
        raise SystemExit(mutants())
    only = frozenset(filter(None, options.only.split(","))) or None
    off = frozenset(filter(None, options.off.split(",")))
    if options.seed is not None:
        raise SystemExit(one(options.seed, off, only, trace=options.trace))
    raise SystemExit(many(options, off))


def one(seed, off, only, *, trace):
    lines = [] if trace else None
    world = World(seed, off=off, only=only, trace=lines)
    try:
        world.run()
    except Violated as error:
        print("\n".join(lines or ()))
        print(error)
        if error.__cause__ is not None:
            traceback.print_exception(error.__cause__)
        return 1
    print("\n".join(lines or ()))
    print(f"seed {seed}: all is well with {sorted(world.on)}")
    return 0


def many(options, off):
    failed, began, told, used = [], time.monotonic(), time.monotonic(), time.process_time()
    gc.disable()
    gc.collect()
    gc.freeze()
    for count, seed in enumerate(range(options.first, options.first + options.seeds), 1):
        try:
            run(seed, off=off)
        except Violated as error:
            failed.append(seed)
            print(f"{str(error)[:300]}\n  fails with {', '.join(smallest(seed, off))}", flush=True)
        gc.collect()
        spent = time.monotonic() - began
        each = (time.process_time() - used) / count * 1000
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{count} seeds, {each:.1f} ms of CPU each, failed: {failed}", flush=True)
        if spent > options.minutes * 60:
            break
    print(f"{count} seeds, {each:.1f} ms of CPU each, failed: {failed}")
    return bool(failed)


def mutants():
    """A seed of each, for test_mutants.py to begin with: the one of last time, or else the first."""
    from tests.simulation.test_mutants import MUTANTS, first_found, known
    from tests.simulation.test_seeds import KNOWN

    gc.disable()
    gc.collect()
    gc.freeze()
    last = known()
    found = {name: first_found(name, [last[name]] if name in last else ()) for name in MUTANTS}
    seeds = {name: at[0] for name, at in found.items() if at is not None}
    KNOWN.write_text(json.dumps(seeds, indent=2) + "\n")
    print(f"{len(seeds)} of {len(MUTANTS)} found, the last by seed {max(seeds.values())}")
    return len(seeds) < len(MUTANTS)


def smallest(seed, off=frozenset()):
    """The classes of faults without any of which this seed no longer fails."""
    off, left = set(off), sorted(World(seed, off=off).on)
    for fault in left:
        try:
            run(seed, off=frozenset(off | {fault}))
        except Violated:
            off.add(fault)
    return [fault for fault in FAULTS if fault in left and fault not in off]


if __name__ == "__main__":
    main()
