"""Names: texts that tell one thing from another (ids, ordering keys, kinds), alike only if equal.

Two names that look the same must not differ: `pay-9` and `pay-9` with a line break after it would
be two payments. So a name has one spelling in Unicode (NFC), no blanks at its ends, no blank but
the plain space, and no character that cannot be seen.
"""

import re
import unicodedata

_FORMAT = (
    "\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e"
    "\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
"""Unicode 16's categories Cc, Cf, Zl, Zp and Cs: controls, format characters, line and paragraph
separators, lone surrogates."""
_IGNORABLE = (
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""Default_Ignorable_Code_Point of Unicode 16's DerivedCoreProperties.txt, 4,174 code points: shown
as nothing where a font does not know them. Among them are Hangul fillers, the grapheme joiner,
variation selectors (so an emoji in its coloured form), and unassigned ones kept for such."""
_BLANK = "\u2800\U00013441\U00013442\U00016fe4\U0001d159"
"""Of other categories and drawn as nothing: the braille pattern without dots, both Egyptian blanks,
the Khitan filler, the musical null note head."""
_SPACES = "\xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
"""Unicode 16's category Zs without the plain space, of which most look like it."""
_WRONG = re.compile(f"[{_FORMAT}{_IGNORABLE}{_BLANK}{_SPACES}]")
_IS_SPACE = re.compile(f"[{_SPACES}]")
"""Written out, for what `unicodedata` says depends on the Python that runs: an unassigned character
may become one of these, and workers of two versions would decide differently. That is also why
other unassigned and private characters are taken. NFC has no such table and can differ for
characters that the older Python does not know. That harms nothing: whichever worker appends first
decides, and the decision log has what it decided.
"""


def problem(text: str) -> str | None:
    """What is wrong with a name that is not empty, as the rest of a sentence; None if nothing is.

    It names the first wrong character and its place, counted from 1, and says what to do.
    """
    if text.isascii() and text.isprintable() and text[0] != " " and text[-1] != " ":
        return None
    # One search for both: nearly all have neither.
    found = _WRONG.search(text)
    if found and not _IS_SPACE.match(found[0]):
        return f"has a character that cannot be seen, {_character(text, found.start())}; remove it"
    for index, where in ((0, "begins"), (len(text) - 1, "ends")):
        if text[index].isspace():
            return f"{where} with a blank, {_character(text, index)}; remove it"
    if found:
        where = _character(text, found.start())
        return f"has a blank that is not the plain space, {where}; write U+0020 in its place"
    if unicodedata.is_normalized("NFC", text):
        return None
    composed = unicodedata.normalize("NFC", text)
    index = next(
        (at for at, pair in enumerate(zip(text, composed, strict=False)) if pair[0] != pair[1]),
        min(len(text), len(composed)) - 1,
    )
    return (
        f"is not in Unicode's composed form (NFC), from {_character(text, index)} on; publish it "
        "in NFC, here and wherever else it is named"
    )


def _character(text: str, index: int) -> str:
    name = f"U+{ord(text[index]):04X} {unicodedata.name(text[index], '')}".rstrip()
    return f"character {index + 1} of {len(text)} ({name})"
