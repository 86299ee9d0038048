"""The mapping that says what the columns of a CSV file mean: a TOML file (docs/producers.md)."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError, field_validator, model_validator

from ledger.csv_form import CsvForm
from ledger.errors import LedgerError
from ledger.unfit import shown, why_unfit

SHARED = ("transaction_id", "kind", "effective_at")
"""What a transaction must have, whatever its rows are."""
OPTIONAL = ("description", "ordering_key", "created_at", "reverses")
TIMES = ("effective_at", "created_at")
ENTRY = {
    "entries": ("account", "side", "amount", "currency"),
    "transactions": ("debit_account", "credit_account", "amount", "currency"),
}
"""By what a row is, the fields that each row must have."""


class MappingError(LedgerError):
    """The mapping is not one, or is not that of the file."""


class CsvMapping(CsvForm):
    """Where each field of a transaction comes from: a column, or a constant.

    `rows`: whether a row is one entry, and rows that follow each other with one transaction_id are
    a transaction; or a row is a transaction of two entries. `values`: by field, what a text in the
    file stands for. `times`: a format of strptime; RFC 3339 without one.
    """

    rows: Literal["entries", "transactions"]
    columns: dict[str, str]
    constants: dict[str, str] = Field(default_factory=dict)
    metadata: dict[str, str] = Field(default_factory=dict)
    values: dict[str, dict[str, str]] = Field(default_factory=dict)
    times: str | None = None
    timezone: str | None = None

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(f"{name!r} is no time zone, such as America/Toronto") from error
        return name

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        problems = [*self._bad_fields(), *self._bad_formats()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _bad_fields(self) -> Iterator[str]:
        needed, given = (*SHARED, *ENTRY[self.rows]), self.columns.keys() | self.constants.keys()
        known = {*needed, *OPTIONAL}
        for field in sorted(given | self.values.keys()):
            if field not in known:
                yield f"{field} is not a field; known are {', '.join((*needed, *OPTIONAL))}"
        for field in sorted(self.columns.keys() & self.constants.keys()):
            yield f"{field} has a column and a constant; leave one of them out"
        for field in needed:
            if field not in given:
                yield f"{field} has neither a column (in [columns]) nor a constant (in [constants])"
        for field in ("transaction_id", "amount"):
            if field in self.constants:
                yield f"{field} differs by row: give its column"

    def _bad_formats(self) -> Iterator[str]:
        yield from self.bad_characters()
        has_offset = self.times is None or "%z" in self.times
        if has_offset and self.timezone:
            yield "timezone is for times without an offset: give `times`, without %z"
        if not has_offset and not self.timezone:
            yield "timezone is missing: times have no %z, so it must be said where they are read"

    def column_of(self, path: str) -> str | None:
        """The column that a refusal's field comes from; None for a constant or the whole row."""
        entry = re.fullmatch(r"entries\[(\d+)\]\.(\w+)", path)
        name = entry[2] if entry else path
        if entry and name == "account" and self.rows == "transactions":
            name = "debit_account" if entry[1] == "0" else "credit_account"
        if name.startswith("metadata."):
            return self.metadata.get(name.removeprefix("metadata."))
        return self.columns.get(name)

    def time(self, text: str) -> str:
        """RFC 3339 of a time in the file. Raises ValueError with the rest of a sentence."""
        if self.times is None:
            return text
        try:
            time = datetime.strptime(text, self.times)  # noqa: DTZ007 - the zone follows
        except ValueError as error:
            raise ValueError(
                f"is {shown(text)}, which is not of the form {self.times!r}"
            ) from error
        if self.timezone is None:
            return time.isoformat()
        zone = ZoneInfo(self.timezone)
        early, late = (time.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
        if early.utcoffset() != late.utcoffset():
            raise ValueError(
                f"is {shown(text)}, when the clocks of {self.timezone} are changed: it is two "
                "times or none. Give such times with an offset (%z)"
            )
        return early.isoformat()

    def amount(self, text: str) -> str:
        """The amount as plain decimal text. Raises ValueError with the rest of a sentence."""
        whole, point, rest = text.partition(self.decimal)
        if self.thousands and self.thousands in whole:
            if not re.fullmatch(rf"\d{{1,3}}(?:{re.escape(self.thousands)}\d{{3}})+", whole):
                raise ValueError(
                    f"is {shown(text)}, whose thousands are not in groups of three digits"
                )
            whole = whole.replace(self.thousands, "")
        plain = f"{whole}.{rest}" if point else whole
        for mark in ",.":
            if mark in whole + rest:
                raise ValueError(
                    f"is {shown(text)}, and the mapping does not say what {mark!r} is in it: give "
                    f"decimal = {mark!r} or thousands = {mark!r}"
                )
        return plain


def read_mapping(file: Path) -> CsvMapping:
    """The mapping in a TOML file. Raises MappingError with every problem."""
    try:
        return CsvMapping.model_validate(tomllib.loads(file.read_text("utf-8")))
    except OSError as error:
        raise MappingError(f"{file}: {error.strerror}.") from error
    except ValidationError as error:
        problems = "; ".join(_sentence(each) for each in error.errors())
        raise MappingError(f"{file}: {problems}.") from error
    except ValueError as error:
        raise MappingError(f"{file} is not TOML: {error}.") from error


def _sentence(error: Mapping[str, Any]) -> str:
    where = ".".join(map(str, error["loc"]))
    text = why_unfit(error)
    return f"{where}: {text}" if where else text
