"""How a CSV file is written, whatever its columns mean: a part of every mapping."""

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class CsvForm(BaseModel):
    """The file's encoding, the character between columns, and the two within a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    encoding: str = "utf-8"
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'", "\u00a0", "\u202f", "\u2019"] = ""

    @field_validator("encoding")
    @classmethod
    def _is_readable_by_lines(cls, name: str) -> str:
        try:
            by_lines = '\n,"'.encode(name) == b'\n,"'
        except LookupError as error:
            raise ValueError(f"{name!r} is no encoding that Python knows") from error
        if not by_lines:
            raise ValueError(f"{name} cannot be read by lines; save the file as UTF-8")
        return name

    def bad_characters(self) -> Iterator[str]:
        """What contradicts itself, a part of a sentence each."""
        if self.thousands and self.thousands == self.decimal:
            yield "decimal and thousands are the same character"
        if self.delimiter in ('"', "\n", "\r"):
            yield "delimiter is a quote or the end of a line"
