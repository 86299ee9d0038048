"""Views for people's own tools: decimal amounts, names and sides in words, nothing to join.

They are in a schema of their own beside the ledger's, made after every migration.
`docs/reports.md` describes their columns, which only grow. Each view shows the rows of a function
that names the ledger's tables in its text: so nothing depends on the tables, which migrations may
change and `rebuild ledger` replaces, and PostgreSQL plans a query as if the view had them.
"""

import logging
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

READER = "ledger_finance"
_REMARK = "views of faust-ledger: "
# Exact, with the currency's decimals: 1250 of two decimals is the numeric 12.50.
_UNITS = "({minor}::text || 'e-' || c.scale::text)::numeric"
_TYPE = "split_part({account}, ':', 1)"
_BALANCES = """
SELECT s.account::text, {type}, s.currency::text, {debits}, {credits},
    CASE WHEN {type} IN ('assets', 'expenses') THEN 'debit' ELSE 'credit' END,
    CASE WHEN {type} IN ('assets', 'expenses') THEN {net} ELSE -{net} END,
    {net}, s.entries::bigint, c.scale::integer
FROM (
    SELECT account, currency, sum(debits) AS debits, sum(credits) AS credits,
        sum(entries) AS entries
    FROM {ledger}.stripes GROUP BY account, currency
) AS s JOIN {ledger}.currencies AS c ON c.code = s.currency
"""
_ENTRIES = """
SELECT t.transaction_id::text, t.kind::text, t.description::text, t.effective_at, t.recorded_at,
    e.account::text, {type}, e.currency::text,
    CASE e.side WHEN 'D' THEN 'debit' ELSE 'credit' END,
    CASE e.side WHEN 'D' THEN {amount} END, CASE e.side WHEN 'C' THEN {amount} END,
    CASE e.side WHEN 'D' THEN {amount} ELSE -{amount} END,
    t.reverses::text, t.metadata::text, e.shard, e.log_offset, e.entry::integer
FROM {ledger}.entries AS e
JOIN {ledger}.transactions AS t ON t.shard = e.shard AND t.log_offset = e.log_offset
JOIN {ledger}.currencies AS c ON c.code = e.currency
WHERE NOT EXISTS (
    SELECT FROM {ledger}.voids AS v WHERE v.shard = e.shard AND v.log_offset = e.log_offset
)
"""
_TRIAL_BALANCE = """
SELECT account, account_type, currency, greatest(net, 0 * net), greatest(-net, 0 * net), entries
FROM {views}.balances
"""
_MOVEMENTS = """
SELECT (effective_at AT TIME ZONE 'UTC')::date, account, account_type, currency,
    coalesce(sum(debit), 0 * sum(net)), coalesce(sum(credit), 0 * sum(net)), sum(net), count(*)
FROM {views}.entries GROUP BY 1, 2, 3, 4
"""
_THERE = "SELECT count(*) FROM pg_views WHERE schemaname = :name AND viewname = ANY (:views)"
_FIND = """
SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace WHERE nspname = :name
"""


class View(NamedTuple):
    """The columns of a view with their types, in SQL, and the query that has them in this order."""

    columns: str
    query: str


_ACCOUNT = "account text, account_type text, currency text"
VIEWS = {
    "balances": View(
        f"{_ACCOUNT}, debits numeric, credits numeric, normal_side text, balance numeric, "
        "net numeric, entries bigint, decimals integer",
        _BALANCES,
    ),
    "entries": View(
        "transaction_id text, kind text, description text, effective_at timestamptz, "
        f"recorded_at timestamptz, {_ACCOUNT}, side text, debit numeric, credit numeric, "
        "net numeric, reverses text, metadata text, shard integer, log_offset bigint, "
        "entry integer",
        _ENTRIES,
    ),
    "trial_balance": View(
        f"{_ACCOUNT}, net_debit numeric, net_credit numeric, entries bigint", _TRIAL_BALANCE
    ),
    "movements_by_day": View(
        f"day date, {_ACCOUNT}, debits numeric, credits numeric, net numeric, entries bigint",
        _MOVEMENTS,
    ),
}
"""By name, in the order in which they refer to each other."""

log = logging.getLogger(__name__)


def schema_of(ledger: str) -> str:
    """The schema of the views beside a general ledger's tables in schema `ledger`."""
    return "ledger_views" if ledger == "public" else f"{ledger}_views"


def provide(connection: Connection, ledger: str) -> None:
    """Make the views beside the ledger in schema `ledger`, as the tables' owner.

    What is there in this version's form stays as it is. Where they cannot be made there is a
    warning: nothing else needs them.
    """
    name = schema_of(ledger)
    statements = _statements(connection, ledger)
    remark = _REMARK + sha256("".join(statements).encode()).hexdigest()[:16]
    found = connection.scalar(text(_FIND), {"name": name})
    if found is not None and not found.startswith(_REMARK):
        log.warning(
            "There is a schema %s in this database that is not the ledger's, so there are no "
            "views: rename it (ALTER SCHEMA %s RENAME TO …) and migrate again.", name, name,
        )  # fmt: skip
        return
    quoted = connection.dialect.identifier_preparer.quote(name)
    try:
        with connection.begin_nested():
            if found is None:
                connection.execute(text(f"CREATE SCHEMA {quoted}"))
            if found != remark or not _are_there(connection, name):
                for each in statements:
                    connection.exec_driver_sql(each)
                connection.exec_driver_sql(f"COMMENT ON SCHEMA {quoted} IS '{remark}'")
            _grant(connection, quoted)
    except DBAPIError as error:
        log.warning(
            "The views in the schema %s cannot be made (%s). Grant the owner's role CREATE on this "
            "database, drop what others have on them and is in the way, and migrate again.", name,
            error.orig,
        )  # fmt: skip


def _are_there(connection: Connection, name: str) -> bool:
    given = {"name": name, "views": list(VIEWS)}
    return bool(connection.scalar(text(_THERE), given) == len(VIEWS))


def _statements(connection: Connection, ledger: str) -> list[str]:
    """What makes each function and each view, in place of the one that is there."""
    quote = connection.dialect.identifier_preparer.quote
    given = {"ledger": quote(ledger), "views": quote(schema_of(ledger))}
    parts = {
        "balances": {
            "type": _TYPE.format(account="s.account"),
            "debits": _UNITS.format(minor="s.debits"),
            "credits": _UNITS.format(minor="s.credits"),
            "net": _UNITS.format(minor="(s.debits - s.credits)"),
        },
        "entries": {
            "type": _TYPE.format(account="e.account"),
            "amount": _UNITS.format(minor="e.amount"),
        },
    }
    made = []
    for name, view in VIEWS.items():
        query = view.query.format(**given, **parts.get(name, {}))
        rows = f"{given['views']}.{name}_rows()"
        made.append(
            f"CREATE OR REPLACE FUNCTION {rows} RETURNS TABLE ({view.columns}) LANGUAGE sql STABLE "
            f"AS $rows${query}$rows$"
        )
        shown = f"{given['views']}.{name}"
        made.append(f"CREATE OR REPLACE VIEW {shown} AS SELECT * FROM {rows}")  # noqa: S608 - ours
    return made


def _grant(connection: Connection, schema: str) -> None:
    """The rows are read with the reader's own rights on the ledger's tables."""
    known = "SELECT 1 FROM pg_roles WHERE rolname = :role"
    if connection.scalar(text(known), {"role": READER}) is None:
        return
    connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {READER}"))
    for view in VIEWS:
        connection.execute(text(f"GRANT SELECT ON {schema}.{view} TO {READER}"))
