"""The decisions about a shard's records against those that follow from the rules."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from ledger.audit.chain import Void
from ledger.audit.findings import Break, BreakKind, Findings, Party
from ledger.audit.ids import Ids
from ledger.audit.judge import (
    ACCEPTED,
    DUPLICATE,
    JUDGED_OF_OLD,
    NOT_OURS,
    VOID,
    WITHOUT_LEAVE,
    Judge,
    Verdict,
)
from ledger.audit.log_records import Decided, LogRecord, stripes_decided
from ledger.audit.reference import ReferenceAt, ReferenceRecord, scales_of_old
from ledger.domain.run import Refusal
from ledger.gl.rows import PostedRun, PostedTransaction

_SCHEMA = slice(1, 5)
LONGEST_SHOWN = 128
"""Characters of an id in a finding: a refused id may be as long as a record."""
_WITHOUT_REFERENCE = frozenset((
    "WRONG_KEY", "FIELD_MISSING", "FIELD_MALFORMED", "FIELD_TOO_LONG", "TIME_OUT_OF_RANGE",
    "TOO_FEW_ENTRIES", "TOO_MANY_ENTRIES", "AMOUNT_MALFORMED", "NOT_BALANCED",
    "ACCOUNT_MALFORMED", "REVERSAL_UNKNOWN", "REVERSED_ALREADY", "REVERSAL_BEFORE_ORIGINAL",
))  # fmt: skip
"""Codes of rules that do not depend on reference data."""
_LOG = (Party.LOG, Party.DECISIONS)
_REFERENCE = (Party.REFERENCE, Party.DECISIONS)


class Verdicts:
    """For each run call `begin`, `take` for each record, `end`.

    `records`: of the reference topic, at least as far as the run names it. `partitions`: of the
    transactions topic, for a ledger without a policy. `ids`: the ids accepted before, which
    LogCheck adds. `void`: offsets that count for nothing, however they were decided.
    """

    def __init__(
        self,
        shard: int,
        records: Sequence[ReferenceRecord],
        partitions: int,
        ids: Ids,
        findings: Findings,
        void: Container[int] = (),
    ) -> None:
        self._shard, self._records, self._findings, self.ids = shard, records, findings, ids
        self._void = void
        self._known = ReferenceAt(shard, records)
        self._judge = Judge(shard, self._known, partitions, ids)
        self._schemas: set[bytes] = set()
        self._of_old, self._began, self._is_known = False, False, True
        self._scales_of_old: Mapping[str, int] | None = None

    @property
    def largest(self) -> int:
        """Bytes that a record of the run may have."""
        return self._known.policy.largest

    def recorded_at(self, offset: int, taken_at: int) -> int:
        """The recorded time of a record of the run, by the log's own time; microseconds."""
        return self._known.recorded_at(offset, taken_at)

    def begin(self, head: PostedRun) -> None:
        """Take the reference data that the run names, to judge its records by them."""
        self._of_old, self._is_known = not head.reference_digest, True
        self._judge.begin(head.start, head.decisions_offset)
        if not self._of_old:
            self._is_known = self._follow(head)
            self._began = True
        elif self._began:
            self._add_reference(head, "names no digest of its reference data, and one before did")

    def _follow(self, head: PostedRun) -> bool:
        """Whether the topic has the reference data that the run names."""
        known, position = self._known, head.reference_offset
        before, end = known.position, known.end
        known.advance(position)
        if position < before:
            what = f"names reference data before {position}, a run before it those before {before}"
            self._add_reference(head, what)
        elif position > end:
            what = f"names reference data before {position}, and the topic ends at {end}"
            self._add_reference(head, what)
        elif head.reference_digest != known.digest:
            self._add_reference(
                head, f"was decided with other reference data before {position} than the topic "
                "has, so rules that depend on them are not judged there",
                known.digest.hex(), head.reference_digest.hex(),
            )  # fmt: skip
        return position <= end and head.reference_digest == known.digest

    def _add_reference(
        self, head: PostedRun, what: str, ours: str | None = None, theirs: str | None = None
    ) -> None:
        sentence = f"The run at decision offset {head.decisions_offset} {what}."
        stream, ledger = (
            None if digest is None else {"position": head.reference_offset, "digest": digest}
            for digest in (ours, theirs)
        )
        self._findings.add(
            Break(BreakKind.REFERENCE, _REFERENCE, self._shard, sentence, (), stream, ledger)
        )

    def take(self, record: LogRecord, decided: Decided, recorded_at: int) -> None:
        """A record, the decision about it, and its recorded time."""
        outcome = _outcome_of(decided)
        if record.offset not in self._void:
            self._compare(record, decided, outcome, recorded_at)
        if isinstance(record.draft, dict):
            if record.value is not None and outcome not in NOT_OURS:
                self._schemas.add(record.value[_SCHEMA])
            if isinstance(decided, PostedTransaction):
                self._judge.accept(decided)
        if isinstance(decided, Void):
            self._judge.void(decided)

    def _compare(self, record: LogRecord, decided: Decided, outcome: str, recorded_at: int) -> None:
        verdict = self._verdict(record, outcome, recorded_at)
        codes = verdict.codes
        if not self._is_known and (outcome != ACCEPTED or not _WITHOUT_REFERENCE.issuperset(codes)):
            codes = ()
        if codes and outcome not in codes and not self._was_not_ours(record, outcome):
            self._add_rule(record, decided, outcome, verdict)
        elif isinstance(decided, PostedTransaction) and self._is_known:
            self._check_decimals(decided)
        elif (
            isinstance(decided, Void)
            and self._is_known
            and (why := self._judge.wrong_with(decided))
        ):
            others = tuple(each for each in codes if each != VOID)
            self._add_rule(record, decided, outcome, Verdict(others or (WITHOUT_LEAVE,), why))

    def _check_decimals(self, accepted: PostedTransaction) -> None:
        """Each currency must have its own decimals: amounts do not show wrong ones."""
        scales = self._old_scales() if self._of_old else self._known.scales
        for _, code, scale, _ in accepted.entries:
            if scales.get(code, scale) != scale:
                self._add_decimals(accepted, scales)
                return

    def _add_decimals(self, accepted: PostedTransaction, scales: Mapping[str, int]) -> None:
        had = {code: scale for _, code, scale, _ in accepted.entries}
        right = {code: scales.get(code, scale) for code, scale in had.items()}
        name, offset = accepted.transaction_id, accepted.offset
        of: dict[str, Any] = {"offset": offset, "transaction_id": name, "outcome": ACCEPTED}
        sentence = f"Offset {offset} ({name!r}) was accepted with decimals of {had}; by the "
        sentence += f"rules and the reference data of its run they are {right}."
        self._add(sentence, accepted, of | {"decimals": right}, of | {"decimals": had})

    def _verdict(self, record: LogRecord, outcome: str, recorded_at: int) -> Verdict:
        if not self._of_old:
            return self._judge.verdict(record, recorded_at)
        if outcome not in JUDGED_OF_OLD:
            return Verdict((), "")
        return self._judge.verdict_of_old(record, recorded_at, self._old_scales())

    def _old_scales(self) -> Mapping[str, int]:
        if self._scales_of_old is None:
            self._scales_of_old = scales_of_old(self._records)
        return self._scales_of_old

    def _was_not_ours(self, record: LogRecord, outcome: str) -> bool:
        """Whether its schema may have been registered since: no record before was read with it."""
        value = record.value
        if outcome not in NOT_OURS or value is None or not isinstance(record.draft, dict):
            return False
        return value[_SCHEMA] not in self._schemas

    def _add_rule(
        self, record: LogRecord, decided: Decided, outcome: str, verdict: Verdict
    ) -> None:
        draft = record.draft
        name = draft["transaction_id"][:LONGEST_SHOWN] if isinstance(draft, dict) else None
        right = " or ".join(verdict.codes)
        sentence = (
            f"Offset {record.offset} ({'unreadable' if name is None else repr(name)}): by the "
            f"rules it is {right}, but it was decided as {outcome}: {verdict.why.rstrip('.')}."
        )
        of: dict[str, Any] = {"offset": record.offset, "transaction_id": name}
        self._add(sentence, decided, of | {"outcome": right}, of | {"outcome": outcome})

    def _add(
        self, sentence: str, decided: Decided, right: dict[str, Any], actual: dict[str, Any]
    ) -> None:
        stripes = stripes_decided(decided)
        self._findings.add(
            Break(BreakKind.RULE, _LOG, self._shard, sentence, stripes, right, actual)
        )

    def end(self, head: PostedRun) -> None:
        """From here on, ids older than twice the window are not remembered."""
        floor = head.recorded_until - 2 * self._known.policy.window
        self._judge.floor = max(self._judge.floor, floor)


def _outcome_of(decided: Decided) -> str:
    match decided:
        case PostedTransaction():
            return ACCEPTED
        case Refusal():
            return decided.code
        case Void():
            return VOID
        case _:
            return DUPLICATE
