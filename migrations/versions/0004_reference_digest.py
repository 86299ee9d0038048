"""The digest of the reference data that each run was decided with.

Runs posted before have none: their own digest does not cover it.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A column without a default: no row is rewritten."""
    op.add_column("runs", sa.Column("reference_digest", sa.LargeBinary(32), nullable=True))
    op.create_check_constraint("runs_decided_with", "runs", "length(reference_digest) = 32")
