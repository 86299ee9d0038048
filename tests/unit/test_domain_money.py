"""Money: exact or refused."""

import pytest

from ledger.domain import money
from ledger.domain.refusal import Reason

MAX = 2**63 - 1


@pytest.mark.parametrize(
    ("text", "scale", "amount"),
    [
        ("12.34", 2, 1234),
        ("12.3", 2, 1230),
        ("12", 2, 1200),
        ("0.01", 2, 1),
        ("007.50", 2, 750),
        ("1", 0, 1),
        ("0.000000000000000001", 18, 1),
        ("0.10", 2, 10),
        # Binary floating point has neither of these.
        ("0.29", 2, 29),
        ("90071992547409.93", 2, 9007199254740993),
        (str(MAX), 0, MAX),
        ("92233720368547758.07", 2, MAX),
        ("9.223372036854775807", 18, MAX),
        ("0" * 44 + "1".rjust(20, "0"), 0, 1),
    ],
)
def test_decimal_text_becomes_exact_minor_units(text: str, scale: int, amount: int) -> None:
    assert money.parse(text, scale) == amount


@pytest.mark.parametrize(
    ("text", "scale", "reason"),
    [
        ("", 2, Reason.AMOUNT_MALFORMED),
        (".", 2, Reason.AMOUNT_MALFORMED),
        (".5", 2, Reason.AMOUNT_MALFORMED),
        ("5.", 2, Reason.AMOUNT_MALFORMED),
        ("1.2.3", 2, Reason.AMOUNT_MALFORMED),
        ("1,50", 2, Reason.AMOUNT_MALFORMED),
        ("1 000", 2, Reason.AMOUNT_MALFORMED),
        ("1_000", 2, Reason.AMOUNT_MALFORMED),
        (" 1", 2, Reason.AMOUNT_MALFORMED),
        ("1\n", 2, Reason.AMOUNT_MALFORMED),
        ("+1", 2, Reason.AMOUNT_MALFORMED),
        ("-", 2, Reason.AMOUNT_MALFORMED),
        ("--1", 2, Reason.AMOUNT_MALFORMED),
        ("1e3", 2, Reason.AMOUNT_MALFORMED),
        ("1E-2", 2, Reason.AMOUNT_MALFORMED),
        ("0x10", 2, Reason.AMOUNT_MALFORMED),
        ("NaN", 2, Reason.AMOUNT_MALFORMED),
        ("Infinity", 2, Reason.AMOUNT_MALFORMED),
        ("$1", 2, Reason.AMOUNT_MALFORMED),
        ("\u0661\u0662", 2, Reason.AMOUNT_MALFORMED),  # Arabic-Indic digits
        ("\uff11", 2, Reason.AMOUNT_MALFORMED),  # full-width one
        ("1\u00b2", 2, Reason.AMOUNT_MALFORMED),  # superscript two
        ("1\x00", 2, Reason.AMOUNT_MALFORMED),
        ("\ud800", 2, Reason.AMOUNT_MALFORMED),
        ("x" * 100_000, 2, Reason.AMOUNT_MALFORMED),
        ("\u0661" * 65, 2, Reason.AMOUNT_MALFORMED),
        ("0", 2, Reason.AMOUNT_NOT_POSITIVE),
        ("0.00", 2, Reason.AMOUNT_NOT_POSITIVE),
        ("-1", 2, Reason.AMOUNT_NOT_POSITIVE),
        ("-0.01", 2, Reason.AMOUNT_NOT_POSITIVE),
        ("1.234", 2, Reason.TOO_MANY_DECIMALS),
        ("1.230", 2, Reason.TOO_MANY_DECIMALS),
        ("1.0", 0, Reason.TOO_MANY_DECIMALS),
        ("0.000", 2, Reason.TOO_MANY_DECIMALS),
        (str(MAX + 1), 0, Reason.AMOUNT_TOO_LARGE),
        ("92233720368547758.08", 2, Reason.AMOUNT_TOO_LARGE),
        ("92233720368547759", 2, Reason.AMOUNT_TOO_LARGE),
        ("10", 18, Reason.AMOUNT_TOO_LARGE),
        ("9" * 65, 2, Reason.AMOUNT_TOO_LARGE),
        ("9" * 100_000, 2, Reason.AMOUNT_TOO_LARGE),
    ],
)
def test_anything_else_is_refused(text: str, scale: int, reason: Reason) -> None:
    assert money.parse(text, scale) is reason


@pytest.mark.parametrize(
    ("amount", "scale", "text"),
    [
        (0, 2, "0.00"),
        (5, 2, "0.05"),
        (-5, 2, "-0.05"),
        (1234, 2, "12.34"),
        (-1234, 2, "-12.34"),
        (7, 0, "7"),
        (-7, 0, "-7"),
        (1, 18, "0.000000000000000001"),
        (MAX, 2, "92233720368547758.07"),
        (MAX * MAX, 2, "850705917302346158473969077842325012.49"),
    ],
)
def test_minor_units_become_text_of_exactly_the_scale(amount: int, scale: int, text: str) -> None:
    assert money.show(amount, scale) == text
