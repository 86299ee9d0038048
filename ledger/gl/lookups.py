"""What people ask of a general ledger: one transaction by its id, the entries of one account."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypedDict, Unpack

from ledger.domain.run import Watermark
from ledger.gl.rows import PostedTransaction, PostedVoid

SEARCHED = 100_000
"""Entries, or else transactions, that a search for a reversal reads at most."""


class PostedIn(NamedTuple):
    """The run [start, end) of a shard that posted a transaction; `posted_at` in microseconds."""

    decisions_offset: int
    start: int
    end: int
    posted_at: int


class ReversedBy(NamedTuple):
    """A posted transaction that reverses another one; times in microseconds since 1970."""

    transaction_id: str
    shard: int
    offset: int
    effective_at: int
    recorded_at: int
    is_void: bool


class FoundTransaction(NamedTuple):
    """A transaction of the general ledger.

    `run`: None if no run covers it. `void`: it counts for nothing; with `void.was_posted` False its
    rows were never posted. `reversals`: those at positions before `searched`.
    """

    transaction: PostedTransaction
    run: PostedIn | None
    void: PostedVoid | None
    reversals: Sequence[ReversedBy]
    searched: int


class LookupResult(NamedTuple):
    """Every transaction with an id, and how far each shard is posted, read in one snapshot."""

    watermarks: Mapping[int, Watermark]
    found: list[FoundTransaction]


class RegisterQuery(TypedDict, total=False):
    """Which entries of an account are asked for; without any of these, all of them.

    `start`, `end`: only entries in [start, end), microseconds since 1970, on the axis `by`
    ("effective" if not given). `limit`: only the last ones, that many.
    """

    currency: str | None
    start: int | None
    end: int | None
    by: Literal["effective", "recorded"]
    limit: int | None


class RegisterLine(NamedTuple):
    """An entry of an account; minor units, debits above zero.

    `others`: the accounts on the other side of the transaction in the same currency, sorted.
    """

    effective_at: int
    recorded_at: int
    shard: int
    offset: int
    entry: int
    transaction_id: str
    kind: str
    description: str
    reverses: str
    currency: str
    scale: int
    amount: int
    others: Sequence[str] = ()


class Sides(NamedTuple):
    """Debits and credits of one currency, minor units, and the number of entries."""

    scale: int
    debits: int
    credits: int
    entries: int

    @property
    def net(self) -> int:
        """Debits less credits."""
        return self.debits - self.credits


class Register(NamedTuple):
    """Entries of an account in the order of time, recorded time, shard, offset and entry.

    `closing`: by currency, the account's sums at the end of the register: of the stripes where it
    has no end, as balances are, and else of the entries before that. `watermarks`: what they count;
    all of it is read in one snapshot.
    """

    watermarks: Mapping[int, Watermark]
    closing: Mapping[str, Sides]
    lines: list[RegisterLine]

    def opening(self) -> dict[str, Sides]:
        """By currency, the sums before the first line."""
        found = dict(self.closing)
        for line in self.lines:
            known = found.get(line.currency, Sides(line.scale, 0, 0, 0))
            found[line.currency] = Sides(
                known.scale,
                known.debits - max(line.amount, 0),
                known.credits - max(-line.amount, 0),
                known.entries - 1,
            )
        return found

    def running(self) -> Iterator[tuple[RegisterLine, int]]:
        """Each line with its currency's debits less credits after it, minor units."""
        net = {currency: sides.net for currency, sides in self.opening().items()}
        for line in self.lines:
            net[line.currency] += line.amount
            yield line, net[line.currency]


class Lookups(Protocol):
    """The part of Books that people ask."""

    def find(self, transaction_id: str) -> LookupResult:
        """Every transaction with that id, in whatever shard, the oldest first, and its reversals.

        By index, in bounded work: a search for reversals reads SEARCHED rows at most.
        """

    def posted_at(self) -> Mapping[int, int]:
        """By shard, when its last run was posted, microseconds since 1970."""

    def register(self, account: str, **query: Unpack[RegisterQuery]) -> Register:
        """Entries of the account that are not void.

        Every entry of the account is read, whatever is asked for: entries are found by account, and
        in no order of time.
        """
