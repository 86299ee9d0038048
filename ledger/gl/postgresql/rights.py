"""Rights of a ledger's roles beyond those that they need, found in the catalogue.

Checked for the roles that post and that read: memberships, attributes, rights on the ledger's
tables and their columns (also those that others passed on), on other relations and SECURITY
DEFINER functions of its owner, on its schema and database, default privileges, parameters,
ownership. For everybody (PUBLIC): the same, except what PostgreSQL itself grants (CONNECT, TEMP,
EXECUTE).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

Grants = Mapping[str, Mapping[str, str]]
"""By role and table, privileges as GRANT takes them: `SELECT, UPDATE (debits, credits)`."""
Run = Callable[..., Any]
"""psycopg's `execute`, or SQLAlchemy's `exec_driver_sql`."""


class ExcessRight(NamedTuple):
    """A right that a role does not need, and the statement that revokes it."""

    what: str
    command: str


_ROLES = """
SELECT format('%%I is a member of %%I', m.rolname, g.rolname),
    format('REVOKE %%I FROM %%I GRANTED BY %%I', g.rolname, m.rolname, by.rolname)
FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
JOIN pg_roles by ON by.oid = a.grantor
WHERE m.rolname = ANY (%(roles)s)
UNION ALL
SELECT format('%%I has the attribute %%s', rolname, attribute),
    format('ALTER ROLE %%I NO%%s', rolname, attribute)
FROM pg_roles, LATERAL (VALUES ('SUPERUSER', rolsuper), ('CREATEROLE', rolcreaterole),
    ('CREATEDB', rolcreatedb), ('REPLICATION', rolreplication), ('BYPASSRLS', rolbypassrls)
) AS given (attribute, has)
WHERE has AND rolname = ANY (%(roles)s)
"""
_GRANTEES = """
WITH grantee AS (
    SELECT oid, quote_ident(rolname) AS name, rolname FROM pg_roles WHERE rolname = ANY (%(roles)s)
    UNION ALL SELECT 0, 'PUBLIC', 'PUBLIC'
), owner AS (
    SELECT oid FROM pg_roles WHERE rolname = %(owner)s
)
"""
_PLACES = """
SELECT format('%%s may %%s in schema %%I', g.name, a.privilege_type, n.nspname),
    format('REVOKE %%s ON SCHEMA %%I FROM %%s', a.privilege_type, n.nspname, g.name)
FROM pg_namespace n, aclexplode(n.nspacl) a, grantee g
WHERE n.nspname = %(schema)s AND a.grantee = g.oid AND a.privilege_type = 'CREATE'
UNION ALL
SELECT format('%%s may %%s in database %%I', g.name, a.privilege_type, d.datname),
    format('REVOKE %%s ON DATABASE %%I FROM %%s', a.privilege_type, d.datname, g.name)
FROM pg_database d, aclexplode(d.datacl) a, grantee g
WHERE d.datname = current_database() AND a.grantee = g.oid
    AND (a.privilege_type = 'CREATE' OR a.privilege_type = 'TEMPORARY' AND g.oid <> 0)
UNION ALL
SELECT format('%%s gets %%s on new %%s of %%s%%s', g.name, a.privilege_type, kind, by.rolname,
        ' in ' || n.nspname),
    format('ALTER DEFAULT PRIVILEGES FOR ROLE %%I %%s REVOKE ALL ON %%s FROM %%s', by.rolname,
        'IN SCHEMA ' || quote_ident(n.nspname), kind, g.name)
FROM pg_default_acl x JOIN pg_roles by ON by.oid = x.defaclrole
LEFT JOIN pg_namespace n ON n.oid = x.defaclnamespace
JOIN (VALUES ('r', 'TABLES'), ('S', 'SEQUENCES'), ('f', 'FUNCTIONS'), ('T', 'TYPES'),
    ('n', 'SCHEMAS')) AS kinds (letter, kind) ON letter = x.defaclobjtype::text,
