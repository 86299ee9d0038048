"""What can be asked of history, in any database: the general ledger at any point in time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, Unpack

from ledger.domain.run import Watermark
from ledger.gl.books import BalanceRow

if TYPE_CHECKING:
    from ledger.gl.history.why import WhyAnswer, WhyQuery
    from ledger.gl.lookups import Register, RegisterQuery


class HistoryBalances(NamedTuple):
    """Balances at a point in time, and by shard the watermark of what they count."""

    positions: Mapping[int, Watermark]
    rows: list[BalanceRow]


class LineKey(NamedTuple):
    """A line's place among an account's lines, which are in this order."""

    recorded_at: int
    shard: int
    offset: int
    entry: int


class AccountLine(NamedTuple):
    """A line of an account, with the account's totals in its currency after it.

    `amount` as the entry has it, debits above zero; `change` -1 where a void takes it back. Texts
    are the journal's, empty where it has none. `counterparts`: the transaction's other accounts.
    `other_side`: those of its accounts with an entry on the other side in the same currency.
    """

    key: LineKey
    account: str
    currency: str
    scale: int
    effective_at: int
    amount: int
    change: int
    debits: int
    credits: int
    entries: int
    transaction_id: str
    kind: str
    description: str
    reverses: str
    metadata: str
    counterparts: Sequence[str]
    other_side: Sequence[str]


class LinesPage(NamedTuple):
    """Lines in recorded order, and where the pages before and after them begin.

    `searched_to`: where a filter stopped, because it had looked at as many lines as it may; None if
    it has looked at all that were asked for.
    """

    positions: Mapping[int, Watermark]
    lines: list[AccountLine]
    previous: LineKey | None
    next: LineKey | None
    searched_to: LineKey | None


@dataclass(frozen=True, slots=True)
class LinesQuery:
    """Which lines of an account; times in microseconds, ranges [from, before).

    `after`, `before`: the page follows or precedes that line; neither: the first page.
    """

    account: str
    currency: str | None = None
    after: LineKey | None = None
    before: LineKey | None = None
    limit: int = 100
    effective_from: int | None = None
    effective_before: int | None = None
    recorded_from: int | None = None
    recorded_before: int | None = None
    kind: str | None = None
    min_amount: int | None = None
    max_amount: int | None = None
    metadata: tuple[str, str] | None = None
    counterpart: str | None = None


class HistoryRefusal(NamedTuple):
    """A refused record; `offset` in its shard, recorded at `recorded_at` (microseconds)."""

    recorded_at: int
    shard: int
    offset: int
    transaction_id: str
    code: str
    field: str
    reason: str
    producer: str


class RefusalsPage(NamedTuple):
    """Refusals, the latest first; `next`: where the following page begins, None at the end."""

    positions: Mapping[int, Watermark]
    refusals: list[HistoryRefusal]
    next: tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class RefusalsQuery:
    """Which refusals; without any of these, all.

    `recorded_from`, `recorded_before`: a half-open range of microseconds. `after`: recorded time,
    shard and offset; the page has what is older.
    """

    transaction_id: str | None = None
    code: str | None = None
    producer: str | None = None
    recorded_from: int | None = None
    recorded_before: int | None = None
    after: tuple[int, int, int] | None = None
    limit: int = 100


class History(Protocol):
    """Reads history. Blocking calls, to be made from one thread at a time each.

    What is answered counts what was reconciled up to `positions`, read in one snapshot. Every
    method raises JournalUnavailable when the database cannot answer at the moment.
    """

    def positions(self) -> Mapping[int, Watermark]:
        """How far each shard is folded that has a run."""

    def as_of(
        self,
        *,
        accounts: Sequence[str] | None = None,
        prefix: str | None = None,
        effective_before: int | None = None,
        recorded_before: int | None = None,
    ) -> HistoryBalances:
        """Balances by account and currency, sorted, of the entries before both instants.

        Without either, of all that is folded. `prefix`: that account and those below it.
        """

    def lines(self, query: LinesQuery) -> LinesPage:
        """A page of an account's lines."""

    def register(self, account: str, **query: "Unpack[RegisterQuery]") -> "Register | None":
        """As Lookups.register, in bounded work a line.

        None by effective time, and where something of the account is void by now.
        """

    def why(self, query: "WhyQuery") -> "WhyAnswer":
        """An account's figures taken apart, in each of its currencies."""

    def refusals(self, query: RefusalsQuery) -> RefusalsPage:
        """A page of refusals."""

    def refusals_between(self, shard: int, start: int, end: int) -> RefusalsPage:
        """All refusals of a shard at positions [start, end), in their order."""

    def close(self) -> None:
        """Close what is open; nothing can be called afterwards."""
