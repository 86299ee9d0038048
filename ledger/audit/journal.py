"""Decisions against the journal's rows: nothing missing, nothing more, nothing different."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Generic, TypeVar

from ledger.audit.chain import Accepted, Settled
from ledger.audit.findings import Break, Findings, Kind, Party, decimal_text
from ledger.domain.run import Stripe
from ledger.gl.journal import Orphan, PostedRun, PostedTransaction, Row

T = TypeVar("T")
_BETWEEN = (Party.DECISIONS, Party.JOURNAL)


class Portions(Generic[T]):
    """An ordered iterator, taken piece by piece."""

    def __init__(self, rows: Iterator[T], place: Callable[[T], int]) -> None:
        self._rows, self._place = rows, place

    def below(self, end: int) -> list[T]:
        """The next ones whose place is before `end`."""
        found = []
        for row in self._rows:
            if self._place(row) >= end:
                self._rows = chain([row], self._rows)
                break
            found.append(row)
        return found


class JournalCheck:
    """One shard's journal, run by run."""

    def __init__(self, shard: int, findings: Findings) -> None:
        self._shard, self._findings = shard, findings

    def take(
        self,
        settled: Settled,
        runs: Sequence[PostedRun],
        transactions: Sequence[PostedTransaction],
    ) -> None:
        """A run, with the journal's runs since the last one and the transactions within it."""
        self._compare_runs(settled.head, runs)
        posted = {each.offset: each for each in transactions}
        for accepted in settled.transactions:
            self._compare(accepted, posted.pop(accepted.offset, None))
        for extra in posted.values():
            self.unknown(extra)

    def _compare_runs(self, head: PostedRun, runs: Sequence[PostedRun]) -> None:
        at = head.decisions_offset
        known = next((run for run in runs if run.decisions_offset == at), None)
        if known is None:
            missing = Row.of("runs", shard=self._shard, decisions_offset=at)
            self._add(
                Kind.MISSING, f"The run at decision offset {at} has no row.", row=missing
            )  # fmt: skip
        elif known != head:
            names = [name for name in head._fields if getattr(head, name) != getattr(known, name)]
            self._add(
                Kind.DIFFERS, f"The row of the run at decision offset {at} differs from the log: "
                f"{', '.join(names)}.",
                stream=_fields(head, names), ledger=_fields(known, names), row=row_of(known),
            )  # fmt: skip
        for run in runs:
            if run is not known:
                self.unknown_run(run)

    def _compare(self, accepted: Accepted, posted: PostedTransaction | None) -> None:
        name = f"Transaction {accepted.transaction_id!r} at offset {accepted.offset}"
        if posted is None:
            self._add(
                Kind.MISSING, f"{name} was accepted, and the journal does not have it.",
                stripes_of(accepted.entries), stream=_shown(accepted),
                row=self._row("transactions", accepted.offset),
            )  # fmt: skip
            return
        if posted[1:] == accepted:
            return
        names = [
            each for each in Accepted._fields if getattr(accepted, each) != getattr(posted, each)
        ]
        if names == ["entries"] and (changed := _scales(accepted.entries, posted.entries)):
            self._differ_in_scale(changed)
            return
        touched = set(accepted.entries) ^ set(posted.entries)
        row = self._row("transactions", accepted.offset)
        if names == ["entries"]:
            row = self._row("entries", accepted.offset, _entry(accepted.entries, posted.entries))
        self._add(
            Kind.DIFFERS, f"{name} is not in the journal as it was accepted: {', '.join(names)}.",
            stripes_of(sorted(touched) or accepted.entries),
            stream=_changed(accepted, names), ledger=_changed(posted, names), row=row,
        )  # fmt: skip

    def unknown(self, posted: PostedTransaction) -> None:
        """A transaction that was never accepted."""
        self._add(
            Kind.EXTRA, f"Transaction {posted.transaction_id!r} at offset {posted.offset} is in "
            "the journal and was not accepted.",
            stripes_of(posted.entries), ledger=_shown(posted),
            row=self._row("transactions", posted.offset),
        )  # fmt: skip

    def unknown_run(self, run: PostedRun) -> None:
        """A run that does not count in the decision log."""
        self._add(
            Kind.EXTRA, f"The journal has a run at decision offset {run.decisions_offset}, from "
            f"{run.start} to {run.end}; the decision log has none there that counts.",
            row=row_of(run),
        )  # fmt: skip

    def _add(
        self,
        kind: Kind,
        sentence: str,
        stripes: tuple[Stripe, ...] = (),
        *,
        stream: dict[str, Any] | None = None,
        ledger: dict[str, Any] | None = None,
        row: Row | None = None,
    ) -> None:
        found = Break(kind, _BETWEEN, self._shard, sentence, stripes, stream, ledger, row)
        self._findings.add(found)

    def _differ_in_scale(self, changed: Mapping[str, tuple[int, int]]) -> None:
        """Once for a currency, not for each transaction in it."""
        for code, (decided, known) in changed.items():
            sentence = (
                f"Amounts in {code} were decided with {decided} decimals; in table currencies it "
                f"has {known}, or no row."
            )
            row = Row.of("currencies", code=code)
            self._findings.add(Break(Kind.DIFFERS, _BETWEEN, None, sentence, row=row))

    def _row(self, table: str, offset: int, entry: int | None = None) -> Row:
        more = {} if entry is None else {"entry": entry}
        return Row.of(table, shard=self._shard, log_offset=offset, **more)


