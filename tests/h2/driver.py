"""python-oracledb's interface over H2's JDBC driver, so that SQLAlchemy's own Oracle dialect runs.

What the ledger sends goes to H2 letter by letter, except for statements of sessions, which H2 does
not know: of `ALTER SESSION` only the schema and the time zone are set, and a read-only transaction
is one of H2's snapshots. Errors have the codes that Oracle would give. What differs from an Oracle
is listed in docs/oracle.md.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from types import ModuleType
from typing import Any

import oracledb

from tests.h2 import java
from tests.h2.cursor import Cursor
from tests.h2.errors import ErrorInfo, Faults

VERSION = "19.0.0.0.0"
PING_SECONDS = 5
Recorder = Callable[[str, Mapping[str, Any]], None]
_BIND = re.compile(r"""'(?:[^']|'')*'|(?<![:\w]):(?:"(?P<quoted>[^"]+)"|(?P<name>[A-Za-z]\w*))""")
_SNAPSHOT = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {}"
_LENGTH = re.compile(r"(?<=VARCHAR2\()(\d+)(?= CHAR\))")
"""A column's length in characters; H2 counts halves of those beyond 16 bits."""
_CURRENT_SCHEMA = re.compile(r"ALTER SESSION SET CURRENT_SCHEMA = (\w+)")
_TIME_ZONE = re.compile(r"ALTER SESSION SET TIME_ZONE = ('[^']+')")


class Connection:
    """A session of H2's."""

    def __init__(self, jdbc: Any, recorder: Recorder | None) -> None:
        self._jdbc, self._recorder = jdbc, recorder
        self._prepared: dict[str, tuple[Any, list[str]]] = {}
        self._is_snapshot = False
        self._big = java.start().JClass("java.math.BigDecimal")
        self.autocommit, self.outputtypehandler = False, None
        self.call_timeout, self.warning, self.version = 0, None, VERSION
        self.max_identifier_length, self.thin = 128, True
        jdbc.setAutoCommit(False)

    def cursor(self) -> Cursor:
        """For one statement at a time."""
        return Cursor(self)

    def faults(self) -> Faults:
        """Around whatever calls Java."""
        return Faults()

    def record(self, sql: str, binds: Mapping[str, Any]) -> None:
        """Report what is sent."""
        if self._recorder is not None:
            self._recorder(sql, binds)

    def takes_over(self, sql: str) -> bool:
        """Whether the statement is one of sessions, and done."""
        if found := _CURRENT_SCHEMA.fullmatch(sql):
            self._run(f"SET SCHEMA {found[1]}")
        elif found := _TIME_ZONE.fullmatch(sql):
            self._run(f"SET TIME ZONE {found[1]}")
        elif sql == "SET TRANSACTION READ ONLY":
            self._run(_SNAPSHOT.format("SNAPSHOT"))
            self._is_snapshot = True
        elif not sql.startswith("ALTER SESSION"):
            return False
        return True

    def _run(self, sql: str) -> None:
        with self.faults():
            statement = self._jdbc.createStatement()
            statement.execute(sql)
            statement.close()

    def prepared(self, sql: str) -> tuple[Any, list[str]]:
        """The statement, and names of its binds by position."""
        if sql not in self._prepared:
            names: list[str] = []

            def place(found: re.Match[str]) -> str:
                name = found["quoted"] or found["name"]
                if name is None:
                    return found[0]
                names.append(name)
                return "?"

            known = _LENGTH.sub(lambda found: str(2 * int(found[0])), _BIND.sub(place, sql))
            self._prepared[sql] = self._jdbc.prepareStatement(known), names
        return self._prepared[sql]

    def bind(self, statement: Any, place: int, value: Any) -> None:
        """Set a value: of a time the wall clock, as python-oracledb does."""
        if value is None or value == "":
            statement.setString(place, None)
        elif isinstance(value, str):
            statement.setString(place, value)
        elif isinstance(value, int):
            if -(2**63) <= value < 2**63:
                statement.setLong(place, value)
            else:
                statement.setBigDecimal(place, self._big(str(value)))
        elif isinstance(value, bytes):
            statement.setBytes(place, value)
        elif isinstance(value, datetime):
            statement.setString(place, f"{value.replace(tzinfo=None).isoformat(' ')}+00:00")
        else:
            raise oracledb.NotSupportedError(ErrorInfo("DPY-3002", repr(type(value))))

    def reader(self, kind: str, place: int) -> tuple[Callable[[Any], Any], Any]:
        """How a column of that type is read, and what Oracle would call it."""

        def text(result: Any) -> str | None:
            found = result.getString(place)
            return None if found is None else str(found)

        def number(result: Any) -> int | Decimal | None:
            found = text(result)
            if found is None:
                return None
            return int(found) if found.lstrip("-").isdecimal() else Decimal(found)

        def time(result: Any) -> datetime | None:
            found = text(result)
            return found and datetime.fromisoformat(found).replace(tzinfo=None)  # type: ignore[return-value]

        def raw(result: Any) -> bytes | None:
            found = result.getBytes(place)
            return None if found is None else bytes(found)

        if kind.startswith("TIMESTAMP"):
            return time, oracledb.DB_TYPE_TIMESTAMP_TZ
        if "BINARY" in kind:
            return raw, oracledb.DB_TYPE_BLOB if kind.endswith("OBJECT") else oracledb.DB_TYPE_RAW
        if kind in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "NUMERIC", "DECFLOAT", "DECIMAL"):
            return number, oracledb.DB_TYPE_NUMBER
        return text, oracledb.DB_TYPE_VARCHAR

    def commit(self) -> None:
        """End the transaction."""
        with self.faults():
            self._jdbc.commit()
            self._leave_snapshot()

    def rollback(self) -> None:
        """End the transaction, and take it back."""
        with self.faults():
            self._jdbc.rollback()
            self._leave_snapshot()

    def _leave_snapshot(self) -> None:
        if self._is_snapshot:
            self._is_snapshot = False
            self._run(_SNAPSHOT.format("READ COMMITTED"))

    def ping(self) -> None:
        """Whether it is there."""
        if not self._jdbc.isValid(PING_SECONDS):
            raise oracledb.DatabaseError(ErrorInfo("DPY-1001", "not connected to database"))

    def close(self) -> None:
        """End the session."""
        with self.faults():
            self._jdbc.close()


def driver(jdbc_url: str, recorder: Recorder | None = None) -> ModuleType:
    """python-oracledb, whose connections are to the H2 at `jdbc_url`.

    `recorder` gets each statement with its binds, or with those of a batch's first row.
    """
    made = ModuleType("oracledb")
    vars(made).update({name: value for name, value in vars(oracledb).items() if name[:2] != "__"})

    def connect(*, user: str, password: str = "", **_: Any) -> Connection:
        manager = java.start().JClass("java.sql.DriverManager")
        with Faults():
            return Connection(manager.getConnection(jdbc_url, user, password), recorder)
        raise AssertionError("unreachable")

    vars(made).update(connect=connect, version=oracledb.__version__)
    return made
