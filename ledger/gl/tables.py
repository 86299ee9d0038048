"""The tables of the general ledger, such that PostgreSQL and Oracle can both have them.

`shards`, `stripes`: the present, updated by each posting. `currencies`, `runs`, `transactions`,
`entries`, `voids`: the journal, added to and never changed. A transaction in `voids` counts for
nothing; `was_posted` is whether its rows exist all the same. Offsets are positions in Kafka;
amounts are whole minor units; times are microseconds since 1970 in Python and exact in SQL.

There is no foreign key to `stripes`, whose rows are written once per run and not per entry, and
none between the tables of the journal: one statement sequence writes them, the audit compares
them, and a key check per entry would double the database's work.
"""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    text,
)
from sqlalchemy.dialects import oracle
from sqlalchemy.types import TypeDecorator, TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_datetime(microseconds: int) -> datetime:
    """The instant, exactly. Raises OverflowError outside the years 1 to 9999."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_microseconds(instant: datetime) -> int:
    """Microseconds since 1970 of an instant with a time zone, exactly."""
    return (instant - _EPOCH) // _MICROSECOND


class Instant(TypeDecorator[int]):
    """Microseconds since 1970 in Python, a time with zone in the database."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        # Oracle's DATE, the usual mapping, has no fractions of a second.
        if dialect.name == "oracle":
            return dialect.type_descriptor(oracle.TIMESTAMP(timezone=True))
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: int | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        # Oracle's driver knows no zones: sessions and stored times are UTC.
        instant = to_datetime(value)
        return instant.replace(tzinfo=None) if dialect.name == "oracle" else instant

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> int | None:
        if value is None:
            return None
        return to_microseconds(value.replace(tzinfo=value.tzinfo or UTC))


