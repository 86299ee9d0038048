"""A page of a camt.053 statement, from the texts of its fields."""

from collections.abc import Mapping
from datetime import date

from ledger.statements.model import Balance, Fault, Line, Statement, Unproven
from ledger.statements.pages import Page
from ledger.statements.texts import account_of, iso_day, minor_units, named, scale_of, text_in
from ledger.unfit import shown

MAX_DETAILS = 100
"""References and texts of one entry; a batch of many payments has more, and its entry the first."""
MAX_DIGITS = 18
"""Of the number of a statement, as the schema has it."""
OPENING, CLOSING, INTERIM = ("OPBD", "PRCD"), ("CLBD",), ("ITBD",)
"""Types of booked balances: of the statement's ends, and between its pages."""
SIGNS = {"CRDT": 1, "DBIT": -1}
Fields = dict[str, list[str]]
"""Texts by field, in their order."""


class PageReader:
    """Makes one page of a statement after another from the texts of its fields."""

    def __init__(self, scales: Mapping[str, int]) -> None:
        self._scales = scales
        self._days: dict[str, date] = {}
        self.begin(0)

    def begin(self, line: int) -> None:
        """A statement begins at this line of the file."""
        self._first_line = line
        self.fields: Fields = {}
        self._currency, self._scale = "", 0
        self._balances: list[tuple[str, Balance]] = []
        self._lines: list[Line] = []
        self._left_out = 0

    def add_balance(self, fields: Fields, line: int) -> None:
        """Raises Unproven; balances of a type that is not read are left out."""
        kind = _first(fields, "type")
        if kind not in (*OPENING, *CLOSING, *INTERIM):
            return
        what = f"Balance {kind}"
        on = self._day(_needed(fields, "on", f"{what}'s date", line), what, line)
        self._balances.append((kind, Balance(self._amount(fields, what, line), on)))

    def add_entry(self, fields: Fields, line: int) -> None:
        """Raises Unproven; an entry that is not booked is left out and counted."""
        number = len(self._lines) + 1
        what = f"Entry {number + self._left_out}"
        if _needed(fields, "status", f"{what}'s status (Sts)", line) != "BOOK":
            self._left_out += 1
            return
        amount = self._amount(fields, what, line)
        days = [*fields.get("booked", ()), *fields.get("value", ())]
        if not days:
            raise Unproven(Fault.FIELD_MISSING, f"{what} has no date.", line)
        booked, value = (self._day(each, what, line) for each in (days[0], days[-1]))
        # Whoever is not us: of what comes in the debtor, of what goes out the creditor.
        other = "debtor" if amount > 0 else "creditor"
        self._lines.append(Line(
            number, line, amount, booked, value,
            bank_reference=_text(fields, "bank_reference", what, line),
            reference=_reference(fields, what, line),
            references=tuple(dict.fromkeys(
                text_in(each, what, line) for each in _references(fields)
            )),
            counterpart=_text(fields, other, what, line),
            counterpart_account=_text(fields, f"{other}_account", what, line),
            kind=text_in("/".join(fields.get("code") or fields.get("own_code") or ()), what, line),
            text=_texts(fields, what, line),
        ))  # fmt: skip

    def page(self, line: int) -> Page:
        """The page, at its last line. Raises Unproven."""
        fields, start = self.fields, self._first_line
        opening = self._balance(OPENING) or self._balance(INTERIM)
        closing = self._balance(CLOSING) or self._balance(INTERIM, last=True)
        for found, name in ((opening, "opening (OPBD or PRCD)"), (closing, "closing (CLBD)")):
            if found is None:
                raise Unproven(Fault.FIELD_MISSING, f"The {name} balance is missing.", start)
        assert opening is not None, "it was looked for"
        assert closing is not None, "it was looked for"
        count = _first(fields, "count")
        statement = Statement(
            account=account_of(_needed(fields, "account", "The account (Acct/Id)", start), start),
            bank_id=named(_needed(fields, "id", "The statement's Id", start), "Id", start),
            number=_number(_first(fields, "number") or _first(fields, "legal_number"), start),
            currency=self._currency, scale=self._scale, opening=opening, closing=closing,
            lines=tuple(self._lines), stated_count=_number(count, line), left_out=self._left_out,
        )  # fmt: skip
        return Page(
            statement, _number(_first(fields, "page"), start),
            is_first=self._balance(OPENING) is not None,
            is_last=self._balance(CLOSING) is not None, line=start,
        )  # fmt: skip

    def _balance(self, kinds: tuple[str, ...], *, last: bool = False) -> Balance | None:
        found = [balance for kind in kinds for each, balance in self._balances if each == kind]
        return found[-1 if last else 0] if found else None

    def _amount(self, fields: Fields, what: str, line: int) -> int:
        currency = _needed(fields, "currency", f"{what}'s currency (Ccy)", line)
        if not self._currency:
            stated = _first(self.fields, "currency") or currency
            self._currency, self._scale = stated, scale_of(self._scales, stated, line)
        if currency != self._currency:
            raise Unproven(
                Fault.CURRENCY_DIFFERS,
                f"{what} is in {shown(currency)}, and the account in {self._currency}.", line,
            )  # fmt: skip
        sign = SIGNS.get(_needed(fields, "side", f"{what}'s CdtDbtInd", line))
        if sign is None:
            side = shown(_first(fields, "side"))
            raise Unproven(Fault.FIELD_MALFORMED, f"{what} is {side}, neither CRDT nor DBIT.", line)
        text = _needed(fields, "amount", f"{what}'s amount", line)
        return sign * minor_units(text, self._scale, what, line)

    def _day(self, text: str, what: str, line: int) -> date:
        found = self._days.get(text)
        if found is None:
            found = self._days[text] = iso_day(text, f"{what}'s date", line)
        return found


def _first(fields: Fields, name: str) -> str:
    return fields[name][0] if name in fields else ""


def _needed(fields: Fields, name: str, what: str, line: int) -> str:
    found = fields.get(name, ())
    if not found or not found[0]:
        raise Unproven(Fault.FIELD_MISSING, f"{what} is missing.", line)
    if len(found) > 1:
        raise Unproven(Fault.FIELD_MALFORMED, f"{what} is there {len(found)} times.", line)
    return found[0]


def _text(fields: Fields, name: str, what: str, line: int) -> str:
    return text_in(fields[name][0], what, line) if name in fields else ""


def _texts(fields: Fields, what: str, line: int) -> str:
    found = [*fields.get("text", ())[:MAX_DETAILS], *fields.get("more", ())[:MAX_DETAILS]]
    return text_in(" ".join(dict.fromkeys(found)), what, line)


def _reference(fields: Fields, what: str, line: int) -> str:
    # What ISO 20022 has a payment say that has none.
    found = [each for each in fields.get("reference", ()) if each != "NOTPROVIDED"]
    return text_in(found[0], what, line) if found else ""


def _references(fields: Fields) -> list[str]:
    """All but the first, which is the entry's own."""
    more = [each for each in fields.get("reference", ())[1:] if each != "NOTPROVIDED"]
    return [*fields.get("ref", ()), *more][:MAX_DETAILS]


def _number(text: str, line: int) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
        raise Unproven(Fault.FIELD_MALFORMED, f"{shown(text)} is no number.", line)
    return int(text)
