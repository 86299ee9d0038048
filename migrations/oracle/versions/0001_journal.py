"""The journal and its present state: what revisions 0001 to 0005 made in PostgreSQL."""

from migrations.oracle.ddl import create_index, create_table, digest, instant

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = "TIMESTAMP(6) WITH TIME ZONE"
CURRENCY = "currency VARCHAR2(32 BYTE) NOT NULL"
ACCOUNT = "account VARCHAR2(255 BYTE) NOT NULL"
SHARD = "shard NUMBER(10) NOT NULL"
OFFSET = "log_offset NUMBER(19) NOT NULL"


def check(name: str, *conditions: str) -> str:
    """A rule of a table."""
    return f"CONSTRAINT {name} CHECK ({' AND '.join(conditions)})"


def upgrade() -> None:
    """Each table unless it is there: an attempt that was interrupted is continued."""
    create_runs()
    create_journal()
    create_stripes()
    create_voids()


def create_runs() -> None:
    """How far each shard is, and the chain of its runs."""
    create_table(
        "shards",
        SHARD,
        "decisions_offset NUMBER(19) NOT NULL",
        "end_offset NUMBER(19) NOT NULL",
        "digest RAW(32) NOT NULL",
        f"recorded_until {INSTANT} NOT NULL",
        "CONSTRAINT shards_pk PRIMARY KEY (shard)",
        check("shards_digest", digest("digest")),
        check("shards_position", "shard >= 0", "decisions_offset >= 0", "end_offset >= 0"),
        check("shards_times", instant("recorded_until")),
    )
    create_table(
        "runs",
        SHARD,
        "decisions_offset NUMBER(19) NOT NULL",
        "start_offset NUMBER(19) NOT NULL",
        "end_offset NUMBER(19) NOT NULL",
        "follows RAW(32) NOT NULL",
        "digest RAW(32) NOT NULL",
        "outcomes_digest RAW(32) NOT NULL",
        f"recorded_until {INSTANT} NOT NULL",
        "reference_offset NUMBER(19) NOT NULL",
        "accepted NUMBER(10) NOT NULL",
        f"posted_at {INSTANT} DEFAULT CURRENT_TIMESTAMP NOT NULL",
        "reference_digest RAW(32)",
        "CONSTRAINT runs_pk PRIMARY KEY (shard, decisions_offset)",
        check("runs_order", "start_offset <= end_offset"),
        check("runs_decided_with", digest("reference_digest")),
        check("runs_position", "shard >= 0", "decisions_offset >= 0", "start_offset >= 0"),
        check("runs_accepted", "accepted >= 0", "accepted <= end_offset - start_offset"),
        check("runs_digests", *map(digest, ("follows", "digest", "outcomes_digest"))),
        check("runs_times", instant("recorded_until"), instant("posted_at")),
    )


def create_journal() -> None:
    """Currencies, transactions, entries: added to, never changed."""
    create_table(
        "currencies",
        "code VARCHAR2(32 BYTE) NOT NULL",
        "scale NUMBER(2) NOT NULL",
        "CONSTRAINT currencies_pk PRIMARY KEY (code)",
        check("currencies_scale", "scale BETWEEN 0 AND 18"),
    )
    create_table(
        "transactions",
        SHARD,
        OFFSET,
        "transaction_id VARCHAR2(128 CHAR) NOT NULL",
        "kind VARCHAR2(64 CHAR) NOT NULL",
        # A thousand characters of four bytes each, the longest that VARCHAR2 takes.
        "description VARCHAR2(1000 CHAR)",
        f"effective_at {INSTANT} NOT NULL",
        f"recorded_at {INSTANT} NOT NULL",
        f"created_at {INSTANT} NOT NULL",
        "ordering_key VARCHAR2(128 CHAR)",
        "reverses VARCHAR2(128 CHAR)",
        "metadata VARCHAR2(4000 BYTE)",
        "CONSTRAINT transactions_pk PRIMARY KEY (shard, log_offset)",
        check("transactions_position", "shard >= 0", "log_offset >= 0"),
        check("transactions_times", *map(instant, ("effective_at", "recorded_at", "created_at"))),
        partitioned=True,
    )
    create_index("transactions_by_id", "transactions (transaction_id)")
    create_table(
        "entries",
        SHARD,
        OFFSET,
        "entry NUMBER(5) NOT NULL",
        ACCOUNT,
        CURRENCY,
        "side VARCHAR2(1 BYTE) NOT NULL",
        "amount NUMBER(38) NOT NULL",
        "CONSTRAINT entries_pk PRIMARY KEY (shard, log_offset, entry)",
        check("entries_side", "side IN ('D', 'C')"),
        check("entries_amount", "amount > 0"),
        check("entries_position", "shard >= 0", "log_offset >= 0", "entry >= 0"),
        partitioned=True,
    )
    create_index("entries_by_account", "entries (account)")


def create_stripes() -> None:
    """The sums, by account, currency and shard."""
    create_table(
        "stripes",
        ACCOUNT,
        CURRENCY,
        SHARD,
        "debits NUMBER(38) NOT NULL",
        "credits NUMBER(38) NOT NULL",
        "entries NUMBER(19) NOT NULL",
        "last_offset NUMBER(19) NOT NULL",
        "CONSTRAINT stripes_pk PRIMARY KEY (account, currency, shard)",
        check("stripes_position", "shard >= 0", "entries >= 0", "last_offset >= 0"),
        check("stripes_totals", "debits >= 0", "credits >= 0"),
    )
    create_index("stripes_by_shard", "stripes (shard)")


def create_voids() -> None:
    """Transactions that count for nothing."""
    create_table(
        "voids",
        SHARD,
        OFFSET,
        "void_offset NUMBER(19) NOT NULL",
        f"recorded_at {INSTANT} NOT NULL",
        "run_offset NUMBER(19) NOT NULL",
        "decisions_offset NUMBER(19) NOT NULL",
        "authority NUMBER(19) NOT NULL",
        "reason VARCHAR2(4000 BYTE)",
        "content BLOB NOT NULL",
        "was_posted NUMBER(1) NOT NULL",
        "CONSTRAINT voids_pk PRIMARY KEY (shard, log_offset)",
        check("voids_was_posted", "was_posted IN (0, 1)"),
        check("voids_position", "shard >= 0", "log_offset >= 0", "run_offset >= 0"),
        check("voids_order", "void_offset > log_offset", "decisions_offset > run_offset"),
        check("voids_authority", "authority >= 0"),
        check("voids_times", instant("recorded_at")),
    )
