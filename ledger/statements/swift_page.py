"""A page of an MT940 statement, from the fields of its message."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

from mt940 import Options, models, processors, tags

from ledger.statements.model import Balance, Fault, Line, Statement, Unproven
from ledger.statements.pages import Page
from ledger.statements.texts import account_of, minor_units, named, scale_of, short_day, text_in
from ledger.unfit import shown

_AMOUNT = re.compile(r"\d+,\d*", re.ASCII)
_NUMBER = re.compile(r"\d{1,5}(/\d{1,5})?", re.ASCII)
_SIGNS = {"C": 1, "RD": 1, "D": -1, "RC": -1}
"""A reversed credit takes away, a reversed debit gives back."""
NEEDED = {
    ("25", "25P"): "the account",
    ("28C", "28"): "the number",
    ("60F", "60M"): "the opening balance",
    ("62F", "62M"): "the closing balance",
}
"""By the tags that it may have, what each message needs."""
# What the library's next major version does: an IBAN is not part of a name, texts are whole.
_NONE = models.Transactions(options=Options.all())
_BALANCE, _ENTRY, _DETAILS = tags.OpeningBalance(), tags.Statement(), tags.TransactionDetails()

# It logs what it cannot read as an error, with the text; here that is a refusal.
logging.getLogger("mt940").setLevel(logging.CRITICAL)


class SwiftField(NamedTuple):
    """A field of a message: its tag without colons, its text, and the line where it begins."""

    tag: str
    text: str
    line: int


class MessageReader:
    """Makes one page after another from the fields of messages."""

    def __init__(self, scales: Mapping[str, int]) -> None:
        self._scales = scales

    def page(self, message: Sequence[SwiftField]) -> Page:
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

    def _balance(self, field: SwiftField) -> tuple[str, Balance]:
        found = _parsed(_BALANCE, field)
        status, amount = found["status"].upper(), found["amount"]
        day = found["year"] + found["month"] + found["day"]
        if f"{status}{day}{found['currency']}{amount}" != field.text:
            raise _malformed(field)
        what = f":{field.tag}:"
        scale = scale_of(self._scales, found["currency"], field.line)
        on = short_day(day, what, field.line)
        return found["currency"], Balance(_SIGNS[status] * _amount(amount, scale, field), on)


def _needed(message: Sequence[SwiftField]) -> list[SwiftField]:
    """The fields that a message must have, each once. Raises Unproven."""
    found = []
    for names, what in NEEDED.items():
        some = [field for field in message if field.tag in names]
        if not some:
            raise Unproven(
                Fault.FIELD_MISSING,
                f":{names[0]}: is missing, {what}, of the message that begins here.",
                message[0].line,
            )
        if len(some) > 1:
            raise Unproven(Fault.FIELD_MALFORMED, f":{some[1].tag}: is there twice.", some[1].line)
        found.append(some[0])
    return found


def _lines_of(message: Sequence[SwiftField], scale: int) -> Iterator[Line]:
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


def _line(field: SwiftField, number: int, scale: int) -> Line:
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


def _with_details(line: Line, field: SwiftField) -> Line:
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


def _number(field: SwiftField) -> tuple[int, int | None]:
    if not _NUMBER.fullmatch(field.text):
        raise _malformed(field)
    whole, _, page = field.text.partition("/")
    return int(whole), int(page) if page else None


def _amount(text: str, scale: int, field: SwiftField) -> int:
    what = f":{field.tag}:"
    if not _AMOUNT.fullmatch(text):
        raise Unproven(
            Fault.AMOUNT_MALFORMED,
            f"{what} has the amount {shown(text)}, which has not one decimal comma.", field.line,
        )  # fmt: skip
    return minor_units(text.replace(",", "."), scale, what, field.line)


def _parsed(tag: tags.Tag, field: SwiftField) -> dict[str, Any]:
    try:
        return dict(tag.parse(_NONE, field.text))
    except RuntimeError as error:
        raise _malformed(field) from error


def _malformed(field: SwiftField) -> Unproven:
    return Unproven(
        Fault.FIELD_MALFORMED, f":{field.tag}: is {shown(field.text)}, which cannot be read.",
        field.line,
    )  # fmt: skip
