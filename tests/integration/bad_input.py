"""The cases of "what bad input gets": what is published, what must become of it; a long table.

A case is made of records of one shard: those before the last one must be accepted, unless they
are wrong in a way of their own (`earlier`); the last one is what the case is about.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fastavro
from aiokafka.record.default_records import DefaultRecordBatchBuilder

import schemas
from ledger.domain.avro import without_logical_types
from ledger.domain.policy import DAY, MINUTE
from ledger.domain.transaction import Draft
from ledger.streaming.topics import MIB
from tests import builders
from tests.builders import entry, pair, reversal
from tests.wire import CODECS, Record, Wire, present

# Nobody else's: another test counts what is in `liabilities:deposits`.
CASH, DEPOSIT = "assets:bad-input:cash", "liabilities:bad-input:2378"
ACCEPTED, DUPLICATE = "accepted", "duplicate"
YEAR_0, YEAR_9999 = -62_167_219_200_000_000, 253_402_300_799_000_000
MAX_LONG, MIN_LONG = 2**63 - 1, -(2**63)
BIGGEST = "92233720368547758.07"
"""2^63 - 1 cents."""


class Maker:
    """Makes a case's records; each call of `new_id` is another name."""

    def __init__(self, wire: Wire, new_id: Callable[..., str], schema_ids: dict[str, int]) -> None:
        self.wire, self.new_id, self.schema_ids = wire, new_id, schema_ids
        self.max_bytes = wire.settings.max_transaction_bytes

    def draft(self, **changes: Any) -> Draft:
        made = {"transaction_id": self.new_id(), "at": present(), "debit": CASH, "credit": DEPOSIT}
        return builders.draft(**(made | changes))

    def good(self, **how: Any) -> Record:
        return self.wire.record(self.draft(), **how)

    def one(self, **changes: Any) -> list[Record]:
        """A transaction that is wrong in its content."""
        return [self.wire.record(self.draft(**changes))]

    def legs(self, *entries: Any) -> list[Record]:
        return self.one(entries=list(entries))

    def raw(self, value: bytes | None, **how: Any) -> list[Record]:
        """A value that is no transaction of ours."""
        return [Record(value, self.new_id().encode(), **how)]

    def framed(self, schema_id: int, body: bytes = b"\x02a\x02b") -> list[Record]:
        return self.raw(b"\0" + schema_id.to_bytes(4, "big") + body)

    def cut(self, end: int) -> list[Record]:
        """The same, with bytes of it left out at the end."""
        record = self.good()
        assert record.value is not None
        return [Record(record.value[:end], record.key)]

    def written(self, name: str, **extra: Any) -> Record:
        """A transaction written with another version of our schema."""
        draft = self.draft()
        version = (VERSIONS | UNFIT)[name]
        schema_id = self.schema_ids[name]
        return Record(
            encode_as(version, {**draft, **extra}, schema_id), draft["transaction_id"].encode()
        )

    def after(self, first: Draft, *then: Draft) -> list[Record]:
        return [self.wire.record(each) for each in (first, *then)]

    def wrong_partition(self) -> list[Record]:
        record = self.good()
        assert record.key is not None
        right = self.wire.shard_of(record.key)
        return [Record(record.value, record.key, (right + 1) % self.wire.settings.shards)]

    def batch_of(self, size: int) -> list[Record]:
        """A record whose batch, alone and uncompressed, has exactly `size` bytes."""
        key = self.new_id().encode()
        value = bytes(size - batch_bytes(key, b""))
        value = value[: len(value) - (batch_bytes(key, value) - size)]
        assert batch_bytes(key, value) == size
        return [Record(value, key)]

    def valued(self, size: int) -> list[Record]:
        """A transaction, right in everything else, whose value has exactly `size` bytes."""
        names = [f"assets:{self.new_id()}:{'x' * 231}" for _ in range(999)]
        entries = [entry(name, "debit", "1.00") for name in names]
        draft = self.draft(entries=[*entries, entry(CASH, "credit", "999.00")])
        draft["description"] = "d" * 100
        for index in range(999):
            excess = len(self.wire.encode(draft)) - size
            if excess <= 0:
                break
            account = entries[index]["account"]
            entries[index]["account"] = account[: max(len(account) - excess, 40)]
        draft["description"] += "d" * -excess
        record = self.wire.record(draft)
        assert record.value is not None
        assert len(record.value) == size
        return [record]


