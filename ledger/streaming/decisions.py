"""The decision log, read as everybody must read it: only runs that follow the last valid one."""

import logging
from collections.abc import Callable, Iterable, Iterator

from aiokafka import ConsumerRecord

from ledger.domain.run import Decision, Voided, Watermark
from ledger.domain.valid_run import ValidRun
from ledger.errors import InvariantBroken
from ledger.streaming.log import Log, log_dropped
from ledger.streaming.reader import out_of_reach
from ledger.streaming.registry import Codec

LOOKED_AT = 16
"""Offsets before a position: some may be control records, which nobody sees."""

log = logging.getLogger(__name__)


def valid_runs(
    codec: Codec, records: Iterable[ConsumerRecord], watermark: Watermark
) -> Iterator[ValidRun]:
    """The runs among `records` that continue `watermark`, each from the one before.

    A run that follows anything else was appended by an owner that no longer was one: the first
    to land won, for every reader alike.
    """
    for record in records:
        if record.offset < watermark.decisions_offset:
            continue
        try:
            decision = Decision(**codec.decode("Decision", record.value or b""))
        except (ValueError, TypeError) as error:
            log_dropped(record, error)
            continue
        if decision.shard != record.partition or not decision.continues(watermark):
            log.warning("Dropped a run at %s: it does not follow %s", record.offset, watermark.end)
            continue
        after = decision.after(watermark, decisions_offset=record.offset)
        yield ValidRun(decision, record.offset, watermark, after)
        watermark = after


async def require_known(log_: Log, codec: Codec, topic: str, shard: int, known: Watermark) -> None:
    """Raises InvariantBroken when this is not the log in which `known` was reached.

    A topic that was recreated may have grown past the position meanwhile: its runs would follow
    nothing, and be dropped one by one without an alarm. Where `known` is the start of what the
    log still holds there is nothing to compare.
    """
    last = known.decisions_offset - 1
    first, end = await log_.bounds(topic, shard)
    if known.decisions_offset > end:
        raise InvariantBroken(out_of_reach(topic, shard, known.decisions_offset, (first, end)))
    if last < first:
        return
    async for records in log_.read(topic, shard, last, last + 1):
        for record in records:
            decision = decision_in(codec, record)
            if decision is not None and decision.digest == known.digest:
                return
    raise InvariantBroken(
        f"{topic}[{shard}] has another run at {last} than the one with digest "
        f"{known.digest.hex()[:16]}... that was followed: the topic was recreated, or this state "
        "is another ledger's. This shard waits, the others go on. What to do: "
        "docs/runbooks/topic-lost.md"
    )


async def voids_ahead(
    log_: Log, codec: Codec, topic: str, shard: int, watermark: Watermark
) -> tuple[dict[int, tuple[int, Voided]], Watermark]:
    """What the runs after `watermark` void, by offset: the run's decision offset, and the void.

    Also the watermark of the last run.
    """
    found: dict[int, tuple[int, Voided]] = {}
    async for records in log_.read(topic, shard, watermark.decisions_offset):
        for run in valid_runs(codec, records, watermark):
            for each in run.voided:
                found[each.transaction.offsets[0]] = run.decisions_offset, each
            watermark = run.after
    return found, watermark


async def require_decided(
    log_: Log,
    topic: str,
    shard: int,
    known: Watermark,
    recorded_at: Callable[[int, int, int], int] = lambda _shard, _offset, time: time,
) -> None:
    """Raises InvariantBroken when the transactions before `known.end` came after it was reached.

    `recorded_at`: when a record counts as recorded, by shard, offset and the log's own time.

    A topic that was recreated may have grown past the position meanwhile: what it holds before
    that would never be read, without an alarm. The broker's times tell.
    """
    first, end = await log_.bounds(topic, shard)
    start = max(first, known.end - LOOKED_AT)
    if not start < known.end <= end:
        return
    async for records in log_.read(topic, shard, start, known.end):
        for record in records:
            at = recorded_at(shard, record.offset, record.timestamp * 1_000)
            if at > known.recorded_until:
                raise InvariantBroken(
                    f"{topic}[{shard}] has at {record.offset} a younger record than the one that "
                    "was decided there: the topic was recreated. This shard waits, the others go "
                    "on. What to do: docs/runbooks/topic-lost.md"
                )


def decision_in(codec: Codec, record: ConsumerRecord) -> Decision | None:
    """The decision in a record, whether it counts or not; None where there is none."""
    try:
        return Decision(**codec.decode("Decision", record.value or b""))
    except (ValueError, TypeError):
        return None
