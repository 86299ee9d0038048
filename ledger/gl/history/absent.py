"""History beside a general ledger in Oracle: there is none, and questions to it are refused."""

from collections.abc import Sequence

from ledger.gl.history.books import HistoryBalances, LinesPage, LinesQuery
from ledger.gl.history.memory import MemoryHistory
from ledger.gl.history.why import WhyAnswer, WhyQuery
from ledger.gl.journal import JournalUnavailable

NO_HISTORY = (
    "History is kept in PostgreSQL alone, and the general ledger's address is Oracle's. "
    "`faust-ledger register` and `balances --as-of` answer from the journal instead; "
    "docs/oracle.md has what is left out."
)


class AbsentHistory(MemoryHistory):
    """`History` that is empty, and refuses what an empty answer would make a zero."""

    def as_of(
        self,
        *,
        accounts: Sequence[str] | None = None,
        prefix: str | None = None,
        effective_before: int | None = None,
        recorded_before: int | None = None,
    ) -> HistoryBalances:
        raise JournalUnavailable(NO_HISTORY)

    def lines(self, query: LinesQuery) -> LinesPage:
        raise JournalUnavailable(NO_HISTORY)

    def why(self, query: WhyQuery) -> WhyAnswer:
        raise JournalUnavailable(NO_HISTORY)
