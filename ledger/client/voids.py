"""The way out for a decision that cannot be posted: leave to void it, and a record that asks to.

Leave is a record of the reference topic, which only those may write who may change what a ledger
decides by. The record that asks goes through the shard like any other, and gets an outcome in the
decision log; docs/runbooks/not-postable.md.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

from ledger.client.imports import Importer
from ledger.client.outcomes import Outcomes
from ledger.client.publisher import Publisher
from ledger.client.records import Records
from ledger.domain.decide import VOID
from ledger.domain.reference import Leave, reason_problem
from ledger.domain.refusal import Refused
from ledger.domain.run import Content, Refusal, Watermark
from ledger.domain.transaction import Draft
from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.streaming.decisions import valid_runs
from ledger.streaming.log import Log
from ledger.streaming.topics import topics

LEAVE = 3_600_000_000
"""How long leave is for, microseconds: what is posted after all is not voided months later."""


class Waiting(NamedTuple):
    """An accepted transaction that is not posted yet; `run`: decision offset of its run.

    `recorded_until`: the shard's time, which may be ahead of the clocks, microseconds.
    """

    shard: int
    run: int
    content: Content
    recorded_until: int = 0

    @property
    def offset(self) -> int:
        """In its shard."""
        return self.content.offsets[0]

    @property
    def transaction_id(self) -> str:
        """Its id."""
        return self.content.transaction_ids[0]

    def mixed(self, scales: Mapping[str, int]) -> dict[str, tuple[int, int]]:
        """By currency its decimals and those of `scales`, where they differ."""
        pairs = zip(self.content.currencies, self.content.scales, strict=True)
        return {
            code: (scale, scales[code]) for code, scale in pairs if scales.get(code, scale) != scale
        }


@dataclass(slots=True)
class Voids:
    """What came of asking.

    `voided`: how many are void now, those included that were before. `refused`: those that are
    not, and why. `behind`: shards that did not say in time that they have the leave.
    """

    voided: int = 0
    refused: list[Refusal] = field(default_factory=list)
    behind: list[int] = field(default_factory=list)


async def waiting(
    settings: Settings, shard: int, posted: Watermark, wanted: Mapping[str, int] | set[int]
) -> list[Waiting]:
    """What the shard has accepted beyond `posted`, the general ledger's watermark of it.

    Those at the offsets `wanted`, or those with other decimals than `wanted` says.
    """
    names, log = topics(settings), Log(settings)
    found = []
    try:
        codec = (await Records.of(settings, "Decision")).codec
        lists = log.read(names.decisions.name, shard, posted.decisions_offset)
        async with aclosing(lists):  # type: ignore[type-var]
            async for records in lists:
                for run in valid_runs(codec, records, posted):
                    found += _wanted(shard, run.decisions_offset, run.content, wanted)
                    posted = run.after
    finally:
        await log.close()
    return [each._replace(recorded_until=posted.recorded_until) for each in found]


def _wanted(
    shard: int, run: int, content: Content, wanted: Mapping[str, int] | set[int]
) -> list[Waiting]:
    if isinstance(wanted, set):
        offsets = wanted & set(content.offsets)
        return [Waiting(shard, run, content.part({each})) for each in sorted(offsets)]
    pairs = zip(content.currencies, content.scales, strict=True)
    if all(wanted.get(code, scale) == scale for code, scale in pairs):
        return []
    each = (Waiting(shard, run, content.part({offset})) for offset in content.offsets)
    return [one for one in each if one.mixed(wanted)]


def require_waiting(
    shard: int, offsets: Iterable[int], found: Sequence[Waiting], posted: Watermark
) -> None:
    """Raises LedgerError for an offset that cannot be voided: posted, or never accepted."""
    for offset in set(offsets) - {each.offset for each in found}:
        if offset < posted.end:
            raise LedgerError(
                f"Shard {shard} is posted up to position {posted.end}, so what is at {offset} is "
                "in the general ledger, or was refused. Only what cannot be posted is voided; to "
                "take back what is posted, publish a reversal. Nothing was changed."
            )
        raise LedgerError(
            f"No transaction was accepted at offset {offset} of shard {shard}: it was refused, is "
            "a repetition, or is not decided yet (`faust-ledger rejects list`). Nothing was "
            "changed."
        )


async def void(
    settings: Settings, found: Sequence[Waiting], *, reason: str, seconds: float
) -> Voids:
    """Give leave to void each, ask to, and wait, `seconds` at most, for what becomes of it.

    Raises LedgerError for a reason that cannot be kept.
    """
    if problem := reason_problem(reason):
        raise LedgerError(f"The reason {problem}. Nothing was changed.")
    made, until = Voids(), time.monotonic() + seconds
    async with Importer(settings) as importer:
        for each in found:
            now = max(time.time_ns() // 1_000, each.recorded_until)
            leave = Leave(each.shard, each.offset, each.run, reason, until=now + LEAVE)
            # Half of it, for shards that decide nothing now are waited for as well.
            _, behind = await importer.put(leave, max(until - time.monotonic(), 0) / 2)
            made.behind = [shard for shard in behind if shard == each.shard]
            if made.behind:
                return made

    def refused(_: int, refusal: Refusal) -> None:
        made.refused.append(refusal)

    async with Outcomes(settings, on_refused=refused) as outcomes:
        async with Publisher(settings, check=False) as publisher:
            # A reversal before what it reverses, which else is REVERSED_ALREADY.
            for each in reversed(found):
                sent = await publisher.publish(asking(each, reason))
                if isinstance(sent, Refused):
                    raise LedgerError(f"Offset {each.offset}: {sent.sentence}")
                outcomes.add(sent)
        tally, _ = await outcomes.settle(max(until - time.monotonic(), 0))
    made.voided = tally.voids + tally.duplicates
    return made


def asking(each: Waiting, reason: str) -> Draft:
    """The record that asks to void it: in its shard, for it has its ordering key."""
    content = each.content
    now = time.time_ns() // 1_000
    return Draft(
        # With something that nobody can guess: an id that was used before would be ID_REUSED.
        transaction_id=f"{VOID}/{each.shard}/{each.offset}/{uuid4().hex}",
        kind=VOID,
        description=reason[:1_000],
        effective_at=now,
        created_at=now,
        ordering_key=content.ordering_keys[0] or each.transaction_id,
        reverses=each.transaction_id,
        entries=[],
        metadata={},
    )
