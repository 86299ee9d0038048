"""Alterations of a general ledger, generated: one statement each, as one role or another.

Values are text as PostgreSQL reads and writes it, cast to their column's type, so that also those
can be tried that Python has no value for: infinity, NaN, years before the first.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from sqlalchemy import Column, Connection, DateTime, Integer, LargeBinary, Numeric, Table, text
from sqlalchemy.dialects import postgresql

from ledger.gl.rows import RowKey
from ledger.gl.tables import Instant, Whole, metadata

Values = Mapping[str, str | None]
"""A row by column."""
ROLES = ("ledger_owner", "ledger_service", "ledger_finance")
WEIGHTS = (6, 3, 1)
"""The owner may do most, so most is to be found of what the owner does."""
TABLES = {
    "transactions": 4, "entries": 4, "runs": 3, "stripes": 3, "shards": 1, "currencies": 1,
    "voids": 2,
}  # fmt: skip
EDGES = ("-1", "0", "1", "3", "99", "2147483647", "-2147483648", "9223372036854775807")
INSTANTS = (
    "infinity", "-infinity", "0044-03-15 12:00:00+00 BC", "1970-01-01 00:00:00+00",
    "9999-12-31 23:59:59.999999+00", "2026-01-01 00:00:00.000001+00",
)  # fmt: skip
IMPLAUSIBLE = ("infinity", "-infinity", "1999-12-31 23:59:59+00", "2200-01-01 00:00:00+00")
"""Of posted_at alone: a time of posting that could be is the database's own word, and nothing else
in the ledger says or uses it, so that changing it to another is not counted as an alteration."""


@dataclass(frozen=True)
class Alteration:
    """A statement of one role, with the rows that it touches.

    `rows`: for each the names by which it may be called, such as those before and after its key
    was changed.
    """

    role: str
    statement: str
    values: Values
    rows: Sequence[Sequence[RowKey]]

    def named_by(self, found: set[RowKey]) -> bool:
        """Whether every row is among those found, by any of its names."""
        return all(any(is_named(name, found) for name in names) for names in self.rows)


def is_named(row: RowKey, found: set[RowKey]) -> bool:
    """An entry is also named by its transaction's place in table `entries`."""
    return any(
        RowKey(row.table, row.columns[:size]) in found for size in range(2, len(row.columns) + 1)
    ) or (row in found)


