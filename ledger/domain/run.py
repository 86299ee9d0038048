"""Runs: the units of work, their content as columns, and the digest chain that links them."""

import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple, Self

import schemas
from ledger.domain import avro
from ledger.domain.codecs import encoder

NO_DIGEST = bytes(32)
_HEAD = struct.Struct(">iqqqqq")


class Stripe(NamedTuple):
    """Name of one (account, currency); with a shard it names one row of the general ledger."""

    account: str
    currency: str


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far somebody got in a shard.

    `decisions_offset`: next offset of the decision log. `end`: position in the transactions
    before which everything is decided. `digest`: of the last run, 32 bytes. `recorded_until`:
    running maximum of recorded_at, microseconds since 1970.
    """

    decisions_offset: int = 0
    end: int = 0
    digest: bytes = NO_DIGEST
    recorded_until: int = 0

    @classmethod
    def of_progress(cls, row: Mapping[str, Any]) -> Self:
        """What a row of schemas/Progress.avsc says is compared."""
        return cls(row["decisions_offset"], row["end"], row["digest"], row["recorded_until"])


@dataclass(slots=True)
class Content:
    """The accepted transactions of a run as columns (schemas/Content.avsc)."""

    accounts: list[str] = field(default_factory=list)
    currencies: list[str] = field(default_factory=list)
    scales: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    recorded_at: list[int] = field(default_factory=list)
    effective_at: list[int] = field(default_factory=list)
    created_at: list[int] = field(default_factory=list)
    transaction_ids: list[str] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    descriptions: list[str] = field(default_factory=list)
    ordering_keys: list[str] = field(default_factory=list)
    reverses: list[str] = field(default_factory=list)
    metadata: list[str] = field(default_factory=list)
    entry_counts: list[int] = field(default_factory=list)
    entry_stripes: list[int] = field(default_factory=list)
    entry_amounts: list[int] = field(default_factory=list)

    @classmethod
    def decode(cls, content: bytes) -> "Content":
        """Raises ValueError when `content` is not what `encode` makes."""
        return cls(**avro.decode("Content", content))

    def encode(self) -> bytes:
        """Avro binary; the same content always gives the same bytes."""
        columns = {name: getattr(self, name) for name in self.__slots__}
        return avro.encode_columns("Content", columns)

    def stripes(self) -> list[Stripe]:
        """The stripes that `entry_stripes` points into."""
        return list(map(Stripe, self.accounts, self.currencies))

    def legs(self) -> Iterator[list[tuple[str, str, int]]]:
        """For each transaction its entries: (account, currency, signed amount)."""
        at = 0
        for count in self.entry_counts:
            yield [
                (self.accounts[stripe], self.currencies[stripe], amount)
                for stripe, amount in zip(
                    self.entry_stripes[at : at + count],
                    self.entry_amounts[at : at + count],
                    strict=True,
                )
            ]
            at += count

    def part(self, offsets: Collection[int]) -> "Content":
        """The transactions at `offsets` alone, as a run of their own would have them."""
        made, stripes, at = Content(), dict[int, int](), 0
        for index, offset in enumerate(self.offsets):
            count = self.entry_counts[index]
            if offset in offsets:
                for name in BY_TRANSACTION:
                    getattr(made, name).append(getattr(self, name)[index])
                for leg in range(at, at + count):
                    stripe = self.entry_stripes[leg]
                    if stripe not in stripes:
                        stripes[stripe] = len(stripes)
                        made.accounts.append(self.accounts[stripe])
                        made.currencies.append(self.currencies[stripe])
                        made.scales.append(self.scales[stripe])
                    made.entry_stripes.append(stripes[stripe])
                    made.entry_amounts.append(self.entry_amounts[leg])
            at += count
        return made


BY_TRANSACTION = (
    "offsets", "recorded_at", "effective_at", "created_at", "transaction_ids", "kinds",
    "descriptions", "ordering_keys", "reverses", "metadata", "entry_counts",
)  # fmt: skip
"""The columns of a Content with one value for each transaction, in its order."""


class Refusal(NamedTuple):
    """A refused record as the decision log keeps it (schemas/Outcomes.avsc)."""

    offset: int
    recorded_at: int
    transaction_id: str | None
    code: str
    field: str
    reason: str
    key: bytes | None
    value: bytes | None

    @property
    def weight(self) -> int:
        """Bytes that it takes in the log, roughly: text counts as ASCII, which sentences are."""
        held = (self.transaction_id, self.reason, self.key, self.value)
        return sum(map(len, filter(None, held)))


@dataclass(slots=True)
class Outcomes:
    """What else a run decided: repetitions and refusals, and what tells a repetition."""

    fingerprints: bytes = b""
    duplicates: list[int] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)

    @classmethod
    def decode(cls, outcomes: bytes) -> "Outcomes":
        """Raises ValueError when `outcomes` is not what `encode` makes."""
        row = avro.decode("Outcomes", outcomes)
        refused = [Refusal(**refusal) for refusal in row["refused"]]
        return cls(row["fingerprints"], row["duplicates"], refused)

    def encode(self) -> bytes:
        """Avro binary."""
        return _encode_outcomes(self)


_encode_outcomes = encoder(schemas.load("Outcomes"), Outcomes, Refusal)


class Voided(NamedTuple):
    """A transaction that a run takes back (schemas/Voids.avsc).

    `offset`: of the record that asked for it, recorded at `recorded_at` (microseconds). `run`:
    decision offset of the run that had accepted it. `authority`: offset of the reference data's
    record that allows it, and `reason` is its. `scales`: decimals of the content's stripes as the
    reference data have them, which what is left has. `content`: the transaction as it was accepted.
    """

    offset: int
    recorded_at: int
    run: int
    authority: int
    reason: str
    scales: Sequence[int]
    content: bytes

    @property
    def transaction(self) -> Content:
        """The one that is taken back."""
        return Content.decode(self.content)


def voids_of(encoded: bytes) -> list[Voided]:
    """What `voids_encoded` made. Raises ValueError for anything else."""
    if not encoded:
        return []
    return [Voided(**row) for row in avro.decode("Voids", encoded)["voided"]]


def voids_encoded(voided: Iterable[Voided]) -> bytes:
    """Avro binary; empty for none."""
    rows = [each._asdict() for each in voided]
    return avro.encode("Voids", {"voided": rows}) if rows else b""


@dataclass(frozen=True)
class Decision:
    """A run [start, end) of a shard, decided (schemas/Decision.avsc)."""

    shard: int
    start: int
    end: int
    follows: bytes
    recorded_until: int
    reference_offset: int
    accepted: int
    content: bytes
    outcomes: bytes
    reference_digest: bytes = b""
    """Of the reference data that it was decided with; empty in runs of versions before 0.2."""
    voids: bytes = b""
    """Earlier decisions that it takes back, as `voids_encoded` makes them."""

    def row(self) -> dict[str, Any]:
        """As the Avro record's fields."""
        return {name: self.__dict__[name] for name in self.__dataclass_fields__}

    @cached_property
    def digest(self) -> bytes:
        """SHA-256 that commits to this run and, through `follows`, to all before it."""
        content = sha256(self.content).digest()
        return chain_digest(self, content=content, outcomes=self.outcomes_digest)

    @property
    def outcomes_digest(self) -> bytes:
        """SHA-256 of the outcomes; where it takes something back, of theirs and of the voids'."""
        outcomes = sha256(self.outcomes)
        if not self.voids:
            return outcomes.digest()
        return sha256(outcomes.digest() + sha256(self.voids).digest()).digest()

    def continues(self, watermark: Watermark) -> bool:
        """Whether it follows the last valid run; if not, every reader drops it whole."""
        return self.start == watermark.end and self.follows == watermark.digest

    def after(self, watermark: Watermark, *, decisions_offset: int) -> Watermark:
        """The watermark once this run, read at `decisions_offset`, has been applied."""
        return replace(
            watermark,
            decisions_offset=decisions_offset + 1,
            end=self.end,
            digest=self.digest,
            recorded_until=self.recorded_until,
        )


class RunHead(NamedTuple):
    """What `chain_digest` needs to know of a run besides its parts."""

    shard: int
    start: int
    end: int
    follows: bytes
    recorded_until: int
    reference_offset: int
    accepted: int
    reference_digest: bytes = b""


def chain_digest(head: RunHead | Decision, *, content: bytes, outcomes: bytes) -> bytes:
    """Digest of a run from its head and the SHA-256 of its content and of its outcomes.

    A run that names no digest of its reference data is of a version before 0.2, and hashed so.
    """
    numbers = _HEAD.pack(
        head.shard, head.start, head.end, head.recorded_until, head.reference_offset, head.accepted
    )
    tag = b"faust-ledger run 2\n" if head.reference_digest else b"faust-ledger run 1\n"
    parts = (tag, numbers, head.follows, head.reference_digest, content, outcomes)
    return sha256(b"".join(parts)).digest()