def batch_bytes(key: bytes, value: bytes) -> int:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 4 * MIB)
    builder.append(0, 1_700_000_000_000, key, value, [])
    return len(builder.build())


def fields_without(*names: str) -> list[Any]:
    return [each for each in schemas.load("Transaction")["fields"] if each["name"] not in names]


OURS = schemas.load("Transaction")
VERSIONS: dict[str, dict[str, Any]] = {
    # A producer that was built before there was metadata, and one that is ahead of this service.
    "older": OURS | {"fields": fields_without("metadata")},
    "oldest": OURS | {"fields": fields_without("metadata", "description", "reverses")},
    "newer": OURS
    | {"fields": [*OURS["fields"], {"name": "channel", "type": "string", "default": ""}]},
}
# Compatible, and yet not read: what the registry lets pass could hurt, or mean something else.
UNFIT: dict[str, dict[str, Any]] = {
    "endless": OURS
    | {"fields": [*OURS["fields"], {"name": "then", "type": ["null", "Transaction"], "default": None}]},
    "milliseconds": OURS
    | {"fields": [
        each | {"type": {"type": "long", "logicalType": "timestamp-millis"}}
        if each["name"] == "effective_at" else each for each in OURS["fields"]
    ]},
}  # fmt: skip
FOREIGN = {
    "foreign": ("AVRO", {"type": "record", "name": "Foreign", "fields": [
        {"name": "a", "type": "string"}, {"name": "b", "type": "string"}]}),
    "primitive": ("AVRO", "string"),
    "json": ("JSON", {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
                      "properties": {"a": {"type": "string"}}}),
    "protobuf": ("PROTOBUF", 'syntax = "proto3"; message Foreign { string a = 1; }'),
}  # fmt: skip


def encode_as(version: dict[str, Any], row: dict[str, Any], schema_id: int) -> bytes:
    out = io.BytesIO(b"\0" + schema_id.to_bytes(4, "big"))
    out.seek(5)
    fastavro.schemaless_writer(out, fastavro.parse_schema(without_logical_types(version)), row)
    return out.getvalue()


@dataclass(frozen=True)
class Case:
    """`expected`: a refusal's code, `accepted` or `duplicate`; `advice`: in the sentence."""

    name: str
    expected: str
    make: Callable[[Maker], list[Record]]
    field: str = ""
    advice: str = ""


def refused(
    name: str, code: str, make: Callable[[Maker], list[Record]], field: str = "", advice: str = ""
) -> Case:
    return Case(name, code, make, field, advice)


def accepted(name: str, make: Callable[[Maker], list[Record]], verdict: str = ACCEPTED) -> Case:
    return Case(name, verdict, make)


