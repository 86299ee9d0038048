"""The decision over a run: every record of it accepted, refused or recognised as a repetition.

A pure function of the records, what was accepted before, the reference data and the policy.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ledger.domain.checks import check_content, check_fields
from ledger.domain.memory import AcceptedId, Memory, Voidable
from ledger.domain.partition import partition_of
from ledger.domain.policy import Policy
from ledger.domain.reference import Reference
from ledger.domain.refusal import Reason, Refused
from ledger.domain.reversal import check_reversal, check_void, was_voided
from ledger.domain.run import (
    BY_TRANSACTION,
    Content,
    Decision,
    Outcomes,
    Refusal,
    Voided,
    Watermark,
    voids_encoded,
)
from ledger.domain.transaction import (
    Draft,
    Entry,
    fingerprint,
    metadata_text,
    mirror,
    ordering_key,
    shown_time,
)

VOID = "ledger.void"
"""The kind of a record without entries that asks to void what it reverses."""
RUN_STRIPES = 8_000
"""Touched by one run, or a few more: a stripe takes a kilobyte in each of its places."""
SPARSE_STRIPES = 2_000
"""The same of a sparse run: accounts that are hardly shared gain nothing by a longer one."""
RUN_REFUSED = 4 * 1_048_576
"""Bytes of refusals in one run, or one record more: what is refused may say more than it was, and
a run is one record of the log."""
KEPT_BYTES = 1_048_576
"""Of a refused record's key and value: the topic's own limit, which is on compressed batches."""


class Received(NamedTuple):
    """A record as the log gave it; `recorded_at` in microseconds since 1970.

    `draft` is its decoded value, or why there is none.
    """

    offset: int
    recorded_at: int
    key: bytes | None
    value: bytes | None
    draft: Draft | Refused


class Decided(NamedTuple):
    """A run as the decision log keeps it, and decoded, so that nobody near need do it again."""

    decision: Decision
    content: Content
    outcomes: Outcomes


@dataclass(slots=True)
class _Run:
    """What a run under decision has come to so far; `rows`: each one's values of BY_TRANSACTION."""

    content: Content
    outcomes: Outcomes
    stripes: dict[tuple[str, str], int]
    fingerprints: list[bytes]
    rows: list[tuple[Any, ...]]
    voided: list[Voided] = field(default_factory=list)

    def is_full(self) -> bool:
        """Whether it touches as many stripes as one should."""
        return len(self.stripes) >= RUN_STRIPES or is_sparse(self.content)


def is_sparse(content: Content) -> bool:
    """Whether it has SPARSE_STRIPES or more, and almost every entry touches one of its own."""
    stripes = len(content.accounts)
    return stripes >= SPARSE_STRIPES and 20 * stripes > 19 * len(content.entry_stripes)


def decide(
    records: Iterable[Received],
    *,
    shard: int,
    shards: int,
    end: int,
    watermark: Watermark,
    memory: Memory,
    reference: Reference,
    policy: Policy,
) -> Decided:
    """Decide `records`, the positions [watermark.end, end) of the shard. `memory` learns.

    Or as many of them as fill a run with stripes, or take RUN_REFUSED bytes to refuse; the
    decision has its own `end`.
    """
    run = _Run(Content(), Outcomes(), {}, [], [])
    recorded_until = watermark.recorded_until
    refused_bytes = 0
    for record in records:
        if run.is_full() or refused_bytes >= RUN_REFUSED:
            end = record.offset
            break
        recorded_until = max(recorded_until, record.recorded_at)
        outcome = _judge(record, recorded_until, shard, shards, memory, reference, policy)
        if isinstance(outcome, Refused):
            refusal = _refusal(record, recorded_until, outcome)
            run.outcomes.refused.append(refusal)
            refused_bytes += refusal.weight
        elif outcome is None:
            run.outcomes.duplicates.append(record.offset)
        elif isinstance(outcome, Voidable):
            run.voided.append(_void(record.offset, recorded_until, outcome, memory, reference))
            refused_bytes += len(run.voided[-1].content)
        else:
            entries, mark = outcome
            _accept(run, record, recorded_until, entries, mark, memory)
    for name, column in zip(BY_TRANSACTION, zip(*run.rows, strict=True), strict=False):
        setattr(run.content, name, list(column))
    run.outcomes.fingerprints = b"".join(run.fingerprints)
    decision = Decision(
        shard=shard,
        start=watermark.end,
        end=end,
        follows=watermark.digest,
        recorded_until=recorded_until,
        reference_offset=reference.offset,
        accepted=len(run.content.offsets),
        content=run.content.encode(),
        outcomes=run.outcomes.encode(),
        reference_digest=reference.digest,
        voids=voids_encoded(run.voided),
    )
    return Decided(decision, run.content, run.outcomes)


