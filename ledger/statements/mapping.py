"""The mapping of a bank's or custodian's CSV: a TOML file that is saved by name."""

import re
import tomllib
from collections.abc import Iterator
from datetime import date, datetime
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from ledger.csv_form import CsvForm
from ledger.statements.model import Fault, Unproven
from ledger.statements.texts import in_range, minor_units
from ledger.unfit import shown, why_unfit

MONEY = (
    "booked", "value", "amount", "debit", "credit", "side", "balance", "currency", "account",
    "bank_reference", "reference", "counterpart", "counterpart_account", "kind", "text",
)  # fmt: skip
SECURITIES = ("isin", "quantity", "name", "on", "account")
CONSTANTS = ("currency", "account")
MAX_LENGTH = 64 * 1024
MAX_SKIPPED = 1_000


class StatementMapping(CsvForm):
    """What the columns of a CSV file mean, and how its numbers and dates are written.

    `columns`: by field, a column's name. `dates`: a format of strptime. `sign`: of one column
    `amount`, what a number above zero is; with a column `side`, `credits` and `debits` are its
    texts. `skip`: lines before that with the columns' names. `order`: of the rows by date.
    `assets`: by ISIN, the ledger's code; without one the ISIN is the code.
    """

    of: Literal["money", "securities"]
    columns: dict[str, str]
    constants: dict[str, str] = Field(default_factory=dict)
    dates: str = Field(min_length=1)
    skip: int = Field(default=0, ge=0, le=MAX_SKIPPED)
    order: Literal["ascending", "descending"] = "ascending"
    sign: Literal["credit", "debit"] = "credit"
    credits: list[str] = Field(default_factory=list)
    debits: list[str] = Field(default_factory=list)
    assets: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if problems := [*self._bad_fields(), *self._bad_formats()]:
            raise ValueError("; ".join(problems))
        return self

    def _bad_fields(self) -> Iterator[str]:
        known = MONEY if self.of == "money" else SECURITIES
        for field in sorted(self.columns.keys() - set(known)):
            yield f"{field} is not a field; known are {', '.join(known)}"
        for field in sorted(self.constants.keys() - set(CONSTANTS)):
            yield f"{field} is no constant; known are {', '.join(CONSTANTS)}"
        for field in sorted(self.columns.keys() & self.constants.keys()):
            yield f"{field} has a column and a constant; leave one of them out"
        given = self.columns.keys() | self.constants.keys()
        needed = ("booked", "currency") if self.of == "money" else ("isin", "quantity")
        for field in needed:
            if field not in given:
                yield f"{field} is missing"
        if self.of == "money":
            yield from self._bad_amounts()

    def _bad_amounts(self) -> Iterator[str]:
        has = self.columns.keys()
        if ("amount" in has) == bool(has & {"debit", "credit"}):
            yield "give a column amount, or columns debit and credit"
        elif "amount" not in has and not has >= {"debit", "credit"}:
            yield "of the columns debit and credit one is missing"
        if "side" in has and "amount" not in has:
            yield "a column side belongs to a column amount"
        if ("side" in has) != bool(self.credits and self.debits):
            yield "a column side, credits and debits belong together"
        if set(self.credits) & set(self.debits):
            yield "credits and debits have a text in common"

    def _bad_formats(self) -> Iterator[str]:
        yield from self.bad_characters()
        if not all(re.search(each, self.dates) for each in ("%d", "%[mbB]", "%[Yy]")):
            yield "dates has no day, month or year (%d, %m, %Y)"

    def day(self, text: str, what: str, line: int) -> date:
        """The date in a cell. Raises Unproven."""
        try:
            found = datetime.strptime(text, self.dates).date()  # noqa: DTZ007 - a day of the bank's
        except ValueError as error:
            raise Unproven(
                Fault.DATE_MALFORMED, f"{what} is {shown(text)}, not of the form {self.dates!r}.",
                line,
            ) from error  # fmt: skip
        return in_range(found, text, what, line)

    def amount(self, text: str, scale: int, what: str, line: int) -> int:
        """The minor units in a cell, with its sign before or after it. Raises Unproven."""
        digits = text.strip().replace("\u2212", "-")
        negative = digits[:1] == "-" or digits[-1:] == "-"
        if negative:
            digits = digits[1:] if digits[0] == "-" else digits[:-1]
        elif digits[:1] == "+":
            digits = digits[1:]
        amount = minor_units(self._plain(digits, text, what, line), scale, what, line)
        return -amount if negative else amount

    def _plain(self, digits: str, text: str, what: str, line: int) -> str:
        whole, point, rest = digits.partition(self.decimal)
        if self.thousands and self.thousands in whole:
            mark = re.escape(self.thousands)
            if not re.fullmatch(rf"\d{{1,3}}(?:{mark}\d{{3}})+", whole, re.ASCII):
                raise Unproven(
                    Fault.AMOUNT_MALFORMED,
                    f"{what} is {shown(text)}, whose thousands are not in groups of three.", line,
                )  # fmt: skip
            whole = whole.replace(self.thousands, "")
        if set(whole + rest) & set(",."):
            raise Unproven(
                Fault.AMOUNT_MALFORMED,
                f"{what} is {shown(text)}, and the mapping has decimal = {self.decimal!r} and "
                f"thousands = {self.thousands!r}.", line,
            )  # fmt: skip
        return f"{whole}.{rest}" if point else whole


def parse_mapping(text: str) -> StatementMapping:
    """The mapping in a TOML text. Raises Unproven with every problem."""
    if len(text) > MAX_LENGTH:
        raise Unproven(Fault.MAPPING_UNFIT, f"The mapping has more than {MAX_LENGTH} characters.")
    try:
        return StatementMapping.model_validate(tomllib.loads(text))
    except ValidationError as error:
        problems = "; ".join(
            ": ".join(filter(None, (".".join(map(str, each["loc"])), why_unfit(each))))
            for each in error.errors()
        )
        raise Unproven(Fault.MAPPING_UNFIT, f"The mapping: {problems}.") from error
    except ValueError as error:
        raise Unproven(Fault.MAPPING_UNFIT, f"The mapping is not TOML: {error}.") from error
