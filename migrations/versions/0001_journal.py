"""The journal and its present state."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True)
WHOLE = sa.Numeric(38, 0)
DIGEST = sa.LargeBinary(32)


def code(length: int) -> sa.String:
    """ASCII text ordered by its bytes."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def required(name: str, kind: TypeEngine[Any] | type[TypeEngine[Any]]) -> sa.Column[Any]:
    """A column that is never NULL."""
    return sa.Column(name, kind, nullable=False, autoincrement=False)


def upgrade() -> None:
    """Only forwards: a journal's tables are never taken back."""
    create_runs()
    create_journal()
    create_stripes()


def create_runs() -> None:
    """How far each shard is, and the chain of its runs."""
    op.create_table(
        "shards",
        required("shard", sa.Integer),
        required("decisions_offset", sa.BigInteger),
        required("end_offset", sa.BigInteger),
        required("digest", DIGEST),
        required("recorded_until", INSTANT),
        sa.PrimaryKeyConstraint("shard", name="shards_pk"),
        sa.CheckConstraint("length(digest) = 32", name="shards_digest"),
    )
    op.create_table(
        "runs",
        required("shard", sa.Integer),
        required("decisions_offset", sa.BigInteger),
        required("start_offset", sa.BigInteger),
        required("end_offset", sa.BigInteger),
        required("follows", DIGEST),
        required("digest", DIGEST),
        required("outcomes_digest", DIGEST),
        required("recorded_until", INSTANT),
        required("reference_offset", sa.BigInteger),
        required("accepted", sa.Integer),
        sa.Column(
            "posted_at", INSTANT, nullable=False, server_default=sa.text("CURRENT_TIMESTAMP")
        ),
        sa.PrimaryKeyConstraint("shard", "decisions_offset", name="runs_pk"),
        sa.CheckConstraint("start_offset <= end_offset", name="runs_order"),
    )


def create_journal() -> None:
    """Currencies, transactions, entries: added to, never changed."""
    op.create_table(
        "currencies",
        required("code", code(32)),
        required("scale", sa.SmallInteger),
        sa.PrimaryKeyConstraint("code", name="currencies_pk"),
        sa.CheckConstraint("scale BETWEEN 0 AND 18", name="currencies_scale"),
    )
    op.create_table(
        "transactions",
        required("shard", sa.Integer),
        required("log_offset", sa.BigInteger),
        required("transaction_id", sa.String(128)),
        required("kind", sa.String(64)),
        sa.Column("description", sa.String(1000)),
        required("effective_at", INSTANT),
        required("recorded_at", INSTANT),
        required("created_at", INSTANT),
        sa.Column("ordering_key", sa.String(128)),
        sa.Column("reverses", sa.String(128)),
        sa.Column("metadata", sa.String(4000)),
        sa.PrimaryKeyConstraint("shard", "log_offset", name="transactions_pk"),
    )
    op.create_index("transactions_by_id", "transactions", ["transaction_id"])
    op.create_table(
        "entries",
        required("shard", sa.Integer),
        required("log_offset", sa.BigInteger),
        required("entry", sa.SmallInteger),
        required("account", code(255)),
        required("currency", code(32)),
        required("side", sa.String(1)),
        required("amount", WHOLE),
        sa.PrimaryKeyConstraint("shard", "log_offset", "entry", name="entries_pk"),
        sa.CheckConstraint("side IN ('D', 'C')", name="entries_side"),
        sa.CheckConstraint("amount > 0", name="entries_amount"),
    )
    op.create_index("entries_by_account", "entries", ["account", "shard", "log_offset"])


def create_stripes() -> None:
    """The sums, by account, currency and shard."""
    op.create_table(
        "stripes",
        required("account", code(255)),
        required("currency", code(32)),
        required("shard", sa.Integer),
        required("debits", WHOLE),
        required("credits", WHOLE),
        required("entries", sa.BigInteger),
        required("last_offset", sa.BigInteger),
        sa.PrimaryKeyConstraint("account", "currency", "shard", name="stripes_pk"),
        postgresql_with={"fillfactor": 50},
    )
    op.create_index("stripes_by_shard", "stripes", ["shard"])
