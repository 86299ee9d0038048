"""The copy of `ledger.balances` on this disk: balances, sums by path, positions, coverage.

What a run of records changes and the position after it are one write. What is written is there
after a crash up to some earlier write, whole, and is read on from there (`ledger/streaming/store`).
"""

import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from rocksdict import DbClosedError

from ledger.api.view import keys
from ledger.api.view.figures import Figures
from ledger.api.view.kept import Change, Kept, Place, balance_in
from ledger.api.view.shown import Shown
from ledger.domain.balance import Balance
from ledger.streaming.store import Store, is_damage

FORMAT = "1"
"""Of keys and values; a copy in another one is removed and read again."""
CACHED = 20_000
"""Balances and sums that are kept for what changes next, and accounts as they are read, of each.

A balance and an account take about 1 KB each.
"""
POSITION, COVERED, ORIGIN, AS_OF = b"p", b"c", b"o", b"a"

K = TypeVar("K")


class BalanceCopy:
    """The balances of one ledger. `origin`: which topic it is a copy of; empty for a new one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store = _opened(path)
        self._kept: dict[bytes, Kept | None] = {}
        self._sums: dict[bytes, Figures | None] = {}
        self._shown: dict[str, Shown] = {}
        origin, _, found = _text(self._store.get(ORIGIN)).partition(" ")
        self.origin = found
        if origin != FORMAT:
            self.begin("", {})

    def close(self) -> None:
        """Keep what is in memory, and let go of the files."""
        # It is closed already where it could not be begun anew.
        with suppress(DbClosedError):
            self._store.close()

    # Positions.

    def begin(self, origin: str, starts: Mapping[int, int]) -> None:
        """Remove everything: a copy of the topic `origin`, read from these offsets on."""
        self.origin = ""
        self.close()
        shutil.rmtree(self._path, ignore_errors=True)
        self._store = Store(self._path)
        self._kept.clear()
        self._sums.clear()
        self._shown.clear()
        self.origin = origin
        places = ((_of(POSITION, each), b"%d %d" % (at, at)) for each, at in starts.items())
        self._store.write([(ORIGIN, f"{FORMAT} {origin}".encode()), *places])

    def places(self) -> dict[int, Place]:
        """By partition how far it is read."""
        return {
            partition: Place(*map(int, value.split()))
            for partition, value in self._of_partitions(POSITION)
        }

    def coverage(self) -> dict[int, list[int]]:
        """By partition what was written last by `note_coverage`."""
        return {
            partition: [*map(int, value.split())]
            for partition, value in self._of_partitions(COVERED)
        }

    def note_coverage(self, covered: Mapping[int, Sequence[int]]) -> None:
        """What the copy, as it is now, contains of each shard; by partition."""
        self._store.write(
            (_of(COVERED, each), " ".join(map(str, ends)).encode())
            for each, ends in covered.items()
        )

    @property
    def as_of(self) -> int | None:
        """When all of the topic was in the copy, in microseconds, as far as that was noted."""
        return int(_text(self._store.get(AS_OF)) or 0) or None

    @as_of.setter
    def as_of(self, moment: int) -> None:
        self._store.write([(AS_OF, str(moment).encode())])

    def _of_partitions(self, kind: bytes) -> Iterator[tuple[int, bytes]]:
        for of, value in self._store.scan(kind, kind + b"\xff"):
            yield int.from_bytes(of[1:], "big"), value

    # Changes.

    def take(self, partition: int, changes: Sequence[Change], place: Place) -> list[Change]:
        """Write what the records say and how far the partition is read; returns what is new.

        A balance with a lower version than is known is left out, unless the balance was removed
        before it.
        """
        try:
            changed = self._change(changes)
            puts, deletes = self._rows(changed)
            self._store.write([*puts, (_of(POSITION, partition), b"%d %d" % place)], deletes)
        except BaseException:
            # They may have what is not written.
            self._kept.clear()
            self._sums.clear()
            raise
        told = [change for change, _ in changed.values()]
        for change in told:
            if (shown := self._shown.get(change.account)) is not None:
                shown.put(change)
        self._forget()
        return told

    def _change(self, changes: Sequence[Change]) -> dict[bytes, tuple[Change, Kept | None]]:
        """Take the changes into memory; returns the last of each balance, and what was before."""
        named = [keys.key(keys.BALANCE, change[0], change[1]) for change in changes]
        self._look_up(named)
        found = dict[bytes, tuple[Change, Kept | None]]()
        for of, change in zip(named, changes, strict=True):
            known, kept = self._kept[of], change.kept
            if known is None:
                if kept is None:
                    continue
            elif kept is not None and (kept.version < known.version or kept.body == known.body):
                continue
            found[of] = change, found[of][1] if of in found else known
            self._kept[of] = kept
        # Without those that came and went.
        return {
            of: (change, known) for of, (change, known) in found.items() if change.kept or known
        }

    def _look_up(self, wanted: list[bytes]) -> None:
        unknown = list({each for each in wanted if each not in self._kept})
        if unknown:
            for of, value in zip(unknown, self._store.get_all(unknown), strict=True):
                self._kept[of] = None if value is None else Kept.read(value)

    def _rows(
        self, changed: Mapping[bytes, tuple[Change, Kept | None]]
    ) -> tuple[list[tuple[bytes, bytes]], list[bytes]]:
        """What is to be put and deleted: balances, and the sums above them."""
        puts, deletes = list[tuple[bytes, bytes]](), list[bytes]()
        more = dict[tuple[str, str], Figures]()
        for of, ((account, currency, _, kept), known) in changed.items():
            if kept is None:
                deletes.append(of)
            else:
                puts.append((of, kept.value()))
            above = account.rpartition(":")[0], currency
            more[above] = _less(_plus(more.get(above), kept), known)
        for of in self._add_up(more):
            figures = self._sums[of]
            if figures is None or not figures.accounts:
                self._sums[of] = None
                deletes.append(of)
            else:
                puts.append((of, figures.text()))
        return puts, deletes

    def _add_up(self, more: Mapping[tuple[str, str], Figures]) -> set[bytes]:
        """Add what each path has more to its sum and to those above; returns their keys."""
        found = set[bytes]()
        for (path, currency), figures in more.items():
            for above in (path, *keys.parents(path)):
                of = keys.key(keys.SUM, above, currency)
                known = self._sum(of)
                self._sums[of] = figures if known is None else known.plus(figures)
                found.add(of)
        return found

    def _sum(self, at: bytes) -> Figures | None:
        if at not in self._sums:
            value = self._store.get(at)
            self._sums[at] = None if value is None else Figures.read(value)
        return self._sums[at]

    def _forget(self) -> None:
        _shorten(self._kept)
        _shorten(self._sums)

    # Reading.

    def shown(self, accounts: Collection[str]) -> list[Shown]:
        """What each account has, in their order; not to be changed."""
        known = self._shown
        if missing := {each for each in accounts if each not in known}:
            self._read(sorted(missing))
            found = [known[each] for each in accounts]
            _shorten(known)
            return found
        return [known[each] for each in accounts]

    def _read(self, accounts: Sequence[str]) -> None:
        ranges = map(partial(keys.exactly, keys.BALANCE), accounts)
        for account, values in zip(accounts, self._store.values(ranges), strict=True):
            self._shown[account] = Shown([*map(balance_in, values)])

    def balances(self, account: str) -> list[Balance]:
        """The account in every currency, by currency; not to be changed."""
        found = self._shown.get(account)
        return (found or self.shown((account,))[0]).balances

    def under(self, path: str, after: tuple[str, str] | None, limit: int) -> list[Balance]:
        """The path itself and the accounts below it, in the order of `keys`, after a stripe."""
        start, end = keys.at_and_below(path)
        if after is not None:
            start = max(start, keys.after(keys.key(keys.BALANCE, *after)))
        return [balance_in(value) for _, value in islice(self._scan(start, end), limit)]

    def sums_under(self, path: str) -> dict[str, Figures]:
        """By currency what the path itself and the accounts below it add up to."""
        found = {
            keys.stripe_of(of).currency: Figures.read(value)
            for of, value in self._scan(*keys.exactly(keys.SUM, path))
        }
        for balance in self.balances(path):
            own, below = Figures.of(balance), found.get(balance.currency)
            found[balance.currency] = own if below is None else below.plus(own)
        return dict(sorted(found.items()))

    def _scan(self, start: bytes, end: bytes) -> Iterator[tuple[bytes, bytes]]:
        return self._store.scan(start, end)


def _opened(path: Path) -> Store:
    """A store whose files cannot be read is removed: Kafka has what it had."""
    try:
        return Store(path)
    except Exception as error:
        if not is_damage(error):
            raise
        shutil.rmtree(path)
        return Store(path)


def _shorten(cached: dict[K, Any]) -> None:
    """Leave out the oldest half where there are too many."""
    if len(cached) > CACHED:
        for key in list(islice(cached, len(cached) - CACHED // 2)):
            del cached[key]


def _plus(figures: Figures | None, kept: Kept | None) -> Figures | None:
    if kept is None:
        return figures
    return kept.figures if figures is None else figures.plus(kept.figures)


def _less(figures: Figures | None, kept: Kept | None) -> Figures:
    if kept is None:
        assert figures is not None, "a balance that is not there now was there before"
        return figures
    return (figures or Figures(kept.figures.scale)).plus(kept.figures, -1)


def _of(kind: bytes, partition: int) -> bytes:
    return kind + partition.to_bytes(4, "big")


def _text(value: bytes | None) -> str:
    return "" if value is None else value.decode()
