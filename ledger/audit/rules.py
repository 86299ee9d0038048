"""The rules of docs/producers.md for one record, implemented independently of the domain.

Each rule returns `Wrong`, a refusal's code and why, or None. They are in the order of precedence;
rules that depend on records accepted before are in `ledger.audit.judge`. Names are judged by the
Unicode tables of the running Python; a character that it does not know raises `Unsure`.
"""

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from ledger.audit.reference import A_DAY, PolicyInForce, ReferenceAt
from ledger.domain.partition import partition_of

LARGEST_AMOUNT = 2**63 - 1
FIRST, AFTER = -2_208_988_800_000_000, 7_258_118_400_000_000
"""The years 1900 to 2199, microseconds since 1970."""
FEWEST, MOST = 2, 1_000
MOST_PAIRS, MOST_PAIRS_BYTES = 32, 4_000
_MOST_BYTES, _AROUND = 4, 6
"""In JSON: bytes of a character at most, and bytes around a pair."""
MALFORMED = "FIELD_MALFORMED"
NAME_LENGTHS = (("transaction_id", 128), ("kind", 64), ("ordering_key", 128), ("reverses", 128))
_OF_REVERSALS = ("ordering_key", "reverses")
_PLAIN = re.compile(r"[!-~](?:[ -~]*[!-~])?")
"""Nearly all names are such: they break no rule unless too long."""
_NUMBER = re.compile(r"([0-9]+)(?:\.([0-9]+))?")
_NEGATIVE = re.compile(r"-(?=\.?[0-9])[0-9]*\.?[0-9]*")
_LONG = re.compile(r"(?=\.?[0-9])[0-9]*\.?[0-9]*")
_MOST_DIGITS = 64
_ACCOUNT = re.compile(
    r"(?:assets|liabilities|equity|income|expenses)(?::[A-Za-z0-9][A-Za-z0-9._-]*)+"
)
_MOST_ACCOUNT = 255
_MOST_SHOWN = 128
# Invisible characters outside the invisible categories. By the derivation in Unicode's UAX 44 they
# are Other_Default_Ignorable_Code_Point and Variation_Selector (PropList.txt); the rest of
# Default_Ignorable_Code_Point is in category Cf. The last row: blank glyphs.
_INVISIBLE = frozenset(
    chr(each)
    for first, last in (
        (0x34F, 0x34F), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x2065, 0x2065), (0x3164, 0x3164),
        (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0xE0000, 0xE0000), (0xE0002, 0xE001F),
        (0xE0080, 0xE00FF), (0xE01F0, 0xE0FFF),
        (0x180B, 0x180D), (0x180F, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF),
        (0x2800, 0x2800), (0x13441, 0x13442), (0x16FE4, 0x16FE4), (0x1D159, 0x1D159),
    )
    for each in range(first, last + 1)
)  # fmt: skip
_NOT_IN_TEXT = frozenset(map(chr, (*range(9), 11, 12, *range(14, 32), 127)))

Draft = Mapping[str, Any]
SignedEntry = tuple[str, str, int]
"""Account, currency, minor units: debits above zero, credits below."""


class Unsure(Exception):
    """The rules do not tell how it is decided."""


class Wrong(NamedTuple):
    """Why a record is refused."""

    code: str
    why: str


def ordering_key_of(draft: Draft) -> str:
    """The record's key as text."""
    key = draft["ordering_key"]
    return str(draft["transaction_id"] if key is None else key)


def place(draft: Draft, key: bytes | None, shard: int, shards: int) -> Wrong | None:
    """The record's key and its shard."""
    wanted = ordering_key_of(draft).encode("utf-8", "surrogatepass")
    if key != wanted:
        shown = key and key[:_MOST_SHOWN]
        return Wrong("WRONG_KEY", f"its key is {shown!r}, not {wanted[:_MOST_SHOWN]!r}")
    home = partition_of(wanted, shards)
    return None if home == shard else Wrong("WRONG_PARTITION", f"it belongs in shard {home}")


def texts(draft: Draft, *, of_old: bool = False) -> Wrong | None:
    """Names, description, metadata. `of_old`: it reverses a transaction that may have old names."""
    for field, most in NAME_LENGTHS:
        text = draft[field]
        if text is None or (len(text) <= most and _PLAIN.fullmatch(text)):
            continue
        wrong = _name(field, text, most)
        if wrong and not (of_old and wrong.code == MALFORMED and field in _OF_REVERSALS):
            return wrong
    description = draft["description"]
    if description and (wrong := _text("description", description, 1_000)):
        return wrong
    return _metadata(draft["metadata"]) if draft["metadata"] else None


