"""python-oracledb's cursors over statements of JDBC."""

import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

import oracledb

from tests.h2.errors import ErrorInfo

if TYPE_CHECKING:
    from tests.h2.driver import Connection

_RETURNING = re.compile(r" RETURNING \S+ INTO :\w+$")
"""Of alembic's insert of its version, which nobody reads."""
_ANSWERS = {
    "select sys_context( 'userenv', 'current_schema' ) from dual": "SELECT CURRENT_SCHEMA",
}
"""Questions of SQLAlchemy's that H2 has another word for."""


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
