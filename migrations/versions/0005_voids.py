"""Transactions that were voided, usually because they could not be posted."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

YEARS = "BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'"


def upgrade() -> None:
    """A table of its own, empty."""
    op.create_table(
        "voids",
        sa.Column("shard", sa.Integer, nullable=False),
        sa.Column("log_offset", sa.BigInteger, nullable=False),
        sa.Column("void_offset", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("run_offset", sa.BigInteger, nullable=False),
        sa.Column("decisions_offset", sa.BigInteger, nullable=False),
        sa.Column("authority", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.String(4000)),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("was_posted", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("shard", "log_offset", name="voids_pk"),
        sa.CheckConstraint("was_posted IN (0, 1)", name="voids_was_posted"),
        sa.CheckConstraint(
            "shard >= 0 AND log_offset >= 0 AND run_offset >= 0", name="voids_position"
        ),
        sa.CheckConstraint(
            "void_offset > log_offset AND decisions_offset > run_offset", name="voids_order"
        ),
        sa.CheckConstraint("authority >= 0", name="voids_authority"),
        sa.CheckConstraint("reason <> ''", name="voids_reason"),
        sa.CheckConstraint(f"recorded_at {YEARS}", name="voids_times"),
    )
