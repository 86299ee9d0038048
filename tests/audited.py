"""A shard's log, decided by `ledger.domain` in runs, and what the audit makes of it.

Tests forge what was decided; what comes after is chained to it again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledger.audit.check import ShardCheck
from ledger.audit.findings import Break, Findings
from ledger.audit.ids import Ids
from ledger.audit.judge import ACCEPTED, DUPLICATE, VOID
from ledger.audit.original import Original
from ledger.audit.verdicts import Verdicts
from ledger.domain.decide import Received, decide
from ledger.domain.memory import Memory
from ledger.domain.policy import LONG_AGO
from ledger.domain.refusal import Refused
from ledger.domain.run import Content, Decision, Outcomes, Refusal, Watermark, voids_of
from ledger.domain.transaction import metadata_text
from tests.builders import KeptMemory
from tests.reference_topic import ReferenceTopic, founded

Outcome = dict[int, str]
COLUMNS = (
    "offsets", "recorded_at", "effective_at", "created_at", "transaction_ids", "kinds",
    "descriptions", "ordering_keys", "reverses", "metadata",
)  # fmt: skip


@dataclass
class AuditedLog:
    """Runs decided one after another, as intake does: what it remembers, its floor, its scales.

    `forgets`: ids known from before the floor are really gone.
    """

    topic: ReferenceTopic = field(default_factory=founded)
    shard: int = 0
    forgets: bool = False

    def __post_init__(self) -> None:
        self.kept, self.mark, self.floor = KeptMemory(), Watermark(), LONG_AGO
        self.scales: dict[str, int] = {}
        self.records: dict[int, Received] = {}
        self.recorded_at: dict[int, int] = {}
        self.rows: list[dict[str, Any]] = []

    def decide(self, records: Sequence[Received], **changes: Any) -> Outcome:
        """One run of what was received; `changes`: what it was decided with and did not say."""
        reference = changes.get("reference", self.topic.reference)
        policy = changes.get("policy", reference.policy)
        memory = self._memory(reference.scales)
        limited = [
            each._replace(
                recorded_at=reference.recorded_at(self.shard, each.offset, each.recorded_at)
            )
            for each in records
        ]
        end = max([self.mark.end, *(each.offset + 1 for each in records)])
        settled = decide(
            limited, shard=self.shard, shards=reference.shards or 1, end=end, watermark=self.mark,
            memory=memory, reference=reference, policy=policy,
        )  # fmt: skip
        self.kept.keep(memory)
        for code, scale in zip(settled.content.currencies, settled.content.scales, strict=True):
            self.scales.setdefault(code, scale)
        self.records |= {each.offset: each for each in records}
        until = self.mark.recorded_until
        for each in limited:
            until = self.recorded_at[each.offset] = max(until, each.recorded_at)
        self.mark = settled.decision.after(self.mark, decisions_offset=len(self.rows))
        self.floor = policy.floor_after(self.floor, self.mark.recorded_until)
        self.rows.append(settled.decision.row())
        return verdicts(self.rows[-1])

    def _memory(self, scales: dict[str, int]) -> Memory:
        changed = {
            code: scale for code, scale in self.scales.items() if scales.get(code, scale) != scale
        }
        ids = self.kept.ids
        if self.forgets:
            ids = {name: each for name, each in ids.items() if each.known_from >= self.floor}
        reversals = self.kept.reversals
        return Memory(
            ids.get, reversals.get, floor=self.floor, changed=changed, voided=self.kept.voided,
            voidable=self.kept.voidable,
        )  # fmt: skip

    def verdicts(self) -> Outcome:
        """Of all runs."""
        return {offset: each for row in self.rows for offset, each in verdicts(row).items()}

    def forge(self, run: int, **fields: Any) -> None:
        """Change a run's own fields; the later ones follow it again."""
        self.rows[run] |= fields
        mark = Watermark()
        for at, row in enumerate(self.rows):
            row["follows"] = mark.digest
            mark = Decision(**row).after(mark, decisions_offset=at)

    def forge_content(self, run: int, change: Callable[[Content], None]) -> None:
        """Change what a run accepted."""
        content = Content.decode(self.rows[run]["content"])
        change(content)
        self.forge(run, content=content.encode(), accepted=len(content.offsets))

    def forge_verdict(self, offset: int, verdict: str) -> None:
        """Accept, refuse or pass over what was decided otherwise."""
        at = next(at for at, row in enumerate(self.rows) if offset in verdicts(row))
        row = self.rows[at]
        content, outcomes = Content.decode(row["content"]), Outcomes.decode(row["outcomes"])
        _remove(content, offset)
        outcomes.duplicates = [each for each in outcomes.duplicates if each != offset]
        outcomes.refused = [each for each in outcomes.refused if each.offset != offset]
        self._insert(content, outcomes, offset, verdict)
        self.forge(
            at, content=content.encode(), outcomes=outcomes.encode(), accepted=len(content.offsets)
        )

    def _insert(self, content: Content, outcomes: Outcomes, offset: int, verdict: str) -> None:
        record, time = self.records[offset], self.recorded_at[offset]
        if verdict == DUPLICATE:
            outcomes.duplicates.append(offset)
        elif verdict == ACCEPTED:
            self._accept(content, record, time)
        else:
            outcomes.refused.append(
                Refusal(offset, time, None, verdict, "", "forged", record.key, record.value)
            )

    def _accept(self, content: Content, record: Received, time: int) -> None:
        """As a forger would: every amount as the reference data have it, whatever is wrong."""
        made: Any = record.draft
        row = (
            record.offset, time, made["effective_at"], made["created_at"], made["transaction_id"],
            made["kind"], made["description"], made["ordering_key"] or "", made["reverses"] or "",
            metadata_text(made["metadata"]),
        )  # fmt: skip
        at = sum(offset < record.offset for offset in content.offsets)
        leg = sum(content.entry_counts[:at])
        for name, value in zip(COLUMNS, row, strict=True):
            getattr(content, name).insert(at, value)
        content.entry_counts.insert(at, len(made["entries"]))
        for index, each in enumerate(made["entries"]):
            scale = self.topic.reference.scales.get(each["currency"], 2)
            minor = round(float(each["amount"]) * 10**scale)  # a forger's, not money
            stripe = _stripe(content, each["account"], each["currency"], scale)
            content.entry_stripes.insert(leg + index, stripe)
            content.entry_amounts.insert(leg + index, minor if each["side"] == "debit" else -minor)

    def audit(self, ids: Ids | None = None) -> list[Break]:
        """Everything that the shard's checks find in log and decisions. `ids`: of others too."""
        ids, findings = Ids() if ids is None else ids, Findings()
        shards = self.topic.reference.shards or 1
        rules = Verdicts(self.shard, self.topic.noted, shards, ids, findings)
        check = ShardCheck(self.shard, ids, findings, rules)
        check.begin()
        for at, row in enumerate(self.rows):
            settled = check.follow(at, row)
            if settled is not None:
                head = settled.head
                found = [
                    original_of(record)
                    for offset, record in sorted(self.records.items())
                    if head.start <= offset < head.end
                ]
                check.take(settled, found, None)
        check.finish(self.mark.end)
        return findings.breaks()


