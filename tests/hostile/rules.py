"""The rules of docs/producers.md once more, by themselves: what must become of a record.

Nothing here is the product's. Where the rules leave room (a number of too many bytes, a time within
a minute of a limit, a currency not listed here) the verdict is None: any one that is known.
"""

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

ACCEPTED, DUPLICATE = "accepted", "duplicate"
MOST = 262_144
LARGEST = 2**63 - 1
SCALES = {"CAD": 2, "USD": 2, "EUR": 2, "JPY": 0, "BHD": 3}
TYPES = ("assets", "liabilities", "equity", "income", "expenses")
DAY = 86_400_000_000
MINUTE = 60_000_000
WINDOW = 30 * DAY
FIRST, AFTER = -2_208_988_800_000_000, 7_258_118_400_000_000
SURE_BYTES = 10
"""Of a number; what a decoder makes of more is its own affair."""

FIELDS = ("transaction_id", "kind", "description", "effective_at", "created_at", "ordering_key",
          "reverses", "entries", "metadata")  # fmt: skip
MISSING = {"description": "", "ordering_key": None, "reverses": None, "metadata": {}}


class Unreadable(Exception):
    """It is no Avro of that schema."""


class Unsure(Exception):
    """The rules do not say."""


@dataclass
class Bytes:
    """Avro binary, read strictly."""

    value: bytes
    at: int = 0

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.value):
            raise Unreadable
        self.at += count
        return self.value[self.at - count : self.at]

    def long(self) -> int:
        number = shift = 0
        while True:
            [byte] = self.take(1)
            number |= (byte & 127) << shift
            shift += 7
            if shift > 7 * SURE_BYTES or number >= 1 << 64:
                self._to_the_end_of_it(byte)
                raise Unsure
            if byte < 128:
                return (number >> 1) ^ -(number & 1)

    def _to_the_end_of_it(self, byte: int) -> None:
        while byte >= 128:
            [byte] = self.take(1)

    def text(self) -> str:
        try:
            return self.take(self.long()).decode()
        except UnicodeDecodeError:
            raise Unreadable from None

    def optional(self) -> str | None:
        return self.text() if self.choice() else None

    def choice(self) -> int:
        """Of two. Below none is none in Avro, and the last ones in fastavro."""
        found = self.long()
        if found in (-1, -2):
            raise Unsure
        if found not in (0, 1):
            raise Unreadable
        return found

    def blocks(self, one: Callable[[], Any]) -> list[Any]:
        found = []
        while count := self.long():
            if count < 0:
                count = -count
                self.long()
            if count == 1 << 63:
                raise Unsure
            if count > len(self.value):
                raise Unreadable
            found += [one() for _ in range(count)]
        return found

    def entry(self) -> dict[str, str]:
        account, side = self.text(), ("debit", "credit")[self.choice()]
        return {"account": account, "side": side, "amount": self.text(), "currency": self.text()}

    def field(self, name: str) -> Any:
        if name in ("effective_at", "created_at"):
            return self.long()
        if name in ("ordering_key", "reverses"):
            return self.optional()
        if name == "entries":
            return self.blocks(self.entry)
        if name == "metadata":
            return dict(self.blocks(lambda: (self.text(), self.text())))
        return self.text()


def decoded(value: bytes, names: Sequence[str]) -> dict[str, Any]:
    """The transaction written with the fields `names`. Raises Unreadable, Unsure."""
    left = Bytes(value)
    found = {name: left.field(name) for name in names}
    if left.at != len(value):
        raise Unreadable
    return {name: found.get(name, MISSING.get(name)) for name in FIELDS}


class Seen(NamedTuple):
    content: Any
    key: str
    legs: Any
    effective_at: int


@dataclass
class Shard:
    """What the rules remember of one."""

    number: int
    accepted: dict[str, Seen] = field(default_factory=dict)
    reversed: set[str] = field(default_factory=set)


