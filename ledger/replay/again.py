"""Decisions made again with the present rules, settings and reference data.

A difference is no break: the decision in the log stands.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord

from ledger.domain.decide import Received, decide
from ledger.domain.memory import Voidable
from ledger.domain.reference import Leave, Reference
from ledger.domain.run import Content, Outcomes, Voided
from ledger.domain.valid_run import ValidRun
from ledger.gl.posting import posted_transactions
from ledger.gl.rows import PostedTransaction
from ledger.settings import Settings
from ledger.streaming.accepted import AcceptedIds
from ledger.streaming.log import Log
from ledger.streaming.reference import policy_or_first, row_of, take
from ledger.streaming.registry import Codec
from ledger.streaming.transactions import TransactionReader

ACCEPTED, DUPLICATE = "accepted", "duplicate"
BY_REFERENCE, BY_RULES = "reference data", "rules or settings"


class ChangedDecision(NamedTuple):
    """A record that would be decided otherwise today.

    `was`, `now`: accepted, duplicate, or the code of the refusal; `what`: the sentence of the
    refusal, or the fields that differ if both accept it. `cause`: what has changed since.
    """

    shard: int
    offset: int
    transaction_id: str
    was: str
    now: str
    what: str
    cause: str


class RecordOutcome(NamedTuple):
    """The decision about one record; `content`: the accepted transaction's fields."""

    code: str
    transaction_id: str = ""
    sentence: str = ""
    content: tuple[Any, ...] = ()

    def is_same_as(self, other: "RecordOutcome") -> bool:
        """Whether both are the same; of refusals only the code is compared."""
        return self.code == other.code and self.content == other.content


OutcomesByOffset = dict[int, RecordOutcome]
_NO_OUTCOME = RecordOutcome("nothing")
_FIELDS = PostedTransaction._fields[2:]


class ReferenceHistory:
    """The reference topic: at present, and as of an earlier offset."""

    def __init__(self) -> None:
        self.today = Reference()
        self._records: list[tuple[ConsumerRecord, dict[str, Any] | None]] = []
        self._as_of = Reference()
        self._next = 0

    @classmethod
    async def read(cls, log: Log, codec: Codec, topic: str) -> "ReferenceHistory":
        """Read the whole topic; malformed records are ignored, as by the service."""
        made = cls()
        first, _ = await log.bounds(topic, 0)
        async for records in log.read(topic, 0, first):
            for record in records:
                made.add(record, row_of(codec, record))
        return made

    def add(self, record: ConsumerRecord, row: dict[str, Any] | None) -> None:
        """Add the topic's next record; `row`: decoded, None if it cannot be."""
        take(self.today, record, row)
        self._records.append((record, row))

    def as_of(self, offset: int) -> Reference:
        """Reference data before `offset` of the topic; offsets in rising order are read once."""
        if self._as_of.offset > offset:
            self._as_of, self._next = Reference(), 0
        while self._next < len(self._records) and self._records[self._next][0].offset < offset:
            take(self._as_of, *self._records[self._next])
            self._next += 1
        return self._as_of


def voidable(voided: Iterable[Voided], leaves: Mapping[int, Leave] | None) -> dict[str, Voidable]:
    """The voids of a run for which there is leave, by id, as `decide` looks them up."""
    found = {}
    for each in voided:
        content = each.transaction
        if leaves and content.offsets[0] in leaves:
            until = leaves[content.offsets[0]].until
            taken = Voidable(each.run, each.authority, each.reason, content, until)
            found[content.transaction_ids[0]] = taken
    return found


class DecisionReplay:
    """Decides one shard's runs again; `folder`: temporary, for the ids accepted before."""

    def __init__(
        self,
        settings: Settings,
        reader: TransactionReader,
        reference: ReferenceHistory,
        shard: int,
        folder: Path,
    ) -> None:
        self._settings, self._reader, self._reference = settings, reader, reference
        self._shard = shard
        self._ids = AcceptedIds(folder / str(shard))

    def remember(self, run: ValidRun) -> None:
        """Add the run's decisions to the ids, for the runs after it."""
        memory = self._ids.memory()
        memory.remember(run.content, run.outcomes, run.voided)
        policy = self._reference.today.policy_at(run.decision.reference_offset)
        self._ids.write(memory, run, policy)

    async def changed(
        self, run: ValidRun, records: Sequence[ConsumerRecord]
    ) -> list[ChangedDecision]:
        """The run's `records` that would be decided otherwise. Raises Unavailable."""
        await self._reader.prepare([record.value for record in records])
        received = [
            Received(
                each.offset,
                self._reference.today.recorded_at(
                    self._shard, each.offset, each.timestamp * 1_000
                ),
                each.key, each.value, self._reader.decode(each.value),
            )
            for each in records
        ]  # fmt: skip
        was = outcomes_of(run.content, run.outcomes)
        now = self._decided(run, received, self._reference.today)
        pairs = {at: (was.get(at, _NO_OUTCOME), now.get(at, _NO_OUTCOME))
                 for at in sorted(was.keys() | now.keys())}  # fmt: skip
        changed = {at: pair for at, pair in pairs.items() if not pair[0].is_same_as(pair[1])}
        if not changed:
            return []
        then = self._decided(run, received, self._reference.as_of(run.decision.reference_offset))
        return [self._changed(at, *pair, then.get(at, _NO_OUTCOME)) for at, pair in changed.items()]

    def _decided(
        self, run: ValidRun, received: Sequence[Received], reference: Reference
    ) -> OutcomesByOffset:
        mark, end = run.before, run.after.end
        memory = self._ids.memory(voidable=voidable(run.voided, reference.leaves.get(self._shard)))
        policy = policy_or_first(reference, self._settings)
        found: OutcomesByOffset = {}
        while mark.end < end:
            decided = decide(
                (each for each in received if each.offset >= mark.end),
                shard=self._shard,
                shards=self._settings.shards,
                end=end,
                watermark=mark,
                memory=memory,
                reference=reference,
                policy=policy,
            )
            found.update(outcomes_of(decided.content, decided.outcomes))
            mark = decided.decision.after(mark, decisions_offset=run.decisions_offset)
        return found

    def _changed(
        self, offset: int, was: RecordOutcome, now: RecordOutcome, then: RecordOutcome
    ) -> ChangedDecision:
        """`then`: by the present rules, with the reference data of when it was decided."""
        what = now.sentence or was.sentence
        if was.code == now.code == ACCEPTED:
            pairs = zip(_FIELDS, was.content, now.content, strict=True)
            what = "differs in " + ", ".join(name for name, one, other in pairs if one != other)
        name = was.transaction_id or now.transaction_id
        cause = BY_REFERENCE if then.is_same_as(was) else BY_RULES
        return ChangedDecision(self._shard, offset, name, was.code, now.code, what, cause)

    def close(self) -> None:
        """Close the files of the ids."""
        self._ids.close()


def outcomes_of(content: Content, outcomes: Outcomes) -> OutcomesByOffset:
    """The decisions of a run."""
    found: OutcomesByOffset = {}
    for each in posted_transactions(0, content):
        found[each.offset] = RecordOutcome(ACCEPTED, each.transaction_id, content=each[2:])
    for offset in outcomes.duplicates:
        found[offset] = RecordOutcome(DUPLICATE)
    for refusal in outcomes.refused:
        name = refusal.transaction_id or ""
        found[refusal.offset] = RecordOutcome(refusal.code, name, refusal.reason)
    return found
