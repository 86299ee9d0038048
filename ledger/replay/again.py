"""Decided again: what today's rules, settings and reference data make of what was decided.

A difference is no break. What was decided stands; this says what would be decided otherwise.
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
from ledger.settings import Settings
from ledger.streaming.accepted import AcceptedIds
from ledger.streaming.log import Log
from ledger.streaming.reference import policy_or_first, row_of, take
from ledger.streaming.registry import Codec
from ledger.streaming.transactions import TransactionReader

ACCEPTED, DUPLICATE = "accepted", "duplicate"
BY_REFERENCE, BY_RULES = "reference data", "rules or settings"


class Otherwise(NamedTuple):
    """A record that would be decided otherwise today.

    `was`, `now`: accepted, duplicate, or the code of the refusal; `what`: the sentence of the
    refusal that there is only once, or the fields that differ. `cause`: what has changed since.
    """

    shard: int
    offset: int
    transaction_id: str
    was: str
    now: str
    what: str
    cause: str


class Verdict(NamedTuple):
    """About one record; `content`: field by field, what was accepted."""

    code: str
    transaction_id: str = ""
    sentence: str = ""
    content: tuple[Any, ...] = ()

    def is_that_of(self, other: "Verdict") -> bool:
        """A refusal is its code: its sentence may be worded anew."""
        return self.code == other.code and self.content == other.content


NONE = Verdict("nothing")


_FIELDS = (
    "recorded_at", "effective_at", "created_at", "transaction_id", "kind", "description",
    "ordering_key", "reverses", "metadata", "entries",
)  # fmt: skip


class ReferenceData:
    """The reference topic as it is read today."""

    def __init__(self) -> None:
        self.today = Reference()
        self._records: list[tuple[ConsumerRecord, dict[str, Any] | None]] = []
        self._as_of = Reference()
        self._next = 0

    @classmethod
    async def read(cls, log: Log, codec: Codec, topic: str) -> "ReferenceData":
        """All of it; what no decision could use is passed over, as the service does."""
        made = cls()
        first, _ = await log.bounds(topic, 0)
        async for records in log.read(topic, 0, first):
            for record in records:
                made.add(record, row_of(codec, record))
        return made

    def add(self, record: ConsumerRecord, row: dict[str, Any] | None) -> None:
        """The topic's next record, decoded; None where it cannot be."""
        take(self.today, record, row)
        self._records.append((record, row))

    def as_of(self, offset: int) -> Reference:
        """What stood before `offset` of the topic; asked in rising order it costs nothing twice."""
        if self._as_of.offset > offset:
            self._as_of, self._next = Reference(), 0
        while self._next < len(self._records) and self._records[self._next][0].offset < offset:
            take(self._as_of, *self._records[self._next])
            self._next += 1
        return self._as_of


def voidable(voided: Iterable[Voided], leaves: Mapping[int, Leave] | None) -> dict[str, Voidable]:
    """What a run has voided and there is leave for, as deciding it again looks it up."""
    found = {}
    for each in voided:
        content = each.transaction
        if leaves and content.offsets[0] in leaves:
            until = leaves[content.offsets[0]].until
            taken = Voidable(each.run, each.authority, each.reason, content, until)
            found[content.transaction_ids[0]] = taken
    return found


class Judge:
    """Decides one shard's runs again; `folder` takes the ids accepted before, and is temporary."""

    def __init__(
        self,
        settings: Settings,
        reader: TransactionReader,
        reference: ReferenceData,
        shard: int,
        folder: Path,
    ) -> None:
        self._settings, self._reader, self._reference = settings, reader, reference
        self._shard = shard
        self._ids = AcceptedIds(folder / str(shard))

    def remember(self, run: ValidRun) -> None:
        """What was decided is what the runs after it met."""
        memory = self._ids.memory()
        memory.remember(run.content, run.outcomes, run.voided)
        policy = self._reference.today.policy_at(run.decision.reference_offset)
        self._ids.write(memory, run, policy)

    async def judge(self, run: ValidRun, records: Sequence[ConsumerRecord]) -> list[Otherwise]:
        """What of the run, and its `records`, would be decided otherwise. Raises Unavailable."""
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
        was = verdicts(run.content, run.outcomes)
        now = self._decided(run, received, self._reference.today)
        changed = [
            offset
            for offset in sorted(was.keys() | now.keys())
            if not was.get(offset, NONE).is_that_of(now.get(offset, NONE))
        ]
        if not changed:
            return []
        then = self._decided(run, received, self._reference.as_of(run.decision.reference_offset))
        return [
            self._otherwise(
                offset, was.get(offset, NONE), now.get(offset, NONE), then.get(offset, NONE)
            )
            for offset in changed
        ]

    def _decided(
        self, run: ValidRun, received: Sequence[Received], reference: Reference
    ) -> dict[int, Verdict]:
        mark, end = run.before, run.after.end
        memory = self._ids.memory(voidable=voidable(run.voided, reference.leaves.get(self._shard)))
        policy = policy_or_first(reference, self._settings)
        found: dict[int, Verdict] = {}
        while mark.end < end:
            settled = decide(
                (each for each in received if each.offset >= mark.end),
                shard=self._shard,
                shards=self._settings.shards,
                end=end,
                watermark=mark,
                memory=memory,
                reference=reference,
                policy=policy,
            )
            found |= verdicts(settled.content, settled.outcomes)
            mark = settled.decision.after(mark, decisions_offset=run.decisions_offset)
        return found

    def _otherwise(self, offset: int, was: Verdict, now: Verdict, then: Verdict) -> Otherwise:
        """`then`: by today's rules, with what was known of reference data when it was decided."""
        what = now.sentence or was.sentence
        if was.code == now.code == ACCEPTED:
            pairs = zip(_FIELDS, was.content, now.content, strict=True)
            what = "differs in " + ", ".join(name for name, one, other in pairs if one != other)
        name = was.transaction_id or now.transaction_id
        cause = BY_REFERENCE if then.is_that_of(was) else BY_RULES
        return Otherwise(self._shard, offset, name, was.code, now.code, what, cause)

    def close(self) -> None:
        """Give the files back."""
        self._ids.close()


def verdicts(content: Content, outcomes: Outcomes) -> dict[int, Verdict]:
    """By offset."""
    found: dict[int, Verdict] = {}
    for offset, fields in _accepted(content):
        found[offset] = Verdict(ACCEPTED, fields[3], content=fields)
    for offset in outcomes.duplicates:
        found[offset] = Verdict(DUPLICATE)
    for each in outcomes.refused:
        found[each.offset] = Verdict(each.code, each.transaction_id or "", each.reason)
    return found


def _accepted(content: Content) -> Iterable[tuple[int, tuple[Any, ...]]]:
    scales: Mapping[str, int] = dict(zip(content.currencies, content.scales, strict=True))
    columns = zip(
        content.offsets, content.recorded_at, content.effective_at, content.created_at,
        content.transaction_ids, content.kinds, content.descriptions, content.ordering_keys,
        content.reverses, content.metadata, content.legs(), strict=True,
    )  # fmt: skip
    for offset, *fields, legs in columns:
        entries = [(account, code, scales[code], amount) for account, code, amount in legs]
        yield offset, (*fields, entries)
