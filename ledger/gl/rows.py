"""What the general ledger gives back of its rows, and how a finding names one."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from ledger.domain.balance import NOTHING, Totals
from ledger.domain.run import Content, RunHead, Stripe, Voided, Watermark
from ledger.domain.transaction import shown_time


class PostedTransaction(NamedTuple):
    """A transaction of the journal; times in microseconds since 1970, empty text for none.

    `entries`: (account, currency, scale, signed amount in minor units, debits above zero), in
    the order in which they were published.
    """

    shard: int
    offset: int
    transaction_id: str
    kind: str
    description: str
    effective_at: int
    recorded_at: int
    created_at: int
    ordering_key: str
    reverses: str
    metadata: str
    entries: list[tuple[str, str, int, int]]


class PostedVoid(NamedTuple):
    """A transaction that counts for nothing, usually one that could not be posted.

    `offset`: of the transaction; `void_offset`: of the record that asked to void it, recorded at
    `recorded_at` (microseconds). `run`, `decisions_offset`: decision offsets of the runs that
    accepted it and that voided it. `authority`: offset in the reference topic of the record that
    allowed it, and `reason` is that record's. `content`: Avro binary of the transaction as it was
    accepted. `was_posted`: whether its rows exist, because it was posted before it was voided;
    otherwise it was left out.
    """

    shard: int
    offset: int
    void_offset: int
    recorded_at: int
    run: int
    decisions_offset: int
    authority: int
    reason: str
    content: bytes
    was_posted: bool = False

    @property
    def taken(self) -> Content:
        """The voided transaction; empty if somebody changed the row so that it cannot be read."""
        try:
            content = Content.decode(self.content)
            whole = content.offsets == [self.offset] and len(list(content.legs())) == 1
            return content.part({self.offset}) if whole else Content()
        except (ValueError, IndexError):
            return Content()

    @property
    def transaction_id(self) -> str:
        """Its id; empty if it cannot be read."""
        return next(iter(self.taken.transaction_ids), "")

    def moved(self, totals: Mapping[Stripe, Totals]) -> dict[Stripe, Totals]:
        """`totals` of its stripes at the void's position; for totals without its entries."""
        known = {name: totals.get(name, NOTHING) for name in self.taken.stripes()}
        return {
            stripe: each._replace(offset=max(each.offset, self.void_offset))
            for stripe, each in known.items()
        }

    def as_json(self) -> dict[str, Any]:
        """As the audits print it; `recorded_at` in RFC 3339."""
        return {
            "shard": self.shard,
            "offset": self.offset,
            "transaction": self.transaction_id,
            "void_offset": self.void_offset,
            "recorded_at": shown_time(self.recorded_at),
            "decisions_offset": self.decisions_offset,
            "authority": self.authority,
            "reason": self.reason,
            "was_posted": self.was_posted,
        }

    def __str__(self) -> str:
        return (
            f"void: {self.transaction_id!r}, shard {self.shard} offset {self.offset}, since "
            f"{shown_time(self.recorded_at)}: {self.reason}"
        )

    @classmethod
    def of(cls, shard: int, decisions_offset: int, voided: Voided) -> Self:
        """A void by the run at that decision offset."""
        at, recorded_at, run, authority, reason, _, content = voided
        offset = voided.transaction.offsets[0]
        return cls(
            shard, offset, at, recorded_at, run, decisions_offset, authority, reason, content
        )


class PostedRun(NamedTuple):
    """A run as the journal keeps it; digests are 32 bytes.

    `reference_digest` is empty in runs that were decided before it was recorded.
    """

    shard: int
    decisions_offset: int
    start: int
    end: int
    follows: bytes
    digest: bytes
    outcomes_digest: bytes
    recorded_until: int
    reference_offset: int
    accepted: int
    reference_digest: bytes = b""

    @property
    def head(self) -> RunHead:
        """What the digest covers besides content and outcomes."""
        return RunHead(*(getattr(self, name) for name in RunHead._fields))

    @property
    def after(self) -> Watermark:
        """The position at its end."""
        return Watermark(self.decisions_offset + 1, self.end, self.digest, self.recorded_until)

    @property
    def key(self) -> "RowKey":
        """The key of its row."""
        return RowKey.of("runs", shard=self.shard, decisions_offset=self.decisions_offset)


def fields_as_json(row: PostedRun | PostedVoid) -> dict[str, Any]:
    """Fields by name; bytes as hexadecimal digits."""
    fields = row._asdict().items()
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in fields}


class RowKey(NamedTuple):
    """Names a row of a table by its key's columns; by the first of them, several rows at once."""

    table: str
    columns: tuple[tuple[str, int | str], ...]

    @classmethod
    def of(cls, table: str, **columns: int | str) -> Self:
        """Columns by name, in the order of the key."""
        return cls(table, tuple(columns.items()))

    def __str__(self) -> str:
        return f"{self.table} ({', '.join(f'{name} {value}' for name, value in self.columns)})"

    def as_json(self) -> dict[str, Any]:
        """As the audits print it."""
        return {"table": self.table, "key": dict(self.columns)}


class JournalFinding(NamedTuple):
    """Something wrong in the general ledger, and in a sentence what.

    `shard`: None for what has none. `offset`: of the log that the sentence names. `row`: the row
    that is wrong, as far as it is known; for a digest, the run's.
    """

    shard: int | None
    offset: int
    sentence: str
    row: RowKey | None = None

    @classmethod
    def about(cls, row: RowKey, sentence: str) -> Self:
        """Of a row that names its own shard and offset."""
        columns: dict[str, Any] = dict(row.columns)
        offset = columns.get("log_offset", columns.get("decisions_offset", 0))
        return cls(columns.get("shard"), int(offset or 0), sentence, row)
