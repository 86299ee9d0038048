"""MT940 (SWIFT customer statement): fields by the library `mt-940`, their order and sums by us.

The library's own reading of a file leaves out what is missing and takes a reversed credit (RC) for
a credit; so only its fields are used, of which it knows the banks' variants. A file may be any
number of messages, with or without SWIFT's blocks around them.
"""

import codecs
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any, NamedTuple

from mt940 import models, processors, tags

from ledger.statements.model import Balance, Fault, Line, Statement, Unproven
from ledger.statements.pages import Page
from ledger.statements.source import Limits, Source, chunks_of
from ledger.statements.texts import (
    account_of,
    minor_units,
    named,
    scale_of,
    short_day,
    shown,
    text_in,
)

_TAG = re.compile(r":(\d\d[A-Z]?|NS):", re.ASCII)
_HEADER = re.compile(r"[A-Z0-9 ]{1,40}", re.ASCII)
"""Of a line between messages, where some banks put sender, type and receiver."""
_AMOUNT = re.compile(r"\d+,\d*", re.ASCII)
_SIGNS = {"C": 1, "RD": 1, "D": -1, "RC": -1}
_NUMBER = re.compile(r"\d{1,5}(/\d{1,5})?", re.ASCII)
_NEEDED = {
    ("25", "25P"): "the account",
    ("28C", "28"): "the number",
    ("60F", "60M"): "the opening balance",
    ("62F", "62M"): "the closing balance",
}
_SKIPPED = frozenset({"13", "13D", "21", "34F", "64", "65", "90C", "90D", "NS"})
_KNOWN = _SKIPPED.union({"20", "61", "86"}, *_NEEDED)
FIELD_BYTES = 64 * 1024
"""Of one field; SWIFT's longest has 396."""

_NONE = models.Transactions()
_BALANCE, _ENTRY, _DETAILS = tags.OpeningBalance(), tags.Statement(), tags.TransactionDetails()

# It logs what it cannot read as an error, with the text; here that is a refusal.
logging.getLogger("mt940").setLevel(logging.CRITICAL)


class _Field(NamedTuple):
    tag: str
    text: str
    line: int