@dataclass
class Rules:
    """`versions`: by schema id the names of its fields; `foreign`: ids that are another's."""

    versions: Mapping[int, Sequence[str]]
    foreign: frozenset[int]
    shard_of: Callable[[bytes], int]

    def verdict(self, shard: Shard, key: bytes | None, value: bytes | None, now: int) -> str | None:
        """What must become of it, recorded at about `now`; `shard` learns of it if accepted."""
        try:
            draft = self.draft(value)
            return draft if isinstance(draft, str) else self._judged(shard, key, draft, now)
        except Unreadable:
            return "UNREADABLE"
        except Unsure:
            return None

    def draft(self, value: bytes | None) -> dict[str, Any] | str:
        """The transaction in it, or the code of why there is none. Raises Unreadable, Unsure."""
        if value is None:
            return "UNREADABLE"
        if len(value) > MOST:
            return "TOO_LARGE"
        if len(value) < 5 or value[0]:
            return "UNREADABLE"
        schema_id = int.from_bytes(value[1:5])
        if schema_id in self.foreign:
            return "FOREIGN_SCHEMA"
        if schema_id not in self.versions:
            return "UNKNOWN_SCHEMA"
        return decoded(value[5:], self.versions[schema_id])

    def _judged(
        self, shard: Shard, key: bytes | None, draft: dict[str, Any], now: int
    ) -> str | None:
        wanted = draft["transaction_id"] if draft["ordering_key"] is None else draft["ordering_key"]
        if key != wanted.encode():
            return "WRONG_KEY"
        if self.shard_of(key) != shard.number:
            return "WRONG_PARTITION"
        if code := _texts(draft) or _times(draft, now):
            return code
        content = {name: draft[name] for name in FIELDS if name != "created_at"}
        name = draft["transaction_id"]
        if name in shard.accepted:
            return DUPLICATE if shard.accepted[name].content == content else "ID_REUSED"
        found = _entries(draft["entries"])
        if isinstance(found, str):
            return found
        if code := _reversal(shard, draft, wanted, found):
            return code
        shard.accepted[name] = Seen(content, wanted, sorted(found), draft["effective_at"])
        if draft["reverses"] is not None:
            shard.reversed.add(draft["reverses"])
        return ACCEPTED


_NOTHING_DRAWN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\ufff0-\ufff8\U00013441\U00013442\U00016fe4\U0001d159\U000e0000-\U000e0fff]"
)


def _text(text: str, most: int) -> str:
    if not text:
        return "FIELD_MISSING"
    if len(text) > most:
        return "FIELD_TOO_LONG"
    return "FIELD_MALFORMED" if _controls(text) else ""


def _name(text: str, most: int) -> str:
    if code := _text(text, most):
        return code
    # Of blanks the plain space alone.
    kinds = {unicodedata.category(each) for each in text.replace(" ", "")}
    unseen = kinds & {"Cc", "Cf", "Zl", "Zp", "Cs", "Zs"} or _NOTHING_DRAWN.search(text)
    plain = text.strip() == text == unicodedata.normalize("NFC", text)
    return "FIELD_MALFORMED" if unseen or not plain else ""


def _controls(text: str) -> bool:
    return any((ord(each) < 32 and each not in "\t\n\r") or ord(each) == 127 for each in text)


def _texts(draft: Mapping[str, Any]) -> str:
    limits = (("transaction_id", 128), ("kind", 64), ("ordering_key", 128), ("reverses", 128))
    for name, most in limits:
        if draft[name] is not None and (code := _name(draft[name], most)):
            return code
    if draft["description"] and (code := _text(draft["description"], 1_000)):
        return code
    pairs = draft["metadata"]
    if len(pairs) > 32:
        return "FIELD_TOO_LONG"
    if any(not name or _controls(name + text) for name, text in pairs.items()):
        return "FIELD_MALFORMED"
    size = len(json.dumps(pairs, ensure_ascii=False, separators=(",", ":")).encode())
    return "FIELD_TOO_LONG" if pairs and size > 4_000 else ""


