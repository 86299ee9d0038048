"""Decisions against the journal's rows: none missing, none extra, none different."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Generic, TypeVar

from ledger.audit.chain import ChainedRun, Void, stripes_of
from ledger.audit.findings import Break, BreakKind, Findings, Party, decimal_text
from ledger.domain.run import Stripe
from ledger.gl.rows import (
    JournalFinding,
    PostedRun,
    PostedTransaction,
    PostedVoid,
    RowKey,
    fields_as_json,
)

T = TypeVar("T")
_BETWEEN = (Party.DECISIONS, Party.JOURNAL)


class OrderedRows(Generic[T]):
    """Rows in order of `place`, taken up to one place after another."""

    def __init__(self, rows: Iterator[T], place: Callable[[T], int]) -> None:
        self._rows, self._place = rows, place

    def below(self, end: int) -> list[T]:
        """The next rows whose place is before `end`."""
        found = []
        for row in self._rows:
            if self._place(row) >= end:
                self._rows = chain([row], self._rows)
                break
            found.append(row)
        return found


class JournalCheck:
    """One shard's journal, run by run; `voids`: by offset, the journal's."""

    def __init__(
        self, shard: int, findings: Findings, voids: Mapping[int, PostedVoid] | None = None
    ) -> None:
        self._shard, self._findings = shard, findings
        self._voids = dict(voids or {})
        self._left_out = {at for at, void in self._voids.items() if not void.was_posted}

    def take(
        self,
        run: ChainedRun,
        runs: Sequence[PostedRun],
        transactions: Sequence[PostedTransaction],
    ) -> None:
        """A run, with the journal's runs since the last one and its transactions within it."""
        self._compare_runs(run.head, runs)
        posted = {each.offset: each for each in transactions}
        for accepted in run.transactions:
            found = posted.pop(accepted.offset, None)
            if accepted.offset not in self._left_out:
                self._compare(accepted, found)
            elif found is not None:
                self.unknown(found, "is void, and was left out")
        for void in run.voids:
            self._compare_void(run.head.decisions_offset, void)
        for extra in posted.values():
            self.unknown(extra)

    def _compare_runs(self, head: PostedRun, runs: Sequence[PostedRun]) -> None:
        at = head.decisions_offset
        known = next((run for run in runs if run.decisions_offset == at), None)
        if known is None:
            sentence = f"The run at decision offset {at} has no row."
            self._add(BreakKind.MISSING, sentence, row=head.key)
        elif known != head:
            ours, theirs = fields_as_json(head), fields_as_json(known)
            names = [name for name in ours if ours[name] != theirs[name]]
            self._add(
                BreakKind.DIFFERS,
                f"The row of the run at decision offset {at} differs from the log: "
                f"{', '.join(names)}.",
                stream={name: ours[name] for name in names},
                ledger={name: theirs[name] for name in names}, row=known.key,
            )  # fmt: skip
        for run in runs:
            if run is not known:
                self.unknown_run(run)

    def _compare(self, accepted: PostedTransaction, posted: PostedTransaction | None) -> None:
        name = f"Transaction {accepted.transaction_id!r} at offset {accepted.offset}"
        if posted is None:
            self._add(
                BreakKind.MISSING, f"{name} was accepted, and the journal does not have it.",
                stripes_of(accepted.entries), stream=_shown(accepted),
                row=self._row("transactions", accepted.offset),
            )  # fmt: skip
            return
        if posted == accepted:
            return
        names = [
            each
            for each in PostedTransaction._fields
            if getattr(accepted, each) != getattr(posted, each)
        ]
        if names == ["entries"] and (changed := _scales(accepted.entries, posted.entries)):
            self._differ_in_scale(changed)
            return
        touched = set(accepted.entries) ^ set(posted.entries)
        row = self._row("transactions", accepted.offset)
        if names == ["entries"]:
            row = self._row("entries", accepted.offset, _entry(accepted.entries, posted.entries))
        self._add(
            BreakKind.DIFFERS,
            f"{name} is not in the journal as it was accepted: {', '.join(names)}.",
            stripes_of(sorted(touched) or accepted.entries),
            stream=_changed(accepted, names), ledger=_changed(posted, names), row=row,
        )  # fmt: skip

    def _compare_void(self, decisions_offset: int, void: Void) -> None:
        offset = void.accepted.offset
        wanted = PostedVoid(
            self._shard, offset, void.offset, void.recorded_at, void.run, decisions_offset,
            void.authority, void.reason, void.content,
        )  # fmt: skip
        posted = self._voids.pop(offset, None)
        if posted is not None and posted._replace(was_posted=wanted.was_posted) == wanted:
            return
        stripes, row = stripes_of(void.accepted.entries), self._row("voids", offset)
        if posted is None:
            sentence = (
                f"Offset {offset} was voided at {void.offset}, and table voids does not have it."
            )
            self._add(BreakKind.MISSING, sentence, stripes, row=row)
            return
        names = [name for name in wanted._fields[:-1]
                 if getattr(wanted, name) != getattr(posted, name)]  # fmt: skip
        sentence = f"The void of offset {offset} differs from the log: {', '.join(names)}."
        self._add(BreakKind.DIFFERS, sentence, stripes, row=row)

    def beyond(self, run: ChainedRun) -> None:
        """A run that is not posted yet: what it voids may be left out already."""
        for void in run.voids:
            if void.accepted.offset in self._voids:
                self._compare_void(run.head.decisions_offset, void)

    def finish(self) -> None:
        """After all runs: the remaining voids of the journal are in no run."""
        for offset, void in self._voids.items():
            sentence = (
                f"The journal has offset {offset} as voided by the run at decision offset "
                f"{void.decisions_offset}, which does not void it."
            )
            self._add(BreakKind.EXTRA, sentence, row=self._row("voids", offset))

    def unknown(self, posted: PostedTransaction, what: str = "was not accepted") -> None:
        """A transaction that should not be in the journal; `what`: why not."""
        self._add(
            BreakKind.EXTRA,
            f"Transaction {posted.transaction_id!r} at offset {posted.offset} is in the journal "
            f"and {what}.",
            stripes_of(posted.entries), ledger=_shown(posted),
            row=self._row("transactions", posted.offset),
        )  # fmt: skip

    def unknown_run(self, run: PostedRun) -> None:
        """A run that is not in the chain of the decision log."""
        self._add(
            BreakKind.EXTRA,
            f"The journal has a run at decision offset {run.decisions_offset}, from {run.start} to "
            f"{run.end}; the decision log has none there that counts.",
            row=run.key,
        )  # fmt: skip

    def _add(
        self,
        kind: BreakKind,
        sentence: str,
        stripes: tuple[Stripe, ...] = (),
        *,
        stream: dict[str, Any] | None = None,
        ledger: dict[str, Any] | None = None,
        row: RowKey | None = None,
    ) -> None:
        found = Break(kind, _BETWEEN, self._shard, sentence, stripes, stream, ledger, row)
        self._findings.add(found)

    def _differ_in_scale(self, changed: Mapping[str, tuple[int, int]]) -> None:
        """One break for a currency, not for each transaction in it."""
        for code, (decided, known) in changed.items():
            sentence = (
                f"Amounts in {code} were decided with {decided} decimals; in table currencies it "
                f"has {known}, or no row."
            )
            row = RowKey.of("currencies", code=code)
            self._findings.add(Break(BreakKind.DIFFERS, _BETWEEN, None, sentence, row=row))

    def _row(self, table: str, offset: int, entry: int | None = None) -> RowKey:
        more = {} if entry is None else {"entry": entry}
        return RowKey.of(table, shard=self._shard, log_offset=offset, **more)


