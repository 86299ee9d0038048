"""Balances: what runs add to stripes, and what stripes add up to."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from ledger.domain import money
from ledger.domain.account import on_normal_side
from ledger.domain.run import Content, Stripe


class Totals(NamedTuple):
    """Absolute totals of a stripe since the ledger began.

    `debits` and `credits` in minor units, of any size; `offset`: last transaction counted.
    """

    debits: int = 0
    credits: int = 0
    entries: int = 0
    offset: int = -1

    def text(self) -> str:
        """The four numbers with a space between, as schemas/Stripe.avsc has them."""
        debits, credits, entries, offset = self
        return f"{debits} {credits} {entries} {offset}"

    @classmethod
    def read(cls, text: str) -> Self:
        """What `text` made. Raises ValueError for anything else."""
        debits, credits, entries, offset = map(int, text.split(" "))
        return cls(debits, credits, entries, offset)


NOTHING = Totals()
_NONE: frozenset[int] = frozenset()
_NOT_AHEAD: dict[int, Totals] = {}
"""Never changed: a dict takes 232 bytes, and most accounts need none most of the time."""


def totals_after(content: Content, before: Mapping[Stripe, Totals]) -> dict[Stripe, Totals]:
    """The totals of every stripe that the run touches; absent from `before` means nothing yet.

    A transaction at or below a stripe's offset was counted in it and is not counted again.
    """
    stripes = content.stripes()
    start = [before.get(stripe, NOTHING) for stripe in stripes]
    return dict(zip(stripes, added_up(content, start), strict=True))


def added_up(content: Content, start: Sequence[Totals]) -> list[Totals]:
    """`totals_after` for the stripes in the order of `content.stripes()`."""
    debits = [totals.debits for totals in start]
    credits = [totals.credits for totals in start]
    entries = [totals.entries for totals in start]
    counted = [totals.offset for totals in start]
    last = counted.copy()
    at = 0
    for offset, count in zip(content.offsets, content.entry_counts, strict=True):
        for leg in range(at, at + count):
            stripe = content.entry_stripes[leg]
            if offset <= counted[stripe]:
                continue
            amount = content.entry_amounts[leg]
            if amount > 0:
                debits[stripe] += amount
            else:
                credits[stripe] -= amount
            entries[stripe] += 1
            last[stripe] = offset
        at += count
    return list(map(Totals, debits, credits, entries, last))


def taken_back(content: Content, at: int, before: Mapping[Stripe, Totals],
               after: Mapping[Stripe, Totals]) -> dict[Stripe, Totals]:  # fmt: skip
    """`after` without the entries of `content`, which a record at offset `at` voids.

    `before`: the totals when the run of that record began; where they have counted it, nothing is
    taken back once more.
    """
    made = dict[Stripe, Totals]()
    for stripe, amount in zip(content.entry_stripes, content.entry_amounts, strict=True):
        name = Stripe(content.accounts[stripe], content.currencies[stripe])
        if before.get(name, NOTHING).offset >= at:
            continue
        debits, credits, entries, offset = made.get(name) or after.get(name, NOTHING)
        made[name] = Totals(
            debits - max(amount, 0), credits - max(-amount, 0), entries - 1, max(offset, at)
        )
    return made


class Balance(NamedTuple):
    """A balance for the public: decimal texts, `posted` and `pending` on the normal side.

    `status`: reconciled, pending or break. `version` rises with every change.
    """

    account: str
    currency: str
    scale: int
    posted: str
    pending: str
    debits: str
    credits: str
    entries: int
    status: str
    version: int


class AccountStripes:
    """An account's stripes in one currency: of each shard what is reconciled, and what is ahead.

    Of each part the later counts: a repetition or reordering changes nothing.
    """

    __slots__ = ("_posted", "_sums", "ahead", "broken", "scale")

    def __init__(self, scale: int) -> None:
        self.scale = scale
        self.broken = _NONE
        self.ahead = _NOT_AHEAD
        """By shard: the totals decided, where more than the reconciled ones."""
        self._posted: dict[int, Totals | str] = {}
        # Kept up to date, because there may be a stripe for each of many shards.
        self._sums = (0, 0, 0, 0)

    def posted(self, shard: int) -> Totals:
        """The shard's reconciled totals."""
        held = self._posted.get(shard, NOTHING)
        if isinstance(held, str):
            # As the table has it: most of an account's shards are not looked at.
            held = self._posted[shard] = Totals.read(held)
        return held

    def latest(self, shard: int) -> Totals:
        """The shard's totals as decided, as far as they are known."""
        return self.ahead.get(shard) or self.posted(shard)

    def decide(self, shard: int, live: Totals) -> bool:
        """The shard has decided so much. False: that was known."""
        if live.offset <= self.latest(shard).offset:
            return False
        if self.ahead:
            self.ahead[shard] = live
        else:
            self.ahead = {shard: live}
        return True

    def reconcile(self, shard: int, totals: Totals) -> bool:
        """The shard's totals up to their offset are reconciled. False: that was known."""
        known_debits, known_credits, known_entries, known_offset = self.posted(shard)
        more_debits, more_credits, more_entries, offset = totals
        if offset <= known_offset:
            return False
        debits, credits, entries, offsets = self._sums
        self._sums = (
            debits + more_debits - known_debits,
            credits + more_credits - known_credits,
            entries + more_entries - known_entries,
            offsets + offset - known_offset,
        )
        self._posted[shard] = totals
        ahead = self.ahead.get(shard)
        if ahead is not None and ahead.offset <= offset:
            if len(self.ahead) == 1:
                self.ahead = _NOT_AHEAD
            else:
                del self.ahead[shard]
        return True

    def balance(self, account: str, currency: str) -> Balance:
        """What the stripes add up to."""
        debits, credits, entries, version = self._sums
        version *= 2
        more_debits = more_credits = 0
        for shard, live in self.ahead.items():
            known = self.posted(shard)
            more_debits += live.debits - known.debits
            more_credits += live.credits - known.credits
            version += live.offset - known.offset
        scale = self.scale
        return Balance(
            account,
            currency,
            scale,
            money.show(on_normal_side(account, debits=debits, credits=credits), scale),
            money.show(on_normal_side(account, debits=more_debits, credits=more_credits), scale),
            money.show(debits, scale),
            money.show(credits, scale),
            entries,
            "break" if self.broken else "pending" if self.ahead else "reconciled",
            version,
        )

    def encode(self) -> bytes:
        """What is reconciled: scale and sums, then a line a shard; what is ahead is not kept."""
        debits, credits, entries, offsets = self._sums
        lines = [
            f"{self.scale} {debits} {credits} {entries} {offsets}",
            " ".join(map(str, self.broken)) if self.broken else "",
        ]
        for shard, held in self._posted.items():
            lines.append(f"{shard} {held if isinstance(held, str) else held.text()}")
        return "\n".join(lines).encode()

    @classmethod
    def decode(cls, text: bytes) -> Self:
        """What `encode` made."""
        sums, broken, *parts = text.decode().split("\n")
        scale, debits, credits, entries, offsets = map(int, sums.split(" "))
        made = cls(scale)
        made._sums = debits, credits, entries, offsets
        made.broken = frozenset(map(int, broken.split())) if broken else _NONE
        for part in parts:
            shard, _, held = part.partition(" ")
            made._posted[int(shard)] = held
        return made
