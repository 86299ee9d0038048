"""Entries indexed by account alone: a fifth of the index, and additions go to fewer of its pages.

With shard and offset in the key each account had a page for each shard, and a large journal more of
them than stay in a cache.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Meanwhile entries are neither read nor added: seconds for millions of them."""
    op.drop_index("entries_by_account", "entries")
    op.create_index("entries_by_account", "entries", ["account"])