class Generator:
    """What to alter, chosen by `random` among the rows that there are."""

    def __init__(self, connection: Connection, random: Random) -> None:
        self._random = random
        self._tables = metadata.tables
        self._rows = {name: list(_read(connection, table)) for name, table in self._tables.items()}

    def next(self) -> Alteration:
        """One more."""
        role = self._random.choices(ROLES, WEIGHTS)[0]
        kinds: list[Callable[[str, Table], Alteration]] = [
            self._update, self._update, self._insert, self._insert, self._delete, self._pair,
            self._moved,
        ]  # fmt: skip
        table = self._tables[self._random.choices(list(TABLES), list(TABLES.values()))[0]]
        return self._random.choice(kinds)(role, table)

    def _some(self, table: Table) -> Values:
        """First, last, or any."""
        rows = self._rows[table.name]
        return rows[self._random.choice([0, -1, *([self._random.randrange(len(rows))] * 4)])]

    def _update(self, role: str, table: Table) -> Alteration:
        before = self._some(table)
        column = self._random.choice(list(table.c))
        after = {**before, column.name: self._value(column, before)}
        assigned = f"{column.name} = {_cast(column, 'new')}"
        changes = f"{column.name} IS DISTINCT FROM {_cast(column, 'new')}"
        return Alteration(
            role, f"UPDATE {table.name} SET {assigned} WHERE {_where(table)} AND {changes}",
            {**_key(table, before), "new": after[column.name]},
            [[row_of(table, before), row_of(table, after)]],
        )  # fmt: skip

    def _delete(self, role: str, table: Table) -> Alteration:
        row = self._some(table)
        statement = f"DELETE FROM {table.name} WHERE {_where(table)}"
        return Alteration(role, statement, _key(table, row), [[row_of(table, row)]])

    def _insert(self, role: str, table: Table) -> Alteration:
        """A copy with one column, or part of the key, changed."""
        row = dict(self._some(table))
        keys = list(table.primary_key.columns)
        # One may be both; then it is changed twice.
        for column in (self._random.choice(keys), self._random.choice(list(table.c))):
            row[column.name] = self._value(column, row)
        return _inserted(role, table, row)

    def _moved(self, role: str, table: Table) -> Alteration:
        """A copy in another shard, or at the place of another row."""
        row, other = dict(self._some(table)), self._some(table)
        if "shard" in row and self._random.random() < 0.5:
            row["shard"] = str(self._random.choice([-1, *range(6), 99]))
        else:
            column = self._random.choice(list(table.primary_key.columns))
            row[column.name] = other[column.name]
        return _inserted(role, table, row)

    def _pair(self, role: str, _: Table) -> Alteration:
        """A transaction and two entries that balance, in one statement."""
        transactions, entries = self._tables["transactions"], self._tables["entries"]
        row = dict(self._some(transactions)) | {"transaction_id": "forged"}
        place = {
            "shard": str(self._random.choice([-1, 0, 1, 2, 3, 4, 99])),
            "log_offset": str(self._random.choice([-1, 0, 1, self._random.randrange(400), 10**6])),
        }
        row |= place
        legs = [dict(self._some(entries)), dict(self._some(entries))]
        legs[1] |= {"currency": legs[0]["currency"], "amount": legs[0]["amount"]}
        for entry, leg in enumerate(legs):
            leg |= place | {"entry": str(entry), "side": "DC"[entry]}
        parts = [_insertion(transactions, "t_", row)]
        parts += [_insertion(entries, f"e{entry}_", leg) for entry, leg in enumerate(legs)]
        values = {
            f"{prefix}{name}": value
            for prefix, each in (("t_", row), ("e0_", legs[0]), ("e1_", legs[1]))
            for name, value in each.items()
        }
        transaction = row_of(transactions, row)
        return Alteration(
            role, f"WITH t AS ({parts[0]}), e AS ({parts[1]}) {parts[2]}", values,
            # Who finds a transaction that nobody accepted shows its entries with it.
            [[transaction], *([row_of(entries, leg), transaction] for leg in legs)],
        )  # fmt: skip

    def _value(self, column: Column[object], row: Values) -> str | None:
        """Something for the column: an edge, a neighbour, another row's, nothing."""
        known, choose = row[column.name], self._random.choice
        other = self._some(column.table)[column.name]
        if column.name == "posted_at":
            return choose(IMPLAUSIBLE)
        if self._random.random() < 0.05:
            return None
        if isinstance(column.type, Instant | DateTime):
            return choose([*INSTANTS, other])
        if isinstance(column.type, Integer):
            near = [] if known is None else [str(int(known) + 1), str(int(known) - 1)]
            return choose([*EDGES, *near * 3, other])
        if isinstance(column.type, Whole | Numeric):
            return choose(
                ["NaN", "-1", "0", "1", "1e30", "9" * 38, str(int(known or 0) + 1), other]
            )
        if isinstance(column.type, LargeBinary) or column.name in DIGESTS:
            digest = bytearray.fromhex((known or "\\x")[2:])
            digest[self._random.randrange(32)] ^= 1 << self._random.randrange(8)
            return choose([f"\\x{digest.hex()}", f"\\x{digest[:31].hex()}", "\\x", other,
                           f"\\x{bytes(32).hex()}"])  # fmt: skip
        if column.name == "side":
            return choose(["D", "C", "d", ""])
        return choose(["", " ", "x", f"{known or ''}x", (known or "x")[:-1], other])


DIGESTS = ("digest", "follows", "outcomes_digest", "reference_digest")


def row_of(table: Table, row: Values) -> RowKey:
    """The name of a row."""
    key: dict[str, int | str] = {}
    for column in table.primary_key.columns:
        value = row[column.name] or ""
        key[column.name] = int(value or 0) if isinstance(column.type, Integer) else value
    return RowKey.of(table.name, **key)


def _inserted(role: str, table: Table, row: Values) -> Alteration:
    return Alteration(role, _insertion(table, "", row), row, [[row_of(table, row)]])


def _insertion(table: Table, prefix: str, row: Values) -> str:
    columns = [table.c[name] for name in row]
    if prefix == "" and "posted_at" in row:
        # As the posting service may insert a run; with posted_at it is refused.
        columns = [each for each in columns if each.name != "posted_at"]
    names = ", ".join(each.name for each in columns)
    values = ", ".join(_cast(each, f"{prefix}{each.name}") for each in columns)
    return f"INSERT INTO {table.name} ({names}) VALUES ({values})"


def _key(table: Table, row: Values) -> dict[str, str | None]:
    return {f"key_{each.name}": row[each.name] for each in table.primary_key.columns}


def _where(table: Table) -> str:
    columns = table.primary_key.columns
    return " AND ".join(f"{each.name} = {_cast(each, f'key_{each.name}')}" for each in columns)


def _cast(column: Column[object], parameter: str) -> str:
    kind = column.type.compile(postgresql.dialect())
    return f"CAST(:{parameter} AS {kind.partition(' COLLATE')[0]})"


def _read(connection: Connection, table: Table) -> Iterator[Values]:
    columns = ", ".join(f"{each.name}::text" for each in table.c)
    order = ", ".join(each.name for each in table.primary_key.columns)
    for row in connection.execute(text(f"SELECT {columns} FROM {table.name} ORDER BY {order}")):
        yield dict(zip(table.c.keys(), row, strict=True))
