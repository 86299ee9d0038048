"""What Oracle 19c takes, of SQL that H2 would take as well: a checker of texts, and no parser.

From Oracle's "SQL Language Reference" 19c: INSERT (one row of VALUES), MERGE (no RETURNING), SELECT
(row_limiting_clause, FROM is needed, no AS before the alias of a table, ORDER BY of a set operator
at its end), "Database Object Naming Rules" (128 bytes), NUMBER (a precision of at most 38),
VARCHAR2 (4,000 bytes without MAX_STRING_SIZE), IN (1,000 expressions).
"""

import re
from collections.abc import Iterator

RESERVED = frozenset(
    [
        "ACCESS",
        "ADD",
        "ALL",
        "ALTER",
        "AND",
        "ANY",
        "AS",
        "ASC",
        "BETWEEN",
        "BY",
        "CHECK",
        "COLUMN",
        "COMMENT",
        "CONNECT",
        "CREATE",
        "CURRENT",
        "DATE",
        "DEFAULT",
        "DELETE",
        "DESC",
        "DISTINCT",
        "DROP",
        "ELSE",
        "EXISTS",
        "FILE",
        "FOR",
        "FROM",
        "GRANT",
        "GROUP",
        "IN",
        "INDEX",
        "INSERT",
        "INTEGER",
        "INTO",
        "IS",
        "LEVEL",
        "LIKE",
        "LOCK",
        "LONG",
        "MODE",
        "NOT",
        "NULL",
        "NUMBER",
        "OF",
        "ON",
        "OPTION",
        "OR",
        "ORDER",
        "PRIOR",
        "PUBLIC",
        "RAW",
        "ROW",
        "ROWID",
        "ROWNUM",
        "ROWS",
        "SELECT",
        "SESSION",
        "SET",
        "SHARE",
        "SIZE",
        "START",
        "SYSDATE",
        "TABLE",
        "THEN",
        "TO",
        "UID",
        "UNION",
        "UNIQUE",
        "UPDATE",
        "USER",
        "VALUES",
        "VIEW",
        "WHERE",
        "WITH",
    ]
)
PATTERNS = {
    "several rows of VALUES": r"\bVALUES\s*\((?:[^()]|\([^()]*\))*\)\s*,\s*\(",
    "LIMIT": r"\bLIMIT\b",
    "ON CONFLICT": r"\bON\s+(?:CONFLICT|DUPLICATE)\b",
    "IF EXISTS": r"\bIF\s+(?:NOT\s+)?EXISTS\b",
    "RETURNING of a MERGE": r"^\s*MERGE\b.*\bRETURNING\b",
    "AS before the alias of a table": r"\b(?:FROM|JOIN|USING|INTO)\s+\w+\s+AS\s",
    "ORDER BY in a part of a union": r"ROWS\s+ONLY\s*\)\s*(?:UNION|MINUS|INTERSECT)\b",
    "a boolean": r"\b(?:TRUE|FALSE|BOOLEAN)\b",
    "a cast with ::": r"::\s*\w",
    "an empty text": r"(?:=|<>)\s*''(?!')",
    "SELECT without FROM": r"^(?!\s*(?:GRANT|REVOKE)\b).*\bSELECT\b(?!.*\bFROM\b)",
    "a type of another database": r"\b(?:TEXT|BYTEA|BIGINT|TIMESTAMPTZ|SERIAL)\b",
}
"""By what is wrong, how it looks; case and line ends do not count."""
_LITERAL = re.compile(r"'(?:[^']|'')+'")
_NUMBER = re.compile(r"\bNUMBER\s*\(\s*(\d+)", re.IGNORECASE)
_TEXT = re.compile(r"\bVARCHAR2\s*\(\s*(\d+)", re.IGNORECASE)
_NAME = re.compile(r":?[A-Za-z_]\w*")
_LIST = re.compile(r"\bIN\s*\(([^()]*)\)", re.IGNORECASE)


def problems(sql: str) -> Iterator[str]:
    """What of a statement 19c would refuse."""
    bare = _LITERAL.sub("x", sql)
    for name, pattern in PATTERNS.items():
        if re.search(pattern, bare, re.IGNORECASE | re.DOTALL):
            yield name
    if any(int(each) > 38 for each in _NUMBER.findall(bare)):
        yield "NUMBER beyond 38 digits"
    if any(int(each) > 4_000 for each in _TEXT.findall(bare)):
        yield "VARCHAR2 beyond 4,000"
    for name in _NAME.findall(bare):
        if len(name.removeprefix(":").encode()) > 128:
            yield "a name beyond 128 bytes"
        if name[0] == ":" and name[1:].upper() in RESERVED:
            yield "a reserved word as a bind"
    if any(each.count(",") >= 1_000 for each in _LIST.findall(bare)):
        yield "more than 1,000 expressions in a list"