def _name(field: str, text: str, most: int) -> Wrong | None:
    if wrong := _text(field, text, most):
        return wrong
    if text.isascii() and text.isprintable():
        blank = text[0] == " " or text[-1] == " "
        return Wrong(MALFORMED, f"{field} has a blank at an end") if blank else None
    if seen := _misleading(text):
        return Wrong(MALFORMED, f"{field} has {seen}")
    kinds = {unicodedata.category(each) for each in text}
    if "Cn" in kinds:
        raise Unsure
    if unicodedata.normalize("NFC", text) != text:
        return Wrong(MALFORMED, f"{field} is not in NFC")
    return None


def _misleading(text: str) -> str | None:
    """What in it looks like something else, or is invisible."""
    kinds = {unicodedata.category(each) for each in text.replace(" ", "")}
    if kinds & {"Cc", "Cf", "Zl", "Zp", "Cs"} or not _INVISIBLE.isdisjoint(text):
        return "a character that cannot be seen"
    if text.strip() != text:
        return "a blank at an end"
    return "a blank that is not the plain space" if "Zs" in kinds else None


def _text(field: str, text: str, most: int) -> Wrong | None:
    if not text:
        return Wrong("FIELD_MISSING", f"{field} is empty")
    if len(text) > most:
        return Wrong("FIELD_TOO_LONG", f"{field} has {len(text)} characters of {most}")
    return Wrong(MALFORMED, f"{field} has a control character") if _has_control(text) else None


def _has_control(text: str) -> bool:
    return not text.isprintable() and not _NOT_IN_TEXT.isdisjoint(text)


def _metadata(pairs: Mapping[str, str]) -> Wrong | None:
    if len(pairs) > MOST_PAIRS:
        return Wrong("FIELD_TOO_LONG", f"metadata has {len(pairs)} pairs of {MOST_PAIRS}")
    characters = 0
    for name, text in pairs.items():
        if not name or _has_control(name) or _has_control(text):
            return Wrong(MALFORMED, "metadata has an empty name or a control character")
        characters += len(name) + len(text)
    if _MOST_BYTES * characters + _AROUND * len(pairs) < MOST_PAIRS_BYTES:
        return None
    size = len(json.dumps(dict(pairs), ensure_ascii=False, separators=(",", ":")).encode())
    if size > MOST_PAIRS_BYTES:
        return Wrong("FIELD_TOO_LONG", f"metadata has {size} bytes of {MOST_PAIRS_BYTES}")
    return None


def times(draft: Draft, recorded_at: int, policy: PolicyInForce, floor: int) -> Wrong | None:
    """Both times and the window; `floor`: from when on every id is remembered."""
    effective_at, created_at = draft["effective_at"], draft["created_at"]
    if not (FIRST <= effective_at < AFTER and FIRST <= created_at < AFTER):
        return Wrong("TIME_OUT_OF_RANGE", "a time is outside the years 1900 to 2199")
    age = recorded_at - created_at
    if age > policy.window:
        days = f"{age / A_DAY:.1f} days of a window of {policy.window / A_DAY:.0f}"
        return Wrong("TOO_LATE", f"created_at is {days} before it was recorded")
    if created_at < floor:
        return Wrong("TOO_LATE", "created_at is before the time since when ids are remembered")
    if -age > policy.early:
        return Wrong("TOO_EARLY", f"created_at is {-age / 1e6:.0f} s after it was recorded")
    return None


