"""Statements as records of their topic: keys, rows of the schema, and the digest of a content."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from ledger.domain.portions import portions
from ledger.statements.model import Account, Balance, Line, Position, Statement

SCHEMA = "Statement"
MAX_LINES = 5_000
"""Of a record."""
MAX_SIZE = 1024 * 1024
"""About the bytes of a record, unless one line alone has more."""
LINE_BYTES = 64
"""Of a line's numbers and dates."""

Row = dict[str, Any]
Part = tuple[Sequence[Line], Sequence[Position]]
"""Of the lines or the positions of a statement; the other one is empty."""
_encoded = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Head:
    """A statement in the topic. `statement` has no lines: these are records of their own.

    `supersedes`: the digest of that which counted before. `at`: when it was recorded, microseconds;
    0 before it is.
    """

    statement: Statement
    account: str
    digest: bytes
    supersedes: bytes
    parts: int
    count: int
    form: str
    file: str
    mapping: str
    by: str
    at: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """The account of the ledger that an account outside is, and where the bank's days end."""

    account: str
    timezone: str


@dataclass(frozen=True, slots=True)
class SavedMapping:
    """A mapping of CSV by name; `text` is TOML."""

    name: str
    version: int
    text: str

    @property
    def label(self) -> str:
        """Name and version."""
        return f"{self.name}/{self.version}"


def digest_of(statement: Statement) -> bytes:
    """SHA-256 of what the statement says, wherever in a file it says so.

    The bank's id is of the content only where there is no number: a second copy may have another.
    """
    head = [
        statement.account.identification, statement.number,
        "" if statement.number is not None else statement.bank_id,
        statement.currency, statement.scale, statement.left_out,
        statement.opening.amount, str(statement.opening.on),
        statement.closing.amount, str(statement.closing.on),
    ]  # fmt: skip
    found = hashlib.sha256(_packed(head))
    for line in statement.lines:
        found.update(_packed([
            line.number, line.amount, line.booked.toordinal(), line.value.toordinal(), *line[5:12],
        ]))  # fmt: skip
    for position in statement.positions:
        found.update(_packed([position.number, *position[2:]]))
    return found.digest()


def _packed(values: list[Any]) -> bytes:
    return _encoded(values).encode() + b"\n"


def head_key(id_: str) -> bytes:
    """The key of a statement's record."""
    return f"statement:{id_}".encode()


def lines_key(digest: bytes, part: int) -> bytes:
    """The key of a record of lines."""
    return f"lines:{digest.hex()}:{part}".encode()


def account_key(identification: str) -> bytes:
    """The key of a link."""
    return f"account:{identification}".encode()


def mapping_key(name: str) -> bytes:
    """The key of a saved mapping."""
    return f"mapping:{name}".encode()


def parts_of(statement: Statement) -> list[Part]:
    """The lines or positions, in parts that fit a record."""
    if statement.positions:
        return [((), some) for some in portions(statement.positions, count=MAX_LINES)]
    some = portions(statement.lines, count=MAX_LINES, size=MAX_SIZE, weight=_weight)
    return [(each, ()) for each in some]


def _weight(line: Line) -> int:
    texts = (line.bank_reference, line.reference, *line.references, line.counterpart,
             line.counterpart_account, line.kind, line.text)  # fmt: skip
    # No character has more than four bytes.
    return LINE_BYTES + 4 * sum(map(len, texts))


def lines_row(digest: bytes, by: str, part: Part) -> Row:
    """The row of a record of lines."""
    lines = [
        dict(zip(Line._fields, line, strict=True))
        | {"booked": line.booked.isoformat(), "value": line.value.isoformat()}
        for line in part[0]
    ]
    return _row(digest.hex(), by, lines={
        "lines": lines, "positions": [each._asdict() for each in part[1]],
    })  # fmt: skip


def head_row(head: Head) -> Row:
    """The row of a statement's record."""
    statement = head.statement
    return _row(statement.id, head.by, statement={
        "digest": head.digest, "supersedes": head.supersedes,
        "identification": statement.account.identification,
        "is_iban": statement.account.is_iban, "account": head.account,
        "bank_id": statement.bank_id, "number": statement.number,
        "currency": statement.currency, "scale": statement.scale,
        "opening": statement.opening.amount, "opening_on": str(statement.opening.on),
        "closing": statement.closing.amount, "closing_on": str(statement.closing.on),
        "left_out": statement.left_out, "parts": head.parts, "count": head.count,
        "format": head.form, "file": head.file, "mapping": head.mapping,
    })  # fmt: skip


def link_row(identification: str, link: Link, by: str) -> Row:
    """The row of a link."""
    return _row(identification, by,
                account={"account": link.account, "timezone": link.timezone})  # fmt: skip


def mapping_row(saved: SavedMapping, by: str) -> Row:
    """The row of a saved mapping."""
    return _row(saved.name, by, mapping={"version": saved.version, "text": saved.text})


def _row(id_: str, by: str, **one: Row) -> Row:
    nothing = dict.fromkeys(("statement", "lines", "account", "mapping"))
    return {"id": id_, "by": by, **nothing, **one}


def head_in(row: Mapping[str, Any], at: int) -> Head:
    """The statement in a row that has one. Raises ValueError for a date that is none."""
    found = row["statement"]
    statement = Statement(
        account=Account(found["identification"], found["is_iban"]),
        bank_id=found["bank_id"], number=found["number"], currency=found["currency"],
        scale=found["scale"],
        opening=Balance(found["opening"], date.fromisoformat(found["opening_on"])),
        closing=Balance(found["closing"], date.fromisoformat(found["closing_on"])),
        left_out=found["left_out"],
    )  # fmt: skip
    if statement.id != row["id"]:
        raise ValueError(f"its id is {row['id']!r}, and of what it says {statement.id!r}")
    return Head(
        statement, found["account"], found["digest"], found["supersedes"], found["parts"],
        found["count"], found["format"], found["file"], found["mapping"], row["by"], at,
    )  # fmt: skip


def with_lines(statement: Statement, rows: Iterator[Mapping[str, Any]]) -> Statement:
    """The statement with the lines and positions of its records, in their order."""
    lines: list[Line] = []
    positions: list[Position] = []
    for row in rows:
        found = row["lines"]
        lines += [
            Line(**{
                **each, "booked": date.fromisoformat(each["booked"]),
                "value": date.fromisoformat(each["value"]),
                "references": tuple(each["references"]),
            })
            for each in found["lines"]
        ]  # fmt: skip
        positions += [Position(**each) for each in found["positions"]]
    return replace(statement, lines=tuple(lines), positions=tuple(positions))
