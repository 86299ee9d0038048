"""Books: everything that can be read of a general ledger, in any database."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypedDict, Unpack

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark
from ledger.gl.lookups import Lookups
from ledger.gl.rows import JournalFinding, PostedRun, PostedTransaction, PostedVoid

TimeAxis = Literal["effective", "recorded"]
LOWEST_OFFSET = -(2**62)
"""Below every offset, also below those that only a forger writes."""


class Snapshot(NamedTuple):
    """Totals of a shard's stripes and the watermark they belong to, read in one snapshot."""

    watermark: Watermark
    totals: Mapping[Stripe, Totals]


class BalanceQuery(TypedDict, total=False):
    """Which balances are asked for; without any of these, all of them and the present ones.

    `accounts`: those named. `prefix`: that account and those below it. `as_of`: only entries
    before that time count, microseconds since 1970, on the axis `by` ("effective" if not given).
    `known_before`: what was known then: only what was recorded before that time, but also what was
    voided at that time or later. Otherwise nothing counts that is void by now.
    """

    accounts: Sequence[str] | None
    prefix: str | None
    as_of: int | None
    by: TimeAxis
    known_before: int | None


def times_of(asked: BalanceQuery) -> tuple[int | None, int | None]:
    """The effective and the recorded time before which entries count; None for all."""
    as_of, known_before = asked.get("as_of"), asked.get("known_before")
    if as_of is None or asked.get("by", "effective") == "effective":
        return as_of, known_before
    return None, as_of if known_before is None else min(as_of, known_before)


class BalanceRow(NamedTuple):
    """An account's sum over its stripes, or over its entries up to a time; minor units."""

    account: str
    currency: str
    scale: int
    debits: int
    credits: int
    entries: int


class BalanceSnapshot(NamedTuple):
    """Balances, and by shard the watermark of what they count, read in one snapshot."""

    watermarks: Mapping[int, Watermark]
    rows: list[BalanceRow]


class Accepted(NamedTuple):
    """Where an id was accepted last; `known_from`: max(created_at, recorded_at), microseconds."""

    shard: int
    offset: int
    known_from: int


class Books(Lookups, Protocol):
    """Blocking calls, to be made from one thread at a time each; open several for more.

    Every method raises JournalUnavailable when the database cannot answer at the moment.
    """

    def watermark(self, shard: int) -> Watermark:
        """How far the shard is posted; `Watermark()` before its first run."""

    def watermarks(self) -> Mapping[int, Watermark]:
        """How far each shard is posted that has a run."""

    def snapshot(self, shard: int, since: int) -> Snapshot:
        """The shard's watermark and its stripes whose last offset is at or above `since`."""

    def balance_snapshot(self, **query: Unpack[BalanceQuery]) -> BalanceSnapshot:
        """Balances by account and currency, sorted, with the watermarks that they belong to.

        Without `as_of` the stripes are summed, which costs a few rows an account.
        """

    def balances(self, **query: Unpack[BalanceQuery]) -> list[BalanceRow]:
        """The rows of `balance_snapshot`."""
        return self.balance_snapshot(**query).rows

    def scales(self) -> Mapping[str, int]:
        """Decimals by code of every currency that was posted."""

    def accepted(self, ids: Sequence[str]) -> Mapping[str, Accepted]:
        """Those of the transaction ids that were ever posted, in any shard."""

    def runs(self, shard: int, after: int = 0) -> Iterator[PostedRun]:
        """The shard's runs in order, from decision offset `after` on, streamed."""

    def transactions(
        self, shard: int, start: int = 0, end: int | None = None
    ) -> Iterator[PostedTransaction]:
        """The shard's transactions with offsets in [start, end), in order, streamed.

        Transactions that were voided after they had been posted are among them.
        """

    def voids(self, shard: int | None = None) -> list[PostedVoid]:
        """The voids of the shard, or of all, in order: few, or none at all.

        A transaction that is left out is among them before the run that voids it is posted.
        """

    def stripes(self) -> Iterator[tuple[int, Stripe, Totals]]:
        """Every stripe of every shard: (shard, stripe, totals), streamed."""

    def orphans(self, shards: int, *, whole: bool = True) -> list[JournalFinding]:
        """Rows that belong to no run, in any table; `shards`: how many the log has.

        Found with a few look-ups a shard and one reading of the stripes: rows of other shards or
        at positions that are not posted, shards whose row is at the end of no run, currencies
        without a stripe and stripes without a currency. If not `whole`, also recent runs that do
        not have as many transactions as they accepted. If `whole`, the tables are read from end
        to end for what is wrong at positions that are posted: entries without a transaction or
        with numbers missing, runs posted in the future, rules of the tables that are missing or
        are not the migrations', and rows that break them.
        Everything is read in one snapshot. Of many rows in one table the first hundred are named.
        """

    def history_findings(self) -> list[JournalFinding]:
        """Rows of history beside the journal that are not the journal's, or do not add up.

        Nothing where there is no history. Of many rows in one table the first hundred are named.
        """

    def close(self) -> None:
        """Close what is open; nothing can be called afterwards."""