SERIALIZER = "a serializer for the schema registry"
ITS_SCHEMA = "write it with the schema whose id it names"
BYTES = [
    refused("garbage", "UNREADABLE", lambda m: m.raw(b"\xffnot Avro at all"), advice=SERIALIZER),
    refused("json", "UNREADABLE", lambda m: m.raw(b'{"transaction_id": "x"}'), advice=SERIALIZER),
    refused("empty value", "UNREADABLE", lambda m: m.raw(b""), advice=SERIALIZER),
    refused("three zeros", "UNREADABLE", lambda m: m.raw(bytes(3)), advice=SERIALIZER),
    refused("null value", "UNREADABLE", lambda m: m.raw(None), advice="reversed"),
    refused(
        "wrong magic byte", "UNREADABLE",
        lambda m: [Record(b"\x01" + m.good().value[1:], m.new_id().encode())],  # type: ignore[index]
        advice=SERIALIZER,
    ),
    refused(
        "no framing", "UNREADABLE",
        lambda m: [Record(m.good().value[5:], m.new_id().encode())],  # type: ignore[index]
        advice=SERIALIZER,
    ),
    *[
        refused(f"schema id {each}", "UNKNOWN_SCHEMA", lambda m, i=each: m.framed(i),  # type: ignore[misc]
                advice="register it")
        for each in (0, 999_999, 2**31 - 1, 2**31, 2**32 - 1)
    ],
    *[
        refused(f"{each} schema", "FOREIGN_SCHEMA", lambda m, i=each: m.framed(m.schema_ids[i]),  # type: ignore[misc]
                advice="subject ledger.transactions-value")
        for each in FOREIGN
    ],
    refused(
        "our own Balance schema", "FOREIGN_SCHEMA",
        lambda m: m.framed(m.wire.codec.ids["Balance"]), advice="subject",
    ),
    *[
        refused(f"truncated to {each}", "UNREADABLE", lambda m, n=each: m.cut(n), advice=ITS_SCHEMA)  # type: ignore[misc]
        for each in (5, 6, 12, 40, 60, -20, -2, -1)
    ],
    refused(
        "one byte after the end", "UNREADABLE",
        lambda m: [Record(r.value + b"\0", r.key) for r in [m.good()]],  # type: ignore[operator]
        advice=ITS_SCHEMA,
    ),
    refused(
        "a second record after the end", "UNREADABLE",
        lambda m: [Record(r.value + r.value[5:], r.key) for r in [m.good()]],  # type: ignore[operator, index]
        advice=ITS_SCHEMA,
    ),
    refused(
        "invalid UTF-8", "UNREADABLE",
        lambda m: [Record(r.value.replace(b"deposit", b"dep\xffsit", 1), r.key)  # type: ignore[union-attr]
                   for r in [m.good()]],
        advice=ITS_SCHEMA,
    ),
    refused(
        "a surrogate in UTF-8", "UNREADABLE",
        lambda m: [Record(r.value.replace(b"deposit", b"de\xed\xa0\x80it", 1), r.key)  # type: ignore[union-attr]
                   for r in [m.good()]],
        advice=ITS_SCHEMA,
    ),
    refused(
        "a side that there is not", "UNREADABLE",
        lambda m: [with_enum(m.good(), b"\x04")], advice=ITS_SCHEMA,
    ),
    refused(
        "a string of 2^62 bytes", "UNREADABLE",
        lambda m: m.framed(m.wire.codec.ids["Transaction"], b"\xff" * 8 + b"\x7f"),
        advice=ITS_SCHEMA,
    ),
    refused(
        "a number without an end", "UNREADABLE",
        lambda m: m.framed(m.wire.codec.ids["Transaction"], b"\xff" * 200), advice=ITS_SCHEMA,
    ),
    refused(
        "a negative length", "UNREADABLE",
        lambda m: m.framed(m.wire.codec.ids["Transaction"], b"\x01" * 40), advice=ITS_SCHEMA,
    ),
]  # fmt: skip

