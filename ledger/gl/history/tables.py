"""The tables of history, in a schema of their own; derived, and made again from the decision log.

A stripe is an account's part in one currency and one shard; its lines are numbered from 1 in
recorded order, and each has the stripe's totals after it. `totals` are by account and currency over
all shards, by period of effect (`ledger.domain.history`). Times are microseconds since 1970,
amounts whole minor units. Texts (kind, description, metadata) are the journal's alone.

`accounts`, `stripes`, `lines`, `blocks`, `refusals` are added to and never changed. What is folded
is written in one database transaction with `positions`, and so is what `totals` count.
"""

from sqlalchemy import (
    BigInteger,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    UniqueConstraint,
)

from ledger.gl.tables import DIGEST, OptionalText, Whole, code

LAYOUT = 2
"""Rises when the tables change: history of another layout is dropped and folded again."""

REMARK = "history of faust-ledger: layout "
"""Begins the comment of history's schema in the database; the layout's number follows."""

SCHEMA = "history"
"""Stands for the schema's name in SQLAlchemy's `schema_translate_map`."""


def schema_of(ledger: str) -> str:
    """The schema of history beside a general ledger's tables in schema `ledger`."""
    return "ledger_history" if ledger == "public" else f"{ledger}_history"


metadata = MetaData(schema=SCHEMA)


def _whole(name: str) -> Column[int]:
    return Column(name, Whole, nullable=False)


def _long(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


positions = Table(
    "positions",
    metadata,
    # The watermark of what is folded, as `shards` of the journal has that of what is posted.
    Column("shard", Integer, nullable=False, autoincrement=False),
    _long("decisions_offset"),
    _long("end_offset"),
    Column("digest", DIGEST, nullable=False),
    _long("recorded_until"),
    # `folded_at` of the shard's last lines, and up to which of them `totals` count.
    _long("folded_at"),
    _long("totalled_at"),
    PrimaryKeyConstraint("shard", name="positions_pk"),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", BigInteger, Identity(), nullable=False),
    Column("account", code(255), nullable=False),
    Column("currency", code(32), nullable=False),
    Column("scale", SmallInteger, nullable=False),
    PrimaryKeyConstraint("id", name="accounts_pk"),
    UniqueConstraint("account", "currency", name="accounts_name"),
)

stripes = Table(
    "stripes",
    metadata,
    Column("id", BigInteger, Identity(), nullable=False),
    _long("account_id"),
    Column("shard", Integer, nullable=False),
    PrimaryKeyConstraint("id", name="stripes_pk"),
    UniqueConstraint("account_id", "shard", name="stripes_name"),
)

lines = Table(
    "lines",
    metadata,
    _long("stripe"),
    _long("recorded_at"),
    # Number of the line in its stripe, from 1.
    _long("n"),
    # Of the record that made the line: the transaction, or the void that takes one back.
    _long("log_offset"),
    _long("effective_at"),
    # As the entry has it: debits above zero.
    _long("amount"),
    # Rises with every database transaction of a shard: its time, microseconds.
    _long("folded_at"),
    # The stripe's totals after the line.
    _long("entries"),
    # Number of the entry in its transaction, from 0.
    Column("entry", SmallInteger, nullable=False),
    # 1: the entry counts from here on. -1: it is taken back, by a void.
    Column("change", SmallInteger, nullable=False),
    _whole("debits"),
    _whole("credits"),
    PrimaryKeyConstraint("stripe", "recorded_at", "n", name="lines_pk"),
    Index("lines_by_effect", "effective_at"),
    # Both rise with the place in the table: a BRIN index of a few pages finds the recent ones.
    Index(
        "lines_by_fold",
        "folded_at",
        "recorded_at",
        postgresql_using="brin",
        postgresql_with={"pages_per_range": 32, "autosummarize": "on"},
    ),
)

totals = Table(
    "totals",
    metadata,
    Column("level", SmallInteger, nullable=False),
    _long("period"),
    _long("account_id"),
    _whole("debits"),
    _whole("credits"),
    _long("entries"),
    PrimaryKeyConstraint("level", "period", "account_id", name="totals_pk"),
    postgresql_with={"fillfactor": 70},
)

periods = Table(
    "periods",
    metadata,
    Column("level", SmallInteger, nullable=False),
    _long("period"),
    # How many lines are effective in it, of all accounts; those that `totals` count.
    _long("lines"),
    # When the first and the last of these lines were recorded.
    _long("first_recorded"),
    _long("last_recorded"),
    # 1: `totals` has its parts at the next finer level too.
    Column("is_split", SmallInteger, nullable=False),
    PrimaryKeyConstraint("level", "period", name="periods_pk"),
)

blocks = Table(
    "blocks",
    metadata,
    _long("stripe"),
    Column("level", SmallInteger, nullable=False),
    # Block b of a level has the stripe's lines b * size + 1 to (b + 1) * size.
    _long("block"),
    # A piece of the block's lines in order of effect: its first one's time, and its number.
    _long("first_effective"),
    Column("piece", SmallInteger, nullable=False),
    # What the block's lines before this piece add up to.
    _whole("debits"),
    _whole("credits"),
    _long("entries"),
    # The piece's lines, as `ledger.domain.history.Piece` packs them.
    Column("lines", LargeBinary, nullable=False),
    PrimaryKeyConstraint("stripe", "level", "block", "first_effective", "piece", name="blocks_pk"),
)

unblocked = Table(
    "unblocked",
    metadata,
    # Blocks of the lowest level that are whole and not made yet, and when the last line of each
    # was recorded, by which it is found.
    _long("stripe"),
    _long("block"),
    _long("recorded_at"),
    PrimaryKeyConstraint("stripe", "block", name="unblocked_pk"),
)

_LATEST = ("recorded_at", "shard", "log_offset")

refusals = Table(
    "refusals",
    metadata,
    Column("shard", Integer, nullable=False),
    _long("log_offset"),
    _long("recorded_at"),
    # Empty where it could not be read; NUL as U+FFFD, and no more than its first characters.
    Column("transaction_id", OptionalText(128)),
    Column("code", code(32), nullable=False),
    Column("field", OptionalText(255)),
    Column("reason", OptionalText(4000)),
    # The `producer` of the record's metadata, where it could be read.
    Column("producer", OptionalText(128)),
    _long("decisions_offset"),
    PrimaryKeyConstraint("shard", "log_offset", name="refusals_pk"),
    Index("refusals_by_id", "transaction_id"),
    Index("refusals_by_code", "code", "recorded_at"),
    # A page is the latest of its kind, in this order: read from the end of an index, without a
    # sort, however many were recorded at once.
    Index("refusals_by_time", *_LATEST),
    Index("refusals_by_producer", "producer", *_LATEST),
    Index("refusals_by_producer_and_code", "producer", "code", *_LATEST),
)
