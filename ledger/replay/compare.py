"""A shadow ledger against the live one: by run, by transaction, by stripe."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import takewhile
from operator import attrgetter
from typing import Any, NamedTuple, Self, TypeVar

from ledger.domain import money
from ledger.domain.balance import NOTHING, Totals
from ledger.domain.run import Stripe, Watermark
from ledger.gl.rows import PostedRun, PostedTransaction, PostedVoid, fields_as_json
from ledger.gl.sql_books import SqlBooks

T = TypeVar("T", PostedRun, PostedTransaction, PostedVoid)
DIFFERENCES_LISTED = 1_000
"""Differences that are listed; all are counted."""


class DifferenceKind(StrEnum):
    """What differs; the codes are public."""

    MISSING_LIVE = "missing_in_live"
    MISSING_SHADOW = "missing_in_shadow"
    DIFFERENT = "different"

    @classmethod
    def of(cls, live: object | None, shadow: object | None) -> Self:
        """Of a row on both sides; None for a missing one."""
        if shadow is None:
            return cls.MISSING_SHADOW
        return cls.MISSING_LIVE if live is None else cls.DIFFERENT


class LedgerDifference(NamedTuple):
    """Between the two ledgers; `what`: transaction, run, void or stripe.

    `name`: of a transaction or void its id, of a stripe account and currency. `fields`: by name,
    the values in the live ledger and in the shadow; if one is missing, all values of the other.
    """

    kind: DifferenceKind
    what: str
    shard: int
    offset: int
    name: str
    fields: Mapping[str, tuple[Any, Any]]

    def as_json(self) -> dict[str, Any]:
        """As --json prints it."""
        sides = {
            name: {"live": live, "shadow": shadow} for name, (live, shadow) in self.fields.items()
        }
        return {**self._asdict(), "kind": self.kind.value, "fields": sides}

    def sentence(self) -> str:
        """For people."""
        who = f"{self.what} {self.name}".strip() + f" at offset {self.offset}"
        if self.kind is DifferenceKind.MISSING_LIVE:
            return f"{who} is not in the live ledger"
        if self.kind is DifferenceKind.MISSING_SHADOW:
            return f"{who} is in the live ledger, and the log has no such"
        parts = (f"{name} {live} live, {shadow} shadow" for name, (live, shadow) in
                 self.fields.items())  # fmt: skip
        return f"{who}: {'; '.join(parts)}"


@dataclass(slots=True)
class ComparisonResult:
    """The result of comparing; `not_posted`: transactions not yet posted to the live ledger."""

    same: int = 0
    not_posted: int = 0
    count: int = 0
    differences: list[LedgerDifference] = field(default_factory=list)

    def add(self, found: LedgerDifference) -> None:
        """Count it, and list it unless there are many."""
        self.count += 1
        if len(self.differences) < DIFFERENCES_LISTED:
            self.differences.append(found)


class ShardComparison:
    """One shard of both ledgers, over the runs between two watermarks of the shadow."""

    def __init__(
        self, live: SqlBooks, shadow: SqlBooks, shard: int, found: ComparisonResult
    ) -> None:
        self._live, self._shadow, self._shard, self._found = live, shadow, shard, found

    def compare(self, start: Watermark, end: Watermark) -> None:
        """Add differences to `found`; what is posted meanwhile is not compared."""
        posted = self._live.watermark(self._shard)
        until = min(end.decisions_offset, posted.decisions_offset)
        self._compare_runs(start.decisions_offset, until)
        self._compare_voids(start.decisions_offset, until)
        self._compare_transactions(start.end, end.end, posted.end)
        if posted.end >= end.end:
            self._compare_stripes(end, posted)

    def _compare_runs(self, start: int, until: int) -> None:
        runs = (
            takewhile(lambda run: run.decisions_offset < until, journal.runs(self._shard, start))
            for journal in (self._live, self._shadow)
        )
        for live, shadow in merged(attrgetter("decisions_offset"), *runs):
            if live != shadow:
                self._add("run", live, shadow, fields_as_json)

    def _compare_voids(self, start: int, until: int) -> None:
        voids = (
            (each for each in journal.voids(self._shard) if start <= each.decisions_offset < until)
            for journal in (self._live, self._shadow)
        )
        for live, shadow in merged(attrgetter("offset"), *voids):
            # Whether it was posted before it was voided depends on timing alone.
            again = shadow._replace(was_posted=live.was_posted) if live and shadow else shadow
            if live != again:
                self._add("void", live, again, fields_as_json)

    def _compare_transactions(self, start: int, end: int, posted: int) -> None:
        ours, theirs = ({each.offset for each in journal.voids(self._shard)}
                        for journal in (self._live, self._shadow))  # fmt: skip
        both = (
            journal.transactions(self._shard, start, end) for journal in (self._live, self._shadow)
        )
        for live, shadow in merged(attrgetter("offset"), *both):
            offset = (live or shadow).offset  # type: ignore[union-attr]
            if live == shadow:
                self._found.same += 1
            elif (not live and offset in ours) or (not shadow and offset in theirs):
                # A void transaction counts for nothing, whether it is left out or posted.
                continue
            elif offset < posted:
                self._add("transaction", live, shadow, _fields)
            elif live is None:
                self._found.not_posted += 1

    def _add(
        self, what: str, live: T | None, shadow: T | None, fields: Callable[[T], dict[str, Any]]
    ) -> None:
        there = live or shadow
        assert there is not None, "one side has it"
        ours, theirs = (fields(each) if each else {} for each in (live, shadow))
        changed = {
            name: (ours.get(name), theirs.get(name))
            for name in ours | theirs
            if ours.get(name) != theirs.get(name)
        }
        if isinstance(there, PostedTransaction | PostedVoid):
            place, name = there.offset, there.transaction_id
        else:
            place, name = there.decisions_offset, ""
        kind = DifferenceKind.of(live, shadow)
        self._found.add(LedgerDifference(kind, what, self._shard, place, name, changed))

    def _compare_stripes(self, end: Watermark, posted: Watermark) -> None:
        _, shadow = self._shadow.snapshot(self._shard, -1)
        # The present totals if both are at the same position, otherwise the sums of entries there.
        if posted == end:
            _, live = self._live.snapshot(self._shard, -1)
        else:
            live = self._live.totals_before(self._shard, end.end)
        for stripe in sorted(live.keys() | shadow.keys()):
            ours, theirs = live.get(stripe), shadow.get(stripe)
            if ours != theirs:
                self._add_stripe(stripe, ours, theirs)

    def _add_stripe(self, stripe: Stripe, live: Totals | None, shadow: Totals | None) -> None:
        pairs = zip(Totals._fields, live or NOTHING, shadow or NOTHING, strict=True)
        fields = {f"{name} (minor units)" if name in ("debits", "credits") else name: (one, other)
                  for name, one, other in pairs if one != other}  # fmt: skip
        offset = max((live or NOTHING).offset, (shadow or NOTHING).offset)
        name = f"{stripe.account} {stripe.currency}"
        kind = DifferenceKind.of(live, shadow)
        self._found.add(LedgerDifference(kind, "stripe", self._shard, offset, name, fields))


def merged(
    place: Callable[[T], int], live: Iterator[T], shadow: Iterator[T]
) -> Iterator[tuple[T | None, T | None]]:
    """Pairs of rows at the same place, None if one side has no row there."""
    ours, theirs = next(live, None), next(shadow, None)
    while ours is not None or theirs is not None:
        first = min(place(each) for each in (ours, theirs) if each is not None)
        at_first = [each if each and place(each) == first else None for each in (ours, theirs)]
        yield at_first[0], at_first[1]
        if at_first[0] is not None:
            ours = next(live, None)
        if at_first[1] is not None:
            theirs = next(shadow, None)


def _fields(transaction: PostedTransaction) -> dict[str, Any]:
    entries = [
        f"{'debit' if amount > 0 else 'credit'} {account} {money.show(abs(amount), scale)} {code}"
        for account, code, scale, amount in transaction.entries
    ]
    return transaction._asdict() | {"entries": entries}
