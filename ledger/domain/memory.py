"""What a shard remembers of the transactions that it accepted."""

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Self

from ledger.domain.checks import NO_SCALES
from ledger.domain.policy import LONG_AGO
from ledger.domain.run import Content, Outcomes, Voided
from ledger.domain.transaction import Entry, mirror

FINGERPRINT = 16
_ACCEPTED = struct.Struct(">qq16s16sq?")


class AcceptedId(NamedTuple):
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
        return cls._make(_ACCEPTED.unpack(packed))


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
        find: Callable[[str], AcceptedId | None],
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
        self.found: Mapping[str, AcceptedId | None] = {}
        """What was looked up already, for many together."""
        self.ids: dict[str, bytes] = {}
        self.known_until = 0
        self.reversals: dict[str, int] = {}
        self.voided = set(voided)
        self.voidable = voidable or {}

    def seen(self, transaction_id: str) -> AcceptedId | None:
        """The accepted transaction of that id."""
        known = self.ids.get(transaction_id)
        if known is not None:
            return AcceptedId.unpack(known)
        found = self.found
        return found[transaction_id] if transaction_id in found else self._find(transaction_id)

    def reversal(self, transaction_id: str) -> int | None:
        """Offset of the transaction that reversed it."""
        known = self.reversals.get(transaction_id)
        return self._find_reversal(transaction_id) if known is None else known

    def remember(self, content: Content, outcomes: Outcomes, voided: Iterable[Voided] = ()) -> None:
        """Take a decided run: the same from the decision log as right after deciding."""
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
        """An accepted transaction: its id, and what an AcceptedId has."""
        # Packed at once: to make an AcceptedId of each transaction costs 3 % of deciding.
        self.ids[name] = _ACCEPTED.pack(
            offset, known_from, fingerprint, mirror, effective_at, reverses
        )
        self.known_until = max(self.known_until, known_from)
