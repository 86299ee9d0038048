"""The decision over a run: every record of it accepted, refused or recognised as a repetition.

A pure function of the records, what was accepted before, the reference data and the policy.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from ledger.domain.partition import partition_of
from ledger.domain.policy import LONG_AGO, Policy
from ledger.domain.reference import Reference
from ledger.domain.refusal import Reason, Refused
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
    MAX_ID,
    NO_SCALES,
    Draft,
    Entry,
    check_accounts,
    check_content,
    check_fields,
    fingerprint,
    legs,
    metadata_text,
    mirror,
    ordering_key,
    shown_time,
)

FINGERPRINT = 16
VOID = "ledger.void"
"""The kind of a record without entries that asks to void what it reverses."""
_SEEN = struct.Struct(">qq16s16sq?")
RUN_STRIPES = 8_000
"""Touched by one run, or a few more: a stripe takes a kilobyte in each of its places."""
APART_STRIPES = 2_000
"""The same of a run that is apart: accounts that are hardly shared gain nothing by a longer one."""
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


class Seen(NamedTuple):
    """What is remembered of an accepted transaction.

    `known_from` is max(created_at, recorded_at), microseconds; the window counts from it.
    `reverses`: whether it is a reversal itself.
    """

    offset: int
    known_from: int
    fingerprint: bytes
    mirror: bytes
    effective_at: int
    reverses: bool

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Of the 57 bytes that Memory.add makes, which the table of accepted ids has too."""
        return cls._make(_SEEN.unpack(packed))


class Voidable(NamedTuple):
    """An accepted transaction that there is leave to void: `content` has it alone.

    `run`: decision offset of the run that accepted it. `authority`, `reason`, `until`: of the
    leave.
    """

    run: int
    authority: int
    reason: str
    content: Content
    until: int | None = None


class Memory:
    """Ids accepted before a run; `ids` and `reversals` collect what the run adds.

    `ids` has each as it was packed when it was at hand: after a run of thousands it no longer is.
    `known_until`: the last `known_from` of them. `floor`: the time from which on every accepted id
    is remembered (microseconds); what is known from before it counts as forgotten. `changed`:
    decimals by code of what was accepted with others than the reference data have today.
    `voided`: offsets of what was voided, and the run's own. `voidable`: by id, what there is leave
    to void.
    """

    def __init__(
        self,
        find: Callable[[str], Seen | None],
        find_reversal: Callable[[str], int | None],
        *,
        floor: int = LONG_AGO,
        changed: Mapping[str, int] = NO_SCALES,
        voided: Iterable[int] = (),
        voidable: Mapping[str, Voidable] | None = None,
    ) -> None:
        self._find = find
        self._find_reversal = find_reversal
        self.floor, self.changed = floor, changed
        self.found: Mapping[str, Seen | None] = {}
        """What was looked up already, for many together."""
        self.ids: dict[str, bytes] = {}
        self.known_until = 0
        self.reversals: dict[str, int] = {}
        self.voided = set(voided)
        self.voidable = voidable or {}

    def seen(self, transaction_id: str) -> Seen | None:
        """The accepted transaction of that id."""
        known = self.ids.get(transaction_id)
        if known is not None:
            return Seen.unpack(known)
        found = self.found
        return found[transaction_id] if transaction_id in found else self._find(transaction_id)

    def reversal(self, transaction_id: str) -> int | None:
        """Offset of the transaction that reversed it."""
        known = self.reversals.get(transaction_id)
        return self._find_reversal(transaction_id) if known is None else known

    def remember(self, content: Content, outcomes: Outcomes, voided: Iterable[Voided] = ()) -> None:
        """Take a settled run: the same from the decision log as right after deciding."""
        self.voided.update(each.transaction.offsets[0] for each in voided)
        prints = outcomes.fingerprints
        rows = zip(
            content.transaction_ids,
            content.offsets,
            content.created_at,
            content.recorded_at,
            content.effective_at,
            content.ordering_keys,
            content.reverses,
            content.legs(),
            strict=True,
        )
        for index, row in enumerate(rows):
            name, offset, created_at, recorded_at, effective_at, key, reverses, entries = row
            at = index * FINGERPRINT
            self.add(
                name,
                offset,
                max(created_at, recorded_at),
                prints[at : at + FINGERPRINT],
                mirror(key or name, [Entry(each[0], each[1], 0, each[2]) for each in entries]),
                effective_at,
                reverses=bool(reverses),
            )
            if reverses:
                self.reversals[reverses] = offset

    def add(
        self,
        name: str,
        offset: int,
        known_from: int,
        fingerprint: bytes,
        mirror: bytes,
        effective_at: int,
        *,
        reverses: bool,
    ) -> None:
        """An accepted transaction: its id, and what a Seen says."""
        # Not made into a Seen first: for each transaction that was measured as 3 % of deciding.
        self.ids[name] = _SEEN.pack(offset, known_from, fingerprint, mirror, effective_at, reverses)
        self.known_until = max(self.known_until, known_from)


class Settled(NamedTuple):
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
        return len(self.stripes) >= RUN_STRIPES or is_apart(self.content)


