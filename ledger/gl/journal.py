"""The general ledger as the rest of the system sees it: one protocol, whatever the database."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, cast

from ledger.domain.balance import NOTHING, Totals
from ledger.domain.run import Content, Decision, Stripe, Voided, Watermark
from ledger.domain.transaction import shown_time
from ledger.errors import InvariantBroken, LedgerError, Unavailable

TimeAxis = Literal["effective", "recorded"]


class JournalUnavailable(Unavailable):
    """The database does not answer, or not now; nothing was posted that was not said to be."""


class NotPostable(InvariantBroken):
    """The database does not take a decision, and would not take it the next time either."""


class Superseded(LedgerError):
    """Somebody else posted to the shard: its watermark is not the one that was expected."""


@dataclass(frozen=True, slots=True)
class PostingRun:
    """A valid run of the decision log, decoded, and where it stands in it.

    `voided`: what it takes back. `left_out`: those of its own transactions that a later run takes
    back, with the decision offset of that run; their rows are not posted.
    """

    decision: Decision
    decisions_offset: int
    content: Content
    voided: Sequence[Voided] = ()
    left_out: Sequence[tuple[int, Voided]] = ()

    @property
    def posted(self) -> Content:
        """What goes into the journal."""
        if not self.left_out:
            return self.content
        out = {each.transaction.offsets[0] for _, each in self.left_out}
        return self.content.part(set(self.content.offsets) - out)


class Posting(NamedTuple):
    """Runs of a shard; they follow `before`, its watermark, without a gap."""

    shard: int
    before: Watermark
    runs: Sequence[PostingRun]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A posting that needs nothing more but the database.

    `scales`: decimals by currency code. `rows`: as this kind of journal takes them.
    """

    posting: Posting
    after: Watermark
    scales: Mapping[str, int]
    rows: tuple[bytes, ...] = ()


class Snapshot(NamedTuple):
    """Totals of a shard's stripes and the watermark they belong to, read in one snapshot."""

    watermark: Watermark
    totals: Mapping[Stripe, Totals]


class BalanceRow(NamedTuple):
    """An account's sum over its stripes, or over its entries up to a time; minor units."""

    account: str
    currency: str
    scale: int
    debits: int
    credits: int
    entries: int


class Books(NamedTuple):
    """Balances, and by shard the watermark of what they count, read in one snapshot."""

    watermarks: Mapping[int, Watermark]
    rows: list[BalanceRow]


class Accepted(NamedTuple):
    """Where an id was accepted last; `known_from`: max(created_at, recorded_at), microseconds."""

    shard: int
    offset: int
    known_from: int


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
    """A transaction that counts for nothing: one that could not be posted, as a rule.

    `offset`: its own; `void_offset`: of the record that asked to void it, recorded at `recorded_at`
    (microseconds). `run`, `decisions_offset`: decision offsets of the runs that accepted it and
    that took it back. `authority`: offset in the reference topic of the record that allowed it,
    and `reason` is its. `content`: Avro binary of the transaction as it was accepted. `was_posted`:
    its rows are there, for it was posted before it was voided; otherwise it was left out.
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
        """What counts for nothing; empty where somebody changed the row to what cannot be read."""
        try:
            content = Content.decode(self.content)
            whole = content.offsets == [self.offset] and len(list(content.legs())) == 1
            return content.part({self.offset}) if whole else Content()
        except (ValueError, IndexError):
            return Content()

    @property
    def transaction_id(self) -> str:
        """Its id; empty where it cannot be read."""
        return next(iter(self.taken.transaction_ids), "")

    def moved(self, totals: Mapping[Stripe, Totals]) -> dict[Stripe, Totals]:
        """`totals` of its stripes at its own position, where they lack its entries already."""
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
    def of(cls, shard: int, decisions_offset: int, voided: Voided) -> "PostedVoid":
        """What the run at that decision offset took back."""
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


class Row(NamedTuple):
    """Names a row of a table by its key's columns; by the first of them, several rows at once."""

    table: str
    key: tuple[tuple[str, int | str], ...]

    @classmethod
    def of(cls, table: str, **key: int | str) -> "Row":
        """Columns by name, in the order of the key."""
        return cls(table, tuple(key.items()))

    def __str__(self) -> str:
        return f"{self.table} ({', '.join(f'{name} {value}' for name, value in self.key)})"

    def as_json(self) -> dict[str, Any]:
        """As the audits print it."""
        return {"table": self.table, "key": dict(self.key)}


