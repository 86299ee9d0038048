"""Rows that no posting can write are refused: negative positions, empty texts, short digests."""

import logging

from alembic import op
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

log = logging.getLogger(__name__)

YEARS = "BETWEEN '0001-01-01 00:00:00+00' AND '9999-12-31 23:59:59.999999+00'"
CHECKS = {
    "shards": {
        "shards_position": "shard >= 0 AND decisions_offset >= 0 AND end_offset >= 0",
        "shards_times": f"recorded_until {YEARS}",
    },
    "runs": {
        "runs_position": "shard >= 0 AND decisions_offset >= 0 AND start_offset >= 0",
        "runs_accepted": "accepted >= 0 AND accepted <= end_offset - start_offset",
        "runs_digests": "length(follows) = 32 AND length(digest) = 32"
        " AND length(outcomes_digest) = 32",
        "runs_times": f"recorded_until {YEARS} AND posted_at {YEARS}",
    },
    "currencies": {"currencies_code": "code <> ''"},
    "transactions": {
        "transactions_position": "shard >= 0 AND log_offset >= 0",
        "transactions_texts": "transaction_id <> '' AND kind <> '' AND description <> ''"
        " AND ordering_key <> '' AND reverses <> '' AND metadata <> ''",
        "transactions_times": f"effective_at {YEARS} AND recorded_at {YEARS}"
        f" AND created_at {YEARS}",
    },
    "entries": {
        "entries_amount": "amount > 0 AND amount < 1e38",
        "entries_position": "shard >= 0 AND log_offset >= 0 AND entry >= 0",
        "entries_names": "account <> '' AND currency <> ''",
    },
    "stripes": {
        "stripes_position": "shard >= 0 AND entries >= 0 AND last_offset >= 0",
        "stripes_names": "account <> '' AND currency <> ''",
        "stripes_totals": "debits >= 0 AND debits < 1e38 AND credits >= 0 AND credits < 1e38",
    },
}


def upgrade() -> None:
    """Each table is read once, seconds for millions of rows, and nothing is posted meanwhile.

    Existing rows that break a rule stay, for people to decide about; new ones are refused, and
    `faust-ledger verify` names the rule and the rows as long as they exist.
    """
    op.drop_constraint("entries_amount", "entries")
    for table, checks in CHECKS.items():
        add(table, checks)


def add(table: str, checks: dict[str, str]) -> None:
    """Add a table's rules and validate them together, or one by one if a rule is broken."""
    op.execute(
        f"ALTER TABLE {table} "
        + ", ".join(
            f"ADD CONSTRAINT {name} CHECK ({check}) NOT VALID" for name, check in checks.items()
        )
    )
    if not validated(table, *checks):
        for name in checks:
            if not validated(table, name):
                log.warning(
                    "Rows of table %s break the rule %s. They were there before this upgrade and "
                    "are left as they are; rows like them are refused from now on. "
                    "`faust-ledger verify` names them.", table, name,
                )  # fmt: skip


def validated(table: str, *names: str) -> bool:
    """Whether every row keeps the rules, which are then validated."""
    connection = op.get_bind()
    steps = ", ".join(f"VALIDATE CONSTRAINT {name}" for name in names)
    try:
        with connection.begin_nested():
            connection.execute(text(f"ALTER TABLE {table} {steps}"))
    except IntegrityError:
        return False
    return True
