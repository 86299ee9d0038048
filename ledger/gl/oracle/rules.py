"""Rules of the tables that are missing, switched off or not validated, from Oracle's dictionary.

Conditions are not compared with the migrations': the dictionary has them as text, and no planner
that says whether two mean the same.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from ledger.gl.rows import JournalFinding, RowKey

RULES = {
    "shards": ("pk", "digest", "position", "times"),
    "runs": ("pk", "order", "decided_with", "position", "accepted", "digests", "times"),
    "currencies": ("pk", "scale"),
    "transactions": ("pk", "position", "times"),
    "entries": ("pk", "side", "amount", "position"),
    "stripes": ("pk", "position", "totals"),
    "voids": ("pk", "was_posted", "position", "order", "authority", "times"),
}
"""By table, the rules that the migrations made, by the end of their names."""
_SCHEMA = text("select sys_context( 'userenv', 'current_schema' ) from dual")
_IN_FORCE = text("""
SELECT table_name, constraint_name FROM all_constraints
WHERE owner = :tables_owner AND status = 'ENABLED' AND validated = 'VALIDATED'
""")


def broken(connection: Connection) -> Iterator[JournalFinding]:
    """Each rule that is not in force."""
    owner = connection.scalar(_SCHEMA)
    found = connection.execute(_IN_FORCE, {"tables_owner": owner})
    in_force = {(table.lower(), name.lower()) for table, name in found}
    for table, names in RULES.items():
        for rule in (f"{table}_{name}" for name in names):
            if (table, rule) not in in_force:
                yield JournalFinding.about(
                    RowKey(table, (("rule", rule),)),
                    f"Table {table} is without its rule {rule}, or the rule is switched off or has "
                    "not been validated. Remove the rows that break it, then have the owner put it "
                    f"back as the migrations made it (ALTER TABLE {table} ADD, or ENABLE VALIDATE, "
                    "CONSTRAINT …).",
                )
