"""The statements of a posting that SQLAlchemy's Core has no construct for, or builds once.

No name of a bind is a word that Oracle reserves, such as START or NUMBER.
"""

from sqlalchemy import BigInteger, Integer, Select, bindparam, select, text, update

from ledger.gl.tables import DIGEST, Instant, code, currencies, entries, shards, stripes

# A second writer waits here for the first one's commit, then finds no such row: read committed
# restarts the statement with the row as it is then.
MOVE_SHARD = (
    update(shards)
    .where(
        shards.c.shard == bindparam("of_shard", type_=Integer),
        shards.c.decisions_offset == bindparam("from_decisions", type_=BigInteger),
        shards.c.end_offset == bindparam("from_end", type_=BigInteger),
        shards.c.digest == bindparam("from_digest", type_=DIGEST),
    )
    .values(
        decisions_offset=bindparam("to_decisions", type_=BigInteger),
        end_offset=bindparam("to_end", type_=BigInteger),
        digest=bindparam("to_digest", type_=DIGEST),
        recorded_until=bindparam("to_recorded", type_=Instant),
    )
)
ADD_CURRENCY = text("""
MERGE INTO currencies known
USING (SELECT CAST(:currency AS VARCHAR2(32)) AS code, CAST(:decimals AS NUMBER(2)) AS scale
    FROM dual) given
ON (known.code = given.code)
WHEN NOT MATCHED THEN INSERT (code, scale) VALUES (given.code, given.scale)
""").bindparams(bindparam("currency", type_=code(32)), bindparam("decimals", type_=Integer))
# Sums what was stored and not what was sent, so that reconciliation compares two countings.
ADD_TO_STRIPES = text("""
MERGE INTO stripes known
USING (
    SELECT account, currency, shard,
        SUM(CASE WHEN side = 'D' THEN amount ELSE 0 END) AS debits,
        SUM(CASE WHEN side = 'C' THEN amount ELSE 0 END) AS credits,
        COUNT(*) AS entries, MAX(log_offset) AS last_offset
    FROM entries
    WHERE shard = :of_shard AND log_offset >= :first_offset AND log_offset < :past_offset
    GROUP BY account, currency, shard
) added
ON (known.account = added.account AND known.currency = added.currency
    AND known.shard = added.shard)
WHEN MATCHED THEN UPDATE SET
    known.debits = known.debits + added.debits, known.credits = known.credits + added.credits,
    known.entries = known.entries + added.entries, known.last_offset = added.last_offset
WHEN NOT MATCHED THEN INSERT
    (account, currency, shard, debits, credits, entries, last_offset)
    VALUES (added.account, added.currency, added.shard, added.debits, added.credits,
        added.entries, added.last_offset)
""").bindparams(
    bindparam("of_shard", type_=Integer),
    bindparam("first_offset", type_=BigInteger),
    bindparam("past_offset", type_=BigInteger),
)
"""A transaction's entries in [first_offset, past_offset) of a shard, added to its stripes."""
STRIPE_COLUMNS = (
    stripes.c.account,
    stripes.c.currency,
    stripes.c.debits,
    stripes.c.credits,
    stripes.c.entries,
    stripes.c.last_offset,
)


def touched_stripes() -> Select[tuple[str, str, int, int, int, int]]:
    """The stripes of the entries in [first_offset, past_offset) of a shard, by primary key.

    MERGE returns nothing before version 23.
    """
    touched = (
        select(entries.c.account, entries.c.currency)
        .where(
            entries.c.shard == bindparam("of_shard", type_=Integer),
            entries.c.log_offset >= bindparam("first_offset", type_=BigInteger),
            entries.c.log_offset < bindparam("past_offset", type_=BigInteger),
        )
        .distinct()
        .subquery()
    )
    same = (stripes.c.account == touched.c.account) & (stripes.c.currency == touched.c.currency)
    return (
        select(*STRIPE_COLUMNS)
        .select_from(stripes.join(touched, same))
        .where(stripes.c.shard == bindparam("of_shard", type_=Integer))
    )


TOUCHED = touched_stripes()
TAKE_BACK = (
    update(stripes)
    .where(
        stripes.c.account == bindparam("of_account", type_=code(255)),
        stripes.c.currency == bindparam("of_currency", type_=code(32)),
        stripes.c.shard == bindparam("of_shard", type_=Integer),
    )
    .values(
        debits=stripes.c.debits - bindparam("less_debits"),
        credits=stripes.c.credits - bindparam("less_credits"),
        entries=stripes.c.entries - bindparam("less_entries"),
        last_offset=bindparam("to_offset", type_=BigInteger),
    )
)
SCALES = select(currencies.c.code, currencies.c.scale)