SIZES = [
    refused("the topic's own limit", "TOO_LARGE", lambda m: m.batch_of(MIB), advice="at most"),
    refused(
        "half the topic's limit", "TOO_LARGE", lambda m: m.batch_of(MIB // 2), advice="at most"
    ),
    refused(
        "one byte too many", "TOO_LARGE", lambda m: m.valued(m.max_bytes + 1), advice="at most"
    ),
    accepted("the biggest that is taken", lambda m: m.valued(m.max_bytes)),
]

CODEC_CASES = [
    *[accepted(f"good by {each}", lambda m, c=each: [m.good(codec=c)]) for each in CODECS],  # type: ignore[misc]
    *[
        refused(f"garbage by {each}", "UNREADABLE", lambda m, c=each: m.raw(b"\xff" * 99, codec=c),  # type: ignore[misc]
                advice=SERIALIZER)
        for each in CODECS
    ],
]  # fmt: skip

KEYS = [
    refused(
        "no key", "WRONG_KEY",
        lambda m: [Record(r.value, None, m.wire.shard_of(r.key)) for r in [m.good()]],  # type: ignore[arg-type]
        "key", "is not the ordering key",
    ),
    refused(
        "an empty key", "WRONG_KEY", lambda m: [Record(m.good().value, b"")],
        "key", "is not the ordering key",
    ),
    refused(
        "another key", "WRONG_KEY", lambda m: [Record(m.good().value, b"another")],
        "key", "is not the ordering key",
    ),
    refused(
        "the id where there is an ordering key", "WRONG_KEY",
        lambda m: [m.wire.record(d, key=d["transaction_id"].encode())
                   for d in [m.draft(ordering_key="account-7")]],
        "key", "is not the ordering key",
    ),
    accepted("the ordering key", lambda m: m.one(ordering_key="account-7")),
    refused(
        "the wrong partition", "WRONG_PARTITION", lambda m: m.wrong_partition(),
        "partition", "murmur2",
    ),
]  # fmt: skip

FIELDS = [
    refused("an empty id", "FIELD_MISSING", lambda m: m.one(transaction_id=""),
            "transaction_id", "give it a value"),
    refused("an id too long", "FIELD_TOO_LONG", lambda m: m.one(transaction_id=m.new_id("x" * 128)),
            "transaction_id", "at most 128"),
    refused("an id of 100,000", "FIELD_TOO_LONG",
            lambda m: m.one(transaction_id=m.new_id("é" * 100_000)),
            "transaction_id", "at most 128"),
    refused("NUL in an id", "FIELD_MALFORMED", lambda m: m.one(transaction_id=m.new_id("a\0b")),
            "transaction_id", "remove it"),
    refused("a line break after an id", "FIELD_MALFORMED",
            lambda m: m.one(transaction_id=m.new_id("a") + "\r"), "transaction_id", "U.000D"),
    refused("an id of a blank", "FIELD_MALFORMED", lambda m: m.one(transaction_id=" "),
            "transaction_id", "begins with a blank"),
    refused("an id with a letter in two parts", "FIELD_MALFORMED",
            lambda m: m.one(transaction_id=m.new_id("e\u0301")), "transaction_id", "in NFC"),
    refused("an empty kind", "FIELD_MISSING", lambda m: m.one(kind=""), "kind", "give it a value"),
    refused("an empty ordering key", "FIELD_MISSING", lambda m: m.one(ordering_key=""),
            "ordering_key", "give it a value"),
    refused("a long description", "FIELD_TOO_LONG", lambda m: m.one(description="d" * 1_001),
            "description", "at most 1000"),
    refused("NUL in a description", "FIELD_MALFORMED", lambda m: m.one(description="a\0"),
            "description", "remove it"),
    refused("metadata with 33 pairs", "FIELD_TOO_LONG",
            lambda m: m.one(metadata={str(each): "" for each in range(33)}),
            "metadata", "at most 32"),
    refused("metadata of 4,001 bytes", "FIELD_TOO_LONG",
            lambda m: m.one(metadata={"a": "b" * 4_000}),
            "metadata", "at most 4000"),
    accepted("every field at its limit", lambda m: at_every_limit(m)),
    accepted("every script there is", lambda m: m.one(
        transaction_id=m.new_id("Žluťoučký 馬 🐎"), description="\t\nزرافة \U0010ffff",
        metadata={"ключ": "\U0001f40e"})),
    refused("metadata without a name", "FIELD_MALFORMED", lambda m: m.one(metadata={"": "x"}),
            "metadata", "remove it"),
]  # fmt: skip

TIMES = [
    *[
        refused(f"{field} {name}", "TIME_OUT_OF_RANGE", lambda m, f=field, t=at: m.one(**{f: t}),  # type: ignore[misc]
                field, "1900 to 2199")
        for field in ("effective_at", "created_at")
        for name, at in [("in year 0", YEAR_0), ("in year 9999", YEAR_9999),
                         ("of the smallest number", MIN_LONG), ("of the biggest", MAX_LONG)]
    ],
    refused("31 days old", "TOO_LATE", lambda m: m.one(created_at=present() - 31 * DAY),
            "created_at", "publish it with the present as created_at"),
    refused("30 days and a minute old", "TOO_LATE",
            lambda m: m.one(created_at=present() - 30 * DAY - MINUTE),
            "created_at", "publish it with the present as created_at"),
    accepted("nearly 30 days old", lambda m: m.one(created_at=present() - 30 * DAY + 2 * MINUTE)),
    refused("6 minutes ahead", "TOO_EARLY", lambda m: m.one(created_at=present() + 6 * MINUTE),
            "created_at", "Set the producer's clock right"),
    refused("a century ahead", "TOO_EARLY", lambda m: m.one(created_at=present() + 36_500 * DAY),
            "created_at", "Set the producer's clock right"),
    accepted("4 minutes ahead", lambda m: m.one(created_at=present() + 4 * MINUTE)),
    refused("effective just before 1900", "TIME_OUT_OF_RANGE",
            lambda m: m.one(effective_at=-2_208_988_800_000_001), "effective_at", "1900 to 2199"),
    accepted("effective in 2199", lambda m: m.one(effective_at=7_258_118_400_000_000 - 1)),
]  # fmt: skip

ENTRIES = [
    refused("no entries", "TOO_FEW_ENTRIES", lambda m: m.legs(), "entries", "at least 2"),
    refused("one entry", "TOO_FEW_ENTRIES", lambda m: m.legs(entry(CASH, "debit")),
            "entries", "at least 2"),
    accepted("a thousand entries", lambda m: m.legs(*many(1_000))),
    refused("a thousand and one entries", "TOO_MANY_ENTRIES", lambda m: m.legs(*many(1_001)),
            "entries", "Split it"),
    refused("not balanced", "NOT_BALANCED",
            lambda m: m.legs(entry(CASH, "debit", "12.00"),
                             entry(DEPOSIT, "credit", "11.00")),
            "entries", r"CAD: debits 12\.00, credits 11\.00"),
    refused("balanced over two currencies only", "NOT_BALANCED",
            lambda m: m.legs(entry(CASH, "debit", "5.00", "CAD"),
                             entry(DEPOSIT, "credit", "5.00", "USD")),
            "entries", "Debits and credits differ"),
    refused("two debits", "NOT_BALANCED",
            lambda m: m.legs(entry(CASH, "debit"), entry(DEPOSIT, "debit")),
            "entries", "Debits and credits differ"),
    refused("sums past 64 bits", "SUM_TOO_LARGE",
            lambda m: m.legs(*ours(BIGGEST), *ours(BIGGEST)), "entries", "Split it"),
    refused("one cent past 64 bits", "SUM_TOO_LARGE",
            lambda m: m.legs(*ours(BIGGEST), *ours("0.01")), "entries", "Split it"),
    refused("sums past 64 bits, not balanced", "SUM_TOO_LARGE",
            lambda m: m.legs(*ours(BIGGEST), entry(CASH, "debit", BIGGEST)),
            "entries", "Split it"),
    accepted("the biggest amount", lambda m: m.one(amount=BIGGEST)),
]  # fmt: skip

PLAIN = "a decimal in plain notation"
AMOUNTS = [
    *[
        refused(f"amount {text!a}", code, lambda m, t=text: m.one(amount=t),  # type: ignore[misc]
                "entries[0].amount", advice)
        for code, advice, texts in [
            ("AMOUNT_NOT_POSITIVE", "above zero", ["0", "0.00", "-1", "-0", "-12.34"]),
            ("AMOUNT_TOO_LARGE", "at most", [
                "92233720368547758.08", "100000000000000000000", "9" * 1_000, "9" * 100_000]),
            ("AMOUNT_MALFORMED", PLAIN, [
                "1e3", "1E3", "NaN", "Infinity", "-inf", " 1", "1 ", "１２", "١٢", "+1", "1,000",
                "1.000,00", "1_000", "0x10", ".5", "5.", ".", "", "1.2.3", "½", "12\n", "CAD 12"]),
            ("TOO_MANY_DECIMALS", "CAD has 2 decimals", ["1.234", "1.000", "0.001"]),
        ]
        for text in texts
    ],
    refused("a half yen", "TOO_MANY_DECIMALS", lambda m: m.one(amount="1.5", currency="JPY"),
            "entries[0].amount", "JPY has 0 decimals"),
    *[
        refused(f"currency {text!a}", "UNKNOWN_CURRENCY", lambda m, t=text: m.one(currency=t),  # type: ignore[misc]
                "entries[0].currency", "and CAD is one" if text == "cad" else "assets import")
        for text in ["XXX", "cad", "CA", "", "DOGE", " CAD", "CAD\0", "C" * 100_000]
    ],
    refused("a wrong amount in the second entry", "AMOUNT_MALFORMED",
            lambda m: m.legs(entry(CASH, "debit"), entry(DEPOSIT, "credit", "x")),
            "entries[1].amount", PLAIN),
]  # fmt: skip

ACCOUNTS = [
    refused(f"account {text[:20]!a} of {len(text)}", "ACCOUNT_MALFORMED",
            lambda m, t=text: m.one(credit=t),  # type: ignore[misc]
            "entries[1].account", "is not an account code: assets, liabilities")
    for text in [
        "", "assets", "assets:", ":assets", "assets::cash", "Assets:cash", "revenue:sales",
        "assets:cash ", "assets:cash\n", "assets:caché", "assets:cash box", "assets:-x",
        "assets:cash\0", "assets/cash", "liabilities:" + "1" * 244, "liabilities:" + "1" * 100_000,
    ]
]  # fmt: skip


def ours(amount: str = "10.00") -> list[Any]:
    return pair(amount, debit=CASH, credit=DEPOSIT)


def many(count: int) -> list[Any]:
    rest = [entry(f"assets:many:{each}", "debit", "0.01") for each in range(count - 1)]
    return [*rest, entry(DEPOSIT, "credit", f"{(count - 1) / 100:.2f}")]


def at_every_limit(m: Maker) -> list[Record]:
    """Of characters that take the most bytes, where any may be there; the database has room."""
    wide = "\U0001f40e"
    account = f"liabilities:{m.new_id('limit')}:".ljust(255, "x")
    return m.one(
        transaction_id=m.new_id("").rjust(128, wide), kind=wide * 64, description=wide * 1_000,
        ordering_key=m.new_id("").rjust(128, wide), metadata={"a": "b" * (4_000 - len('{"a":""}'))},
        amount=BIGGEST, debit=account, credit=account,
    )  # fmt: skip


def with_enum(record: Record, index: bytes) -> Record:
    """The first entry's side replaced by another number."""
    assert record.value is not None
    account = bytes([2 * len(CASH)]) + CASH.encode()
    assert record.value.count(account) == 1
    before, after = record.value.split(account)
    return Record(before + account + index + after[1:], record.key)


def again(m: Maker, **changes: Any) -> list[Record]:
    """A transaction and one of the same id, which differs as said."""
    first = m.draft()
    return m.after(first, first | changes)  # type: ignore[arg-type]


def reversing(m: Maker, *then: str, **changes: Any) -> list[Record]:
    """A transaction, its reversal, what is asked for then, and a reversal of `changes`."""
    first = m.draft()
    named = {"transaction_id": m.new_id("r"), "created_at": present()}
    return m.after(
        first, *[reversal(first, each) for each in then], reversal(first, **(named | changes))
    )


def other_key(m: Maker) -> list[Record]:
    """In the same shard by chance; the order of the two would be nobody's promise."""
    first = m.draft()
    shard, shards = m.wire.shard_of(first["transaction_id"]), m.wire.settings.shards
    key = builders.id_in_shard(shard, shards, m.new_id("k"))
    return m.after(first, reversal(first, m.new_id("r"), ordering_key=key))


def twice_reversed(m: Maker) -> list[Record]:
    """What was reversed is had back by reversing the reversal, and can be reversed again."""
    first = m.draft()
    back = reversal(first, m.new_id("r"))
    again = reversal(back, m.new_id("rr"), ordering_key=first["transaction_id"])
    return m.after(first, back, again)


def corrected(m: Maker) -> list[Record]:
    """A refused id may come again with what it should have been."""
    wrong = m.draft(amount="1e3")
    return m.after(wrong, wrong | {"entries": ours("1000.00")})  # type: ignore[arg-type]


USED = "Give a new transaction a new id"
STATEFUL = [
    accepted("an id again with the same content", lambda m: again(m), DUPLICATE),
    accepted("an id again, made later",
             lambda m: again(m, created_at=present() + MINUTE), DUPLICATE),
    refused("an id again with another amount", "ID_REUSED",
            lambda m: again(m, entries=ours("10.01")), "transaction_id", USED),
    refused("an id again with the amount written otherwise", "ID_REUSED",
            lambda m: again(m, entries=ours("10.0")), "transaction_id", USED),
    refused("an id again with another kind", "ID_REUSED", lambda m: again(m, kind="fee"),
            "transaction_id", USED),
    refused("an id again, and wrong", "ID_REUSED", lambda m: again(m, entries=[]),
            "transaction_id", USED),
    refused("a reversal of something unknown", "REVERSAL_UNKNOWN",
            lambda m: m.one(reverses=m.new_id("unknown")), "reverses", "has the ordering key of"),
    refused("a reversal of itself", "REVERSAL_UNKNOWN",
            lambda m: [m.wire.record(d | {"reverses": d["transaction_id"]}) for d in [m.draft()]],  # type: ignore[arg-type]
            "reverses", "has the ordering key of"),
    accepted("a reversal", lambda m: reversing(m)),
    refused("a second reversal", "REVERSED_ALREADY", lambda m: reversing(m, m.new_id("r")),
            "reverses", "reverse that one"),
    refused("a reversal ten years before", "REVERSAL_BEFORE_ORIGINAL",
            lambda m: reversing(m, effective_at=present() - 3_652 * DAY),
            "effective_at", "is before that of"),
    refused("a reversal of half", "REVERSAL_NOT_MIRRORED",
            lambda m: reversing(
                m, entries=pair("5.00", debit=DEPOSIT, credit=CASH)),
            "entries", "Reverse the whole transaction"),
    refused("a reversal the same way round", "REVERSAL_NOT_MIRRORED",
            lambda m: reversing(m, entries=ours()), "entries", "Reverse the whole transaction"),
    refused("a reversal with another ordering key", "REVERSAL_NOT_MIRRORED",
            other_key, "entries", "the same ordering key"),
    accepted("a reversal of a reversal", lambda m: twice_reversed(m)),
]  # fmt: skip

WRITTEN = [
    accepted(f"by a producer with the {each} schema", lambda m, v=each: [m.written(v)])  # type: ignore[misc]
    for each in VERSIONS
] + [
    refused(f"by a producer with the {each} schema", "FOREIGN_SCHEMA",
            lambda m, v=each: [m.written(v)], advice="Use the published one")  # type: ignore[misc]
    for each in UNFIT
]  # fmt: skip

CASES = [
    *BYTES, *SIZES, *CODEC_CASES, *KEYS, *FIELDS, *TIMES, *ENTRIES, *AMOUNTS, *ACCOUNTS,
    *STATEFUL, *WRITTEN,
]  # fmt: skip
assert len({case.name for case in CASES}) == len(CASES)
