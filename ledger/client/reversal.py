"""The transaction that takes another one back: mirrored, with an id made of the original's."""

from hashlib import sha256
from typing import Any

from ledger.client.drafts import rfc3339
from ledger.client.whereabouts import Whereabouts
from ledger.domain import money
from ledger.domain.checks import MAX_DESCRIPTION, MAX_ID
from ledger.domain.transaction import Draft, DraftEntry
from ledger.errors import sentence
from ledger.gl.lookups import ReversedBy
from ledger.gl.rows import PostedTransaction

KIND = "reversal"
PREFIX = "reversal-of/"


def reversal_id(transaction_id: str) -> str:
    """The id of the reversal: the same for every attempt, and no longer than an id may be."""
    made = f"{PREFIX}{transaction_id}"
    if len(made) <= MAX_ID:
        return made
    return f"{PREFIX}sha256/{sha256(transaction_id.encode()).hexdigest()}"


def reversal_of(
    original: PostedTransaction,
    *,
    created_at: int,
    effective_at: int | None = None,
    reason: str | None = None,
) -> Draft:
    """The reversal; times in microseconds since 1970. Effective with the original by default."""
    text = f"Reversal of {original.transaction_id}"
    if reason:
        text = f"{text}: {reason}"
    return Draft(
        transaction_id=reversal_id(original.transaction_id),
        kind=KIND,
        description=text[:MAX_DESCRIPTION],
        effective_at=original.effective_at if effective_at is None else effective_at,
        created_at=created_at,
        ordering_key=original.ordering_key or original.transaction_id,
        reverses=original.transaction_id,
        entries=[_mirrored(*entry) for entry in original.entries],
        metadata={},
    )


def _mirrored(account: str, currency: str, scale: int, amount: int) -> DraftEntry:
    return DraftEntry(
        account=account,
        side="credit" if amount > 0 else "debit",
        amount=money.show(abs(amount), scale),
        currency=currency,
    )


def line_of(draft: Draft) -> dict[str, Any]:
    """The draft as an object of `faust-ledger publish`, without fields that are empty."""
    times = {name: rfc3339(draft[name]) for name in ("effective_at", "created_at")}
    fields = {**draft, **times, "entries": [dict(each) for each in draft["entries"]]}
    return {name: value for name, value in fields.items() if value not in (None, "", {})}


def original_in(found: Whereabouts, by: str | None = None) -> PostedTransaction | str:
    """The last accepted transaction with the id, or a sentence about why it is not to be reversed.

    A reversal with the id `by`, the one that `reversal_id` makes if it is not given, is no reason:
    publishing it again is a repetition.
    """
    name = found.transaction_id
    by = by or reversal_id(name)
    for each in reversed(found.books.found if found.books else []):
        if each.void is not None:
            return (
                f"{name} is void: it counts for nothing, so nothing is to be taken back "
                f"(`faust-ledger transaction show {name}`)."
            )
        others = [one for one in each.reversals if not one.is_void]
        if others and others[-1].transaction_id != by:
            return _reversed_already(name, others[-1])
        return each.transaction
    for decided in reversed(found.log.decided):
        return decided.transaction
    why = " ".join(map(sentence, found.unknown))
    return (
        f"No accepted transaction {name} was found"
        + (f", and not everything could be looked at: {why}" if why else ".")
        + f" `faust-ledger transaction show {name}` shows what there is."
    )


def taken_back(name: str, reversal: Whereabouts) -> str | None:
    """A sentence, if the `reversal` of the transaction `name` was reversed in its turn."""
    for each in reversal.books.found if reversal.books else []:
        for by in each.reversals:
            if not by.is_void:
                return (
                    f"{name} was reversed by {reversal.transaction_id}, and that was reversed by "
                    f"{by.transaction_id}. A transaction is reversed once: to take {name} back "
                    f"again, reverse {by.transaction_id}."
                )
    return None


def _reversed_already(name: str, by: ReversedBy) -> str:
    return (
        f"{name} was reversed already, by {by.transaction_id} at offset {by.offset} of shard "
        f"{by.shard}. To have it back, reverse that one."
    )
