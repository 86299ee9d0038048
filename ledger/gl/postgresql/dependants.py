"""What others have created on a ledger's tables: views, keys, rules, triggers, publications.

They refer to the tables themselves and not to their names. When tables are replaced, they would
silently stay with the old ones, and be dropped with those.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

_ON_TABLES = """
WITH own AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = :schema AND c.relname = ANY (:tables)
), dependants AS (
    SELECT DISTINCT classid, objid, objsubid FROM pg_depend
    WHERE refclassid = 'pg_class'::regclass AND refobjid IN (SELECT oid FROM own)
        -- 'i': created and dropped with the table by PostgreSQL itself, as its row type.
        AND deptype IN ('n', 'a') AND NOT (classid = 'pg_class'::regclass
            AND objid IN (SELECT oid FROM own))
)
SELECT found.type, found.identity, pg_describe_object(classid, objid, objsubid)
FROM dependants, pg_identify_object(classid, objid, objsubid) AS found
ORDER BY found.type, found.identity
"""
_ROUTINES = """
SELECT DISTINCT p.oid::regprocedure::text, p.proname, pg_get_function_identity_arguments(p.oid)
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relname = ANY (:tables) AND p.pronamespace = n.oid
ORDER BY 2
"""
_IN_SCHEMA = """
SELECT pg_describe_object(d.classid, d.objid, d.objsubid)
FROM pg_depend d JOIN pg_namespace n ON n.oid = d.refobjid
WHERE d.refclassid = 'pg_namespace'::regclass AND n.nspname = :schema AND d.deptype = 'n'
    AND NOT (d.classid = 'pg_class'::regclass
        AND (SELECT relname FROM pg_class WHERE oid = d.objid) = ANY (:tables))
    AND NOT (d.classid = 'pg_proc'::regclass
        AND (SELECT proname FROM pg_proc WHERE oid = d.objid) = ANY (:routines))
ORDER BY 1
"""


class Routine(NamedTuple):
    """A function of a ledger's own triggers: its name and the types of its arguments."""

    name: str
    arguments: str

    def in_schema(self, schema: str) -> str:
        """As ALTER FUNCTION and DROP FUNCTION take it."""
        return f"{schema}.{self.name}({self.arguments})"


def dependants_missing_in(
    connection: Connection, schema: str, other: str, tables: Sequence[str]
) -> list[str]:
    """Descriptions of what depends on the tables in `schema` and has no counterpart in `other`.

    A ledger's own constraints, indexes and triggers are in both: migrations created them.
    """
    theirs = {key for key, _ in _on_tables(connection, other, tables)}
    return [what for key, what in _on_tables(connection, schema, tables) if key not in theirs]


def _on_tables(
    connection: Connection, schema: str, tables: Sequence[str]
) -> list[tuple[tuple[str, str], str]]:
    rows = connection.execute(text(_ON_TABLES), {"schema": schema, "tables": list(tables)})
    return [((kind, identity.replace(f"{schema}.", "*.")), what) for kind, identity, what in rows]


def routines(connection: Connection, schema: str, tables: Sequence[str]) -> list[Routine]:
    """Functions in `schema` that triggers of its tables call."""
    rows = connection.execute(text(_ROUTINES), {"schema": schema, "tables": list(tables)})
    return [Routine(name, arguments) for _, name, arguments in rows]


def unrelated_objects(connection: Connection, schema: str, tables: Sequence[str]) -> list[str]:
    """Descriptions of what is in `schema` and does not belong to the ledger there."""
    own = [each.name for each in routines(connection, schema, tables)]
    given = {"schema": schema, "tables": list(tables), "routines": own}
    return [row[0] for row in connection.execute(text(_IN_SCHEMA), given)]