aclexplode(x.defaclacl) a, grantee g
WHERE a.grantee = g.oid AND (g.oid <> 0 OR letter NOT IN ('f', 'T'))
"""
_RELATIONS = """
, acl AS (
    SELECT c.oid, c.relname, c.relowner, c.relkind, NULL AS attname, a.*
    FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace = to_regnamespace(%(schema)s)
    UNION ALL
    SELECT c.oid, c.relname, c.relowner, c.relkind, t.attname, a.*
    FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) a
    WHERE c.relnamespace = to_regnamespace(%(schema)s)
), given AS (
    SELECT acl.*, g.name, g.oid AS grantee_oid, acl.relname = ANY (%(tables)s) AS ours,
        concat_ws('|', g.rolname, acl.relname, acl.privilege_type, acl.attname) AS word
    FROM acl JOIN grantee g ON g.oid = acl.grantee
    WHERE acl.relowner IN (SELECT oid FROM owner)
)
SELECT format('%%s may %%s on %%s%%s', name, privilege_type, oid::regclass,
        '(' || attname || ')') || CASE WHEN is_grantable THEN ' and pass it on' ELSE '' END
        || CASE WHEN grantor <> relowner THEN ' by ' || grantor::regrole ELSE '' END,
    CASE WHEN grantor <> relowner
        THEN format('REVOKE GRANT OPTION FOR ALL ON %%s FROM %%s CASCADE', oid::regclass,
            grantor::regrole)
        ELSE format('REVOKE %%s%%s ON %%s%%s FROM %%s CASCADE', privilege_type,
            ' (' || quote_ident(attname) || ')',
            CASE WHEN relkind = 'S' THEN 'SEQUENCE ' ELSE '' END, oid::regclass, name)
    END
FROM given
WHERE CASE WHEN ours
    THEN is_grantable OR grantor <> relowner OR NOT word = ANY (%(expected)s)
    ELSE relname = 'alembic_version' OR privilege_type <> 'SELECT' END
UNION ALL
SELECT format('%%s may run %%s, which does it as %%s', g.name, p.oid::regprocedure, r.rolname),
    format('REVOKE ALL ON FUNCTION %%s FROM PUBLIC, %%s', p.oid::regprocedure, g.name)
FROM pg_proc p JOIN pg_roles r ON r.oid = p.proowner, grantee g
WHERE p.prosecdef AND p.proowner IN (SELECT oid FROM owner) AND g.oid <> 0
    AND has_function_privilege(g.oid, p.oid, 'EXECUTE')
UNION ALL
SELECT format('%%s owns %%s', g.name, c.oid::regclass),
    format('ALTER TABLE %%s OWNER TO %%I', c.oid::regclass, %(owner)s)
FROM pg_class c JOIN grantee g ON g.oid = c.relowner
WHERE c.relnamespace = to_regnamespace(%(schema)s) AND c.relname = ANY (%(tables)s)
UNION ALL
SELECT format('%%s owns the database %%I', g.name, d.datname),
    format('ALTER DATABASE %%I OWNER TO %%I', d.datname, %(owner)s)
FROM pg_database d JOIN grantee g ON g.oid = d.datdba WHERE d.datname = current_database()
"""
# Since PostgreSQL 15.
_PARAMETERS = """
SELECT format('%%s may %%s %%s', g.name, a.privilege_type, p.parname),
    format('REVOKE ALL ON PARAMETER %%s FROM %%s', p.parname, g.name)
FROM pg_parameter_acl p, aclexplode(p.paracl) a, grantee g WHERE a.grantee = g.oid
"""
_PRIVILEGE = re.compile(r"([A-Z]+)\s*(?:\(([^)]*)\))?")


def excess_rights(run: Run, grants: Grants, *, owner: str, schema: str) -> list[ExcessRight]:
    """What the roles of `grants` have beyond these in this database; `owner` has the tables."""
    given = {
        "roles": list(grants),
        "owner": owner,
        "schema": schema,
        "tables": sorted({table for tables in grants.values() for table in tables}),
        "expected": expected(grants),
    }
    queries = [_ROLES, _PLACES, _RELATIONS]
    if run("SELECT to_regclass('pg_catalog.pg_parameter_acl') IS NOT NULL").fetchone()[0]:
        queries.append(_PARAMETERS)
    rows = [tuple(row) for query in queries for row in run(_GRANTEES + query, given).fetchall()]
    return [ExcessRight(what, command) for what, command in dict.fromkeys(rows)]


def expected(grants: Grants) -> list[str]:
    """role|table|privilege, and |column where it is for some columns alone."""
    words = []
    for role, tables in grants.items():
        for table, privileges in tables.items():
            for privilege, columns in _PRIVILEGE.findall(privileges):
                start = f"{role}|{table}|{privilege}"
                names = [each.strip() for each in columns.split(",") if each.strip()]
                words += [f"{start}|{name}" for name in names] or [start]
    return words


def excess_sentence(right: ExcessRight) -> str:
    """For people, if it could not be revoked."""
    return (
        f"{right.what}, which is beyond its rights and not this role's to take back. As a "
        f"superuser, or as who granted it: {right.command};"
    )
