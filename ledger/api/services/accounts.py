"""Accounts: those that are declared, and those that have balances."""

import asyncio
import heapq
from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from ledger.api.reference import ApiReference
from ledger.api.services.readable import require_ready
from ledger.api.view.view import BalanceView
from ledger.client.drafts import rfc3339
from ledger.domain.account import TYPES
from ledger.domain.reference import Account

CHUNK = 1_000
"""Balances that are read at once."""
SEARCHED = 50_000
"""Accounts that one answer looks through; what is not found by then is on the next page."""
AFTER_ALL = "~"
"""Sorts after every currency."""


class State(StrEnum):
    """Whether an account takes entries now."""

    PLANNED = "planned"
    OPEN = "open"
    CLOSED = "closed"


class AccountQuery(NamedTuple):
    """Which accounts are asked for; None chooses all."""

    declared: bool | None = None
    state: State | None = None


class AccountPage(NamedTuple):
    """Some accounts, in the order of their paths; `after`: where the next page begins."""

    rows: list[dict[str, Any]]
    after: str | None


class AccountsService:
    """Answers from the reference data and the balance view of this process."""

    def __init__(self, reference: ApiReference, view: BalanceView) -> None:
        self._reference, self._view = reference, view

    async def accounts(
        self, roots: Sequence[str], query: AccountQuery, *, after: str, limit: int, at: int
    ) -> AccountPage:
        """At most `limit` accounts at and below `roots`, after the account `after`.

        `at`: now, in microseconds. Raises Problem before the reference data and the balances are
        read.
        """
        self._require()
        declared = dict(self._reference.known.accounts)
        try:
            found = await asyncio.to_thread(
                self._page, roots, query, declared, after=after, limit=limit, at=at
            )
        except Exception:
            require_ready(self._view)
            raise
        # Where the view began anew meanwhile, a part of it was seen.
        require_ready(self._view)
        return found

    def account(self, account: str, *, at: int) -> dict[str, Any] | None:
        """One account; None where it is neither declared nor in use. Raises Problem."""
        self._require()
        declared = self._reference.known.accounts.get(account)
        used = bool(self._view.balances(account))
        return _row(account, declared, used=used, at=at) if declared or used else None

    def _require(self) -> None:
        self._reference.require()
        require_ready(self._view)

    def _page(
        self, roots: Sequence[str], query: AccountQuery, declared: dict[str, Account], *,
        after: str, limit: int, at: int,
    ) -> AccountPage:  # fmt: skip
        rows: list[dict[str, Any]] = []
        found = self._found(roots, query, declared, after)
        for searched, (account, used) in enumerate(found, 1):
            row = _row(account, declared.get(account), used=used, at=at)
            if _matches(row, query):
                rows.append(row)
            if len(rows) > limit:
                return AccountPage(rows[:limit], rows[limit - 1]["account"])
            if searched >= SEARCHED:
                return AccountPage(rows, account)
        return AccountPage(rows, None)

    def _found(
        self, roots: Sequence[str], query: AccountQuery, declared: dict[str, Account], after: str
    ) -> Iterator[tuple[str, bool]]:
        """Each account once, in order, with whether it is in use."""
        known = sorted(
            (each for each in declared if is_below(each, roots) and order(each) > order(after)),
            key=order,
        )
        if query.declared or query.state in (State.CLOSED, State.PLANNED):
            yield from ((each, self._is_used(each)) for each in known)
            return
        both = heapq.merge(
            ((order(each), each, False) for each in known),
            ((order(each), each, True) for each in self._used(roots, after)),
        )
        for _, same in groupby(both, itemgetter(0)):
            entries = list(same)
            yield entries[0][1], any(used for *_, used in entries)

    def _is_used(self, account: str) -> bool:
        """Whether it has balances.

        For a thread: `balances` remembers what it reads, while the event loop changes it.
        """
        first = self._view.under(account, after=None, limit=1)
        return bool(first) and first[0].account == account

    def _used(self, roots: Sequence[str], after: str) -> Iterator[str]:
        for root in roots:
            begun = is_below(after, [root])
            if not begun and order(root) < order(after):
                continue
            place = (after, AFTER_ALL) if begun else None
            while chunk := self._view.under(root, after=place, limit=CHUNK):
                yield from dict.fromkeys(each.account for each in chunk)
                if len(chunk) < CHUNK:
                    break
                place = (chunk[-1].account, AFTER_ALL)


def order(account: str) -> str:
    """Sorts accounts by their segments, so that an account and those below it are together."""
    return account.replace(":", "\1")


def is_below(account: str, roots: Iterable[str]) -> bool:
    """Whether it is one of these accounts, or below one."""
    return any(account == each or account.startswith(f"{each}:") for each in roots)


def roots_of(paths: Iterable[str]) -> list[str]:
    """The paths in order, without those below another; every type where there are none."""
    found: list[str] = []
    for path in sorted(set(paths), key=order) or sorted(TYPES):
        if not is_below(path, found[-1:]):
            found.append(path)
    return found


def _row(account: str, declared: Account | None, *, used: bool, at: int) -> dict[str, Any]:
    opened, closed = (declared.opened_at, declared.closed_at) if declared else (None, None)
    state = State.OPEN
    if closed is not None and closed <= at:
        state = State.CLOSED
    elif opened is not None and opened > at:
        state = State.PLANNED
    return {
        "account": account,
        "type": account.partition(":")[0],
        "name": declared.name if declared else "",
        "currency": declared.currency if declared else None,
        "opened_at": None if opened is None else rfc3339(opened),
        "closed_at": None if closed is None else rfc3339(closed),
        "state": state.value,
        "declared": declared is not None,
        "in_use": used,
    }


def _matches(row: dict[str, Any], query: AccountQuery) -> bool:
    return query.declared in (None, row["declared"]) and query.state in (None, row["state"])
