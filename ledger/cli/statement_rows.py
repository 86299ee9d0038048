"""Statements as JSON: amounts are decimal text, dates ISO 8601."""

from dataclasses import dataclass
from typing import Any

from ledger.client.drafts import rfc3339
from ledger.domain import money
from ledger.statements.changes import Change
from ledger.statements.model import Balance, Line, Position, Statement
from ledger.statements.proof import Tie
from ledger.statements.records import Head


@dataclass(frozen=True, slots=True)
class TieAnswer:
    """The statement beside the ledger; `why` it is not known."""

    ties: list[Tie]
    why: str = ""

    @property
    def known(self) -> bool:
        """Whether the ledger answered with everything that counts."""
        return not self.why


def head_fields(head: Head) -> dict[str, Any]:
    """A statement without its lines."""
    statement = head.statement
    is_money = not statement.of_securities

    def amount(balance: Balance) -> str | None:
        return money.show(balance.amount, statement.scale) if is_money else None

    return {
        "id": statement.id,
        "account": head.account,
        "identification": statement.account.identification,
        "number": statement.number,
        "currency": statement.currency or None,
        "opening": amount(statement.opening),
        "opening_on": str(statement.opening.on),
        "closing": amount(statement.closing),
        "closing_on": str(statement.closing.on),
        "lines": head.count,
        "left_out": statement.left_out,
        "format": head.form,
        "file": head.file,
        "mapping": head.mapping or None,
        "by": head.by,
        "imported_at": rfc3339(head.at) if head.at else None,
        "digest": head.digest.hex(),
        "supersedes": head.supersedes.hex() or None,
    }


def line_fields(statement: Statement) -> list[dict[str, Any]]:
    """The lines, or the positions."""
    lines = [_line(each, statement.scale) for each in statement.lines]
    return lines or [_position(each) for each in statement.positions]


def _line(line: Line, scale: int) -> dict[str, Any]:
    return line._asdict() | {
        "amount": money.show(line.amount, scale),
        "booked": str(line.booked),
        "value": str(line.value),
        "references": list(line.references),
        "balance": None if line.balance is None else money.show(line.balance, scale),
    }


def _position(position: Position) -> dict[str, Any]:
    return position._asdict() | {"quantity": money.show(position.quantity, position.scale)}


def tie_fields(answer: TieAnswer) -> dict[str, Any]:
    """The statement beside the ledger. `tied` is null where it is not known."""
    rows = [
        {
            "code": each.code,
            "stated": money.show(each.stated, each.scale),
            "ledger": money.show(each.ledger, each.scale),
            "difference": money.show(each.difference, each.scale),
        }
        for each in answer.ties
    ]
    tied = all(not each.difference for each in answer.ties) if answer.known else None
    return {"tied": tied, "ties": rows, "unknown": answer.why or None}


def change_fields(change: Change, scale: int) -> dict[str, Any]:
    """What a corrected statement says otherwise, with a sentence."""
    before, after = _shown(change.before, scale), _shown(change.after, scale)
    return {
        "what": change.what,
        "fields": list(change.fields),
        "before": before,
        "after": after,
        "sentence": _sentence(change, before, after),
    }


def _shown(item: Balance | Line | Position | None, scale: int) -> dict[str, Any] | None:
    if item is None:
        return None
    if isinstance(item, Line):
        return _line(item, scale)
    if isinstance(item, Position):
        return _position(item)
    return {"amount": money.show(item.amount, scale), "on": str(item.on)}


def _sentence(change: Change, before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    if change.what in ("opening", "closing"):
        assert before is not None, "both statements have balances"
        assert after is not None, "both statements have balances"
        return f"{after['amount']} on {after['on']}, and was {before['amount']} on {before['on']}"
    row = after or before
    assert row is not None, "a line is there before or after"
    name = f"line {row['number']}"
    if change.fields and before is not None and after is not None:
        return f"{name}: " + ", ".join(
            f"{field} is {after[field]}, and was {before[field]}" for field in change.fields
        )
    what = row["isin"] if "isin" in row else row["booked"]
    size = row["quantity"] if "isin" in row else row["amount"]
    return f"{name}: {what}, {size}"
