"""A statement from outside, as a bank or a custodian states it; all values are immutable.

Amounts are whole minor units. Their sign is the ledger's: what comes to us (a credit, in the
bank's words) is positive, what leaves us negative. So a closing balance equals debits less credits
of the account that the statement is of.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import NamedTuple

MAX_TEXT = 4_000
"""Characters of one text of a line."""
MAX_NAME = 255
"""Characters of an identification, a number or an id."""


class Fault(StrEnum):
    """Why a statement is refused. The codes are public and never change meaning."""

    TOO_LARGE = "TOO_LARGE"
    UNKNOWN_FORMAT = "UNKNOWN_FORMAT"
    WRONG_ENCODING = "WRONG_ENCODING"
    UNREADABLE = "UNREADABLE"
    DOCTYPE_FORBIDDEN = "DOCTYPE_FORBIDDEN"
    MAPPING_UNKNOWN = "MAPPING_UNKNOWN"
    MAPPING_UNFIT = "MAPPING_UNFIT"
    FIELD_MISSING = "FIELD_MISSING"
    FIELD_MALFORMED = "FIELD_MALFORMED"
    FIELD_TOO_LONG = "FIELD_TOO_LONG"
    AMOUNT_MALFORMED = "AMOUNT_MALFORMED"
    AMOUNT_TOO_LARGE = "AMOUNT_TOO_LARGE"
    TOO_MANY_DECIMALS = "TOO_MANY_DECIMALS"
    DATE_MALFORMED = "DATE_MALFORMED"
    DATE_OUT_OF_RANGE = "DATE_OUT_OF_RANGE"
    DATES_OUT_OF_ORDER = "DATES_OUT_OF_ORDER"
    UNKNOWN_CURRENCY = "UNKNOWN_CURRENCY"
    CURRENCY_DIFFERS = "CURRENCY_DIFFERS"
    ISIN_MALFORMED = "ISIN_MALFORMED"
    ISIN_TWICE = "ISIN_TWICE"
    PAGES_MISSING = "PAGES_MISSING"
    COUNT_DIFFERS = "COUNT_DIFFERS"
    BALANCE_DIFFERS = "BALANCE_DIFFERS"
    SUM_DIFFERS = "SUM_DIFFERS"
    ACCOUNT_NOT_LINKED = "ACCOUNT_NOT_LINKED"
    ACCOUNT_LINKED = "ACCOUNT_LINKED"
    ACCOUNT_UNKNOWN = "ACCOUNT_UNKNOWN"
    ACCOUNT_CURRENCY = "ACCOUNT_CURRENCY"
    NUMBER_MISSING = "NUMBER_MISSING"
    OPENING_DIFFERS = "OPENING_DIFFERS"
    PERIOD_OVERLAPS = "PERIOD_OVERLAPS"
    LEDGER_DIFFERS = "LEDGER_DIFFERS"
    CHANGED_MEANWHILE = "CHANGED_MEANWHILE"


class Unproven(Exception):
    """A statement is refused: `code` is stable, `sentence` is for people.

    `line`: of the file; 0 for the whole file. It is raised while a file is read and proven, and
    whoever reads a file takes it as a value.
    """

    def __init__(self, code: Fault, sentence: str, line: int = 0) -> None:
        super().__init__(code, sentence, line)
        self.code, self.sentence, self.line = code, sentence, line

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.code}: {self.sentence}"


class Balance(NamedTuple):
    """A balance at the end of a day; of an opening balance, as the bank dates it."""

    amount: int
    on: date


class Line(NamedTuple):
    """An entry of a statement of money.

    `number`: in the statement, from 1. `place`: the line in the file. `bank_reference`: the bank's
    own. `reference`: what the two parties have. `references`: all others. `kind`: the bank's code
    of what it is. `balance`: the account's after it, where the file states it.
    """

    number: int
    place: int
    amount: int
    booked: date
    value: date
    bank_reference: str = ""
    reference: str = ""
    references: tuple[str, ...] = ()
    counterpart: str = ""
    counterpart_account: str = ""
    kind: str = ""
    text: str = ""
    balance: int | None = None


class Position(NamedTuple):
    """How many of a security are held: `quantity` in the smallest units of the asset `code`."""

    number: int
    place: int
    isin: str
    code: str
    quantity: int
    scale: int
    name: str = ""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose statement it is, as the bank names the account: an IBAN, or anything else."""

    identification: str
    is_iban: bool = False


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement of money, with lines, or of securities, with positions.

    Of securities there is no currency, and both balances are zero at the date of the positions.
    `number`: the bank's count of statements; None where it has none. `stated_count`: of lines, if
    the bank states it. `left_out`: lines that are not booked, and so in no balance.
    """

    account: Account
    bank_id: str
    number: int | None
    currency: str
    scale: int
    opening: Balance
    closing: Balance
    lines: tuple[Line, ...] = ()
    positions: tuple[Position, ...] = ()
    stated_count: int | None = None
    left_out: int = 0

    @property
    def of_securities(self) -> bool:
        """Whether it has positions in place of lines."""
        return not self.currency

    @property
    def series(self) -> tuple[str, str]:
        """The identification and currency whose statements follow one another."""
        return self.account.identification, self.currency

    @property
    def id(self) -> str:
        """The same for the same statement, corrected or not; one of another year is another.

        By the bank's number within its year, as numbers begin again each year; without a number by
        the bank's id, and without that by the period.
        """
        if self.of_securities:
            return f"{self.account.identification} securities {self.closing.on}"
        begins = f"{self.account.identification} {self.currency}"
        if self.number is not None:
            return f"{begins} {self.closing.on.year}/{self.number}"
        if self.bank_id:
            return f"{begins} {self.bank_id}"
        return f"{begins} {self.opening.on}..{self.closing.on}"