class Orphan(NamedTuple):
    """A row that no run of the digest chain accounts for, and in a sentence why not."""

    row: Row
    sentence: str

    @property
    def shard(self) -> int | None:
        """That the row says it is of; None for a currency, which has none."""
        return cast("int | None", dict(self.row.key).get("shard"))


class Journal(Protocol):
    """Blocking calls, to be made from one thread at a time each; open several for more.

    Every method raises JournalUnavailable when the database cannot answer at the moment.
    """

    def watermark(self, shard: int) -> Watermark:
        """How far the shard is posted; `Watermark()` before its first run."""

    def watermarks(self) -> Mapping[int, Watermark]:
        """The same of every shard that has a run."""

    def prepare(self, posting: Posting) -> Prepared:
        """What can be done before, on any thread. Raises InvariantBroken for what is no posting."""

    def post_all(self, prepared: Sequence[Prepared]) -> list[dict[Stripe, Totals]]:
        """Post, each of another shard, in one database transaction.

        Returns for each the totals of every stripe touched, as the database's own arithmetic has
        them. Raises Superseded, with nothing changed for any of them, when a shard's watermark is
        not what its posting follows.
        """

    def post(
        self, shard: int, before: Watermark, runs: Sequence[PostingRun]
    ) -> dict[Stripe, Totals]:
        """One posting, prepared and posted."""

    def snapshot(self, shard: int, since: int) -> Snapshot:
        """The shard's watermark and its stripes whose last offset is at or above `since`."""

    def balances(
        self,
        *,
        accounts: Sequence[str] | None = None,
        prefix: str | None = None,
        as_of: int | None = None,
        by: TimeAxis = "effective",
    ) -> list[BalanceRow]:
        """Balances by account and currency, sorted; all, or those named, or those under a prefix.

        With `as_of` (microseconds since 1970) only entries before that time count: half-open.
        Without it the stripes are summed, which costs a few rows an account.
        """

    def scales(self) -> Mapping[str, int]:
        """Decimals by code of every currency that was posted."""

    def books(
        self,
        *,
        accounts: Sequence[str] | None = None,
        prefix: str | None = None,
        as_of: int | None = None,
        by: TimeAxis = "effective",
    ) -> Books:
        """`balances` with the `watermarks` that they belong to."""

    def accepted(self, ids: Sequence[str]) -> Mapping[str, Accepted]:
        """Those of the transaction ids that were ever posted, in whatever shard."""

    def recorded_until(self) -> Mapping[int, int]:
        """For each shard the recorded time up to which it is complete, microseconds."""

    def runs(self, shard: int, after: int = 0) -> Iterator[PostedRun]:
        """The shard's runs in order, from decision offset `after` on, streamed."""

    def transactions(
        self, shard: int, start: int = 0, end: int | None = None
    ) -> Iterator[PostedTransaction]:
        """The shard's transactions with offsets in [start, end), in order, streamed.

        Those among them that were voided after they had been posted, too.
        """

    def voids(self, shard: int | None = None) -> list[PostedVoid]:
        """What counts for nothing, of the shard or of all, in order: few, or none at all.

        Also what is left out already and taken back by a run that is not posted yet.
        """

    def stripes(self) -> Iterator[tuple[int, Stripe, Totals]]:
        """Every stripe of every shard: (shard, stripe, totals), streamed."""

    def orphans(self, shards: int, *, whole: bool = True) -> list[Orphan]:
        """Rows that belong to no run, in any table; `shards`: how many the log has.

        Those of other shards or of positions that are not posted, shards that stand where no run
        ends, currencies without a stripe and stripes without a currency: a few look-ups a shard
        and one reading of the stripes, and of each shard the last runs that have not as many
        transactions as they accepted. If `whole`, instead of that, the tables are read from end to
        end for what is wrong at positions that are posted: entries without a transaction or with
        numbers missing, runs posted in the future, rules of the tables that were dropped or are
        others than the migrations made, and rows that break them.
        All is of one snapshot. Of many in one table the first hundred are named.
        """

    def close(self) -> None:
        """Give back what is open. The journal is of no use afterwards."""
