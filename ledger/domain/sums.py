"""The accounts of one partition: what their stripes add up to, and what is to be published.

Inputs are the rows of stripes, how far each shard is compared, and the time. Effects are the
stripes whose balance changed, is late, or whose newest row must be published again.
"""

from bisect import insort
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice, takewhile
from operator import attrgetter
from typing import NamedTuple

from ledger.domain.balance import AccountStripes, Balance, Totals
from ledger.domain.fold import Row
from ledger.domain.run import Stripe

MAX_AHEAD = 50_000
"""Totals of one shard kept apart while they wait; beyond it the later ones of a stripe win."""
MAX_PENDING = 2.0
"""Seconds after which a balance is published as pending, however slow comparing became."""

EndOf = Callable[[int], int]
"""The position of a shard before which everything is compared."""
HeldOf = Callable[[Sequence[Stripe]], Sequence[AccountStripes | None]]
"""What the store has of accounts, in their order."""


class Batch(NamedTuple):
    """Totals that a shard has decided and not compared.

    `place`: offset of the first of them in the stripes topic; `since`: when they came, seconds;
    all are compared at position `end`.
    """

    place: int
    since: float
    end: int
    totals: dict[Stripe, Totals]


class Backlog:
    """A shard's batches that are not compared yet, in the order of its runs and so of places."""

    def __init__(self) -> None:
        self.batches: deque[Batch] = deque()
        self._held, self._late, self._limit = 0, 0, MAX_AHEAD
        self._whole = self._unclear = 0
        self._usual = self._reconciled_at = 0.0

    def add(self, batch: Batch) -> None:
        """The newest; or an older one, read in the log after a newer one was received."""
        if self.batches and batch < self.batches[-1]:
            insort(self.batches, batch)
            self._late = 0
        else:
            self.batches.append(batch)
        self._held += len(batch.totals)
        if self._held > self._limit:
            self._keep_latest()

    def _keep_latest(self) -> None:
        seen: set[Stripe] = set()
        latest: deque[Batch] = deque()
        for batch in reversed(self.batches):
            totals = {stripe: live for stripe, live in batch.totals.items() if stripe not in seen}
            seen |= totals.keys()
            if totals:
                latest.appendleft(batch._replace(totals=totals))
        self.batches, self._held, self._late = latest, len(seen), 0
        self.note_unclear()
        self._limit = max(MAX_AHEAD, 2 * len(seen))

    def note_unclear(self) -> None:
        """Of a stripe an earlier total is missing: what waits must be compared to have it."""
        if self.batches:
            self._unclear = max(self.batches[-1].end, self._unclear)

    def contained(self, end: int) -> int:
        """The position up to which every row is taken, where the shard is compared at `end`.

        Rows of several runs that were folded together have totals at the end of the last one alone.
        So where rows wait, it is the end of those that were taken last.
        """
        if not self.batches:
            self._whole = max(end, self._whole)
        # A row may wait behind those of later runs: a worker that was replaced has published it.
        if self._whole < self._unclear or any(each.end <= self._whole for each in self.batches):
            return 0
        return min(end, self._whole)

    def is_due(self, end: int) -> bool:
        """Whether something is compared at `end`."""
        return bool(self.batches) and self.batches[0].end <= end

    def take_compared(self, end: int, now: float) -> Iterator[Batch]:
        """Those compared at `end`, which leave."""
        batches = self.batches
        if self.is_due(end):
            self._reconciled_at, self._usual = now, now - batches[0].since
        while batches and batches[0].end <= end:
            self._late = max(self._late - 1, 0)
            self._held -= len(batches[0].totals)
            self._whole = max(batches[0].end, self._whole)
            yield batches.popleft()

    def take_late(self, now: float, after: float) -> list[Stripe]:
        """The stripes that have waited longer than usual, and `after` seconds; each time once.

        As long as comparing goes on, if slowly, what waits is reconciled soon anyway; to publish
        it twice would only make everything wait longer.
        """
        since = now - max(after, min(2 * self._usual, MAX_PENDING))
        if not self.batches or self._reconciled_at > since:
            return []
        waiting = islice(self.batches, self._late, None)
        late = list(takewhile(lambda batch: batch.since <= since, waiting))
        self._late += len(late)
        return [stripe for batch in late for stripe in batch.totals]


