"""The rules applied to a shard's records, one after another, independently of the decisions.

Records are judged by the decisions before them, right or wrong: each contradiction is reported
once. Runs of versions before 0.2 (they name no digest of their reference data) had other rules for
names, times, sizes and accounts, and settings that are not recorded. Of them only what never
changed is judged: entries, sums, repetitions and reversals, with ISO 4217's decimals and the first
policy's window.
"""

from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from ledger.audit import rules
from ledger.audit.chain import Void
from ledger.audit.ids import Ids, KnownId, entries_hash, short
from ledger.audit.log_records import LogRecord, asks_to_void
from ledger.audit.reference import ReferenceAt
from ledger.audit.rules import Draft, SignedEntry, Unsure, Wrong
from ledger.gl.rows import PostedTransaction

ACCEPTED, DUPLICATE, VOID = "accepted", "duplicate", "void"
NOT_OURS = frozenset(("UNKNOWN_SCHEMA", "FOREIGN_SCHEMA"))
"""Which of the two a record gets depends on what the registry was asked before."""
JUDGED_OF_OLD = frozenset((
    ACCEPTED, DUPLICATE, "ID_REUSED", "TOO_FEW_ENTRIES", "TOO_MANY_ENTRIES", "TOO_MANY_DECIMALS",
    "AMOUNT_MALFORMED", "AMOUNT_NOT_POSITIVE", "AMOUNT_TOO_LARGE", "SUM_TOO_LARGE", "NOT_BALANCED",
    "ACCOUNT_MALFORMED", "REVERSAL_UNKNOWN", "REVERSED_ALREADY", "REVERSAL_NOT_MIRRORED",
))  # fmt: skip
VOIDED, WITHOUT_LEAVE = "VOIDED", "VOID_WITHOUT_LEAVE"
_LONG_AGO = -(2**62)


class Verdict(NamedTuple):
    """The decision that the rules require: any of `codes`; no codes if they do not tell."""

    codes: tuple[str, ...]
    why: str

    @classmethod
    def of(cls, wrong: Wrong, *others: str) -> Self:
        """That refusal, or one of `others`."""
        return cls((wrong.code, *others), wrong.why)


