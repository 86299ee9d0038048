"""python-oracledb's interface over H2's JDBC driver, so that SQLAlchemy's own Oracle dialect runs.

What the ledger sends goes to H2 letter by letter, except for statements of sessions, which H2 does
not know: `ALTER SESSION` is left out, and a read-only transaction is one of H2's snapshots. Errors
have the codes that Oracle would give. What differs from an Oracle is listed in docs/oracle.md.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from types import ModuleType, TracebackType
from typing import Any, Self

import oracledb

from tests.h2 import java

VERSION = "19.0.0.0.0"
Recorder = Callable[[str, Mapping[str, Any]], None]
_BIND = re.compile(r"""'(?:[^']|'')*'|(?<![:\w]):(?:"(?P<quoted>[^"]+)"|(?P<name>[A-Za-z]\w*))""")
_SNAPSHOT = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {}"
_RETURNING = re.compile(r" RETURNING \S+ INTO :\w+$")
"""Of alembic's insert of its version, which nobody reads."""
_LENGTH = re.compile(r"(?<=VARCHAR2\()(\d+)(?= CHAR\))")
"""A column's length in characters; H2 counts halves of those beyond 16 bits."""
_CURRENT_SCHEMA = re.compile(r"ALTER SESSION SET CURRENT_SCHEMA = (\w+)")
_ANSWERS = {
    "select sys_context( 'userenv', 'current_schema' ) from dual": "SELECT CURRENT_SCHEMA",
}
"""Questions of SQLAlchemy's that H2 has another word for."""
_CODES = {
    23502: (oracledb.IntegrityError, 1400),
    23505: (oracledb.IntegrityError, 1),
    23513: (oracledb.IntegrityError, 2290),
    22001: (oracledb.DatabaseError, 12899),
    22003: (oracledb.DatabaseError, 1438),
    40001: (oracledb.OperationalError, 60),
    50200: (oracledb.OperationalError, 30006),
    90131: (oracledb.OperationalError, 8177),
    42102: (oracledb.DatabaseError, 942),
    42103: (oracledb.DatabaseError, 942),
    90096: (oracledb.DatabaseError, 1031),
    28000: (oracledb.DatabaseError, 1017),
}
"""H2's codes (org.h2.api.ErrorCode) as Oracle's."""
_CLOSED = (90007, 90067, 90098, 90121)


class ErrorInfo:
    """The argument of an exception, as python-oracledb has it."""

    def __init__(self, full_code: str, text: str) -> None:
        self.full_code, self.message = full_code, f"{full_code}: {text}"
        self.code = int(full_code.partition("-")[2]) if full_code.startswith("ORA-") else 0
        self.context, self.offset, self.isrecoverable = "", 0, False

    def __str__(self) -> str:
        return self.message


def translated(error: Any) -> Exception:
    """Java's SQLException as python-oracledb's."""
    while error.getErrorCode() not in _CODES and (after := error.getNextException()) is not None:
        error = after
    number, text = (
        int(error.getErrorCode()),
        str(error.getMessage()).partition("; SQL statement:")[0],
    )
    if number in _CLOSED:
        return oracledb.DatabaseError(ErrorInfo("DPY-4011", text))
    kind, code = _CODES.get(number, (oracledb.DatabaseError, 900))
    return kind(ErrorInfo(f"ORA-{code:05}", text))


class Variable:
    """What an output type handler returns."""

    def __init__(self, kind: Any, outconverter: Callable[[Any], Any] | None) -> None:
        self.kind, self.outconverter = kind, outconverter
        self.values: list[Any] = []

    def value(self, raw: Any) -> Any:
        """A fetched value as it was asked for."""
        if raw is None:
            return None
        if self.kind in (str, oracledb.STRING):
            raw = str(raw)
        elif self.kind is Decimal:
            raw = Decimal(str(raw))
        return self.outconverter(raw) if self.outconverter else raw


class Cursor:
    """One statement at a time; rows are fetched as they are asked for."""

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self.arraysize = 100
        self.rowcount = -1
        self.description: list[tuple[Any, ...]] | None = None
        self.outputtypehandler: Any = None
        self._result: Any = None
        self._columns: list[Callable[[Any], Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(self.fetchone, None)

    def setinputsizes(self, *given: Any, **named: Any) -> None:
        """Types of binds: H2 finds them out."""

    def var(
        self, kind: Any, size: int = 0, arraysize: int = 1, outconverter: Any = None, **_: Any
    ) -> Variable:
        """How a column is to be fetched."""
        return Variable(kind, outconverter)

    def execute(self, sql: str, binds: Mapping[str, Any] | None = None) -> Self:
        """Send a statement."""
        self._end_result()
        self.connection.record(sql, binds or {})
        if self.connection.takes_over(sql):
            self.rowcount, self.description = 0, None
            return self
        with self.connection.faults():
            statement, names = self.connection.prepared(_RETURNING.sub("", _ANSWERS.get(sql, sql)))
            for out in (binds or {}).values():
                if isinstance(out, Variable):
                    out.values = [[None]]
            for place, name in enumerate(names, 1):
                self.connection.bind(statement, place, (binds or {})[name])
            if statement.execute():
                self._begin(statement.getResultSet())
            else:
                self.description, self.rowcount = None, max(int(statement.getUpdateCount()), 0)
        return self

    def executemany(self, sql: str, rows: list[Mapping[str, Any]]) -> None:
        """Send a statement for each of the rows, in one batch that has some."""
        self._end_result()
        if not rows:
            raise oracledb.ProgrammingError(ErrorInfo("DPY-2015", "an empty batch"))
        self.connection.record(sql, rows[0])
        with self.connection.faults():
            statement, names = self.connection.prepared(sql)
            for row in rows:
                for place, name in enumerate(names, 1):
                    self.connection.bind(statement, place, row[name])
                statement.addBatch()
            self.rowcount = sum(int(count) for count in statement.executeBatch())
        self.description = None

    def _begin(self, result: Any) -> None:
        meta = result.getMetaData()
        self._result, self.rowcount, self._columns, self.description = result, 0, [], []
        handler = self.outputtypehandler or self.connection.outputtypehandler
        for place in range(1, int(meta.getColumnCount()) + 1):
            name, kind = str(meta.getColumnLabel(place)), str(meta.getColumnTypeName(place))
            read, oracle_type = self.connection.reader(kind, place)
            precision, scale = int(meta.getPrecision(place)), int(meta.getScale(place))
            var = handler and handler(self, name, oracle_type, precision, precision, scale)
            self._columns.append(_then(read, var))
            self.description.append((name, oracle_type, precision, None, precision, scale, True))

    def _end_result(self) -> None:
        if self._result is not None:
            self._result.close()
            self._result = None

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row."""
        with self.connection.faults():
            if self._result is None or not self._result.next():
                return None
            self.rowcount += 1
            return tuple(read(self._result) for read in self._columns)

    def fetchmany(self, size: int | None = None) -> list[tuple[Any, ...]]:
        """At most `size` rows."""
        return [row for _ in range(size or self.arraysize) if (row := self.fetchone()) is not None]

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rest."""
        return list(self)

    def close(self) -> None:
        """Give up what was not fetched."""
        self._end_result()


def _then(read: Callable[[Any], Any], var: Variable | None) -> Callable[[Any], Any]:
    return read if var is None else lambda result: var.value(read(result))


class Faults:
    """Java's exceptions as python-oracledb's."""

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and hasattr(error, "getErrorCode"):
            raise translated(error) from None


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
        if self._jdbc.isClosed():
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