class Whole(TypeDecorator[int]):
    """An int of any size up to 38 digits; never a float, hence exact."""

    impl = Numeric(38, 0)
    cache_ok = True

    def process_result_value(self, value: Decimal | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


class OptionalText(TypeDecorator[str]):
    """Text that may be empty, as NULL in the database: Oracle has no other empty text."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return value or None

    def process_result_value(self, value: str | None, dialect: Dialect) -> str:
        return value or ""


def code(length: int) -> String:
    """ASCII text, ordered by its bytes whatever the database's collation."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


DIGEST = LargeBinary(32).with_variant(oracle.RAW(32), "oracle")


def _readable(*columns: str) -> str:
    """The condition that instants fit into Python's; PostgreSQL's range is larger."""
    ends = "'0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'"
    return " AND ".join(f"{column} BETWEEN {ends}" for column in columns)


def _check(name: str, condition: str) -> CheckConstraint:
    """For PostgreSQL alone: a condition in its own syntax."""
    return CheckConstraint(condition, name=name).ddl_if(dialect="postgresql")


metadata = MetaData()

shards = Table(
    "shards",
    metadata,
    Column("shard", Integer, nullable=False, autoincrement=False),
    Column("decisions_offset", BigInteger, nullable=False),
    Column("end_offset", BigInteger, nullable=False),
    Column("digest", DIGEST, nullable=False),
    Column("recorded_until", Instant, nullable=False),
    PrimaryKeyConstraint("shard", name="shards_pk"),
    _check("shards_digest", "length(digest) = 32"),
    _check("shards_position", "shard >= 0 AND decisions_offset >= 0 AND end_offset >= 0"),
    _check("shards_times", _readable("recorded_until")),
)

runs = Table(
    "runs",
    metadata,
    Column("shard", Integer, nullable=False),
    Column("decisions_offset", BigInteger, nullable=False),
    Column("start_offset", BigInteger, nullable=False),
    Column("end_offset", BigInteger, nullable=False),
    Column("follows", DIGEST, nullable=False),
    Column("digest", DIGEST, nullable=False),
    Column("outcomes_digest", DIGEST, nullable=False),
    Column("recorded_until", Instant, nullable=False),
    Column("reference_offset", BigInteger, nullable=False),
    Column("accepted", Integer, nullable=False),
    Column("posted_at", Instant, nullable=False, server_default=text("CURRENT_TIMESTAMP")),
    Column("reference_digest", DIGEST, nullable=True),
    PrimaryKeyConstraint("shard", "decisions_offset", name="runs_pk"),
    CheckConstraint("start_offset <= end_offset", name="runs_order"),
    _check("runs_decided_with", "length(reference_digest) = 32"),
    _check("runs_position", "shard >= 0 AND decisions_offset >= 0 AND start_offset >= 0"),
    _check("runs_accepted", "accepted >= 0 AND accepted <= end_offset - start_offset"),
    _check(
        "runs_digests",
        "length(follows) = 32 AND length(digest) = 32 AND length(outcomes_digest) = 32",
    ),
    _check("runs_times", _readable("recorded_until", "posted_at")),
)

currencies = Table(
    "currencies",
    metadata,
    Column("code", code(32), nullable=False),
    Column("scale", SmallInteger, nullable=False),
    PrimaryKeyConstraint("code", name="currencies_pk"),
    CheckConstraint("scale BETWEEN 0 AND 18", name="currencies_scale"),
    _check("currencies_code", "code <> ''"),
)

transactions = Table(
    "transactions",
    metadata,
    Column("shard", Integer, nullable=False),
    Column("log_offset", BigInteger, nullable=False),
    Column("transaction_id", String(128), nullable=False),
    Column("kind", String(64), nullable=False),
    Column("description", OptionalText(1000)),
    Column("effective_at", Instant, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("ordering_key", OptionalText(128)),
    Column("reverses", OptionalText(128)),
    Column("metadata", OptionalText(4000)),
    PrimaryKeyConstraint("shard", "log_offset", name="transactions_pk"),
    Index("transactions_by_id", "transaction_id"),
    _check("transactions_position", "shard >= 0 AND log_offset >= 0"),
    # Empty text is NULL: a change between two ways to store it would show in no digest.
    _check(
        "transactions_texts",
        "transaction_id <> '' AND kind <> '' AND description <> '' AND ordering_key <> ''"
        " AND reverses <> '' AND metadata <> ''",
    ),
    _check("transactions_times", _readable("effective_at", "recorded_at", "created_at")),
)

entries = Table(
    "entries",
    metadata,
    Column("shard", Integer, nullable=False),
    Column("log_offset", BigInteger, nullable=False),
    Column("entry", SmallInteger, nullable=False),
    Column("account", code(255), nullable=False),
    Column("currency", code(32), nullable=False),
    Column("side", String(1), nullable=False),
    Column("amount", Whole, nullable=False),
    PrimaryKeyConstraint("shard", "log_offset", "entry", name="entries_pk"),
    CheckConstraint("side IN ('D', 'C')", name="entries_side"),
    # The upper end keeps NaN out, which PostgreSQL takes for the largest number.
    CheckConstraint("amount > 0 AND amount < 1e38", name="entries_amount"),
    _check("entries_position", "shard >= 0 AND log_offset >= 0 AND entry >= 0"),
    _check("entries_names", "account <> '' AND currency <> ''"),
    # No more columns: entries of one account then share their key in PostgreSQL's index, which is a
    # fifth of one with shard and offset, and faster to add to.
    Index("entries_by_account", "account"),
)

stripes = Table(
    "stripes",
    metadata,
    Column("account", code(255), nullable=False),
    Column("currency", code(32), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("debits", Whole, nullable=False),
    Column("credits", Whole, nullable=False),
    Column("entries", BigInteger, nullable=False),
    Column("last_offset", BigInteger, nullable=False),
    PrimaryKeyConstraint("account", "currency", "shard", name="stripes_pk"),
    Index("stripes_by_shard", "shard"),
    _check("stripes_position", "shard >= 0 AND entries >= 0 AND last_offset >= 0"),
    _check("stripes_names", "account <> '' AND currency <> ''"),
    _check(
        "stripes_totals",
        "debits >= 0 AND debits < 1e38 AND credits >= 0 AND credits < 1e38",
    ),
    # Half of each page stays free for the next versions of its rows: then no update touches an
    # index.
    postgresql_with={"fillfactor": 50},
)

voids = Table(
    "voids",
    metadata,
    Column("shard", Integer, nullable=False),
    Column("log_offset", BigInteger, nullable=False),
    Column("void_offset", BigInteger, nullable=False),
    Column("recorded_at", Instant, nullable=False),
    Column("run_offset", BigInteger, nullable=False),
    Column("decisions_offset", BigInteger, nullable=False),
    Column("authority", BigInteger, nullable=False),
    Column("reason", OptionalText(4000)),
    Column("content", LargeBinary, nullable=False),
    # 0 or 1: Oracle has booleans since version 23 only.
    Column("was_posted", Integer, nullable=False),
    PrimaryKeyConstraint("shard", "log_offset", name="voids_pk"),
    CheckConstraint("was_posted IN (0, 1)", name="voids_was_posted"),
    _check("voids_position", "shard >= 0 AND log_offset >= 0 AND run_offset >= 0"),
    _check("voids_order", "void_offset > log_offset AND decisions_offset > run_offset"),
    _check("voids_authority", "authority >= 0"),
    _check("voids_reason", "reason <> ''"),
    _check("voids_times", _readable("recorded_at")),
)
