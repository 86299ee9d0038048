"""Who is subscribed to what: from a changed account to the subscriptions that it concerns."""

from collections.abc import Iterable, Iterator

from ledger.api.live.lists import MAX_ROWS_OF_ALL, Order, Rows
from ledger.api.live.recent import Entry
from ledger.api.live.subscriptions import (
    AccountsSubscription,
    ListSubscription,
    Path,
    PathSubscription,
    Subscription,
)
from ledger.api.view.keys import parents

MAX_LISTS = 20
"""Different sorted lists that a process keeps, each for all who look at it."""


class Watched:
    """A sorted list, and who looks at it."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.subscriptions: set[ListSubscription] = set()


class Index:
    """Subscriptions by account and by path; a path or list that nobody has any more is dropped.

    A path that many are subscribed to has `touched` tell them once, and not with each change.
    """

    def __init__(self) -> None:
        # Of most accounts there is one subscription, and a set takes 216 bytes.
        self._accounts: dict[str, AccountsSubscription | set[AccountsSubscription]] = {}
        self.paths: dict[str, Path] = {}
        self.lists: dict[Order, Watched] = {}
        self._lists_under: dict[str, set[Watched]] = {}
        self._touched: set[Path | Watched] = set()

    def path(self, path: str) -> Path:
        """What is shared by all subscriptions to a path."""
        return self.paths.setdefault(path, Path(path))

    def watched(self, order: Order) -> Watched | None:
        """The list of this order; None where there are too many."""
        found = self.lists.get(order)
        if found is None and len(self.lists) < MAX_LISTS:
            found = self.lists[order] = Watched(Rows(order))
            self._lists_under.setdefault(order.under, set()).add(found)
        return found

    def room_for(self, rows: Rows) -> int:
        """How many balances a list may have beside the others."""
        others = (each.rows for each in self.lists.values() if each.rows is not rows)
        return MAX_ROWS_OF_ALL - sum(map(len, others))

    def add(self, one: Subscription) -> None:
        """Changes concern it from now on."""
        if isinstance(one, AccountsSubscription):
            for account in one.accounts:
                known = self._accounts.setdefault(account, one)
                if isinstance(known, set):
                    known.add(one)
                elif known is not one:
                    self._accounts[account] = {known, one}
        elif isinstance(one, PathSubscription):
            one.path.subscriptions.add(one)
        elif isinstance(one, ListSubscription):
            self.lists[one.rows.order].subscriptions.add(one)

    def remove(self, one: Subscription) -> None:
        """Changes no longer concern it."""
        if isinstance(one, AccountsSubscription):
            for account in one.accounts:
                known = self._accounts[account]
                if isinstance(known, set):
                    known.discard(one)
                if not known or known is one:
                    del self._accounts[account]
        elif isinstance(one, PathSubscription):
            one.path.subscriptions.discard(one)
            if not one.path.subscriptions:
                del self.paths[one.path.path]
        elif isinstance(one, ListSubscription):
            watched = self.lists[one.rows.order]
            watched.subscriptions.discard(one)
            if not watched.subscriptions:
                self._drop(watched)

    def _drop(self, watched: Watched) -> None:
        order = watched.rows.order
        del self.lists[order]
        beside = self._lists_under[order.under]
        beside.discard(watched)
        if not beside:
            del self._lists_under[order.under]

    def note(self, entries: Iterable[Entry]) -> bool:
        """Mark what the changes concern; whether any path or list is among it."""
        accounts, by_path = self._accounts, self.paths or self.lists
        for entry in entries:
            if (known := accounts.get(entry.account)) is not None:
                for one in known if isinstance(known, set) else (known,):
                    one.note(entry)
            if by_path:
                self._note_above(entry)
        return bool(self._touched)

    def _note_above(self, entry: Entry) -> None:
        for path in (entry.account, *parents(entry.account)):
            if (shared := self.paths.get(path)) is not None:
                shared.note(entry)
                self._touched.add(shared)
            for watched in self._lists_under.get(path, ()):
                watched.rows.take(entry)
                self._touched.add(watched)

    def touched(self) -> Iterator[Subscription]:
        """Subscriptions of paths and lists that were touched since the last call."""
        touched, self._touched = self._touched, set()
        for each in touched:
            yield from each.subscriptions

    def everything(self) -> set[Subscription]:
        """Every subscription."""
        found = set[Subscription]()
        for known in self._accounts.values():
            found |= known if isinstance(known, set) else {known}
        for path in self.paths.values():
            found |= path.subscriptions
        for watched in self.lists.values():
            found |= watched.subscriptions
        return found
