"""What was decided of a shard's records against what the rules make of them."""

from collections.abc import Container, Mapping, Sequence
from typing import Any

from ledger.audit.chain import Accepted, Turned, Void
from ledger.audit.findings import Break, Findings, Kind, Party
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
from ledger.audit.known import Known, Noted, scales_of_old
from ledger.audit.original import Original, What
from ledger.domain.run import Stripe
from ledger.gl.journal import PostedRun

_SCHEMA = slice(1, 5)
LONGEST_SHOWN = 128
"""Characters of an id in a finding: one that is refused may be as long as a record."""
_WITHOUT_REFERENCE = frozenset((
    "WRONG_KEY", "FIELD_MISSING", "FIELD_MALFORMED", "FIELD_TOO_LONG", "TIME_OUT_OF_RANGE",
    "TOO_FEW_ENTRIES", "TOO_MANY_ENTRIES", "AMOUNT_MALFORMED", "NOT_BALANCED",
    "ACCOUNT_MALFORMED", "REVERSAL_UNKNOWN", "REVERSED_ALREADY", "REVERSAL_BEFORE_ORIGINAL",
))  # fmt: skip
"""Rules that are broken whatever the reference data are."""
_LOG = (Party.LOG, Party.DECISIONS)
_REFERENCE = (Party.REFERENCE, Party.DECISIONS)