class Judge:
    """One shard's rules. `floor`: from when on every id is remembered, microseconds."""

    def __init__(self, shard: int, known: ReferenceAt, partitions: int, ids: Ids) -> None:
        self._shard, self._known, self._partitions, self._ids = shard, known, partitions, ids
        self._reversed: dict[bytes, int] = {}
        self._scales: dict[str, int] = {}
        self._voided: set[int] = set()
        self.floor = _LONG_AGO
        self._starts, self._runs = array("q"), array("q")

    def begin(self, start: int, decisions_offset: int) -> None:
        """A run begins at the position `start`; it is at `decisions_offset`."""
        self._starts.append(start)
        self._runs.append(decisions_offset)

    def _run_of(self, offset: int) -> int:
        """The decision offset of the run that decided the position."""
        return self._runs[bisect_right(self._starts, offset) - 1]

    def verdict(self, record: LogRecord, recorded_at: int) -> Verdict:
        """The decision that the present rules require."""
        value, draft = record.value, record.draft
        if value is not None and len(value) > self._known.policy.largest:
            largest = self._known.policy.largest
            return Verdict(("TOO_LARGE",), f"it has {len(value)} bytes, and {largest} are taken")
        if not isinstance(draft, dict):
            codes = tuple(sorted(NOT_OURS)) if record.code in NOT_OURS else (record.code,)
            return Verdict(codes if record.code else (), str(draft))
        try:
            return self._by_fields(draft, record.key, recorded_at)
        except Unsure:
            return Verdict((), "")

    def _by_fields(self, draft: Draft, key: bytes | None, recorded_at: int) -> Verdict:
        policy = self._known.policy
        shards = policy.shards or self._partitions
        if wrong := rules.place(draft, key, self._shard, shards):
            return Verdict.of(wrong)
        of = None if draft["reverses"] is None else self._find(draft["reverses"])
        wrong = rules.texts(draft, of_old=of is not None)
        either = () if of is None or of.known_from >= self.floor else _malformed(draft)
        wrong = wrong or rules.times(draft, recorded_at, policy, self.floor)
        if wrong and wrong.code != rules.MALFORMED:
            return Verdict.of(wrong, *either)
        verdict = self._repetition(draft, recorded_at, wrong)
        if verdict is None:
            verdict = Verdict.of(wrong) if wrong else self._by_content(draft, recorded_at)
        return verdict._replace(codes=verdict.codes + either) if either else verdict

    def _repetition(
        self, draft: Draft, recorded_at: int, wrong: Wrong | None = None
    ) -> Verdict | None:
        """None for an id that is not remembered. `wrong`: a fault in its names, if there is one."""
        seen = self._find(draft["transaction_id"])
        if seen is None or not self._is_remembered(seen, recorded_at):
            return None
        if seen.is_repeated_by(draft):
            why = f"its id and content were accepted at offset {seen.offset}"
            if seen.offset in self._voided:
                return Verdict((VOIDED,), f"{why}, and voided since")
            return Verdict((DUPLICATE,), why)
        why = f"its id was accepted at offset {seen.offset} with other content"
        return Verdict.of(wrong or Wrong("ID_REUSED", why))

    def _is_remembered(self, seen: KnownId, recorded_at: int) -> bool:
        known_from = seen.known_from
        return known_from >= self.floor and recorded_at - known_from <= self._known.policy.window

    def _by_content(self, draft: Draft, recorded_at: int) -> Verdict:
        entries = rules.signed_entries(draft, self._known.scales, self._scales)
        if isinstance(entries, Wrong):
            if asks_to_void(draft):
                return self._asked_to_void(draft, recorded_at)
            return Verdict.of(entries)
        if draft["reverses"] is not None:
            return self._reversal(draft, entries, recorded_at)
        wrong = rules.state(draft, entries, recorded_at, self._known)
        return Verdict.of(wrong) if wrong else _RIGHT

    def _reversal(self, draft: Draft, entries: Sequence[SignedEntry], recorded_at: int) -> Verdict:
        name = draft["reverses"]
        of = self._find(name)
        if of is None:
            return Verdict(("REVERSAL_UNKNOWN",), f"{name!r} was not accepted in this shard")
        if not self._is_remembered(of, recorded_at):
            # Its row may still have been in the table, which is cleaned up at times.
            gone = ("REVERSAL_UNKNOWN",) if of.known_from < self.floor else ()
            return Verdict(("REVERSAL_TOO_OLD", *gone), f"{name!r} is past the window")
        if wrong := self._taken_back(name, of):
            return Verdict.of(wrong)
        if draft["effective_at"] < of.effective_at:
            return Verdict(("REVERSAL_BEFORE_ORIGINAL",), f"{name!r} is effective after it")
        if wrong := _mirrored(draft, entries, of):
            return Verdict.of(wrong)
        wrong = rules.state(draft, entries, recorded_at, self._known) if of.is_reversal else None
        return Verdict.of(wrong) if wrong else _RIGHT

    def _asked_to_void(self, draft: Draft, recorded_at: int) -> Verdict:
        name = draft["reverses"] or ""
        of = self._find(name)
        code, why = self._void_verdict(name, of, recorded_at)
        # An id past the window may be forgotten; the void is then of an earlier use of the id.
        gone = of is not None and of.known_from < self.floor
        others: tuple[str, ...] = (WITHOUT_LEAVE, VOID, DUPLICATE) if gone else ()
        if code == DUPLICATE:
            # An earlier use of the id may have leave as well.
            others = (*others, VOID)
        return Verdict(tuple(dict.fromkeys((code, *others))), why)

    def _void_verdict(self, name: str, of: KnownId | None, recorded_at: int) -> tuple[str, str]:
        leave = None if of is None else self._known.leaves.get(of.offset)
        if of is None or leave is None:
            # The id may have been used again since: the leave is then for its earlier use.
            return WITHOUT_LEAVE, f"there is no leave to void {name!r}"
        if of.offset in self._voided:
            return DUPLICATE, f"{name!r} is void already"
        if leave.run != self._run_of(of.offset):
            return WITHOUT_LEAVE, f"the leave to void {name!r} names another run"
        if leave.until is not None and recorded_at > leave.until:
            return WITHOUT_LEAVE, f"the leave to void {name!r} had ended"
        at = self._reversed.get(short(name), -1)
        if at > of.offset and at not in self._voided:
            return "REVERSED_ALREADY", f"{name!r} was reversed at offset {at}"
        return VOID, f"there is leave to void {name!r}"

    def wrong_with(self, void: Void) -> str | None:
        """How a void contradicts the reference data or an earlier void; None if it does not."""
        offset = void.accepted.offset
        if offset in self._voided:
            return f"what is at offset {offset} was void before"
        leave = self._known.leaves.get(offset)
        if leave is None or leave[:3] != (void.run, void.authority, void.reason):
            return f"the reference data have the leave {leave}, and it names another"
        had = {(code, scale) for _, code, scale, _ in void.accepted.entries}
        right = {(code, self._known.scales.get(code, scale)) for code, scale in had}
        if void.decimals != right:
            return f"it leaves decimals of {sorted(void.decimals)}, and {sorted(right)} are right"
        return None

    def void(self, void: Void) -> None:
        """Add a void, for the records after it."""
        self._voided.add(void.accepted.offset)

    def _taken_back(self, name: str, of: KnownId) -> Wrong | None:
        if of.offset in self._voided:
            return Wrong(VOIDED, f"{name!r} was voided")
        at = self._reversed.get(short(name), -1)
        # A reversal from before the id was used again, past the window, is of its earlier use.
        if at <= of.offset or at in self._voided:
            return None
        return Wrong("REVERSED_ALREADY", f"{name!r} was reversed at offset {at}")

    def verdict_of_old(
        self, record: LogRecord, recorded_at: int, scales: Mapping[str, int]
    ) -> Verdict:
        """As `verdict`, of a run before 0.2 with one of JUDGED_OF_OLD as its decision."""
        draft = record.draft
        if not isinstance(draft, dict):
            return _ANY
        if self._find(draft["transaction_id"]) is not None:
            return self._repetition(draft, recorded_at) or _ANY
        entries = rules.signed_entries(draft, scales, {})
        if isinstance(entries, Wrong):
            # Which currencies were known is not recorded.
            return _ANY if entries.code == "UNKNOWN_CURRENCY" else Verdict.of(entries)
        return (
            _RIGHT if draft["reverses"] is None else self._old_reversal(draft, entries, recorded_at)
        )

    def _old_reversal(
        self, draft: Draft, entries: Sequence[SignedEntry], recorded_at: int
    ) -> Verdict:
        name = draft["reverses"]
        of = self._find(name)
        if of is None:
            return Verdict(("REVERSAL_UNKNOWN",), f"{name!r} was not accepted in this shard")
        wrong = self._taken_back(name, of) or _mirrored(draft, entries, of)
        if self._is_remembered(of, recorded_at):
            return Verdict.of(wrong) if wrong else _RIGHT
        return Verdict.of(wrong, "REVERSAL_UNKNOWN") if wrong else _ANY

    def accept(self, accepted: PostedTransaction) -> None:
        """Add what the table of ids lacks of an accepted transaction, for the records after it."""
        if accepted.reverses:
            self._reversed[short(accepted.reverses)] = accepted.offset
        for _, currency, scale, _ in accepted.entries:
            if currency not in self._scales:
                self._scales[currency] = scale

    def _find(self, name: str) -> KnownId | None:
        """The transaction that this shard accepted with that id."""
        seen = self._ids.find(name)
        return None if seen is None or seen.shard != self._shard else seen


_RIGHT = Verdict((ACCEPTED,), "nothing in it is against the rules")
_ANY = Verdict((), "")


def _malformed(draft: Draft) -> tuple[str, ...]:
    """Names of an old rule are accepted only while the reversed transaction is remembered."""
    wrong = rules.texts(draft)
    return (rules.MALFORMED,) if wrong and wrong.code == rules.MALFORMED else ()


def _mirrored(draft: Draft, entries: Sequence[SignedEntry], of: KnownId) -> Wrong | None:
    mirrored = [(account, currency, -minor) for account, currency, minor in entries]
    if entries_hash(rules.ordering_key_of(draft), mirrored) == of.entries:
        return None
    why = f"its key and entries are not those of {draft['reverses']!r} with the sides exchanged"
    return Wrong("REVERSAL_NOT_MIRRORED", why)
