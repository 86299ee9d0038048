"""Names: one spelling, no blanks at the ends, nothing that cannot be seen."""

import re
import sys
import unicodedata

import pytest

from ledger.audit import rules
from ledger.domain import names
from ledger.domain.names import problem

UNSEEN = {"Cc", "Cf", "Zl", "Zp", "Cs"}


@pytest.mark.parametrize(
    "text",
    [
        "pay-9", "a b", "x", "compte-\u00e9t\u00e9", "\u53e3\u5ea7-42", "\U0001f600", "a  b",
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
        ("pay\u3164", "character 4 of 4 (U+3164 HANGUL FILLER)", "remove it"),
        ("\u115fpay", "character 1 of 4 (U+115F HANGUL CHOSEONG FILLER)", "remove it"),
        ("p\u1160y", "character 2 of 3 (U+1160 HANGUL JUNGSEONG FILLER)", "remove it"),
        ("p\uffa0y", "character 2 of 3 (U+FFA0 HALFWIDTH HANGUL FILLER)", "remove it"),
        ("p\u034fy", "character 2 of 3 (U+034F COMBINING GRAPHEME JOINER)", "remove it"),
        ("p\u17b4y", "character 2 of 3 (U+17B4 KHMER VOWEL INHERENT AQ)", "remove it"),
        ("p\u2065y", "character 2 of 3 (U+2065)", "remove it"),
        ("\u2764\ufe0f", "character 2 of 2 (U+FE0F VARIATION SELECTOR-16)", "remove it"),
        ("a\U000e0100", "character 2 of 2 (U+E0100 VARIATION SELECTOR-17)", "remove it"),
        ("a\U000e0fff", "character 2 of 2 (U+E0FFF)", "remove it"),
        ("\U0001f468\u200d\U0001f469", "character 2 of 3 (U+200D ZERO WIDTH JOINER)", "remove it"),
        ("pay\u2800", "character 4 of 4 (U+2800 BRAILLE PATTERN BLANK)", "remove it"),
        ("a\U0001d159b", "character 2 of 3 (U+1D159 MUSICAL SYMBOL NULL NOTEHEAD)", "remove it"),
        ("a\U00013441b", "character 2 of 3 (U+13441", "remove it"),
        ("a\u00a0b", "character 2 of 3 (U+00A0 NO-BREAK SPACE)", "write U+0020"),
        ("a\u3000b", "character 2 of 3 (U+3000 IDEOGRAPHIC SPACE)", "write U+0020"),
        ("cafe\u0301-1", "character 4 of 7 (U+0065 LATIN SMALL LETTER E)", "publish it in NFC"),
        ("\u212b", "character 1 of 1 (U+212B ANGSTROM SIGN)", "publish it in NFC"),
        ("q\u0344", "character 2 of 2 (U+0344", "publish it in NFC"),
    ],
)  # fmt: skip
def test_refused_with_the_character_its_place_and_what_to_do(text, character, remedy):
    found = problem(text)
    assert character in found
    assert remedy in found


ALL = [chr(each) for each in range(sys.maxunicode + 1)]


def test_what_cannot_be_seen_is_what_unicode_says():
    """Of the characters that this Python knows; the table is of a newer Unicode than some."""
    table = re.compile(f"[{names._FORMAT}]")
    found = {each for each in ALL if table.fullmatch(each)}
    assert {each for each in ALL if unicodedata.category(each) in UNSEEN} <= found
    assert {unicodedata.category(each) for each in found} <= UNSEEN | {"Cn"}


def test_what_is_ignored_is_as_many_as_unicode_says():
    """The sum at the end of the property in DerivedCoreProperties.txt."""
    table = re.compile(f"[{names._IGNORABLE}]")
    assert sum(1 for each in ALL if table.fullmatch(each)) == 4_174


def test_blanks_are_what_unicode_says():
    table = re.compile(f"[{names._SPACES}]")
    found = {each for each in ALL if table.fullmatch(each)}
    assert found == {each for each in ALL if unicodedata.category(each) == "Zs"} - {" "}


def test_the_audit_says_the_same_of_every_character():
    """By rules of its own; of a character that this Python does not know it is not sure.

    Left out: planes that have nothing but ideographs and private or unassigned characters.
    """
    unsure = 0
    for each in ALL[:0x20000] + ALL[0xE0000:0xE2000]:
        for text in (f"a{each}b", f"{each}a"):
            mine = problem(text)
            try:
                wrong = rules._name("kind", text, 64)
            except rules.Unsure:
                unsure += 1
                assert mine is None or unicodedata.category(each) == "Cn", repr(text)
            else:
                assert (wrong is None) == (mine is None), repr(text)
    assert unsure > 0, "no Python knows all"
