"""Names: texts that tell one thing from another (ids, ordering keys, kinds), alike only if equal.

Two names that look the same must not differ: `pay-9` and `pay-9` with a line break after it would
be two payments. So a name has one spelling in Unicode (NFC), no blanks at its ends, and no
character that cannot be seen.
"""

import re
import unicodedata

_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e"
    "\u200b-\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f]"
)
"""Unicode 16's categories Cc, Cf, Zl, Zp and Cs: controls, format characters, line and paragraph
separators, lone surrogates.

Written out, for what `unicodedata` says depends on the Python that runs: an unassigned character
may become one of these, and workers of two versions would decide differently. That is also why
unassigned and private characters are taken. NFC has no such table and can differ for characters
that the older Python does not know. That harms nothing: whichever worker appends first decides, and
the decision log has what it decided.
"""


def problem(text: str) -> str | None:
    """What is wrong with a name that is not empty, as the rest of a sentence; None if nothing is.

    It names the first wrong character and its place, counted from 1, and says what to do.
    """
    if text.isascii() and text.isprintable() and text[0] != " " and text[-1] != " ":
        return None
    if found := _UNSEEN.search(text):
        return f"has a character that cannot be seen, {_character(text, found.start())}; remove it"
    for index, where in ((0, "begins"), (len(text) - 1, "ends")):
        if text[index].isspace():
            return f"{where} with a blank, {_character(text, index)}; remove it"
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
