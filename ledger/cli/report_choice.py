"""What `faust-ledger report` is asked for."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Literal, NamedTuple

from ledger.cli.moments import Moment


class Name(StrEnum):
    """The reports that there are."""

    TRIAL_BALANCE = "trial-balance"
    BALANCE_SHEET = "balance-sheet"
    INCOME_STATEMENT = "income-statement"
    REGISTER = "register"
    STATEMENT = "statement"
    MOVEMENTS = "movements"
    BREAKS = "breaks"


class ReportFormat(StrEnum):
    """What a report is written as."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"
    PDF = "pdf"


OF_BALANCES = frozenset({Name.TRIAL_BALANCE, Name.BALANCE_SHEET, Name.INCOME_STATEMENT})
OF_ENTRIES = frozenset({Name.REGISTER, Name.STATEMENT, Name.MOVEMENTS})


class Chosen(NamedTuple):
    """The options of a report; times in microseconds since 1970; `by`: of entries, their order."""

    name: Name
    account: str | None
    moment: Moment
    compared: Moment | None
    start: int | None
    currencies: Sequence[str]
    depth: int | None
    no_zero: bool
    presentation: str | None
    rates: Path | None
    timezone: str | None
    by: Literal["effective", "recorded"]
