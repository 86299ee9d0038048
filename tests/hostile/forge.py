"""Records of the transactions topic as an attacker makes them, by chance and from one seed."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, NamedTuple

from ledger.domain.avro import without_logical_types
from ledger.domain.partition import partition_of
from tests import builders
from tests.builders import entry, pair, reversal
from tests.hostile.damage import TEXTS, damaged
from tests.hostile.raw import Header
from tests.integration.bad_input import VERSIONS, encode_as

DAY = 86_400_000_000
SPOILT = (
    *(text.decode() for text in TEXTS if text.isascii()), "", "\u202e", "\u2028", "e\u0301", "\u00e9",
    "\U0010ffff", "\x9b31m", "x" * 129, "x" * 5_000, "\ufeff", "\u0130", "\u200b", "\r\n", "%(x)s",
    "a\u3164", "a\ufe0f", "\u2800", "a\u00a0b", "a\U000e0fff",
    "${jndi:ldap://127.0.0.1/a}",
)  # fmt: skip
AMOUNTS = (
    "0", "0.00", "-1", "-0.01", "1e3", "NaN", "Infinity", "92233720368547758.07",
    "92233720368547758.08", "9" * 64, "9" * 65, "9" * 9_000, ".5", "5.", "1.001", "1,000", "+1",
    "0x10", "１２", "1_000", " 1", "", "00000000000000000000001.00", "1.2.3", "-", "--1",
)  # fmt: skip
CURRENCIES = ("", "cad", "CA", "CADX", "C" * 5_000, "XX\0", "JPY", "BHD", "🐎", " CAD", "CAD ")
ACCOUNTS = (
    "", "assets", "assets:", ":assets", "assets::x", "Assets:x", "assets:x ", "assets:é",
    "assets:" + "x" * 249, "assets:" + "x" * 248, "assets:" + "x" * 60_000, "assets:-x", "assets:x\n",
    "equity:a:b:c:d:e:f:g", "assets:../../etc", "assets:x;y",
)  # fmt: skip
TIMES = (-(2**63), 2**63 - 1, 0, -1, 1_700_000_000, 253_402_300_799_000_000, 7_258_118_400_000_000)


class Forged(NamedTuple):
    """A record, for a shard; `kind` says how it was made."""

    kind: str
    shard: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[Header] = ()


@dataclass
class Forge:
    """`ids`: schemas by name, those of VERSIONS among them; `others`: what is none of ours."""

    chance: Random
    name: str
    shards: int
    ids: dict[str, int]
    others: Sequence[int]
    _number: int = 0
    _sent: list[Any] = field(default_factory=list)

    def draft(self, **changes: Any) -> Any:
        """A transaction that is right but for the changes; few accounts, so that they meet."""
        choose = self.chance
        self._number += 1
        currency, amount = choose.choice(
            [("CAD", "%d.%02d"), ("USD", "%d.%02d"), ("JPY", "%d%02d")]
        )
        now = time.time_ns() // 1_000
        made = builders.draft(
            f"{self.name}-{self._number}", at=now, currency=currency,
            amount=amount % (choose.randrange(1, 10_000), choose.randrange(100)),
            debit=f"assets:{self.name}:{choose.randrange(200)}",
            credit=f"liabilities:{self.name}:{choose.randrange(200)}",
            ordering_key=f"{self.name}-k{choose.randrange(99)}" if choose.random() < 0.1 else None,
        )  # fmt: skip
        return made | changes

    def wire(self, made: Any, version: str = "Transaction") -> bytes:
        """The value of its record."""
        if version == "Transaction":
            return builders.wire(made, self.ids[version])
        schema = without_logical_types(VERSIONS[version])
        extra = {"channel": "x" * self.chance.randrange(9)} if version == "newer" else {}
        return encode_as(schema, {**made, **extra}, self.ids[version])

    def right(self, made: Any, kind: str, **how: Any) -> Forged:
        """In its place, with its key."""
        key = made["transaction_id"] if made["ordering_key"] is None else made["ordering_key"]
        return self.placed(kind, key.encode(), self.wire(made, **how))

    def placed(self, kind: str, key: bytes | None, value: bytes | None, *heads: Header) -> Forged:
        """Where its key belongs."""
        return Forged(kind, partition_of(key or b"", self.shards), key, value, heads)

    def good(self) -> Forged:
        made = self.draft()
        if self.chance.random() < 0.2:
            self._sent = [*self._sent[-500:], made]
        return self.right(made, "good", version=self.chance.choice(["Transaction", *VERSIONS]))

    def spoilt_bytes(self) -> Forged:
        made = self.draft()
        whole = self.wire(made, self.chance.choice(["Transaction", *VERSIONS]))
        value = damaged(self.chance, whole)
        if self.chance.random() < 0.8:
            # The schema as it was, so that what is in the record is looked at.
            value = whole[:5] + damaged(self.chance, whole[5:])
        return self.placed("bytes", made["transaction_id"].encode(), value)

    def cut(self) -> Forged:
        made = self.draft()
        whole = self.wire(made)
        end = self.chance.randrange(len(whole))
        return self.placed("cut", made["transaction_id"].encode(), whole[:end])

    def other_schema(self) -> Forged:
        made, choose = self.draft(), self.chance
        if choose.random() < 0.5:
            number = choose.choice(self.others)
        else:
            number = choose.randrange(1_000_000, 2**32)
        value = b"\0" + number.to_bytes(4) + self.wire(made)[5:]
        return self.placed("schema", made["transaction_id"].encode(), value)

    def nothing(self) -> Forged:
        value = self.chance.choice([None, b"", b"\0", b"\0" * 5, b"{}", b"\0" * 4_000])
        return self.placed("nothing", self.chance.choice([None, b"", b"k"]), value)

    def wrong_key(self) -> Forged:
        made, choose = self.draft(), self.chance
        key = choose.choice([None, b"", b"\xff\xfe", b"x", damaged(choose, b"key"), b"k" * 20_000])
        return self.placed("key", key, self.wire(made))

    def wrong_partition(self) -> Forged:
        placed = self.right(self.draft(), "partition")
        return placed._replace(shard=(placed.shard + 1) % self.shards)

    def text(self) -> Forged:
        name = self.chance.choice(["transaction_id", "kind", "description", "ordering_key",
                                   "reverses", "metadata"])  # fmt: skip
        text = self.chance.choice(SPOILT)
        value: Any = text
        if name == "metadata":
            count = self.chance.choice([1, 2, 32, 33])
            value = {(text or "a") + (str(each) if each else ""): text for each in range(count)}
        changes: dict[str, Any] = {name: value}
        if name == "transaction_id":
            # The same id under two ordering keys is two shards' affair, and the audit's.
            changes["ordering_key"] = None
        return self.right(self.draft(**changes), "text")

    def time(self) -> Forged:
        name = self.chance.choice(["effective_at", "created_at"])
        now = time.time_ns() // 1_000
        near = [now - 31 * DAY, now - 29 * DAY, now + DAY, now + 60_000_000]
        return self.right(self.draft(**{name: self.chance.choice([*TIMES, *near])}), "time")

    def leg(self) -> Forged:
        choose = self.chance
        made = self.draft()
        legs = [dict(each) for each in made["entries"]]
        name, texts = choose.choice(
            [("amount", AMOUNTS), ("currency", CURRENCIES), ("account", ACCOUNTS)]
        )
        text = choose.choice([*texts, *SPOILT]) if choose.random() < 0.9 else "1.00"
        for each in legs if choose.random() < 0.5 else [choose.choice(legs)]:
            each[name] = text
        return self.right(made | {"entries": legs}, "leg")

    def many_legs(self) -> Forged:
        choose = self.chance
        count = choose.choice([0, 1, 3, 3, 3, 4, 40])
        if choose.random() < 0.05:
            count = choose.choice([999, 1_000, 1_001, 5_000])
        # Most are of accounts that are few, or each would be one more to keep for ever.
        debits = [
            entry(f"assets:{self.name}:{each % 200}", "debit", "0.01") for each in range(count - 1)
        ]
        credit = [entry(f"equity:{self.name}", "credit", f"{max(count - 1, 0) / 100:.2f}")]
        legs = [*debits, *credit[:count]]
        if choose.random() < 0.3:
            legs += pair("92233720368547758.07", debit=f"assets:{self.name}:0",
                         credit=f"equity:{self.name}")  # fmt: skip
        return self.right(self.draft(entries=legs), "legs")

    def unbalanced(self) -> Forged:
        made = self.draft()
        legs = [dict(each) for each in made["entries"]]
        legs[0]["amount"] = legs[0]["amount"] + "1" if len(legs[0]["amount"]) < 9 else "1"
        legs[0]["side"] = self.chance.choice(["debit", "credit"])
        return self.right(made | {"entries": legs}, "unbalanced")

    def again(self) -> Forged:
        if not self._sent:
            return self.good()
        made = dict(self.chance.choice(self._sent))
        if self.chance.random() < 0.4:
            made["created_at"] = time.time_ns() // 1_000
        if self.chance.random() < 0.4:
            made["kind"] = "another"
        return self.right(made, "again")

    def backwards(self) -> Forged:
        if not self._sent:
            return self.good()
        self._number += 1
        of = self.chance.choice(self._sent)
        now = time.time_ns() // 1_000
        made: Any = reversal(of, f"{self.name}-{self._number}", at=now)
        if self.chance.random() < 0.2:
            made["reverses"] = self.chance.choice(["nobody", made["transaction_id"]])
        if self.chance.random() < 0.2:
            made["entries"] = of["entries"]
        if self.chance.random() < 0.2:
            made["effective_at"] = of["effective_at"] - self.chance.choice([1, 315_360_000_000_000])
        return self.right(made, "backwards")

    def void(self) -> Forged:
        """What finance may ask for, once it has given leave; nobody has."""
        if not self._sent:
            return self.good()
        of: Any = self.chance.choice(self._sent)
        key = of["ordering_key"] or of["transaction_id"]
        changes = {"kind": "ledger.void", "entries": [], "reverses": of["transaction_id"],
                   "ordering_key": key}  # fmt: skip
        return self.right(self.draft() | changes, "void")

    def big(self) -> Forged:
        made = self.draft(
            description="d" * self.chance.choice([262_000, 262_144, 300_000, 900_000])
        )
        return self.right(made, "big")

    def headed(self) -> Forged:
        heads: list[list[Header]] = [
            [(b"\xff\xfe", b"x")], [(b"", None)] * 3_000, [(b"h" * 30_000, None)],
            [(b"content-type", b"v" * 60_000)], [(b"same", b"1"), (b"same", b"2")],
        ]  # fmt: skip
        return self.good()._replace(kind="headers", headers=self.chance.choice(heads))

    def __iter__(self) -> Iterator[Forged]:
        ways: list[tuple[Callable[[], Forged], float]] = [
            (self.good, 25), (self.spoilt_bytes, 30), (self.cut, 4), (self.other_schema, 6),
            (self.nothing, 3), (self.wrong_key, 4), (self.wrong_partition, 2), (self.text, 6),
            (self.time, 3), (self.leg, 7), (self.many_legs, 2), (self.unbalanced, 2),
            (self.again, 3), (self.backwards, 2), (self.void, 0.5), (self.big, 0.1), (self.headed, 0.3),
        ]  # fmt: skip
        makers, weights = zip(*ways, strict=True)
        while True:
            for make in self.chance.choices(makers, weights, k=1_000):
                yield make()
