"""Log against decisions: every record decided once, and accepted with the content that it has."""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from typing import Any

from ledger.audit.chain import ChainedRun, Void
from ledger.audit.content import CONTENT, decided_content, published_content
from ledger.audit.findings import Break, BreakKind, Findings, Party
from ledger.audit.ids import Ids
from ledger.audit.log_records import (
    REFUSAL_BYTES,
    Decided,
    LogRecord,
    asks_to_void,
    shown_decision,
    stripes_decided,
)
from ledger.audit.rules import FEWEST
from ledger.audit.verdicts import Verdicts
from ledger.domain.run import Refusal
from ledger.gl.rows import PostedTransaction

_BETWEEN = (Party.LOG, Party.DECISIONS)
_REPETITION = "a repetition"
_SHOWN = 128


class LogCheck:
    """One shard's log against its decisions, run by run, and against the rules if given."""

    def __init__(
        self,
        shard: int,
        ids: Ids,
        findings: Findings,
        verdicts: Verdicts | None = None,
        void: Container[int] = (),
    ) -> None:
        assert verdicts is None or verdicts.ids is ids, "verdicts depend on the ids of this check"
        self._shard, self._ids, self._findings = shard, ids, findings
        self._verdicts, self._void = verdicts, void
        self._voided: set[str] = set()
        self._recorded_at = 0

    def take(self, run: ChainedRun, records: Sequence[LogRecord]) -> None:
        """The run, and every record of the log at its positions."""
        decisions, verdicts = self._decisions(run), self._verdicts
        for record in records:
            at, decided = record.taken_at, decisions.pop(record.offset, None)
            if verdicts is not None:
                at = verdicts.recorded_at(record.offset, at)
            self._recorded_at = max(self._recorded_at, at)
            if verdicts is not None and decided is not None:
                # Before this check adds the record's id: a record is judged by those before it.
                verdicts.take(record, decided, self._recorded_at)
            self._check(record, decided)
        for offset, decided in decisions.items():
            self._add(
                BreakKind.EXTRA, decided,
                f"Offset {offset} was decided ({shown_decision(decided)}), but the log has no "
                "record there.",
            )  # fmt: skip
        if run.head.recorded_until != self._recorded_at:
            self._add(
                BreakKind.DIFFERS, None,
                f"The run at decision offset {run.head.decisions_offset} has the log's time as "
                f"{run.head.recorded_until}; by the log's records it is {self._recorded_at} "
                "(microseconds).",
            )  # fmt: skip

    def _decisions(self, run: ChainedRun) -> dict[int, Decided]:
        """Decisions by offset; an offset that is decided twice is a break."""
        decisions: dict[int, Decided] = {}
        outcomes: list[tuple[int, Decided]] = [
            *((each.offset, each) for each in run.transactions),
            *((offset, _REPETITION) for offset in run.duplicates),
            *((each.offset, each) for each in run.refused),
            *((each.offset, each) for each in run.voids),
        ]
        for offset, decided in outcomes:
            if offset in decisions:
                known = decisions[offset]
                self._add(
                    BreakKind.DECIDED_TWICE, known if stripes_decided(known) else decided,
                    f"Offset {offset} was decided twice: {shown_decision(known)}, and "
                    f"{shown_decision(decided)}.",
                )  # fmt: skip
            decisions[offset] = decided
        return decisions

    def _check(self, record: LogRecord, decided: Decided | None) -> None:
        match decided:
            case None:
                self._add(
                    BreakKind.UNDECIDED, None,
                    f"The record at offset {record.offset} was passed over: neither accepted nor "
                    "refused nor recognised as a repetition.",
                )  # fmt: skip
            case PostedTransaction():
                self._check_accepted(record, decided)
            case Refusal():
                if (decided.key, decided.value) != (_kept(record.key), _kept(record.value)):
                    self._add(
                        BreakKind.DIFFERS, None,
                        f"The refusal of offset {record.offset} keeps another key or value than "
                        "the record has.",
                    )  # fmt: skip
            case Void():
                self._check_void(record, decided)
            case _:
                self._check_repetition(record)

    def _check_accepted(self, record: LogRecord, accepted: PostedTransaction) -> None:
        self._check_balance(accepted)
        draft = record.draft
        if not isinstance(draft, dict):
            self._differs(accepted, {"value": draft or "not read"}, {"value": "accepted"})
            return
        scales = self._ids.scales
        if record.offset in self._void:
            # It counts for nothing, whatever is wrong with its decimals.
            scales = {entry[1]: entry[2] for entry in accepted.entries}
        else:
            self._learn_scales(accepted)
        self._compare(record, accepted, scales)
        known = self._ids.accept(accepted, draft)
        if known is not None:
            self._add(
                BreakKind.ID_TWICE, accepted,
                f"Transaction {accepted.transaction_id!r} was accepted in shard {known.shard} at "
                f"offset {known.offset}, and again in shard {self._shard} at offset "
                f"{record.offset}.",
            )  # fmt: skip

    def _compare(
        self, record: LogRecord, accepted: PostedTransaction, scales: Mapping[str, int]
    ) -> None:
        draft: Any = record.draft
        key = (draft["ordering_key"] or draft["transaction_id"]).encode()
        published = published_content(draft, self._recorded_at, scales)
        decided = decided_content(accepted)
        if published == decided and record.key == key:
            return
        ours, theirs = (dict(zip(CONTENT, side, strict=True)) for side in (published, decided))
        if record.key != key:
            ours, theirs = ours | {"key": repr(record.key)}, theirs | {"key": repr(key)}
        names = [name for name in ours if ours[name] != theirs[name]]
        self._differs(accepted, *({name: side[name] for name in names} for side in (ours, theirs)))

    def _learn_scales(self, accepted: PostedTransaction) -> None:
        for _, currency, scale, _ in accepted.entries:
            known = self._ids.scales.setdefault(currency, scale)
            if known != scale:
                self._add(
                    BreakKind.DIFFERS, accepted,
                    f"At offset {accepted.offset} {currency} has {scale} decimals; before it had "
                    f"{known}.",
                )  # fmt: skip

    def _check_balance(self, accepted: PostedTransaction) -> None:
        if len(accepted.entries) == FEWEST:
            (_, currency, _, debit), (_, other, _, credit) = accepted.entries
            if currency == other and debit == -credit != 0:
                return
        net: defaultdict[str, int] = defaultdict(int)
        for _, currency, _, amount in accepted.entries:
            net[currency] += amount
        amounts = [entry[3] for entry in accepted.entries]
        if any(net.values()) or not all(amounts) or len(amounts) < FEWEST:
            self._add(
                BreakKind.UNBALANCED, accepted,
                f"Transaction {accepted.transaction_id!r} at offset {accepted.offset} was accepted "
                f"with debits less credits of {dict(net)} minor units over {len(amounts)} entries.",
            )  # fmt: skip

    def _check_repetition(self, record: LogRecord) -> None:
        """It must repeat an accepted transaction; otherwise money would be lost."""
        draft = record.draft
        if isinstance(draft, dict):
            if asks_to_void(draft) and draft["reverses"] in self._voided:
                return
            known = self._ids.find(draft["transaction_id"])
            if known is not None and known.is_repeated_by(draft):
                return
        name = (draft["transaction_id"] if isinstance(draft, dict) else draft or "")[:_SHOWN]
        self._add(
            BreakKind.FALSE_DUPLICATE, None,
            f"Offset {record.offset} ({name!r}) counts as a repetition, but nothing with that id "
            "and content was accepted before it.",
        )  # fmt: skip

    def _check_void(self, record: LogRecord, void: Void) -> None:
        """The record must ask for the void, and what is voided must be what was accepted."""
        name, draft = void.accepted.transaction_id, record.draft
        known = self._ids.find(name)
        self._voided.add(name)
        what = f"Offset {record.offset} voids {name!r}"
        if not isinstance(draft, Mapping) or not asks_to_void(draft) or draft["reverses"] != name:
            sentence = f"{what}, and its record does not ask for that."
            self._add(BreakKind.DIFFERS, void, sentence)
        elif known is None:
            sentence = f"{what}, and nothing with that id was accepted before it."
            self._add(BreakKind.EXTRA, void, sentence)
        elif known[:2] != (self._shard, void.accepted.offset):
            # The id was used again; once its last use is void, an earlier one may be voided.
            if known.offset not in self._void:
                self._add(
                    BreakKind.DIFFERS, void,
                    f"{what} at offset {void.accepted.offset}, and it was accepted in shard "
                    f"{known.shard} at {known.offset} last.",
                )  # fmt: skip
        elif not known.is_of(void.accepted):
            sentence = f"{what}, with another content than was accepted."
            self._add(BreakKind.DIFFERS, void, sentence)

    def _differs(
        self,
        accepted: PostedTransaction,
        published: Mapping[str, Any],
        decided: Mapping[str, Any],
    ) -> None:
        self._add(
            BreakKind.DIFFERS, accepted,
            f"Transaction {accepted.transaction_id!r} at offset {accepted.offset} was accepted "
            f"with another content than it was published with: {', '.join(published)}.",
            published, decided,
        )  # fmt: skip

    def _add(
        self,
        kind: BreakKind,
        decided: Decided | None,
        sentence: str,
        stream: Mapping[str, Any] | None = None,
        ledger: Mapping[str, Any] | None = None,
    ) -> None:
        stripes = () if decided is None else stripes_decided(decided)
        self._findings.add(Break(kind, _BETWEEN, self._shard, sentence, stripes, stream, ledger))


def _kept(part: bytes | None) -> bytes | None:
    return part and part[:REFUSAL_BYTES]