def _judge(
    record: Received,
    recorded_at: int,
    shard: int,
    shards: int,
    memory: Memory,
    reference: Reference,
    policy: Policy,
) -> tuple[list[Entry], bytes] | Voidable | Refused | None:
    """Entries and fingerprint of what is accepted, or the refusal, or None for a repetition.

    Or what the record voids.
    """
    draft = record.draft
    if isinstance(draft, Refused):
        return draft
    refused = check_key(draft, record.key, shard, shards) or check_fields(
        draft,
        recorded_at=recorded_at,
        policy=policy,
        floor=memory.floor,
        accepted=memory.seen,
    )
    # What was accepted before a rule of names was made is in the ledger: its retry is told so, and
    # not to mend the name, which would book it again.
    if refused and refused.reason is not Reason.FIELD_MALFORMED:
        return refused
    known = memory.seen(draft["transaction_id"])
    if (
        known is not None
        and recorded_at - known.known_from <= policy.window
        and known.known_from >= memory.floor
    ):
        return _known_again(draft, known, memory, refused)
    if refused:
        return refused
    entries = check_content(
        draft, recorded_at=recorded_at, reference=reference, policy=policy, changed=memory.changed
    )
    if isinstance(entries, Refused):
        asks = draft["kind"] == VOID and not draft["entries"]
        return check_void(draft, memory, recorded_at) if asks else entries
    refused = check_reversal(draft, entries, recorded_at, memory, reference, policy)
    return refused or (entries, fingerprint(draft))


def check_key(draft: Draft, key: bytes | None, shard: int, shards: int) -> Refused | None:
    """The record's key is the ordering key, and its partition is that key's."""
    wanted = ordering_key(draft).encode("utf-8", "surrogatepass")
    if key != wanted:
        sentence = (
            "The record's key is not the ordering key (the transaction id where there is none) in "
            "UTF-8; without it a retry would not meet its first attempt."
        )
        return Refused(Reason.WRONG_KEY, sentence, "key")
    right = partition_of(wanted, shards)
    if right != shard:
        sentence = (
            f"The record is in partition {shard} and belongs in {right}: use murmur2 of the key, "
            f"Java's default partitioner, over {shards} partitions."
        )
        return Refused(Reason.WRONG_PARTITION, sentence, "partition")
    return None


def _known_again(
    draft: Draft, known: AcceptedId, memory: Memory, refused: Refused | None
) -> Refused | None:
    """Of an id that is remembered; `refused`: what else is wrong with it."""
    if known.fingerprint != fingerprint(draft):
        return refused or _reused(draft, known, memory)
    if known.offset in memory.voided:
        return was_voided(draft["transaction_id"], known, "transaction_id")
    return None


def _reused(draft: Draft, known: AcceptedId, memory: Memory) -> Refused:
    name, original = draft["transaction_id"], draft["reverses"]
    advice = "Give a new transaction a new id; to correct the old one, reverse it."
    sentence = f"Id {name!r} was accepted at offset {known.offset} with other content. {advice}"
    is_its_reversal = original is not None and memory.reversal(original) == known.offset
    if is_its_reversal and known.offset not in memory.voided:
        # To reverse the old one would book once more what was taken back.
        sentence = (
            f"{original!r} was reversed already, by {name!r} at {shown_time(known.known_from)} "
            f"(offset {known.offset}). This has another reason, time or other content, and books "
            "nothing. Nothing more is to be done."
        )
    return Refused(Reason.ID_REUSED, sentence, "transaction_id")


def _void(
    offset: int, recorded_at: int, taken: Voidable, memory: Memory, reference: Reference
) -> Voided:
    content = taken.content
    memory.voided.add(content.offsets[0])
    stripes = zip(content.currencies, content.scales, strict=True)
    scales = [reference.scales.get(code, scale) for code, scale in stripes]
    return Voided(
        offset, recorded_at, taken.run, taken.authority, taken.reason, scales, content.encode()
    )


def _accept(
    run: _Run,
    record: Received,
    recorded_at: int,
    entries: list[Entry],
    mark: bytes,
    memory: Memory,
) -> None:
    draft = record.draft
    assert not isinstance(draft, Refused)
    content, stripes = run.content, run.stripes
    for account, currency, scale, amount in entries:
        index = stripes.get((account, currency))
        if index is None:
            index = stripes[account, currency] = len(stripes)
            content.accounts.append(account)
            content.currencies.append(currency)
            content.scales.append(scale)
        content.entry_stripes.append(index)
        content.entry_amounts.append(amount)
    name, metadata = draft["transaction_id"], draft["metadata"]
    run.rows.append((
        record.offset,
        recorded_at,
        draft["effective_at"],
        draft["created_at"],
        name,
        draft["kind"],
        draft["description"],
        draft["ordering_key"] or "",
        draft["reverses"] or "",
        metadata_text(metadata) if metadata else "",
        len(entries),
    ))  # fmt: skip
    run.fingerprints.append(mark)
    memory.add(
        name,
        record.offset,
        max(recorded_at, draft["created_at"]),
        mark,
        mirror(ordering_key(draft), entries),
        draft["effective_at"],
        reverses=draft["reverses"] is not None,
    )
    if draft["reverses"]:
        memory.reversals[draft["reverses"]] = record.offset


def _refusal(record: Received, recorded_at: int, refused: Refused) -> Refusal:
    draft = record.draft
    return Refusal(
        offset=record.offset,
        recorded_at=recorded_at,
        transaction_id=None if isinstance(draft, Refused) else draft["transaction_id"],
        code=refused.reason.value,
        field=refused.field,
        reason=refused.sentence,
        key=record.key and record.key[:KEPT_BYTES],
        value=record.value and record.value[:KEPT_BYTES],
    )
