"""Money: whole numbers of minor units inside, decimal text at the edges, exact or refused."""

from ledger.domain.refusal import Reason

MAX_AMOUNT = 2**63 - 1
"""Largest amount of one entry, and largest sum of one transaction's debits, in minor units."""
MAX_SCALE = 18
MAX_AMOUNT_TEXT = 64


def parse(text: str, scale: int) -> int | Reason:
    """Minor units of a decimal in plain notation: `parse("12.3", 2) == 1230`.

    Returns 1 to MAX_AMOUNT, or why not. Signs, exponents, blanks, separators and non-ASCII
    digits are malformed; a zero beyond the scale is still a decimal too many.
    """
    whole, point, fraction = text.partition(".")
    if not (whole + fraction).isdecimal() or not text.isascii() or len(text) > MAX_AMOUNT_TEXT:
        return _why_malformed(text)
    if not whole or (point and not fraction):
        return Reason.AMOUNT_MALFORMED
    if len(fraction) > scale:
        return Reason.TOO_MANY_DECIMALS
    amount = int(whole + fraction) * 10 ** (scale - len(fraction))
    if amount > MAX_AMOUNT:
        return Reason.AMOUNT_TOO_LARGE
    return amount or Reason.AMOUNT_NOT_POSITIVE


def _why_malformed(text: str) -> Reason:
    digits = text[1:].replace(".", "", 1)
    if text.startswith("-") and digits.isascii() and digits.isdecimal():
        return Reason.AMOUNT_NOT_POSITIVE
    if len(text) > MAX_AMOUNT_TEXT and text.isascii() and text.replace(".", "", 1).isdecimal():
        return Reason.AMOUNT_TOO_LARGE
    return Reason.AMOUNT_MALFORMED


def show(amount: int, scale: int) -> str:
    """Decimal text of minor units, with exactly `scale` decimals: `show(-5, 2) == "-0.05"`."""
    if not scale:
        return str(amount)
    sign = "-" if amount < 0 else ""
    digits = str(abs(amount)).rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}"