@lru_cache(maxsize=256)
def amount(text: str, scale: int) -> int | Wrong:
    """Minor units of an amount, or what is wrong with it.

    Cached, because both sides of a transaction have the same amount, and several checks need it; a
    larger cache would cost more than it saves, because most amounts differ.
    """
    found = _NUMBER.fullmatch(text) if len(text) <= _MOST_DIGITS else None
    if found is None:
        if _NEGATIVE.fullmatch(text):
            return Wrong("AMOUNT_NOT_POSITIVE", "an amount has a sign")
        if len(text) > _MOST_DIGITS and _LONG.fullmatch(text):
            return Wrong("AMOUNT_TOO_LARGE", f"an amount has {len(text)} characters")
        return Wrong("AMOUNT_MALFORMED", f"{text[:64]!r} is no plain decimal")
    whole, fraction = found[1], found[2] or ""
    if len(fraction) > scale:
        return Wrong("TOO_MANY_DECIMALS", f"{text} has more than {scale} decimals")
    minor = int(whole + fraction.ljust(scale, "0"))
    if not minor:
        return Wrong("AMOUNT_NOT_POSITIVE", "an amount is zero")
    return (
        Wrong("AMOUNT_TOO_LARGE", f"{text} has over 64 bits") if minor > LARGEST_AMOUNT else minor
    )


def signed_entries(
    draft: Draft, scales: Mapping[str, int], accepted: Mapping[str, int]
) -> list[SignedEntry] | Wrong:
    """The entries, if they break no rule. `accepted`: by code, decimals accepted before."""
    entries = draft["entries"]
    if len(entries) < FEWEST:
        return Wrong("TOO_FEW_ENTRIES", f"it has {len(entries)} entries")
    if len(entries) > MOST:
        return Wrong("TOO_MANY_ENTRIES", f"it has {len(entries)} entries")
    found: list[SignedEntry] = []
    for entry in entries:
        currency = entry["currency"]
        scale = scales.get(currency)
        used = accepted.get(currency, scale)
        if scale is None:
            return Wrong("UNKNOWN_CURRENCY", f"{currency[:32]!r} was not registered")
        if used != scale:
            return Wrong("SCALE_CHANGED", f"{currency} has {scale} decimals, and had {used}")
        minor = amount(entry["amount"], scale)
        if isinstance(minor, Wrong):
            return minor
        found.append((entry["account"], currency, minor if entry["side"] == "debit" else -minor))
    return _sums(found) or _accounts(found) or found


def _sums(found: Sequence[SignedEntry]) -> Wrong | None:
    if len(found) == FEWEST:
        # Nearly all transactions have two entries, whose sums are their amounts.
        (_, one, debit), (_, other, credit) = found
        if one == other and debit == -credit:
            return None
    net: dict[str, int] = {}
    for _, currency, minor in found:
        net[currency] = net.get(currency, 0) + minor
    # No sum exceeds that of all amounts.
    if not any(net.values()) and sum([abs(minor) for _, _, minor in found]) <= LARGEST_AMOUNT:
        return None
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for _, currency, minor in found:
        sums[currency][minor < 0] += abs(minor)
    if any(max(each) > LARGEST_AMOUNT for each in sums.values()):
        return Wrong("SUM_TOO_LARGE", "its debits or credits have over 64 bits")
    for currency, (debits, credits) in sums.items():
        if debits != credits:
            why = f"{currency} has debits of {debits} and credits of {credits} minor units"
            return Wrong("NOT_BALANCED", why)
    return None


def _accounts(found: Sequence[SignedEntry]) -> Wrong | None:
    for account, _, _ in found:
        if not is_account(account):
            return Wrong("ACCOUNT_MALFORMED", f"{account[:64]!r} is no account code")
    return None


def is_account(code: str) -> bool:
    """A type, then one segment or more."""
    return len(code) <= _MOST_ACCOUNT and _ACCOUNT.fullmatch(code) is not None


def state(
    draft: Draft, found: Sequence[SignedEntry], recorded_at: int, known: ReferenceAt
) -> Wrong | None:
    """Accounts that are unknown, not open yet, closed, or of another currency."""
    opens = known.policy.opens_unknown
    if opens and not known.accounts:
        return None
    effective_at = draft["effective_at"]
    for code, currency, _ in found:
        account = known.accounts.get(code)
        if account is None:
            if opens:
                continue
            return Wrong("ACCOUNT_UNKNOWN", f"{code} was not declared")
        if account.opened_at is not None and effective_at < account.opened_at:
            return Wrong("ACCOUNT_NOT_OPEN", f"it is effective before {code} was opened")
        if account.closed_at is not None and account.closed_at <= max(effective_at, recorded_at):
            return Wrong("ACCOUNT_CLOSED", f"{code} was closed")
        if account.currency not in (None, currency):
            return Wrong("ACCOUNT_CURRENCY", f"{code} takes {account.currency} only")
    return None