def pages_of(
    stream: Source, scales: Mapping[str, int], limits: Limits, encoding: str
) -> Iterator[Page]:
    """The pages of the statements in an MT940 file, each when it has been read.

    Raises Unproven for a file that cannot be read, or a message that lacks something.
    """
    message: list[_Field] = []
    reader, count = _MessageReader(scales), 0
    for field in _fields(stream, limits, encoding):
        if field.tag == "20" and message:
            yield reader.page(message)
            message = []
        if not message and field.tag != "20":
            raise Unproven(
                Fault.FIELD_MISSING, f":20: is missing: the message begins with :{field.tag}:.",
                field.line,
            )  # fmt: skip
        message.append(field)
        count += field.tag == "61"
        limits.require_lines(max(count, len(message) // 3), field.line)
    if not message:
        raise Unproven(Fault.UNREADABLE, "The file has no field :20:, so no statement.")
    yield reader.page(message)


def _fields(stream: Source, limits: Limits, encoding: str) -> Iterator[_Field]:
    field: _Field | None = None
    size = 0
    for number, line in _lines(stream, limits, encoding):
        if "{4:" in line:
            line = line.rpartition("{4:")[2]
        elif line.startswith("{"):
            continue
        match = _TAG.match(line)
        is_tag = match is not None and not (
            field is not None and field.tag == "86" and match[1] not in _KNOWN
        )
        if line == "-" or line.startswith("-}") or is_tag:
            if field is not None:
                yield field
            field, size = None, 0
        if match is not None and is_tag:
            if match[1] not in _KNOWN:
                raise Unproven(
                    Fault.FIELD_MALFORMED, f":{match[1]}: is no field of a statement.", number
                )
            field = _Field(match[1], line[match.end() :], number)
        elif field is not None:
            size += len(line)
            if size > FIELD_BYTES:
                raise Unproven(Fault.TOO_LARGE, f":{field.tag}: has too much text.", field.line)
            field = field._replace(text=f"{field.text}\n{line}")
        elif line and line[0] != "-" and not _HEADER.fullmatch(line):
            raise Unproven(
                Fault.UNREADABLE, f"{shown(line)} belongs to no field: is it MT940?", number
            )
    if field is not None:
        yield field


def _lines(stream: Source, limits: Limits, encoding: str) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, without blanks at their ends."""
    decoder = codecs.getincrementaldecoder(encoding)()
    number, rest = 0, ""
    for chunk in (*chunks_of(stream, limits), b""):
        try:
            *whole, rest = (rest + decoder.decode(chunk, final=not chunk)).split("\n")
        except UnicodeDecodeError as error:
            raise Unproven(
                Fault.WRONG_ENCODING,
                f"The file is not {encoding}. Give the bank's with --encoding, such as latin-1.",
                number + 1,
            ) from error
        for number, line in enumerate(whole, number + 1):  # noqa: B020 - it goes on from there
            yield number, line.removeprefix("\ufeff").rstrip()
        if len(rest) > FIELD_BYTES:
            raise Unproven(Fault.TOO_LARGE, "The line has too much text.", number + 1)
    if rest:
        yield number + 1, rest.rstrip()


class _MessageReader:
    """Makes one page after another from the fields of messages."""

    def __init__(self, scales: Mapping[str, int]) -> None:
        self._scales = scales

    def page(self, message: list[_Field]) -> Page:
        """The page in the fields of one message. Raises Unproven."""
        account, number, opens, closes = _needed(message)
        currency, opening = self._balance(opens)
        closing_currency, closing = self._balance(closes)
        if closing_currency != currency:
            raise Unproven(
                Fault.CURRENCY_DIFFERS,
                f"The closing balance is in {closing_currency}, the opening one in {currency}.",
                closes.line,
            )
        scale = self._scales[currency]
        whole, page = _number(number)
        statement = Statement(
            account=account_of(account.text.partition("\n")[0], account.line),
            bank_id=named(message[0].text, ":20:", message[0].line),
            number=whole, currency=currency, scale=scale, opening=opening, closing=closing,
            lines=tuple(_lines_of(message, scale)),
        )  # fmt: skip
        return Page(
            statement, page, is_first=opens.tag == "60F", is_last=closes.tag == "62F",
            line=message[0].line,
        )  # fmt: skip

    def _balance(self, field: _Field) -> tuple[str, Balance]:
        found = _parsed(_BALANCE, field)
        status, amount = found["status"].upper(), found["amount"]
        day = found["year"] + found["month"] + found["day"]
        if f"{status}{day}{found['currency']}{amount}" != field.text:
            raise _malformed(field)
        what = f":{field.tag}:"
        scale = scale_of(self._scales, found["currency"], field.line)
        on = short_day(day, what, field.line)
        return found["currency"], Balance(_SIGNS[status] * _amount(amount, scale, field), on)


def _needed(message: list[_Field]) -> list[_Field]:
    """The fields that a message must have, each once. Raises Unproven."""
    found = []
    for names, what in _NEEDED.items():
        some = [field for field in message if field.tag in names]
        if not some:
            raise Unproven(
                Fault.FIELD_MISSING,
                f":{names[0]}: is missing, {what}, of the message that begins here.",
                message[0].line,
            )
        if len(some) > 1:
            raise Unproven(
                Fault.FIELD_MALFORMED, f":{some[1].tag}: is there twice.", some[1].line
            )
        found.append(some[0])
    return found


def _lines_of(message: list[_Field], scale: int) -> Iterator[Line]:
    line: Line | None = None
    number = 0
    for field in message:
        if field.tag == "61":
            if line is not None:
                yield line
            number += 1
            line = _line(field, number, scale)
        elif field.tag == "86" and line is not None:
            line = _with_details(line, field)
        elif field.tag.startswith("62") and line is not None:
            # What :86: says after the closing balance is of the whole statement.
            yield line
            line = None
    if line is not None:
        yield line


def _line(field: _Field, number: int, scale: int) -> Line:
    found = _parsed(_ENTRY, field)
    what = f"Entry {number}"
    if found["id"] is None:
        raise _malformed(field)
    # German banks count interest in months of 30 days: a value date may be 30 February.
    found = processors.date_fixup_pre_processor(_NONE, _ENTRY, found)
    value = short_day(found["year"] + found["month"] + found["day"], what, field.line)
    return Line(
        number, field.line,
        _SIGNS[found["status"].upper()] * _amount(found["amount"], scale, field),
        booked=_booked(found, value, what, field.line), value=value,
        bank_reference=text_in(found["bank_reference"] or "", what, field.line),
        reference=_given(found["customer_reference"] or "", what, field.line),
        kind=found["id"], text=text_in(found["extra_details"] or "", what, field.line),
    )  # fmt: skip


def _booked(found: Mapping[str, Any], value: date, what: str, line: int) -> date:
    """The booking date, which has no year: that nearest to the value date."""
    month, day = (found["entry_month"] or "").strip(), (found["entry_day"] or "").strip()
    if not month or not day:
        return value
    candidates = []
    for year in (value.year - 1, value.year, value.year + 1):
        try:
            candidates.append(date(year, int(month), int(day)))
        except ValueError:
            continue
    if not candidates:
        raise Unproven(
            Fault.DATE_MALFORMED, f"{what}'s booking date is {shown(month + day)}, no date.", line
        )
    return min(candidates, key=lambda each: abs(each - value))


def _given(reference: str, what: str, line: int) -> str:
    """A reference; what SWIFT has a line say that has none is none."""
    return "" if reference.strip() == "NONREF" else text_in(reference, what, line)


def _with_details(line: Line, field: _Field) -> Line:
    what = f"Entry {line.number}"
    result: dict[str, Any] = {"transaction_details": field.text}
    found = processors.transaction_details_post_processor(
        _NONE, _DETAILS, {"transaction_details": field.text}, result
    )
    if "transaction_details" in found:
        text = field.text.replace("\n", " ")
        return line._replace(text=text_in(f"{line.text} {text}", what, field.line))

    def of(*names: str) -> str:
        return text_in(" ".join(found.get(each) or "" for each in names), what, field.line)

    references = [of(each) for each in ("additional_position_reference", "customer_reference")]
    return line._replace(
        reference=of("end_to_end_reference") or line.reference,
        references=tuple(each for each in (*references, line.reference) if each),
        counterpart=of("applicant_name"),
        counterpart_account=of("gvc_applicant_iban") or of("applicant_iban"),
        text=of("posting_text", "purpose", "additional_purpose"),
    )


def _number(field: _Field) -> tuple[int, int | None]:
    if not _NUMBER.fullmatch(field.text):
        raise _malformed(field)
    whole, _, page = field.text.partition("/")
    return int(whole), int(page) if page else None


def _amount(text: str, scale: int, field: _Field) -> int:
    what = f":{field.tag}:"
    if not _AMOUNT.fullmatch(text):
        raise Unproven(
            Fault.AMOUNT_MALFORMED,
            f"{what} has the amount {shown(text)}, which has not one decimal comma.", field.line,
        )  # fmt: skip
    return minor_units(text.replace(",", "."), scale, what, field.line)


def _parsed(tag: tags.Tag, field: _Field) -> dict[str, Any]:
    try:
        return dict(tag.parse(_NONE, field.text))
    except RuntimeError as error:
        raise _malformed(field) from error


def _malformed(field: _Field) -> Unproven:
    return Unproven(
        Fault.FIELD_MALFORMED, f":{field.tag}: is {shown(field.text)}, which cannot be read.",
        field.line,
    )  # fmt: skip
