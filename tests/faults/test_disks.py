"""A worker's tables damaged, and disks without room, while transactions flow."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import PLAN, Ledger, long
from tests.faults.world import gone, kill
from tests.waiting import until

pytestmark = pytest.mark.faults
WORKER_MEGABYTES = 128
SPARE_MEGABYTES = 64
KINDS = ("CURRENT", "MANIFEST-*", "*.sst")
TABLES = ("intake", "stripes", "balances")
MENDED = "is damaged; what it had is read from Kafka"


@pytest.fixture(autouse=True)
def whole(ledger: Ledger) -> None:
    """Whatever an earlier fault has left."""
    ledger.both_work()


def cut(path: Path) -> None:
    """Half of it is left."""
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.fault(
    "files of a worker's tables cut in the middle: of all partitions, one kind of file",
    "the table is removed and read from Kafka again; repetitions of before are still known",
)
def test_a_file_cut(ledger: Ledger) -> None:
    world, flow = ledger.world, ledger.flow
    folder = world.data_dir / "workers" / "worker-1" / "stream"
    for cuts in rounds_of_cuts(ledger):
        with ledger.flowing():
            ledger.under_way()
            ledger.moment()
            # It may still be starting anew after the one before.
            world.ready("worker-1")
            pid = world.agent("worker-1", "stream")
            with world.stopped(world.supervisors()["worker-1"]):
                kill(pid)
                for kind, table in cuts.items():
                    # Not each partition's is this worker's now, and not each has an *.sst yet.
                    for each in folder.glob(f"{table}/*/{kind}"):
                        cut(each)
                said, since = len(world.log("worker-1")), time.monotonic()
            ledger.recovered(f"{', '.join(cuts)} of a table cut in half", since)
            if "CURRENT" in cuts:
                # The other worker may have had the shards by then.
                until(lambda said=said: MENDED in world.log("worker-1")[said:], "a table removed")
                world.ready("worker-1")
                assert ended(ledger, "worker-1")["status"] == 65
            again = flow.again(100)
            ledger.watch.until(
                lambda seen, again=again: set(again) <= set(seen.duplicates),
                "the repetitions recognised",
            )
        ledger.stood()
    ledger.settled()


def rounds_of_cuts(ledger: Ledger) -> list[dict[str, str]]:
    """Kinds of files with the table of which they are cut: all in one round, or each in three."""
    if PLAN:
        return [{kind: ledger.random.choice(TABLES)} for kind in KINDS * 3]
    return [dict(zip(KINDS, ledger.random.sample(TABLES, len(KINDS)), strict=True))]


def ended(ledger: Ledger, worker: str) -> dict[str, Any]:
    """How its stream application ended last, as its health says."""
    found: dict[str, Any] = ledger.world.health(worker)["applications"]["stream"]["last_exit"]
    return found


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """A file system of its own at `folder`; skips where that is not allowed."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the room."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 16))
    return filler


@pytest.mark.fault(
    "a worker's disk full, and its stream application killed",
    "it says why and takes no shards, the other worker has them; with room it joins again by itself",
)
def test_disk_of_a_worker_full(ledger: Ledger) -> None:
    world = ledger.world
    folder = world.data_dir / "workers" / "worker-2"
    world.up(1)
    with small_disk(folder, WORKER_MEGABYTES):
        ledger.both_work()
        with ledger.flowing():
            ledger.under_way()
            filler, said = fill(folder), len(world.log("worker-2"))
            kill(world.agent("worker-2", "stream"))
            since = time.monotonic()
            ledger.recovered("disk full: the other worker has its shards", since)
            # The other worker may have the shards before the supervisor has seen the end.
            until(
                lambda: "stream ended with 74" in world.log("worker-2")[said:], "the end's status"
            )
            assert "cannot write to its disk" in world.log("worker-2")[said:]
            assert ended(ledger, "worker-2")["status"] == 74
            assert not world.goes_on("worker-2", "stream")
            amiss = world.diagnosis()
            assert any("ended with 74" in each for each in amiss["worker-2 stream"]), amiss
            assert "disk for worker-2" in amiss
            filler.unlink()
            since = time.monotonic()
            world.ready("worker-2")
            ledger.note("room again: the worker is ready", time.monotonic() - since)
            ledger.recovered("room again", since)
        ledger.stood()
        world.up(1)
    ledger.both_work()
    ledger.settled()


@long
@pytest.mark.fault(
    "the broker's disk full",
    "it stops, everything waits; with room, and `up`, everything goes on",
)
def test_disk_of_the_broker_full(ledger: Ledger) -> None:
    world = ledger.world
    folder, before = world.data_dir / "kafka", world.data_dir / "kafka-before"
    world.down()
    folder.rename(before)
    folder.mkdir()
    used = int(subprocess.check_output(["du", "-sm", before]).split()[0])
    try:
        with small_disk(folder, used + SPARE_MEGABYTES):
            copy(before, folder)
            ledger.both_work()
            with ledger.flowing():
                ledger.under_way()
                filler, pid = fill(folder), world.service("kafka")
                until(lambda: gone(pid), "the broker's end")
                amiss = world.diagnosis()
                assert "disk for kafka" in amiss
                assert any(
                    "its disk was full" in each
                    for name, found in amiss.items() if name.startswith("kafka")
                    for each in found
                ), amiss  # fmt: skip
                filler.unlink()
                world.up()
                ledger.recovered("room again, from up's end", time.monotonic())
            ledger.stood()
            world.down()
            shutil.rmtree(before)
            before.mkdir()
            copy(folder, before)
    finally:
        folder.rmdir()
        before.rename(folder)
    ledger.both_work()
    ledger.settled()


def copy(source: Path, target: Path) -> None:
    """All of it; Kafka's indexes are mostly holes."""
    subprocess.run(["cp", "-a", "--sparse=always", f"{source}/.", str(target)], check=True)
