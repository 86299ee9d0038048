"""What a client is subscribed to: accounts, a path, or a part of a sorted list.

Each takes what changed between two frames as JSON texts. None has a queue: what was not sent yet is
a set of entries, or a number, and what is sent is what they are when it is sent.
"""

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from ledger.api.live.lists import Rows
from ledger.api.live.recent import Entry, Recent
from ledger.api.live.source import Key
from ledger.api.live.tokens import Place

PATH_BALANCES = 10_000
"""Balances of a path at its snapshot, and changes of it that are remembered."""

Positions = Sequence[int]


class Subscription:
    """One subscription of a connection; `changed` has the connection sent a frame soon.

    `begin`: why the client needs a snapshot, or empty. `after`: the place that it resumes from.
    """

    __slots__ = ("after", "begin", "changed", "id")

    def __init__(self, id_: str, changed: Callable[[], None], after: Place | None) -> None:
        self.id, self.changed, self.after = id_, changed, after
        self.begin = "subscribed"

    def restart(self, why: str) -> None:
        """The client needs a snapshot, whatever it has."""
        self.begin, self.after = why, None
        self.changed()

    def of_recent(self, recent: Recent, positions: Positions) -> Iterable[Entry]:
        """What `recent` has of it since these positions."""
        raise NotImplementedError

    def start(self, number: int) -> None:
        """What the client gets next has the change `number`, and all before it."""
        raise NotImplementedError

    def take(self, number: int) -> list[Entry] | None:
        """What changed since it was called last, the last change being `number`.

        None where that is not known any more.
        """
        raise NotImplementedError


class AccountsSubscription(Subscription):
    """Some accounts: what changed is remembered by account and currency."""

    __slots__ = ("accounts", "waiting")

    def __init__(
        self,
        id_: str,
        changed: Callable[[], None],
        after: Place | None,
        accounts: Iterable[str],
    ) -> None:
        super().__init__(id_, changed, after)
        # One text of an account, however many watch it.
        self.accounts = tuple(sorted(map(sys.intern, set(accounts))))
        self.waiting: dict[Key, Entry] = {}

    def note(self, entry: Entry) -> None:
        """One of its accounts has changed."""
        if not self.waiting:
            self.changed()
        self.waiting[entry.key] = entry

    def of_recent(self, recent: Recent, positions: Positions) -> Iterable[Entry]:
        for account in self.accounts:
            yield from recent.of_account(account, positions)

    def start(self, number: int) -> None:
        self.waiting.clear()

    def take(self, number: int) -> list[Entry] | None:
        found = list(self.waiting.values())
        self.waiting.clear()
        return found


class Path:
    """What changes at and below a path, once for all who are subscribed to it.

    The newest change of each balance, in the order of changes; a subscription remembers the number
    up to which it has sent.
    """

    def __init__(self, path: str, most: int = PATH_BALANCES) -> None:
        self.path, self._most = path, most
        self.subscriptions: set[PathSubscription] = set()
        self.begin()

    def begin(self) -> None:
        """Forget all: those who are subscribed get snapshots."""
        self.forgotten = 0
        self._moved = OrderedDict[Key, Entry]()

    def note(self, entry: Entry) -> None:
        """A balance at or below it has changed."""
        self._moved[entry.key] = entry
        self._moved.move_to_end(entry.key)
        if len(self._moved) > self._most:
            _, oldest = self._moved.popitem(last=False)
            self.forgotten = oldest.number

    def since(self, number: int) -> list[Entry] | None:
        """What changed after the change of this number; None where some of it is forgotten."""
        if number < self.forgotten:
            return None
        found = []
        for entry in reversed(self._moved.values()):
            if entry.number <= number:
                break
            found.append(entry)
        return found


class PathSubscription(Subscription):
    """Everything at and below a path."""

    __slots__ = ("path", "sent")

    def __init__(
        self, id_: str, changed: Callable[[], None], after: Place | None, path: Path
    ) -> None:
        super().__init__(id_, changed, after)
        self.path, self.sent = path, 0

    def of_recent(self, recent: Recent, positions: Positions) -> Iterable[Entry]:
        path, below = self.path.path, f"{self.path.path}:"
        for entry in recent.since(positions):
            if entry.account.startswith(below) or entry.account == path:
                yield entry

    def start(self, number: int) -> None:
        self.sent = number

    def take(self, number: int) -> list[Entry] | None:
        found = self.path.since(self.sent)
        self.sent = number
        return found


class ListSubscription(Subscription):
    """`count` rows of a sorted list, from `offset` on."""

    __slots__ = ("count", "offset", "rows", "sent")

    def __init__(
        self, id_: str, changed: Callable[[], None], rows: Rows, *, offset: int, count: int
    ) -> None:
        super().__init__(id_, changed, None)
        self.rows, self.offset, self.count = rows, offset, count
        self.sent: tuple[int, int, tuple[str, ...]] | None = None
        """Total, offset and rows that the client has."""

    def move(self, *, offset: int, count: int) -> None:
        """The client looks at another part."""
        self.offset, self.count = offset, count
        self.changed()

    def start(self, number: int) -> None:
        self.sent = None

    def take_rows(self) -> str | None:
        """The rows that differ from those sent last, as JSON; None where none does.

        `rows` has a number for a row that the client has at that place among its present rows.
        """
        seen = len(self.rows), self.offset, self.rows.window(self.offset, self.count)
        if seen == self.sent:
            return None
        had = {text: str(at) for at, text in enumerate(self.sent[2])} if self.sent else {}
        total, offset, window = self.sent = seen
        shown = ",".join(had.get(text, text) for text in window)
        return f'{{"total":{total},"offset":{offset},"rows":[{shown}]}}'
