"""Checks of an import of reference data, against known items and concurrent imports."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ledger.domain import money
from ledger.domain.balance import Balance
from ledger.domain.reference import ISO_SCALES, Account, Asset, Reference
from ledger.domain.transaction import shown_time

ENOUGH = 1_000_000
"""Units of an asset that one entry should be able to take."""

Importable = Asset | Account
Problem = tuple[int, str]
"""A line's number and a sentence."""


class Line(NamedTuple):
    """An item and the number of its line; `reopens`: the line has `"closed_at": null`."""

    number: int
    item: Importable
    reopens: bool = False


class Stored(NamedTuple):
    """An item as the reference topic has it; `at` in microseconds since 1970."""

    offset: int
    at: int
    item: Importable


def largest_amount(asset: Asset) -> str:
    """The largest amount of it in one entry, as decimal text."""
    return money.show(money.MAX_AMOUNT, asset.scale)


def small_limit(asset: Asset) -> str | None:
    """A sentence if one entry takes less than ENOUGH units of it."""
    if money.MAX_AMOUNT // 10**asset.scale >= ENOUGH:
        return None
    fewer = max(each for each in range(19) if money.MAX_AMOUNT // 10**each >= ENOUGH)
    return (
        f"{asset.code} has {asset.scale} decimals, so one entry takes {largest_amount(asset)} at "
        "most. A scale never changes: if that is too little, register another code, with "
        f"{fewer} decimals or fewer ({largest_amount(replace(asset, scale=fewer))})."
    )


class Checks:
    """Checks lines one after the other against `known` and the lines before."""

    def __init__(self, known: Reference) -> None:
        self._scales = dict(known.scales)
        self._spelt = {code.upper(): code for code in self._scales}
        self._accounts = dict(known.accounts)
        self.notes: list[Problem] = []
        """Notes about lines that are not refused."""

    def problems(self, lines: Iterable[Line]) -> list[Problem]:
        """The first problem of each bad line."""
        found = ((number, self._problem(number, item, reopens)) for number, item, reopens in lines)
        return [(number, sentence) for number, sentence in found if sentence]

    def _problem(self, number: int, item: Importable, reopens: bool) -> str | None:  # noqa: FBT001
        if isinstance(item, Asset):
            return self._asset(number, item)
        return self._account(number, item, reopens=reopens)

    def _asset(self, number: int, asset: Asset) -> str | None:
        code, scale = asset.code, self._scales.get(asset.code)
        if scale is None:
            other = self._spelt.setdefault(code.upper(), code)
            if other != code:
                return (
                    f"{code} differs from {other} only in upper and lower case, and would be "
                    f"another asset. Use {other}, or a code that cannot be taken for it."
                )
            self._scales[code] = asset.scale
            return None
        official = ISO_SCALES.get(code, scale)
        beside = f"ISO 4217 has {official}, but the registered number counts"
        if scale != asset.scale:
            return (
                f"{code} has {scale} decimals{'' if official == scale else f' ({beside})'} and "
                f"cannot get {asset.scale}: posted amounts would change their value. Register a "
                "new code instead."
            )
        if official != scale:
            self.notes.append((number, f"{code} has {scale} decimals; {beside}."))
        return None

    def _account(self, number: int, account: Account, *, reopens: bool) -> str | None:
        code, currency = account.code, account.currency
        if currency is not None and currency not in self._scales:
            if alike := self._spelt.get(currency.upper()):
                return (
                    f"{currency!r} is neither an ISO 4217 currency nor a registered asset, and "
                    f"{alike} is one: upper and lower case count."
                )
            return (
                f"{currency!r} is neither an ISO 4217 currency nor a registered asset; "
                "register it with `faust-ledger assets import` first."
            )
        known = self._accounts.get(code)
        if known is not None:
            if known.closed_at is not None and account.closed_at is None and not reopens:
                return (
                    f"{code} is closed from {shown_time(known.closed_at)} on, and this line, "
                    "without closed_at, would open it again. Repeat its closed_at, or give "
                    '"closed_at": null to open it.'
                )
            self.notes += ((number, each) for each in _changes(known, account))
        self._accounts[code] = account
        return None


def _changes(known: Account, account: Account) -> Iterator[str]:
    stays = "Earlier entries stay as they are; entries are checked with this from now on."
    if known.currency != account.currency:
        yield (
            f"{account.code}: currency was {known.currency or 'any'}, and is "
            f"{account.currency or 'any'}. {stays}"
        )
    if known.opened_at != account.opened_at:
        yield (
            f"{account.code}: opened_at was {_time(known.opened_at)}, and is "
            f"{_time(account.opened_at)}. {stays}"
        )


def _time(at: int | None) -> str:
    return "none" if at is None else shown_time(at)


def closings(lines: Iterable[Line], known: Reference) -> list[Line]:
    """The lines that close an account, or change the time at which it is closed."""
    found = []
    for line in lines:
        if isinstance(line.item, Account) and line.item.closed_at is not None:
            before = known.accounts.get(line.item.code)
            if before is None or before.closed_at != line.item.closed_at:
                found.append(line)
    return found


def with_balance(
    lines: Iterable[Line], balances: Mapping[tuple[str, str], Balance], at: int
) -> list[Problem]:
    """A problem for each line that would close an account with a balance; balances as of `at`."""
    held: dict[str, list[str]] = {}
    for (account, currency), found in sorted(balances.items()):
        if found.posted.strip("-0.") or found.pending.strip("-0.") or found.status != "reconciled":
            held.setdefault(account, []).append(
                f"{found.posted} {currency} posted and {found.pending} pending ({found.status})"
            )
    return [
        (number, _would_close(item.code, held[item.code], at))
        for number, item, _ in lines
        if item.code in held
    ]


def _would_close(code: str, held: list[str], at: int) -> str:
    return (
        f"{code} would be closed with a balance: {'; '.join(held)}, as of {shown_time(at)}. Bring "
        "it to zero and wait until that is reconciled, or close it with --close-with-balance."
    )


def lost_lines(
    lines: Sequence[Line], offsets: Sequence[int], stored: Sequence[Stored], known: Reference
) -> tuple[list[Problem], list[Problem]]:
    """The lines, appended at `offsets`, that did not take effect, and notes about others.

    `stored`: the records of the topic after `known`, both these lines and those of concurrent
    imports. The first record of an asset counts, and the last one of an account.
    """
    own = set(offsets)
    first: dict[str, Stored] = {}
    others: dict[str, list[Stored]] = {}
    for each in stored:
        if isinstance(each.item, Asset) and each.item.code not in known.scales:
            first.setdefault(each.item.code, each)
        if each.offset not in own:
            others.setdefault(_alike(each.item), []).append(each)
    lost, notes = [], []
    for (number, item, _), offset in zip(lines, offsets, strict=True):
        counts = first.get(item.code) if isinstance(item, Asset) else None
        if sentence := counts and _lost(item, counts):
            lost.append((number, sentence))
        found = (_beside(item, each, offset) for each in others.get(_alike(item), ()))
        notes += [(number, sentence) for sentence in found if sentence]
    return lost, notes


def _alike(item: Importable) -> str:
    return item.code if isinstance(item, Account) else item.code.upper()


def _lost(item: Importable, counts: Stored) -> str | None:
    assert isinstance(item, Asset)
    assert isinstance(counts.item, Asset)
    if counts.item.scale == item.scale:
        return None
    return (
        f"{item.code} has {counts.item.scale} decimals, and not the {item.scale} of this line: "
        f"another import registered it at the same time and came first ({_place(counts)}). "
        "Register a new code if it must have others."
    )


def _beside(item: Importable, other: Stored, offset: int) -> str | None:
    if isinstance(item, Asset) or isinstance(other.item, Asset):
        if item.code == other.item.code:
            return None
        return (
            f"{item.code} differs only in upper and lower case from {other.item.code}, which "
            f"another import registered at the same time ({_place(other)}). They are two assets; "
            "use one of them."
        )
    if item == other.item:
        return None
    is_later = other.offset > offset
    counts = "after this line, and counts" if is_later else "before this line, which counts"
    return (
        f"Another import declared {item.code} differently at the same time: it came {counts} "
        f"({_place(other)})."
    )


def _place(stored: Stored) -> str:
    return f"offset {stored.offset} of the reference topic, {shown_time(stored.at)}"
