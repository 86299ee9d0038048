"""${message}."""

from migrations.oracle import ddl

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Only forwards: a journal's tables are never taken back."""
    ${upgrades if upgrades else "pass"}
