"""What was decided of a shard's records against what the rules make of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from ledger.audit.chain import Accepted, Turned
from ledger.audit.findings import Break, Findings, Kind, Party
from ledger.audit.judge import ACCEPTED, DUPLICATE, JUDGED_OF_OLD, NOT_OURS, Judge, Verdict
from ledger.audit.known import Known, Noted, scales_of_old
from ledger.audit.original import Original
from ledger.domain.run import Stripe
from ledger.gl.journal import PostedRun

_SCHEMA = slice(1, 5)
_LOG = (Party.LOG, Party.DECISIONS)
_REFERENCE = (Party.REFERENCE, Party.DECISIONS)


class Verdicts:
    """For each run: `begin`, `take` each record, `end`. `noted`: the reference topic.

    `noted` must reach as far as the runs do by then. `partitions`: of the transactions topic, for
    a ledger without a policy.
    """

    def __init__(
        self, shard: int, noted: Sequence[Noted], partitions: int, findings: Findings
    ) -> None:
        self._shard, self._noted, self._findings = shard, noted, findings
        self._known = Known(shard, noted)
        self._judge = Judge(shard, self._known, partitions)
        self._schemas: set[bytes] = set()
        self._of_old, self._began = False, False
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
        self._of_old = not head.reference_digest
        if not self._of_old:
            self._follow(head)
            self._began = True
        elif self._began:
            self._add_reference(head, "names no digest of its reference data, and one before did")

    def _follow(self, head: PostedRun) -> None:
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
            self._add_reference(head, f"knew other reference data before {position} than the topic "
                                "has", known.digest.hex(), head.reference_digest.hex())  # fmt: skip

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

    def take(self, original: Original, what: Accepted | Turned | str, recorded_at: int) -> None:
        """A record, what was decided of it, and when it was recorded."""
        match what:
            case Accepted():
                said = ACCEPTED
            case Turned():
                said = what.code
            case _:
                said = DUPLICATE
        verdict = self._verdict(original, said, recorded_at)
        if verdict.codes and said not in verdict.codes and not self._was_not_ours(original, said):
            self._tell(original, what, said, verdict)
        if isinstance(original.draft, Mapping):
            if original.value is not None and said not in NOT_OURS:
                self._schemas.add(original.value[_SCHEMA])
            if isinstance(what, Accepted):
                self._judge.accept(what, original.draft)

    def _verdict(self, original: Original, said: str, recorded_at: int) -> Verdict:
        if not self._of_old:
            return self._judge.verdict(original, recorded_at)
        if said not in JUDGED_OF_OLD:
            return Verdict((), "")
        if self._scales_of_old is None:
            self._scales_of_old = scales_of_old(self._noted)
        return self._judge.verdict_of_old(original, recorded_at, self._scales_of_old)

    def _was_not_ours(self, original: Original, said: str) -> bool:
        """Whether its schema may have been registered since: nothing before was read with it."""
        value = original.value
        if said not in NOT_OURS or value is None or not isinstance(original.draft, Mapping):
            return False
        return value[_SCHEMA] not in self._schemas

    def _tell(
        self, original: Original, what: Accepted | Turned | str, said: str, verdict: Verdict
    ) -> None:
        draft = original.draft
        name = draft["transaction_id"] if isinstance(draft, Mapping) else None
        right = " or ".join(verdict.codes)
        sentence = (
            f"Offset {original.offset} ({'unreadable' if name is None else repr(name)}): the rules "
            f"make it {right}, and it was decided as {said}: {verdict.why}."
        )
        stripes = [Stripe(*each[:2]) for each in what.entries] if isinstance(what, Accepted) else []
        of: dict[str, Any] = {"offset": original.offset, "transaction_id": name}
        self._findings.add(
            Break(
                Kind.RULE, _LOG, self._shard, sentence, tuple(dict.fromkeys(stripes)),
                of | {"outcome": right}, of | {"outcome": said},
            )
        )  # fmt: skip

    def end(self, head: PostedRun) -> None:
        """What is older than twice the window is not remembered from here on."""
        floor = head.recorded_until - 2 * self._known.policy.window
        self._judge.floor = max(self._judge.floor, floor)