Entries = Sequence[tuple[str, str, int, int]]


def _scales(accepted: Entries, posted: Entries) -> dict[str, tuple[int, int]]:
    """By currency the decimals, where the entries differ in nothing else; else empty."""
    pairs = list(zip(accepted, posted, strict=False))
    same = len(accepted) == len(posted) and all(
        (one[:2], one[3]) == (other[:2], other[3]) for one, other in pairs
    )
    if not same:
        return {}
    return {one[1]: (one[2], other[2]) for one, other in pairs if one != other}


def _entry(accepted: Entries, posted: Entries) -> int | None:
    """Which one differs, if it is one alone and none is missing."""
    if len(accepted) != len(posted):
        return None
    differ = [
        at for at, pair in enumerate(zip(accepted, posted, strict=True)) if pair[0] != pair[1]
    ]
    return differ[0] if len(differ) == 1 else None


def row_of(run: PostedRun) -> Row:
    """The name of its row."""
    return Row.of("runs", shard=run.shard, decisions_offset=run.decisions_offset)


def orphan_break(found: Orphan) -> Break:
    """A row of the database that no run accounts for, as the audits tell of it."""
    between = _BETWEEN
    stripes: tuple[Stripe, ...] = ()
    if found.row.table == "stripes" and found.row.key:
        key = dict(found.row.key)
        stripes = (Stripe(str(key["account"]), str(key["currency"])),)
        between = (Party.DECISIONS, Party.DATABASE)
    return Break(Kind.EXTRA, between, found.shard, found.sentence, stripes, row=found.row)


def stripes_of(entries: Sequence[tuple[str, str, int, int]]) -> tuple[Stripe, ...]:
    """What entries touch, in order of first appearance."""
    return tuple(dict.fromkeys(Stripe(*entry[:2]) for entry in entries))


def _shown(transaction: Accepted | PostedTransaction) -> dict[str, Any]:
    return _changed(transaction, ["offset", "transaction_id", "entries"])


def _changed(transaction: Accepted | PostedTransaction, names: Sequence[str]) -> dict[str, Any]:
    shown = {name: getattr(transaction, name) for name in names}
    if "entries" in shown:
        shown["entries"] = [
            [account, currency, "debit" if amount > 0 else "credit",
             decimal_text(abs(amount), scale)]
            for account, currency, scale, amount in transaction.entries
        ]  # fmt: skip
    return shown


def _fields(run: PostedRun, names: Sequence[str]) -> dict[str, Any]:
    found = {name: getattr(run, name) for name in names}
    return {
        name: value.hex() if isinstance(value, bytes) else value for name, value in found.items()
    }
