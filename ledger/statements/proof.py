"""The proof of a statement, before anything of it is believed: by itself, and in its series.

A statement is refused with the first thing that does not hold. Whether the ledger agrees with it is
a question of its own (`difference`): what the ledger lacks is found by taking the statement, so a
difference is named and refuses nothing unless that is asked for.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import NamedTuple

from ledger.domain import money
from ledger.domain.money import MAX_AMOUNT
from ledger.statements.model import Balance, Fault, Statement, Unproven


class Tie(NamedTuple):
    """A closing balance, or a quantity, beside the ledger's at the end of that day.

    Minor units of `code`. `ledger` is debits less credits of the account.
    """

    code: str
    scale: int
    stated: int
    ledger: int

    @property
    def difference(self) -> int:
        """What the statement has and the ledger lacks."""
        return self.stated - self.ledger


def prove(statement: Statement, line: int = 0) -> None:
    """Raises Unproven unless the statement holds by itself; `line`: where it begins."""
    lines = statement.lines
    has = len(lines) + statement.left_out
    if statement.stated_count not in (None, has):
        raise Unproven(
            Fault.COUNT_DIFFERS,
            f"The statement says that it has {statement.stated_count:,} entries, and it has "
            f"{has:,}.", line,
        )  # fmt: skip
    opening, closing = statement.opening, statement.closing
    if closing.on < opening.on:
        raise Unproven(
            Fault.DATES_OUT_OF_ORDER,
            f"The closing balance is of {closing.on}, before the opening one of {opening.on}.",
            line,
        )
    total = opening.amount
    for each in lines:
        total += each.amount
        if each.balance is not None and each.balance != total:
            raise Unproven(
                Fault.BALANCE_DIFFERS,
                f"The balance after line {each.number} is {_show(each.balance, statement)}, and "
                f"{_show(total, statement)} by the lines up to it.", each.place,
            )  # fmt: skip
        if each.booked > closing.on:
            raise Unproven(
                Fault.DATES_OUT_OF_ORDER,
                f"Line {each.number} is booked on {each.booked}, after the closing balance of "
                f"{closing.on}.", each.place,
            )  # fmt: skip
    if abs(closing.amount) > MAX_AMOUNT or abs(opening.amount) > MAX_AMOUNT:
        raise Unproven(Fault.AMOUNT_TOO_LARGE, "A balance is past 64 bits.", line)
    if total != closing.amount:
        raise Unproven(Fault.SUM_DIFFERS, _sum_sentence(statement, total), line)


def _sum_sentence(statement: Statement, total: int) -> str:
    opening, closing = statement.opening, statement.closing
    missing = closing.amount - total
    text = (
        f"Opening {_show(opening.amount, statement)} and {len(statement.lines):,} lines make "
        f"{_show(total, statement)}, and closing is {_show(closing.amount, statement)}: "
        f"{_show(missing, statement)} is missing."
    )
    turned = [each for each in statement.lines if 2 * each.amount == -missing]
    if len(turned) == 1:
        return f"{text} It would hold with the other sign in line {turned[0].number}."
    return text


def _show(amount: int, statement: Statement) -> str:
    return money.show(amount, statement.scale)


class Place(NamedTuple):
    """What the series knows of a statement: enough to say what comes before and after it."""

    number: int | None
    opening: Balance
    closing: Balance
    scale: int

    @classmethod
    def of(cls, statement: Statement) -> "Place":
        """The place of a statement."""
        return cls(statement.number, statement.opening, statement.closing, statement.scale)

    @property
    def order(self) -> tuple[date, int, date]:
        """By which the statements of a series are in order."""
        return self.closing.on, self.number or 0, self.opening.on


def neighbours(place: Place, series: Iterable[Place]) -> tuple[Place | None, Place | None]:
    """Those before and after it; the series does not have it."""
    before = [each for each in series if each.order < place.order]
    after = [each for each in series if each.order > place.order]
    return max(before, key=_order, default=None), min(after, key=_order, default=None)


def _order(place: Place) -> tuple[date, int, date]:
    return place.order


def prove_place(place: Place, series: Sequence[Place], *, corrects: bool, line: int = 0) -> None:
    """Raises Unproven unless it follows the statement before it, and is followed by that after it.

    The first of a series follows none. `corrects`: it replaces one of the series (which `series`
    does not have), and those after it may be corrected too, one after another: so what follows is
    not looked at.
    """
    before, after = neighbours(place, series)
    if before is not None and (fault := broken_link(before, place)):
        raise Unproven(*fault, line)
    if after is not None and not corrects and (fault := broken_link(place, after)):
        raise Unproven(*fault, line)


def broken_link(before: Place, after: Place) -> tuple[Fault, str] | None:
    """Why `after` does not follow `before` without a hole; None if it does."""
    if before.number is not None and after.number is not None:
        follows = after.number == before.number + 1
        begins_again = after.number == 1 and after.closing.on.year > before.closing.on.year
        if not follows and not begins_again:
            return Fault.NUMBER_MISSING, (
                f"Number {after.number} follows number {before.number}: what is between them is "
                "missing. Import that first."
            )
    elif after.opening.on < before.closing.on:
        return Fault.PERIOD_OVERLAPS, (
            f"The period from {after.opening.on} to {after.closing.on} overlaps with that from "
            f"{before.opening.on} to {before.closing.on}."
        )
    if before.closing.amount != after.opening.amount:
        ends = money.show(before.closing.amount, before.scale)
        begins = money.show(after.opening.amount, after.scale)
        return Fault.OPENING_DIFFERS, (
            f"The statement that begins with {begins} on {after.opening.on} follows one that ends "
            f"with {ends} on {before.closing.on}: is one between them missing?"
        )
    return None


def ties(statement: Statement, ledger: Mapping[str, tuple[int, int]]) -> list[Tie]:
    """Closing balance or positions beside the ledger's, by code its net debits and decimals.

    Of securities also what the ledger holds and the statement does not have. Of money, balances of
    the account in other currencies are not the statement's.
    """
    if not statement.of_securities:
        held, scale = ledger.get(statement.currency, (0, statement.scale))
        stated = statement.closing.amount
        assert scale == statement.scale, "the ledger's decimals of a currency never change"
        return [Tie(statement.currency, scale, stated, held)]
    found = []
    stated_of = {each.code: each for each in statement.positions}
    for code in sorted(stated_of.keys() | ledger.keys()):
        position = stated_of.get(code)
        held, scale = ledger.get(code, (0, position.scale if position else 0))
        if position or held:
            found.append(Tie(code, scale, position.quantity if position else 0, held))
    return found