Entries = Sequence[tuple[str, str, int, int]]


def _scales(accepted: Entries, posted: Entries) -> dict[str, tuple[int, int]]:
    """By currency the decimals, if the entries differ in nothing else; otherwise empty."""
    pairs = list(zip(accepted, posted, strict=False))
    same = len(accepted) == len(posted) and all(
        (one[:2], one[3]) == (other[:2], other[3]) for one, other in pairs
    )
    if not same:
        return {}
    return {one[1]: (one[2], other[2]) for one, other in pairs if one != other}


def _entry(accepted: Entries, posted: Entries) -> int | None:
    """The index of the entry that differs, if only one does and none is missing."""
    if len(accepted) != len(posted):
        return None
    differ = [
        at for at, pair in enumerate(zip(accepted, posted, strict=True)) if pair[0] != pair[1]
    ]
    return differ[0] if len(differ) == 1 else None


def orphan_break(found: JournalFinding) -> Break:
    """A row of the database that no run accounts for, as a break."""
    between = _BETWEEN
    stripes: tuple[Stripe, ...] = ()
    if found.row and found.row.table == "stripes" and found.row.columns:
        key = dict(found.row.columns)
        stripes = (Stripe(str(key["account"]), str(key["currency"])),)
        between = (Party.DECISIONS, Party.DATABASE)
    return Break(BreakKind.EXTRA, between, found.shard, found.sentence, stripes, row=found.row)


def _shown(transaction: PostedTransaction) -> dict[str, Any]:
    return _changed(transaction, ["offset", "transaction_id", "entries"])


def _changed(transaction: PostedTransaction, names: Sequence[str]) -> dict[str, Any]:
    shown = {name: getattr(transaction, name) for name in names}
    if "entries" in shown:
        shown["entries"] = [
            [account, currency, "debit" if amount > 0 else "credit",
             decimal_text(abs(amount), scale)]
            for account, currency, scale, amount in transaction.entries
        ]  # fmt: skip
    return shown
