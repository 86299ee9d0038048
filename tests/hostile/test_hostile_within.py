"""Records on the ledger's own topics that no worker wrote: somebody's mistake, with rights to do so.

They are left out by whoever reads there, while the worker runs and when it starts again.
"""

import os
import shutil
from dataclasses import replace
from typing import Any

import pytest

from ledger.stack import stack as stacks
from ledger.streaming.topics import Topic, topics
from tests import builders
from tests.hostile import raw
from tests.hostile.conftest import Attacked
from tests.hostile.raw import record
from tests.wire import present

INSIDE = ("decisions", "posted", "stripes", "stripes_changelog", "progress")


def spoil(attacked: Attacked, topic: Topic) -> None:
    """Garbage last in every partition: framed as ours too, and where a value should be nothing."""
    attacked.wire.spoiled = True
    head = attacked.wire.codec.head(topic.schema) if topic.schema else b""
    batch = raw.batch([
        record(0, b"garbage", os.urandom(40)),
        # The broker takes none without a key where it compacts.
        record(1, b"" if topic.config["cleanup.policy"] == "compact" else None, None),
        record(2, b"s", head + os.urandom(40)),
        record(3, b"w", b"no mark"),
        record(4, b"7", head),
    ])  # fmt: skip
    everywhere = {partition: [batch] for partition in range(topic.partitions)}
    attacked.wire.run(raw.send(attacked.stack.settings, topic.name, everywhere))


def reconciled(attacked: Attacked) -> None:
    """A transaction in every shard."""
    wire, shards = attacked.wire, attacked.stack.settings.shards
    names = [builders.id_in_shard(shard, shards, f"i{present()}") for shard in range(shards)]
    for place in wire.send([wire.record(builders.draft(name, at=present())) for name in names]):
        wire.await_reconciled(place)
        assert wire.outcome_of(*place).accepted


@pytest.mark.parametrize("name", INSIDE)
def test_what_no_worker_wrote_is_left_out(attacked: Attacked, name: str) -> None:
    reconciled(attacked)
    with attacked.unharmed():
        spoil(attacked, getattr(topics(attacked.stack.settings), name))
        reconciled(attacked)


@pytest.mark.parametrize("disk", ["kept", "lost"])
def test_a_worker_that_starts_behind_it_is_ready(
    attacked: Attacked, command: Any, disk: str
) -> None:
    """Where nothing moves after the garbage, which is the last of each partition."""
    place, every = attacked.stack.data_dir, topics(attacked.stack.settings)
    stacks.up(place, worker_count=0)
    for name in INSIDE:
        spoil(attacked, getattr(every, name))
    if disk == "lost":
        shutil.rmtree(place / "workers" / "worker-1" / "stream")
    record = stacks.up(place, worker_count=1)
    attacked.stack = replace(attacked.stack, workers=tuple(part.pid for part in record.workers))
    reconciled(attacked)
    if disk == "lost":
        assert command("reconcile", "--full")["breaks"] == []
        assert command("verify")["findings"] == []
