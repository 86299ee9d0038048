"""A source of live updates in memory: balances that a test changes, read in partitions."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from ledger.api.live.source import Key, Listener
from ledger.api.view import keys
from ledger.api.view.kept import Change
from ledger.domain import money
from ledger.domain.balance import Balance
from ledger.domain.partition import partition_of

PARTITIONS = 4


class MemorySource:
    """Answers as the balance view does."""

    def __init__(self, origin: str = "topic") -> None:
        self.origin, self.is_ready = origin, True
        self.rows: dict[Key, Balance] = {}
        self._positions = [0] * PARTITIONS
        self._listeners: list[Listener] = []

    def positions(self) -> Sequence[int]:
        return list(self._positions)

    def balances(self, account: str) -> Sequence[Balance]:
        return sorted(row for row in self.rows.values() if row.account == account)

    def under(self, path: str, *, after: Key | None = None, limit: int) -> Sequence[Balance]:
        found = [row for row in self.rows.values() if is_under(row.account, path)]
        found = [row for row in found if after is None or _place(row) > _key(*after)]
        return sorted(found, key=_place)[:limit]

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def put(self, *balances: Balance) -> None:
        """Balances that have changed, of several partitions each in a call of its own."""
        self._change([Change(each.account, each.currency, each) for each in balances])

    def remove(self, account: str, currency: str) -> None:
        """A balance is no more."""
        self._change([Change(account, currency)])

    def _change(self, changes: Sequence[Change]) -> None:
        for partition, some in by_partition(changes):
            for each in some:
                if each.balance is None:
                    self.rows.pop((each.account, each.currency), None)
                else:
                    self.rows[each.account, each.currency] = each.balance
            end = self._positions[partition] + len(some)
            for listener in self._listeners:
                listener(partition, end, some)
            self._positions[partition] = end

    def be_another(self, origin: str) -> None:
        """The topic is made again, and read from its beginning."""
        rows = list(self.rows.values())
        self.origin, self._positions = origin, [0] * PARTITIONS
        self.rows.clear()
        self.put(*rows)


def by_partition(changes: Sequence[Change]) -> Iterator[tuple[int, Sequence[Change]]]:
    found: dict[int, list[Change]] = {}
    for each in changes:
        found.setdefault(partition_of(each.account.encode(), PARTITIONS), []).append(each)
    yield from found.items()


def is_under(account: str, path: str) -> bool:
    return account == path or account.startswith(f"{path}:")


def balance(account: str, minor: int, version: int, currency: str = "CAD") -> Balance:
    text = money.show(minor, 2)
    return Balance(account, currency, 2, text, "0.00", text, "0.00", 1, "reconciled", version)


def shown(row: Balance) -> Mapping[str, object]:
    """As a client gets it."""
    return {key: value for key, value in row._asdict().items() if key != "scale"}


def _key(account: str, currency: str) -> bytes:
    return keys.key(keys.BALANCE, account, currency)


def _place(row: Balance) -> bytes:
    return _key(row.account, row.currency)