def _times(draft: Mapping[str, Any], now: int) -> str:
    for name in ("effective_at", "created_at"):
        if not FIRST <= draft[name] < AFTER:
            return "TIME_OUT_OF_RANGE"
    age = now - draft["created_at"]
    if min(abs(age - WINDOW), abs(age + 5 * MINUTE)) < MINUTE:
        raise Unsure
    return "TOO_LATE" if age > WINDOW else "TOO_EARLY" if -age > 5 * MINUTE else ""


def _amount(text: str, scale: int) -> int | str:
    plain = re.fullmatch(r"([0-9]+)(?:\.([0-9]+))?", text)
    if plain is None or len(text) > 64:
        if re.fullmatch(r"-[0-9]*\.?[0-9]*", text) and len(text) > 1:
            return "AMOUNT_NOT_POSITIVE" if any(map(str.isdigit, text)) else "AMOUNT_MALFORMED"
        if len(text) > 64 and re.fullmatch(r"[0-9]*\.?[0-9]*", text):
            return "AMOUNT_TOO_LARGE"
        return "AMOUNT_MALFORMED"
    if len(plain[2] or "") > scale:
        return "TOO_MANY_DECIMALS"
    minor = int(Decimal(plain[1]) * 10**scale) + int((plain[2] or "").ljust(scale, "0") or 0)
    return "AMOUNT_NOT_POSITIVE" if not minor else "AMOUNT_TOO_LARGE" if minor > LARGEST else minor


def _entries(entries: Sequence[Mapping[str, str]]) -> list[tuple[str, str, int]] | str:
    """Account, currency and signed minor units of each, or why not."""
    if len(entries) < 2:
        return "TOO_FEW_ENTRIES"
    if len(entries) > 1_000:
        return "TOO_MANY_ENTRIES"
    found = []
    for each in entries:
        currency = each["currency"]
        if currency not in SCALES:
            if re.fullmatch("[A-Z]{3}", currency):
                raise Unsure
            return "UNKNOWN_CURRENCY"
        amount = _amount(each["amount"], SCALES[currency])
        if isinstance(amount, str):
            return amount
        found.append((each["account"], currency, amount if each["side"] == "debit" else -amount))
    if code := _sums(found):
        return code
    return found if all(_is_account(name) for name, _, _ in found) else "ACCOUNT_MALFORMED"


def _sums(legs: Sequence[tuple[str, str, int]]) -> str:
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0])
    for _, currency, amount in legs:
        sums[currency][amount < 0] += abs(amount)
    if any(max(each) > LARGEST for each in sums.values()):
        return "SUM_TOO_LARGE"
    return "NOT_BALANCED" if any(debits != credits for debits, credits in sums.values()) else ""


def _is_account(name: str) -> bool:
    kind, *segments = name.split(":")
    plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return (
        kind in TYPES
        and bool(segments)
        and len(name) <= 255
        and all(each and each[0] in plain and not each.strip(plain + "._-") for each in segments)
        and all(letter in plain + "._-:" for letter in name)
    )


def _reversal(
    shard: Shard, draft: Mapping[str, Any], key: str, legs: Sequence[tuple[str, str, int]]
) -> str:
    name = draft["reverses"]
    if name is None:
        return ""
    if name not in shard.accepted:
        return "REVERSAL_UNKNOWN"
    if name in shard.reversed:
        return "REVERSED_ALREADY"
    of = shard.accepted[name]
    if draft["effective_at"] < of.effective_at:
        return "REVERSAL_BEFORE_ORIGINAL"
    mirrored = sorted((account, currency, -amount) for account, currency, amount in legs)
    return "" if (of.key, of.legs) == (key, mirrored) else "REVERSAL_NOT_MIRRORED"
