"""Names: one spelling, no blanks at the ends, nothing that cannot be seen."""

import sys
import unicodedata

import pytest

from ledger.domain import names
from ledger.domain.names import problem

UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Cs"}


@pytest.mark.parametrize(
    "text",
    [
        "pay-9", "a b", "x", "compte-\u00e9t\u00e9", "\u53e3\u5ea7-42", "\U0001f600", "a\u00a0b",
        "\ue000", "\U0001fae8", "\u0378",
    ],
)  # fmt: skip
def test_taken(text):
    assert problem(text) is None


@pytest.mark.parametrize(
    ("text", "character", "remedy"),
    [
        ("pay-9\r", "character 6 of 6 (U+000D)", "remove it"),
        ("pay-9\n", "character 6 of 6 (U+000A)", "remove it"),
        ("\tpay-9", "character 1 of 6 (U+0009)", "remove it"),
        ("pay-9\x85", "character 6 of 6 (U+0085)", "remove it"),
        ("pay\u200b-9", "character 4 of 6 (U+200B ZERO WIDTH SPACE)", "remove it"),
        ("\ufeffpay", "character 1 of 4 (U+FEFF ZERO WIDTH NO-BREAK SPACE)", "remove it"),
        ("pay\u202e9", "character 4 of 5 (U+202E RIGHT-TO-LEFT OVERRIDE)", "remove it"),
        ("a\u2028b", "character 2 of 3 (U+2028 LINE SEPARATOR)", "remove it"),
        ("a\U000e0061", "character 2 of 2 (U+E0061 TAG LATIN SMALL LETTER A)", "remove it"),
        ("\ud800", "character 1 of 1 (U+D800)", "remove it"),
        (" ", "character 1 of 1 (U+0020 SPACE)", "remove it"),
        ("pay-9 ", "character 6 of 6 (U+0020 SPACE)", "remove it"),
        (" pay-9", "character 1 of 6 (U+0020 SPACE)", "remove it"),
        ("pay-9\u00a0", "character 6 of 6 (U+00A0 NO-BREAK SPACE)", "remove it"),
        ("\u3000pay", "character 1 of 4 (U+3000 IDEOGRAPHIC SPACE)", "remove it"),
        ("cafe\u0301-1", "character 4 of 7 (U+0065 LATIN SMALL LETTER E)", "publish it in NFC"),
        ("\u212b", "character 1 of 1 (U+212B ANGSTROM SIGN)", "publish it in NFC"),
        ("q\u0344", "character 2 of 2 (U+0344", "publish it in NFC"),
    ],
)  # fmt: skip
def test_refused_with_the_character_its_place_and_what_to_do(text, character, remedy):
    found = problem(text)
    assert character in found
    assert remedy in found


def test_what_cannot_be_seen_is_what_unicode_says():
    """Of the characters that this Python knows; the table is of a newer Unicode than some."""
    known = [chr(each) for each in range(sys.maxunicode + 1)]
    found = {each for each in known if names._UNSEEN.fullmatch(each)}
    assert {each for each in known if unicodedata.category(each) in UNSEEN} <= found
    assert {unicodedata.category(each) for each in found} <= UNSEEN | {"Cn"}
