"""Views for people's own tools: decimal amounts, names and sides in words, nothing to join.

They are in a schema of their own beside the ledger's, made after every migration and made again
where tables are replaced. `docs/reports.md` describes their columns, which only grow.
"""

import logging
from hashlib import sha256

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

READER = "ledger_finance"
_REMARK = "views of faust-ledger: "
# Exact, with the currency's decimals: 1250 of two decimals is the numeric 12.50.
_UNITS = "({minor}::text || 'e-' || c.scale::text)::numeric"
_TYPE = "split_part({account}, ':', 1)"
_BALANCES = """
SELECT s.account, {type} AS account_type, s.currency,
    {debits} AS debits, {credits} AS credits,
    CASE WHEN {type} IN ('assets', 'expenses') THEN 'debit' ELSE 'credit' END AS normal_side,
    {balance} AS balance, {net} AS net, s.entries, c.scale AS decimals
FROM (
    SELECT account, currency, sum(debits) AS debits, sum(credits) AS credits,
        sum(entries) AS entries
    FROM {ledger}.stripes GROUP BY account, currency
) AS s JOIN {ledger}.currencies AS c ON c.code = s.currency
"""
_ENTRIES = """
SELECT t.transaction_id, t.kind, t.description, t.effective_at, t.recorded_at, e.account,
    {type} AS account_type, e.currency,
    CASE e.side WHEN 'D' THEN 'debit' ELSE 'credit' END AS side,
    CASE e.side WHEN 'D' THEN {amount} END AS debit,
    CASE e.side WHEN 'C' THEN {amount} END AS credit,
    CASE e.side WHEN 'D' THEN {amount} ELSE -{amount} END AS net,
    t.reverses, t.metadata, e.shard, e.log_offset, e.entry
FROM {ledger}.entries AS e
JOIN {ledger}.transactions AS t ON t.shard = e.shard AND t.log_offset = e.log_offset
JOIN {ledger}.currencies AS c ON c.code = e.currency
WHERE NOT EXISTS (
    SELECT FROM {ledger}.voids AS v WHERE v.shard = e.shard AND v.log_offset = e.log_offset
)
"""
_TRIAL_BALANCE = """
SELECT account, account_type, currency, greatest(net, 0) AS net_debit,
    greatest(-net, 0) AS net_credit, entries
FROM {views}.balances
"""
_MOVEMENTS = """
SELECT (effective_at AT TIME ZONE 'UTC')::date AS day, account, account_type, currency,
    coalesce(sum(debit), 0) AS debits, coalesce(sum(credit), 0) AS credits, sum(net) AS net,
    count(*) AS entries
FROM {views}.entries
GROUP BY 1, 2, 3, 4
"""
_THERE = "SELECT count(*) FROM pg_views WHERE schemaname = :name AND viewname = ANY (:views)"
_FIND = """
SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace WHERE nspname = :name
"""
VIEWS = {
    "balances": _BALANCES,
    "entries": _ENTRIES,
    "trial_balance": _TRIAL_BALANCE,
    "movements_by_day": _MOVEMENTS,
}
"""By name, in the order in which they refer to each other."""

log = logging.getLogger(__name__)


def schema_of(ledger: str) -> str:
    """The schema of the views beside a general ledger's tables in schema `ledger`."""
    return "ledger_views" if ledger == "public" else f"{ledger}_views"


def is_of_views(description: str, ledger: str) -> bool:
    """Whether PostgreSQL describes a part of one of these views."""
    return any(description.endswith(f"view {schema_of(ledger)}.{name}") for name in VIEWS)


def provide(connection: Connection, ledger: str, *, again: bool = False) -> None:
    """Make the views beside the ledger in schema `ledger`, as the tables' owner.

    What is there in this version's form stays as it is, unless they are to be made `again`, because
    the tables were replaced. Where they cannot be made there is a warning: nothing else needs them.
    """
    name = schema_of(ledger)
    definitions = _definitions(connection, ledger)
    remark = _REMARK + sha256("".join(definitions.values()).encode()).hexdigest()[:16]
    found = connection.scalar(text(_FIND), {"name": name})
    if found is not None and not found.startswith(_REMARK):
        log.warning(
            "There is a schema %s in this database that is not the ledger's, so there are no "
            "views: rename it (ALTER SCHEMA %s RENAME TO …) and migrate again.", name, name,
        )  # fmt: skip
        return
    try:
        with connection.begin_nested():
            if again or found != remark or not _are_there(connection, name):
                _make(connection, name, definitions, remark, is_new=found is None)
            _grant(connection, name)
    except DBAPIError as error:
        log.warning(
            "The views in the schema %s cannot be made (%s). Grant the owner's role CREATE on this "
            "database, drop views of others on them that are in the way, and migrate again.", name,
            error.orig,
        )  # fmt: skip


def _are_there(connection: Connection, name: str) -> bool:
    given = {"name": name, "views": list(VIEWS)}
    return connection.scalar(text(_THERE), given) == len(VIEWS)


def _definitions(connection: Connection, ledger: str) -> dict[str, str]:
    quote = connection.dialect.identifier_preparer.quote
    net = _UNITS.format(minor="(s.debits - s.credits)")
    found = {
        "balances": {
            "type": _TYPE.format(account="s.account"),
            "debits": _UNITS.format(minor="s.debits"),
            "credits": _UNITS.format(minor="s.credits"),
            "net": net,
            "balance": f"CASE WHEN {_TYPE.format(account='s.account')} IN ('assets', 'expenses') "
                       f"THEN {net} ELSE -{net} END",
        },
        "entries": {
            "type": _TYPE.format(account="e.account"),
            "amount": _UNITS.format(minor="e.amount"),
        },
    }  # fmt: skip
    schemas = {"ledger": quote(ledger), "views": quote(schema_of(ledger))}
    return {name: view.format(**schemas, **found.get(name, {})) for name, view in VIEWS.items()}


def _make(
    connection: Connection, name: str, definitions: dict[str, str], remark: str, *, is_new: bool
) -> None:
    quoted = connection.dialect.identifier_preparer.quote(name)
    if is_new:
        connection.execute(text(f"CREATE SCHEMA {quoted}"))
    for view, definition in definitions.items():
        # Replaced in place: views of others on it stay, and follow the ledger's tables.
        connection.exec_driver_sql(f"CREATE OR REPLACE VIEW {quoted}.{view} AS {definition}")
    connection.exec_driver_sql(f"COMMENT ON SCHEMA {quoted} IS '{remark}'")


def _grant(connection: Connection, name: str) -> None:
    quoted = connection.dialect.identifier_preparer.quote(name)
    known = "SELECT 1 FROM pg_roles WHERE rolname = :role"
    if connection.scalar(text(known), {"role": READER}) is None:
        return
    connection.execute(text(f"GRANT USAGE ON SCHEMA {quoted} TO {READER}"))
    for view in VIEWS:
        connection.execute(text(f"GRANT SELECT ON {quoted}.{view} TO {READER}"))
