"""Oracle's and the driver's errors, sorted: to be tried again, or refused for good.

ORA codes: https://docs.oracle.com/error-help/db/. DPY codes: python-oracledb's `errors.py`, whose
thousands are 1 interface, 2 programming, 3 not supported, 4 database, 5 internal, 6 operational.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from ledger.errors import LedgerError, SettingsError
from ledger.gl.journal import JournalUnavailable, NotPostable
from ledger.gl.posting import other_release
from ledger.hiding import hidden

DUPLICATE = "ORA-00001"
_UNDEFINED_COLUMN = "ORA-00904"

_ROOM = "the tablespace is full: add a data file, or let one grow (ALTER DATABASE DATAFILE …"
_ROOM += " AUTOEXTEND ON)"
_PLACE = "correct host, port and service_name in the address, or start the listener's service"
_TAKEN = "every session is in use: end some (V$SESSION), or raise SESSIONS and PROCESSES"
ADVICE = {
    "ORA-00018": _TAKEN,
    "ORA-00020": _TAKEN,
    "ORA-00257": "the archive destination is full: make room for archived redo logs",
    "ORA-00942": "the tables are missing, or this user may not read them: name their owner as "
    "`schema` in the address, and run `faust-ledger setup` as the owner, which creates them and "
    "grants the rights (docs/oracle.md)",
    "ORA-01017": "the user or the password is wrong: correct the address",
    "ORA-01031": "a right is missing: run `faust-ledger setup` as the owner, which grants what "
    "each user needs (docs/oracle.md)",
    "ORA-01045": "GRANT CREATE SESSION to the user",
    "ORA-01435": "the schema in the address does not exist: name the owner of the tables",
    "ORA-01536": "ALTER USER … QUOTA UNLIMITED ON the owner's tablespace",
    "ORA-01555": "undo is kept for too short: raise UNDO_RETENTION, or the undo tablespace",
    "ORA-01652": _ROOM,
    "ORA-01653": _ROOM,
    "ORA-01654": _ROOM,
    "ORA-01658": _ROOM,
    "ORA-01688": _ROOM,
    "ORA-01691": _ROOM,
    "ORA-02391": "the profile allows too few sessions: raise SESSIONS_PER_USER",
    "ORA-12514": _PLACE,
    "ORA-12541": _PLACE,
    "ORA-16000": "the database is open read only, as a standby is: name the primary",
    "ORA-28000": "ALTER USER … ACCOUNT UNLOCK",
    "ORA-28001": "the password has expired: ALTER USER … IDENTIFIED BY a new one, and put it into "
    "the address",
    "ORA-30036": "the undo tablespace is full: enlarge it",
    "DPY-4001": "give the address a password, or a passfile that has it",
    "DPY-4000": "tnsnames.ora has no such name: correct it, or config_dir in the address",
    "DPY-6001": _PLACE,
    "DPY-6003": _PLACE,
    "DPY-6005": _PLACE,
}
"""What to do about an error that a person can put right meanwhile."""

# Sessions that end, servers that start or stop, networks, contention, room, and rights: waiting
# helps, or a person does.
_TRY_AGAIN = frozenset((
    18, 19, 20, 28, 51, 54, 60, 257, 604, 942, 1012, 1013, 1017, 1031, 1033, 1034, 1035, 1041,
    1045, 1073, 1089, 1090, 1092, 1109, 1435, 1536, 1555, 1628, 1631, 1632, 1651, 1652, 1653, 1654,
    1655, 1658, 1659, 1688, 1691, 1692, 2391, 2396, 2399, 3106, 3111, 3113, 3114, 3135, 4020, 4021,
    4030, 4031, 4036, 4061, 4068, 8103, 8177, 8176, 16000, 16456, 24550, 28000, 28001, 28365, 29740,
    30006, 30032, 30036, 31443, 40365, 40366,
))  # fmt: skip
_TRY_AGAIN_RANGES = (
    range(12150, 12700),  # the network, the listener, the name of the service
    range(25400, 25426),  # fail-over under way
    range(16401, 16500),  # standby and role changes
)
_DRIVER = re.compile(r"DPY-[1456]\d{3}")
"""Of python-oracledb: not connected, the network, time-outs. 2 and 3: it was called wrongly."""
_CODE = re.compile(r"\b(?:ORA-\d{5}|DPY-\d{4})\b")


class OracleError(NamedTuple):
    """An error's code, `ORA-00001` or `DPY-4011`, empty if it has none, and its first line."""

    code: str
    message: str

    @classmethod
    def of(cls, error: BaseException) -> "OracleError":
        """Of an exception of the driver; the code is in its first argument, or in its text."""
        first: Any = error.args[0] if error.args else None
        text = hidden(str(error).strip().partition("\n")[0]) or type(error).__name__
        code = str(getattr(first, "full_code", "") or "")
        found = _CODE.search(text)
        return cls(code or (found[0] if found else ""), text)

    @property
    def is_passing(self) -> bool:
        """Whether the same statement may succeed later."""
        if _DRIVER.fullmatch(self.code):
            return True
        number = int(self.code.removeprefix("ORA-") or 0) if self.code.startswith("ORA-") else 0
        return number in _TRY_AGAIN or any(number in each for each in _TRY_AGAIN_RANGES)


@contextmanager
def faults_translated() -> Iterator[None]:
    """Raise the database's errors as JournalUnavailable, or as NotPostable if waiting is vain."""
    try:
        yield
    except DBAPIError as error:
        raise translate(error.orig or error) from error
    except PoolTimeout as error:
        raise JournalUnavailable(f"No free connection to the general ledger: {error}.") from error
    except ModuleNotFoundError as error:
        if error.name != "oracledb":
            raise
        raise missing_driver() from error


def translate(error: BaseException) -> LedgerError:
    """The fault to raise for an error of the driver."""
    found = OracleError.of(error)
    if found.is_passing:
        advice = ADVICE.get(found.code, "look at the database's alert log if this lasts")
        return JournalUnavailable(
            f"The general ledger's database does not answer at the moment: {found.message}. "
            "Postings wait in the decision log and continue when it does. "
            f"{advice[0].upper()}{advice[1:]}."
        )
    if found.code == _UNDEFINED_COLUMN:
        return NotPostable(other_release(found.message))
    return NotPostable(
        f"The general ledger's database refuses what was to be posted or read: {found.message}. "
        "Nothing was posted. It would refuse it again: this is a fault of the program, or "
        "somebody changed the tables. What to do: docs/runbooks/not-postable.md"
    )


def missing_driver() -> SettingsError:
    """For an address of Oracle where python-oracledb is not installed."""
    return SettingsError(
        "The general ledger's address is Oracle's, and the driver python-oracledb is not "
        "installed: pip install 'oracledb>=26,<27'."
    )