def is_apart(content: Content) -> bool:
    """Whether it has APART_STRIPES or more, and 19 of 20 entries one of their own."""
    stripes = len(content.accounts)
    return stripes >= APART_STRIPES and 20 * stripes > 19 * len(content.entry_stripes)


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
) -> Settled:
    """Settle `records`, the positions [watermark.end, end) of the shard. `memory` learns.

    Or as many of them as fill it with stripes, or take RUN_REFUSED bytes to refuse; the decision's
    own `end` says so.
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
    return Settled(decision, run.content, run.outcomes)


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
        return _check_void(draft, memory, recorded_at) if asks else entries
    refused = _check_reversal(draft, entries, recorded_at, memory, reference, policy)
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
    draft: Draft, known: Seen, memory: Memory, refused: Refused | None
) -> Refused | None:
    """Of an id that is remembered; `refused`: what else is wrong with it."""
    if known.fingerprint != fingerprint(draft):
        return refused or _reused(draft, known)
    if known.offset in memory.voided:
        return _voided(draft["transaction_id"], known, "transaction_id")
    return None


def _reused(draft: Draft, known: Seen) -> Refused:
    sentence = (
        f"Id {draft['transaction_id']!r} was accepted at offset {known.offset} with other content. "
        "Give a new transaction a new id; to correct the old one, reverse it."
    )
    return Refused(Reason.ID_REUSED, sentence, "transaction_id")


def _voided(name: str, known: Seen, field: str) -> Refused:
    sentence = (
        f"{name!r} was accepted at offset {known.offset} and voided since: it could not be posted, "
        "and counts for nothing. Publish what should have been under a new id."
    )
    return Refused(Reason.VOIDED, sentence, field)


def _check_void(draft: Draft, memory: Memory, recorded_at: int) -> Voidable | Refused | None:
    """What the record voids; None where that is void already."""
    name = draft["reverses"] or ""
    known, voidable = memory.seen(name), memory.voidable.get(name)
    is_void = known is not None and known.offset in memory.voided
    # Of an id that was used again past the window it is the last use that is not void yet.
    if voidable is None or not (
        is_void or known is None or known.offset == voidable.content.offsets[0]
    ):
        if is_void:
            return None
        sentence = (
            f"There is no leave to void {name[:MAX_ID]!r}. Only a decision that cannot be posted "
            "is voided, by `faust-ledger void`; to take back anything else, reverse it."
        )
        return Refused(Reason.VOID_WITHOUT_LEAVE, sentence, "reverses")
    offset = voidable.content.offsets[0]
    if offset in memory.voided:
        return None
    if voidable.until is not None and recorded_at > voidable.until:
        sentence = (
            f"The leave to void {name!r} has ended; `faust-ledger void` gives it anew. It is not "
            "for ever, for what is posted meanwhile is to be reversed."
        )
        return Refused(Reason.VOID_WITHOUT_LEAVE, sentence, "reverses")
    reversed_at = memory.reversal(name)
    if reversed_at is not None and reversed_at > offset and reversed_at not in memory.voided:
        sentence = f"{name!r} was reversed at offset {reversed_at}. Void that one first."
        return Refused(Reason.REVERSED_ALREADY, sentence, "reverses")
    return voidable


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


def _check_reversal(
    draft: Draft,
    entries: list[Entry],
    recorded_at: int,
    memory: Memory,
    reference: Reference,
    policy: Policy,
) -> Refused | None:
    name = draft["reverses"]
    if name is None:
        return None
    known = memory.seen(name)
    if known is None:
        sentence = (
            f"No accepted transaction {name!r} in this shard. A reversal has the ordering key of "
            "what it reverses (its transaction id where it had none)."
        )
        return Refused(Reason.REVERSAL_UNKNOWN, sentence, "reverses")
    if recorded_at - known.known_from > policy.window or known.known_from < memory.floor:
        sentence = f"{name!r} is past the window of reversals; book an adjustment instead."
        return Refused(Reason.REVERSAL_TOO_OLD, sentence, "reverses")
    refused = _check_taken_back(name, known, memory) or _check_mirror(draft, entries, known)
    # Only what takes back an original is spared: the reversal of a reversal books it once more.
    if refused or not known.reverses:
        return refused
    return check_accounts(
        draft, entries, recorded_at=recorded_at, reference=reference, policy=policy
    )


def _check_taken_back(name: str, known: Seen, memory: Memory) -> Refused | None:
    if known.offset in memory.voided:
        return _voided(name, known, "reverses")
    reversed_at = memory.reversal(name)
    # An id used again past the window is another transaction: only what came after it counts.
    was_reversed = reversed_at is not None and reversed_at > known.offset
    if not was_reversed or reversed_at in memory.voided:
        return None
    sentence = (
        f"{name!r} was reversed already, at offset {reversed_at}. To have it back, reverse that "
        "one."
    )
    return Refused(Reason.REVERSED_ALREADY, sentence, "reverses")


def _check_mirror(draft: Draft, entries: list[Entry], known: Seen) -> Refused | None:
    name = draft["reverses"]
    if draft["effective_at"] < known.effective_at:
        sentence = (
            f"effective_at {shown_time(draft['effective_at'])} is before that of {name!r}, "
            f"{shown_time(known.effective_at)}; nothing is taken back before it was there."
        )
        return Refused(Reason.REVERSAL_BEFORE_ORIGINAL, sentence, "effective_at")
    if legs(ordering_key(draft), entries) != known.mirror:
        sentence = (
            f"This is not {name!r} with the same ordering key, and debit and credit exchanged. "
            "Reverse the whole transaction, then publish what should have been."
        )
        return Refused(Reason.REVERSAL_NOT_MIRRORED, sentence, "entries")
    return None


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


class Sized(Protocol):
    """A record of the log, as far as its size goes."""

    key: bytes | None
    value: bytes | None


R = TypeVar("R", bound=Sized)


def cut(records: Sequence[R], *, count: int, size: int) -> Iterator[Sequence[R]]:
    """Slices of at most `count` records, and of `size` bytes unless one record alone is bigger."""
    start = held = 0
    for index, record in enumerate(records):
        length = len(record.value or b"") + len(record.key or b"")
        if index > start and (index - start >= count or held + length > size):
            yield records[start:index]
            start, held = index, 0
        held += length
    if start < len(records):
        yield records[start:]