class Incoming(NamedTuple):
    """A row of the stripes topic at offset `place`; rows of one run have one `run`."""

    place: int
    shard: int
    run: int
    stripe: Stripe
    row: Row


class Due(NamedTuple):
    """What is to be published: balances, and stripes by shard whose newest row must come last."""

    changed: set[Stripe]
    late: set[Stripe]
    stale: set[tuple[Stripe, int]]


class Sums:
    """The state of one partition; its inputs are rows and positions, its effects are in `Due`.

    `read`: position up to which the stripes topic was read. `seen`: the same, at least once, by
    whoever had this store.
    """

    def __init__(self, held_of: HeldOf, read: int, seen: int) -> None:
        self._held_of, self.read, self._seen = held_of, read, seen
        self._accounts: dict[Stripe, AccountStripes] = {}
        self._backlogs: dict[int, Backlog] = defaultdict(Backlog)
        self._received: dict[int, int] = {}
        self._received_end = self._known = 0
        self._due = Due(set(), set(), set())

    # Rows.

    def is_new(self, place: int) -> bool:
        """Whether the record there was not received from this process already."""
        self._known = max(self._received.pop(place, 0), self._known)
        return place >= self._known

    def add(self, rows: Iterable[Incoming], now: float) -> None:
        """Take what was read. A shard's rows of one run wait together."""
        new = (each for each in rows if self._is_ahead(each.place, each.shard, *each[3:]))
        for (shard, _), together in groupby(new, key=attrgetter("shard", "run")):
            batch = list(together)
            self._wait(batch[0].place, shard, {each.stripe: each.row.live for each in batch}, now)

    def receive(self, first: int, shard: int, rows: Mapping[Stripe, Row], now: float) -> None:
        """Take what this process has appended from offset `first` on, ahead of reading it."""
        unknown = [stripe for stripe in rows if stripe not in self._accounts]
        for stripe, held in zip(unknown, self._held_of(unknown), strict=True):
            self._accounts[stripe] = held or AccountStripes(rows[stripe].scale)
        totals = {
            stripe: row.live
            for place, (stripe, row) in enumerate(rows.items(), first)
            if self._is_ahead(place, shard, stripe, row)
        }
        if totals:
            self._wait(first, shard, totals, now)
        self._received[first] = end = first + len(rows)
        self._received_end = max(end, self._received_end)

    def _is_ahead(self, place: int, shard: int, stripe: Stripe, row: Row) -> bool:
        """Whether the row has more than was known, and so is to be compared."""
        account, live = self.account(stripe, row.scale), row.live
        known = account.latest(shard)
        if live.offset < known.offset:
            if place >= self._seen:
                # Later and older: of a worker that was replaced. Compaction keeps the last.
                self._due.stale.add((stripe, shard))
            if shard in self._backlogs:
                self._backlogs[shard].note_unclear()
            return False
        if (shard in account.broken) != row.broken:
            account.broken ^= {shard}
            self._due.changed.add(stripe)
        if known.offset < 0 and account.reconcile(shard, row.posted):
            # This disk has not seen the shard's records before.
            self._due.changed.add(stripe)
        if not account.decide(shard, live):
            return False
        # What was there before may be garbage with this key, or void.
        account.scale = row.scale
        return True

    def add_foreign(self, stripe: Stripe, shard: int) -> None:
        """A record that none of ours wrote has the key of a row: compaction would keep it."""
        if self.account(stripe).latest(shard).offset >= 0:
            self._due.stale.add((stripe, shard))

    def _wait(self, place: int, shard: int, totals: dict[Stripe, Totals], now: float) -> None:
        end = 1 + max(live.offset for live in totals.values())
        self._backlogs[shard].add(Batch(place, now, end, totals))

    # Positions.

    def reach(self, position: int) -> None:
        """Everything before `position` was read."""
        self.read = max(position, self.read)

    def skip_received(self) -> int | None:
        """Read on past what was received; the new position, or None if there is nothing to skip.

        As far as nobody else's records are between.
        """
        position = self.read
        while position in self._received:
            position = self._received.pop(position)
        was, self.read = self.read, position
        return None if position == was else position

    def goes_on_received(self) -> bool:
        """Whether what comes next in the log was received already, or nothing comes yet."""
        return self.read in self._received or self.read >= self._received_end

    def forget_received(self) -> None:
        """Forget what was received and is read by now."""
        self._received = {first: end for first, end in self._received.items() if end > self.read}

    def reconciled(self) -> int:
        """The position before which every record is reconciled and published."""
        waiting = (each.batches[0].place for each in self._backlogs.values() if each.batches)
        # What is received may be far beyond what was read: another worker's records are between.
        return min((*waiting, self.read))

    # What is due.

    def reconcile(self, end_of: EndOf, now: float) -> None:
        """What the shards have compared is reconciled."""
        accounts, changed = self._accounts, self._due.changed
        for shard, backlog in self._backlogs.items():
            for batch in backlog.take_compared(end_of(shard), now):
                for stripe, live in batch.totals.items():
                    if accounts[stripe].reconcile(shard, live):
                        changed.add(stripe)

    def is_due(self, shard: int, end: int) -> bool:
        """Whether something of the shard is compared at `end` and not published."""
        backlog = self._backlogs.get(shard)
        return backlog is not None and backlog.is_due(end)

    def note_unclear(self) -> None:
        """Records may be missing that newer ones have replaced in the topic."""
        for backlog in self._backlogs.values():
            backlog.note_unclear()

    def contained(self, shard: int, end: int) -> int:
        """The position up to which the shard's rows are reconciled, if all were read or received.

        The shard is compared at `end`, and `reconcile` was called since. 0 where it is not known.
        """
        backlog = self._backlogs.get(shard)
        return end if backlog is None else backlog.contained(end)

    def has_work(self, end_of: EndOf) -> bool:
        """Whether something is to be published."""
        return self.has_due or any(self.is_due(shard, end_of(shard)) for shard in self._backlogs)

    def note_late(self, now: float, after: float) -> None:
        """What has waited longer than usual, and `after` seconds, is to be published as pending."""
        for backlog in self._backlogs.values():
            self._due.late.update(backlog.take_late(now, after))

    @property
    def is_changed(self) -> bool:
        """Whether balances changed that are not published."""
        return bool(self._due.changed)

    @property
    def has_due(self) -> bool:
        """Whether something is due without comparing any further."""
        return any(self._due)

    def take_changed(self) -> set[Stripe]:
        """While restoring, when nothing is published: the accounts that changed."""
        changed, self._due = self._due.changed, self._due._replace(changed=set())
        return changed

    def take_due(self) -> Due:
        """What is to be published, which it then counts as."""
        due, self._due = self._due, Due(set(), set(), set())
        return due

    # Accounts.

    def balance(self, stripe: Stripe) -> Balance:
        """What the account's stripes add up to."""
        return self.account(stripe).balance(*stripe)

    def row(self, stripe: Stripe, shard: int) -> Row:
        """The newest row of a stripe."""
        account = self.account(stripe)
        live, posted = account.latest(shard), account.posted(shard)
        return Row(account.scale, live, posted, shard in account.broken)

    def account(self, stripe: Stripe, scale: int = 0) -> AccountStripes:
        """The stripes of an account; `scale` if it is new."""
        account = self._accounts.get(stripe)
        if account is None:
            (held,) = self._held_of([stripe])
            account = self._accounts[stripe] = held or AccountStripes(scale)
        return account

    def knows(self, stripe: Stripe) -> bool:
        """Whether there is such an account."""
        return stripe in self._accounts or self._held_of([stripe])[0] is not None

    def held(self) -> list[Stripe]:
        """The accounts in memory that have something."""
        return [each for each, account in self._accounts.items() if account.balance(*each).version]

    def __len__(self) -> int:
        """How many accounts are in memory."""
        return len(self._accounts)

    def forget(self, kept: set[Stripe]) -> None:
        """Keep in memory what is ahead, which is in no store, what is changed, and `kept`."""
        self._accounts = {
            stripe: account
            for stripe, account in self._accounts.items()
            if account.ahead or stripe in self._due.changed or stripe in kept
        }
