"""Faults of H2 as python-oracledb raises them, with the codes that Oracle would give."""

from types import TracebackType
from typing import Any

import oracledb

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
    42122: (oracledb.DatabaseError, 904),
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
