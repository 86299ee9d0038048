"""Amounts, dates, identifications and names of what comes from outside: exact, or refused."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date

from ledger.domain.money import MAX_AMOUNT, MAX_AMOUNT_TEXT, MAX_SCALE
from ledger.statements.model import MAX_NAME, MAX_TEXT, Account, Fault, Unproven
from ledger.unfit import shown

_DECIMAL = re.compile(r"(\d+)(?:\.(\d*))?", re.ASCII)
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?:T[0-9:.]+)?(?:Z|[+-]\d\d:\d\d)?", re.ASCII)
_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", re.ASCII)
_IBAN_AND_CURRENCY = re.compile(r"(.+)[A-Z]{3}", re.ASCII)
_ISIN = re.compile(r"[A-Z]{2}[A-Z0-9]{9}\d", re.ASCII)
FIRST_YEAR, LAST_YEAR = 1900, 2199
"""Of a ledger's times. Years of other calendars in use (1405, 1448, 2569, 5787) are outside."""


def minor_units(text: str, scale: int, what: str, line: int = 0) -> int:
    """The whole minor units of a decimal without a sign, such as 12.3; zeros may follow.

    Raises Unproven; `what` is the sentence's subject.
    """
    match = _DECIMAL.fullmatch(text) if len(text) <= MAX_AMOUNT_TEXT else None
    if match is None:
        raise Unproven(
            Fault.AMOUNT_MALFORMED, f"{what} is {shown(text)}, which is no decimal number.", line
        )
    whole, fraction = match[1], (match[2] or "").rstrip("0")
    if len(fraction) > scale:
        raise Unproven(
            Fault.TOO_MANY_DECIMALS,
            f"{what} is {shown(text)}, which has more than {scale} decimals.", line,
        )  # fmt: skip
    amount = int(whole + fraction.ljust(scale, "0"))
    if amount > MAX_AMOUNT:
        raise Unproven(Fault.AMOUNT_TOO_LARGE, f"{what} is {shown(text)}, past 64 bits.", line)
    return amount


def scale_of(scales: Mapping[str, int], currency: str, line: int = 0) -> int:
    """The decimals of a currency that the ledger knows. Raises Unproven."""
    if currency not in scales:
        raise Unproven(
            Fault.UNKNOWN_CURRENCY,
            f"The ledger does not know the currency {shown(currency)}. `faust-ledger assets list` "
            "has all, `faust-ledger assets import` registers others.", line,
        )  # fmt: skip
    assert scales[currency] <= MAX_SCALE, "the reference data takes no others"
    return scales[currency]


def in_range(found: date, text: str, what: str, line: int = 0) -> date:
    """`found`, which `text` gave. Raises Unproven outside the years of a ledger."""
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise Unproven(
            Fault.DATE_OUT_OF_RANGE,
            f"{what} is {shown(text)}, outside the years {FIRST_YEAR} to {LAST_YEAR}: is it of "
            "another calendar?", line,
        )  # fmt: skip
    return found


def iso_day(text: str, what: str, line: int = 0) -> date:
    """The date of xs:date or xs:dateTime, as the bank's clock had it. Raises Unproven."""
    match = _DAY.fullmatch(text)
    try:
        found = date.fromisoformat(match[1] if match else "")
    except ValueError as error:
        raise Unproven(
            Fault.DATE_MALFORMED, f"{what} is {shown(text)}, which is no date.", line
        ) from error
    return in_range(found, text, what, line)


def short_day(text: str, what: str, line: int = 0) -> date:
    """The date of SWIFT's YYMMDD, in the years 2000 to 2099. Raises Unproven."""
    return iso_day(f"20{text[:2]}-{text[2:4]}-{text[4:]}", what, line)


def account_of(text: str, line: int = 0) -> Account:
    """The account that a statement names: an IBAN, without blanks and a currency after it.

    Raises Unproven.
    """
    joined = "".join(text.split())
    with_currency = _IBAN_AND_CURRENCY.fullmatch(joined)
    for each in (joined, with_currency[1] if with_currency else ""):
        if is_iban(each):
            return Account(each, is_iban=True)
    return Account(named(" ".join(text.split()), "The account's identification", line))


def is_iban(text: str) -> bool:
    """Whether it has an IBAN's form and check digits (ISO 13616)."""
    if not _IBAN.fullmatch(text):
        return False
    return int("".join(str(int(each, 36)) for each in text[4:] + text[:4])) % 97 == 1


def is_isin(text: str) -> bool:
    """Whether it has an ISIN's form and check digit (ISO 6166)."""
    if not _ISIN.fullmatch(text):
        return False
    digits = "".join(str(int(each, 36)) for each in text)
    doubled = (int(each) * (1 + at % 2) for at, each in enumerate(reversed(digits)))
    return sum(each // 10 + each % 10 for each in doubled) % 10 == 0


def text_in(text: str, what: str, line: int = 0) -> str:
    """A text for people, with single blanks between its words. Raises Unproven."""
    if len(text) > MAX_TEXT:
        raise Unproven(Fault.FIELD_TOO_LONG, f"{what} has more than {MAX_TEXT} characters.", line)
    return " ".join(text.split())


def named(text: str, what: str, line: int = 0) -> str:
    """An identification: composed (NFC), visible and not empty. Raises Unproven."""
    found = unicodedata.normalize("NFC", text.strip())
    if not found:
        raise Unproven(Fault.FIELD_MISSING, f"{what} is missing.", line)
    if len(found) > MAX_NAME:
        raise Unproven(Fault.FIELD_TOO_LONG, f"{what} has more than {MAX_NAME} characters.", line)
    if not found.isprintable():
        raise Unproven(
            Fault.FIELD_MALFORMED,
            f"{what} is {shown(found)}, with a character that cannot be seen.", line,
        )  # fmt: skip
    return found