def original_of(record: Received) -> Original:
    """The record as the audit reads it."""
    draft: Any = record.draft
    draft, code = (None, draft.reason.value) if isinstance(draft, Refused) else (draft, "")
    return Original(record.offset, record.recorded_at, record.key, record.value, draft, code)


def verdicts(row: dict[str, Any]) -> Outcome:
    """By offset, of one run."""
    content, outcomes = Content.decode(row["content"]), Outcomes.decode(row["outcomes"])
    found = dict.fromkeys(content.offsets, ACCEPTED) | dict.fromkeys(outcomes.duplicates, DUPLICATE)
    found |= {each.offset: VOID for each in voids_of(row["voids"])}
    return found | {each.offset: each.code for each in outcomes.refused}


def _stripe(content: Content, account: str, currency: str, scale: int) -> int:
    for index, known in enumerate(zip(content.accounts, content.currencies, strict=True)):
        if known == (account, currency):
            return index
    content.accounts.append(account)
    content.currencies.append(currency)
    content.scales.append(scale)
    return len(content.accounts) - 1


def _remove(content: Content, offset: int) -> None:
    if offset not in content.offsets:
        return
    at = content.offsets.index(offset)
    leg, count = sum(content.entry_counts[:at]), content.entry_counts[at]
    for name in (*COLUMNS, "entry_counts"):
        del getattr(content, name)[at]
    for name in ("entry_stripes", "entry_amounts"):
        del getattr(content, name)[leg : leg + count]
