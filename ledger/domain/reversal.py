"""Taking back: what may be reversed, and what may be voided."""

from ledger.domain.checks import MAX_ID, check_accounts
from ledger.domain.memory import AcceptedId, Memory, Voidable
from ledger.domain.policy import Policy
from ledger.domain.reference import Reference
from ledger.domain.refusal import Reason, Refused
from ledger.domain.transaction import Draft, Entry, legs, ordering_key, shown_time


def was_voided(name: str, known: AcceptedId, field: str) -> Refused:
    """The refusal of what repeats or reverses a transaction that is void."""
    sentence = (
        f"{name!r} was accepted at offset {known.offset} and voided since: it could not be posted, "
        "and counts for nothing. Publish what should have been under a new id."
    )
    return Refused(Reason.VOIDED, sentence, field)


def unknown_original(name: str) -> Refused:
    """The refusal of what reverses an id that the shard has not accepted."""
    sentence = (
        f"No accepted transaction {name!r} in this shard. A reversal has the ordering key of "
        "what it reverses (its transaction id where it had none)."
    )
    return Refused(Reason.REVERSAL_UNKNOWN, sentence, "reverses")


def check_void(draft: Draft, memory: Memory, recorded_at: int) -> Voidable | Refused | None:
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


def check_reversal(
    draft: Draft,
    entries: list[Entry],
    recorded_at: int,
    memory: Memory,
    reference: Reference,
    policy: Policy,
) -> Refused | None:
    """Why a reversal with these `entries` cannot be booked; None if it can, or is none."""
    name = draft["reverses"]
    if name is None:
        return None
    known = memory.seen(name)
    if known is None:
        return unknown_original(name)
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


def _check_taken_back(name: str, known: AcceptedId, memory: Memory) -> Refused | None:
    if known.offset in memory.voided:
        return was_voided(name, known, "reverses")
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


def _check_mirror(draft: Draft, entries: list[Entry], known: AcceptedId) -> Refused | None:
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
