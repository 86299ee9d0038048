"""What must become of a hostile record: read by a reader of its own, judged by the audit's rules.

The product and the audit read records with the same code, so the reader here is another one: Avro
binary by its specification, strictly. What a transaction is judged by is written down twice
already, in `ledger.domain` and, independently, in `ledger.audit`. Where the reader or the rules
leave room (a number of too many bytes, a time within a minute of a limit) nothing is expected.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ledger.audit import rules
from ledger.audit.ids import Ids
from ledger.audit.judge import ACCEPTED, DUPLICATE, Judge
from ledger.audit.log_records import LogRecord
from ledger.audit.reference import ReferenceAt
from ledger.gl.rows import PostedTransaction
from tests.reference_topic import founded

__all__ = ["ACCEPTED", "DUPLICATE", "FIELDS", "SCALES", "Rules", "Shard"]

MOST = 262_144
SCALES = {"CAD": 2, "USD": 2, "EUR": 2, "JPY": 0, "BHD": 3}
"""Of the currencies that are forged: what the tests add up amounts with."""
MINUTE = 60_000_000
SURE_BYTES = 10
"""Of a number; what a decoder makes of more is its own affair."""

FIELDS = ("transaction_id", "kind", "description", "effective_at", "created_at", "ordering_key",
          "reverses", "entries", "metadata")  # fmt: skip
MISSING = {"description": "", "ordering_key": None, "reverses": None, "metadata": {}}


class Unreadable(Exception):
    """It is no Avro of that schema."""


class Unsure(Exception):
    """The specification does not say."""


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


class Shard:
    """What the rules remember of one. `accepted`: transactions by id, as they were written."""

    def __init__(self, number: int, shards: int) -> None:
        self.number = number
        self.accepted: dict[str, Mapping[str, Any]] = {}
        topic = founded(shards=shards)
        self._known = ReferenceAt(number, topic.noted)
        self._known.advance(len(topic.noted))
        self._ids = Ids()
        self._judge = Judge(number, self._known, shards, self._ids)

    def codes(self, key: bytes | None, draft: dict[str, Any], now: int) -> Sequence[str]:
        """What must become of a transaction recorded at about `now`; none where that is not sure.

        The shard learns of it if it is accepted.
        """
        sooner, later = (
            self._judge.verdict(LogRecord(len(self.accepted), at, key, None, draft), at).codes
            for at in (now - MINUTE, now + MINUTE)
        )
        if sooner != later:
            return ()
        if sooner == (ACCEPTED,):
            self._accept(draft, now)
        return sooner

    def _accept(self, draft: dict[str, Any], now: int) -> None:
        legs = rules.signed_entries(draft, self._known.scales, {})
        assert isinstance(legs, list)
        accepted = PostedTransaction(
            self.number, len(self.accepted), draft["transaction_id"], draft["kind"], draft["description"],
            draft["effective_at"], now, draft["created_at"], draft["ordering_key"] or "",
            draft["reverses"] or "", "",
            [(account, code, self._known.scales[code], minor) for account, code, minor in legs],
        )  # fmt: skip
        self._ids.accept(accepted, draft)
        self._judge.accept(accepted)
        self.accepted[draft["transaction_id"]] = draft


@dataclass
class Rules:
    """`versions`: by schema id the names of its fields; `foreign`: ids that are another's."""

    versions: Mapping[int, Sequence[str]]
    foreign: frozenset[int]

    def verdict(
        self, shard: Shard, key: bytes | None, value: bytes | None, now: int
    ) -> Sequence[str]:
        """Any of these must become of it, recorded at about `now`; whatever it is if none.

        `shard` learns of it if it is accepted.
        """
        try:
            draft = self.draft(value)
        except Unreadable:
            return ("UNREADABLE",)
        except Unsure:
            return ()
        return (draft,) if isinstance(draft, str) else shard.codes(key, draft, now)

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
