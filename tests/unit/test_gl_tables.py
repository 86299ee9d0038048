"""Times and tables without a database."""

import pytest
from sqlalchemy.dialects import oracle, postgresql
from sqlalchemy.schema import CreateIndex, CreateTable

from ledger.domain.transaction import EARLIEST, LATEST
from ledger.gl.tables import metadata, to_datetime, to_microseconds

# From Oracle's "SQL Language Reference", appendix "Oracle SQL Reserved Words".
RESERVED = frozenset(
    """
    ACCESS ADD ALL ALTER AND ANY AS ASC AUDIT BETWEEN BY CHAR CHECK CLUSTER COLUMN COMMENT
    COMPRESS CONNECT CREATE CURRENT DATE DECIMAL DEFAULT DELETE DESC DISTINCT DROP ELSE EXCLUSIVE
    EXISTS FILE FLOAT FOR FROM GRANT GROUP HAVING IDENTIFIED IMMEDIATE IN INCREMENT INDEX INITIAL
    INSERT INTEGER INTERSECT INTO IS LEVEL LIKE LOCK LONG MAXEXTENTS MINUS MLSLABEL MODE MODIFY
    NOAUDIT NOCOMPRESS NOT NOWAIT NULL NUMBER OF OFFLINE ON ONLINE OPTION OR ORDER PCTFREE PRIOR
    PUBLIC RAW RENAME RESOURCE REVOKE ROW ROWID ROWNUM ROWS SELECT SESSION SET SHARE SIZE SMALLINT
    START SUCCESSFUL SYNONYM SYSDATE TABLE THEN TO TRIGGER UID UNION UNIQUE UPDATE USER VALIDATE
    VALUES VARCHAR VARCHAR2 VIEW WHENEVER WHERE WITH
    """.split()  # noqa: SIM905 - a list of a hundred quoted words is harder to compare.
)


@pytest.mark.parametrize("at", [EARLIEST, EARLIEST + 1, -1, 0, 1, 1_767_225_600_123_457, LATEST])
def test_times_are_exact_both_ways(at: int) -> None:
    assert to_microseconds(to_datetime(at)) == at


def test_the_ends_of_the_range_are_what_they_say() -> None:
    assert to_datetime(EARLIEST).isoformat() == "1900-01-01T00:00:00+00:00"
    assert to_datetime(LATEST).isoformat() == "2200-01-01T00:00:00+00:00"


def test_no_name_is_a_reserved_word_of_oracle() -> None:
    names = {table.name for table in metadata.sorted_tables}
    names |= {column.name for table in metadata.sorted_tables for column in table.columns}
    assert not {name.upper() for name in names} & RESERVED


@pytest.mark.parametrize("dialect", [postgresql.dialect(), oracle.dialect()])  # type: ignore[no-untyped-call]
def test_both_databases_can_have_the_tables(dialect: object) -> None:
    for table in metadata.sorted_tables:
        ddl = str(CreateTable(table).compile(dialect=dialect))  # type: ignore[arg-type]
        assert "CLOB" not in ddl
        # Rows of the voids are rare, and a transaction is longer than RAW is.
        assert "BLOB" not in ddl or table.name == "voids"
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect))  # type: ignore[arg-type]


def test_oracle_keeps_microseconds_and_digests() -> None:
    dialect = oracle.dialect()  # type: ignore[no-untyped-call]
    ddl = str(CreateTable(metadata.tables["runs"]).compile(dialect=dialect))
    assert "recorded_until TIMESTAMP WITH TIME ZONE" in ddl
    assert "digest RAW(32)" in ddl