class Verdicts:
    """For each run: `begin`, `take` each record, `end`. `noted`: the reference topic.

    `noted` must reach as far as the runs do by then. `partitions`: of the transactions topic, for
    a ledger without a policy. `ids`: what was accepted before, which others fill. `void`: offsets
    of what counts for nothing, however it was decided.
    """

    def __init__(
        self,
        shard: int,
        noted: Sequence[Noted],
        partitions: int,
        ids: Ids,
        findings: Findings,
        void: Container[int] = (),
    ) -> None:
        self._shard, self._noted, self._findings, self.ids = shard, noted, findings, ids
        self._void = void
        self._known = Known(shard, noted)
        self._judge = Judge(shard, self._known, partitions, ids)
        self._schemas: set[bytes] = set()
        self._of_old, self._began, self._is_known = False, False, True
        self._scales_of_old: Mapping[str, int] | None = None

    @property
    def largest(self) -> int:
        """Bytes that a record of the run may have."""
        return self._known.policy.largest

    def recorded_at(self, offset: int, taken_at: int) -> int:
        """When a record of the run counts as recorded, by the log's own time, microseconds."""
        return self._known.recorded_at(offset, taken_at)

    def begin(self, head: PostedRun) -> None:
        """Look at what the run says it knew, and judge it by that."""
        self._of_old, self._is_known = not head.reference_digest, True
        self._judge.begin(head.start, head.decisions_offset)
        if not self._of_old:
            self._is_known = self._follow(head)
            self._began = True
        elif self._began:
            self._add_reference(head, "names no digest of its reference data, and one before did")

    def _follow(self, head: PostedRun) -> bool:
        """Whether the topic has what the run knew."""
        known, position = self._known, head.reference_offset
        before, end = known.position, known.end
        known.go(position)
        if position < before:
            self._add_reference(head, f"knew the reference data before {position}, and one before "
                                f"it those before {before}")  # fmt: skip
        elif position > end:
            self._add_reference(head, f"knew the reference data before {position}, and the topic "
                                f"ends at {end}")  # fmt: skip
        elif head.reference_digest != known.digest:
            self._add_reference(
                head, f"knew other reference data before {position} than the topic has, so rules "
                "that depend on them are not judged there",
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
            Break(Kind.REFERENCE, _REFERENCE, self._shard, sentence, (), stream, ledger)
        )

    def take(self, original: Original, what: What, recorded_at: int) -> None:
        """A record, what was decided of it, and when it was recorded."""
        said = _said(what)
        if original.offset not in self._void:
            self._compare(original, what, said, recorded_at)
        if isinstance(original.draft, dict):
            if original.value is not None and said not in NOT_OURS:
                self._schemas.add(original.value[_SCHEMA])
            if isinstance(what, Accepted):
                self._judge.accept(what)
        if isinstance(what, Void):
            self._judge.void(what)

    def _compare(self, original: Original, what: What, said: str, recorded_at: int) -> None:
        verdict = self._verdict(original, said, recorded_at)
        codes = verdict.codes
        if not self._is_known and (said != ACCEPTED or not _WITHOUT_REFERENCE.issuperset(codes)):
            codes = ()
        if codes and said not in codes and not self._was_not_ours(original, said):
            self._tell(original, what, said, verdict)
        elif isinstance(what, Accepted) and self._is_known:
            self._check_decimals(what)
        elif isinstance(what, Void) and self._is_known and (why := self._judge.wrong_with(what)):
            others = tuple(each for each in codes if each != VOID)
            self._tell(original, what, said, Verdict(others or (WITHOUT_LEAVE,), why))

    def _check_decimals(self, accepted: Accepted) -> None:
        """Each currency was booked with the decimals that it has: amounts do not tell."""
        scales = self._old_scales() if self._of_old else self._known.scales
        for _, code, scale, _ in accepted.entries:
            if scales.get(code, scale) != scale:
                self._tell_decimals(accepted, scales)
                return

    def _tell_decimals(self, accepted: Accepted, scales: Mapping[str, int]) -> None:
        said = {code: scale for _, code, scale, _ in accepted.entries}
        right = {code: scales.get(code, scale) for code, scale in said.items()}
        name, offset = accepted.transaction_id, accepted.offset
        of: dict[str, Any] = {"offset": offset, "transaction_id": name, "outcome": ACCEPTED}
        sentence = f"Offset {offset} ({name!r}) was accepted with decimals of {said}; the rules "
        sentence += f"and the reference data of its run make them {right}."
        self._findings.add(
            Break(
                Kind.RULE, _LOG, self._shard, sentence, _stripes(accepted),
                of | {"decimals": right}, of | {"decimals": said},
            )
        )  # fmt: skip

    def _verdict(self, original: Original, said: str, recorded_at: int) -> Verdict:
        if not self._of_old:
            return self._judge.verdict(original, recorded_at)
        if said not in JUDGED_OF_OLD:
            return Verdict((), "")
        return self._judge.verdict_of_old(original, recorded_at, self._old_scales())

    def _old_scales(self) -> Mapping[str, int]:
        if self._scales_of_old is None:
            self._scales_of_old = scales_of_old(self._noted)
        return self._scales_of_old

    def _was_not_ours(self, original: Original, said: str) -> bool:
        """Whether its schema may have been registered since: nothing before was read with it."""
        value = original.value
        if said not in NOT_OURS or value is None or not isinstance(original.draft, dict):
            return False
        return value[_SCHEMA] not in self._schemas

    def _tell(self, original: Original, what: What, said: str, verdict: Verdict) -> None:
        draft = original.draft
        name = draft["transaction_id"][:LONGEST_SHOWN] if isinstance(draft, dict) else None
        right = " or ".join(verdict.codes)
        sentence = (
            f"Offset {original.offset} ({'unreadable' if name is None else repr(name)}): the rules "
            f"make it {right}, and it was decided as {said}: {verdict.why.rstrip('.')}."
        )
        accepted = what.accepted if isinstance(what, Void) else what
        stripes = _stripes(accepted) if isinstance(accepted, Accepted) else ()
        of: dict[str, Any] = {"offset": original.offset, "transaction_id": name}
        self._findings.add(
            Break(
                Kind.RULE, _LOG, self._shard, sentence, stripes,
                of | {"outcome": right}, of | {"outcome": said},
            )
        )  # fmt: skip

    def end(self, head: PostedRun) -> None:
        """What is older than twice the window is not remembered from here on."""
        floor = head.recorded_until - 2 * self._known.policy.window
        self._judge.floor = max(self._judge.floor, floor)


def _stripes(accepted: Accepted) -> tuple[Stripe, ...]:
    return tuple(dict.fromkeys(Stripe(*each[:2]) for each in accepted.entries))


def _said(what: What) -> str:
    match what:
        case Accepted():
            return ACCEPTED
        case Turned():
            return what.code
        case Void():
            return VOID
        case _:
            return DUPLICATE
