"""Voiding an accepted transaction that cannot be posted: a leave, and a request.

The leave is a record of the reference topic, which needs the right to change the policy. The
request is a record in the shard, and gets an outcome in the decision log like any other
(docs/runbooks/not-postable.md).
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import uuid4

from ledger.client.imports import Importer
from ledger.client.outcomes import OutcomeWatch
from ledger.client.publisher import Publisher
from ledger.client.records import Records
from ledger.clock import now
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
"""Microseconds for which a leave is valid, so that nothing is voided months later."""


class Unposted(NamedTuple):
    """An accepted transaction that is not posted yet; `run`: the decision offset of its run.

    `recorded_until`: the shard's time in microseconds, which may be ahead of the clocks.
    """

    shard: int
    run: int
    content: Content
    recorded_until: int = 0

    @property
    def offset(self) -> int:
        """Its offset in its shard."""
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
    """The result of a request.

    `voided`: how many are void now, including those that were before. `refused`: those that are
    not, and why. `behind`: shards that have not read the leave yet.
    """

    voided: int = 0
    refused: list[Refusal] = field(default_factory=list)
    behind: list[int] = field(default_factory=list)


async def unposted(
    settings: Settings, shard: int, posted: Watermark, wanted: Mapping[str, int] | set[int]
) -> list[Unposted]:
    """Transactions that the shard accepted after `posted`, the general ledger's watermark.

    `wanted`: their offsets, or decimals by currency for those that have other decimals.
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
) -> list[Unposted]:
    if isinstance(wanted, set):
        offsets = wanted & set(content.offsets)
        return [Unposted(shard, run, content.part({each})) for each in sorted(offsets)]
    pairs = zip(content.currencies, content.scales, strict=True)
    if all(wanted.get(code, scale) == scale for code, scale in pairs):
        return []
    found = (Unposted(shard, run, content.part({offset})) for offset in content.offsets)
    return [each for each in found if each.mixed(wanted)]


def require_unposted(
    shard: int, offsets: Iterable[int], found: Sequence[Unposted], posted: Watermark
) -> None:
    """Raises LedgerError for an offset that cannot be voided: posted, or never accepted."""
    for offset in set(offsets) - {each.offset for each in found}:
        if offset < posted.end:
            raise LedgerError(
                f"Shard {shard} is posted up to position {posted.end}, so the transaction at "
                f"{offset} is in the general ledger, or was refused. Only transactions that cannot "
                "be posted are voided; publish a reversal of a posted one. Nothing was changed."
            )
        raise LedgerError(
            f"No transaction was accepted at offset {offset} of shard {shard}: the record was "
            "refused, is a repetition, or is not decided yet (`faust-ledger rejects list`). "
            "Nothing was changed."
        )


async def void(
    settings: Settings, found: Sequence[Unposted], *, reason: str, seconds: float
) -> Voids:
    """Record a leave to void each, request it, and wait for at most `seconds` for the outcomes.

    Raises LedgerError for an invalid reason.
    """
    if problem := reason_problem(reason):
        raise LedgerError(f"The reason {problem}. Nothing was changed.")
    made, until = Voids(), time.monotonic() + seconds
    async with Importer(settings) as importer:
        for each in found:
            at = max(now(), each.recorded_until)
            leave = Leave(each.shard, each.offset, each.run, reason, until=at + LEAVE)
            # Half of the time, because this waits for shards that decide nothing now, too.
            _, behind = await importer.put(leave, max(until - time.monotonic(), 0) / 2)
            made.behind = [shard for shard in behind if shard == each.shard]
            if made.behind:
                return made

    def refused(_: int, refusal: Refusal) -> None:
        made.refused.append(refusal)

    async with OutcomeWatch(settings, on_refused=refused) as outcomes:
        async with Publisher(settings, check=False) as publisher:
            # A reversal first: what it reverses would be refused REVERSED_ALREADY.
            for each in reversed(found):
                sent = await publisher.publish(void_request(each, reason))
                if isinstance(sent, Refused):
                    raise LedgerError(f"Offset {each.offset}: {sent.sentence}")
                outcomes.add(sent)
        tally, _ = await outcomes.wait(max(until - time.monotonic(), 0))
    made.voided = tally.voids + tally.duplicates
    return made


def void_request(each: Unposted, reason: str) -> Draft:
    """The request to void a transaction, with its ordering key and so in its shard."""
    content = each.content
    at = now()
    return Draft(
        # An id that nobody can guess and use first, which would make this one ID_REUSED.
        transaction_id=f"{VOID}/{each.shard}/{each.offset}/{uuid4().hex}",
        kind=VOID,
        description=reason[:1_000],
        effective_at=at,
        created_at=at,
        ordering_key=content.ordering_keys[0] or each.transaction_id,
        reverses=each.transaction_id,
        entries=[],
        metadata={},
    )
