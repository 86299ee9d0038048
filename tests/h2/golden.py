"""Every statement that the ledger can send to an Oracle, with its binds: `statements.sql`.

A statement that is not in the file fails the test that sends it. To review new ones and keep them:
FAUST_LEDGER_TEST_ORACLE_SQL=write, then `git diff tests/h2/statements.sql`.
"""

import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Self

from tests.h2 import rules

FILE = Path(__file__).with_name("statements.sql")
WRITES = os.environ.get("FAUST_LEDGER_TEST_ORACLE_SQL") == "write"
_HEAD = "-- Reviewed against Oracle 19c. tests/h2/golden.py has what this file is for.\n\n"
_IN_LIST = re.compile(r"IN \((:\w+)_1(?:, :\w+)*\)")
_PART = re.compile(r"\s*UNION ALL\s*")


class Statement(NamedTuple):
    """A statement, and by bind the names of the types that its values may have."""

    sql: str
    binds: dict[str, frozenset[str]]

    @classmethod
    def of(cls, sql: str, binds: Mapping[str, Any]) -> Self:
        """As it was sent; what depends on how much is asked for is written once."""
        named: dict[str, frozenset[str]] = {}
        for name, value in binds.items():
            types = named.get(_name(name), frozenset())
            named[_name(name)] = types | {type(value).__name__} - {"NoneType"}
        return cls(_written_once(sql), named)

    def __str__(self) -> str:
        binds = (f":{name} {'|'.join(sorted(self.binds[name]))}" for name in sorted(self.binds))
        return f"-- {', '.join(binds)}\n{self.sql}\n;\n"


def _name(bind: str) -> str:
    return re.sub(r"_\d+", "_n", bind)


@cache
def _written_once(sql: str) -> str:
    sql = _IN_LIST.sub(
        r"IN (\1_n, ...)", "\n".join(line.rstrip() for line in sql.strip().split("\n"))
    )
    sql = re.sub(r"(?<=:)\w+|\banon_\d+|\bsa_savepoint_\d+", lambda one: _name(one[0]), sql)
    sql = re.sub(r"(?<=FETCH FIRST )\d+", "n", sql)
    parts = _PART.split(sql)
    if len(parts) < 4:
        return sql
    parts[-1], fetch, _ = parts[-1].rpartition("\n FETCH FIRST n ROWS ONLY")
    return "\nUNION ALL ".join(dict.fromkeys(parts)) + fetch


@cache
def _wrong(sql: str) -> tuple[str, ...]:
    return tuple(rules.problems(sql))


class Golden:
    """The file, and what is checked against it."""

    def __init__(self, file: Path = FILE, *, writes: bool = WRITES) -> None:
        self._file, self._writes, self._lock = file, writes, Lock()
        self.known = dict(self._read())

    def _read(self) -> list[tuple[str, Statement]]:
        if not self._file.exists():
            return []
        found = []
        for block in self._file.read_text(encoding="utf-8").removeprefix(_HEAD).split("\n;\n"):
            head, _, sql = block.strip().partition("\n")
            if sql:
                pairs = (each.split(" ") for each in head[3:].split(", ") if each)
                binds = {name[1:]: frozenset(kinds.split("|")) - {""} for name, kinds in pairs}
                found.append((sql, Statement(sql, binds)))
        return found

    def check(self, sql: str, binds: Mapping[str, Any]) -> None:
        """Raises AssertionError for what is not in the file, or is against a rule of 19c."""
        sent = Statement.of(sql, binds)
        assert not (wrong := _wrong(sql)), f"19c takes no {wrong}: {sql}"
        known = self.known.get(sent.sql)
        if known is not None and known.binds.keys() == sent.binds.keys():
            more = [name for name, kinds in sent.binds.items() if kinds - known.binds[name]]
            if not more:
                return
        assert self._writes, (
            f"This statement, or a type of its binds, is not in {self._file.name}. Review it against "
            f"Oracle 19c, then keep it (tests/h2/golden.py):\n{sent}"
        )
        with self._lock:
            old = self.known.get(sent.sql, sent).binds
            binds_ = {n: k | old.get(n, frozenset()) for n, k in sent.binds.items()}
            self.known[sent.sql] = Statement(sent.sql, binds_)
            texts = sorted(str(each) for each in self.known.values())
            texts.sort(key=lambda text: text.partition("\n")[2])
            self._file.write_text(_HEAD + "\n".join(texts), encoding="utf-8")


GOLDEN = Golden()
