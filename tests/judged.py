"""A shard decided by the product's own code, for the audit to judge; and logs made up at random."""

import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ledger.audit.chain import Chain, ChainedRun
from ledger.audit.content import minor_units
from ledger.audit.findings import Break, BreakKind, Findings
from ledger.audit.ids import Ids
from ledger.audit.log_check import LogCheck
from ledger.audit.log_records import LogRecord
from ledger.audit.reference import ReferenceRecord
from ledger.audit.verdicts import Verdicts
from ledger.domain import avro
from ledger.domain.decide import Received, decide
from ledger.domain.memory import AcceptedId, Memory, Voidable
from ledger.domain.policy import DAY, LONG_AGO, MINUTE, Policy
from ledger.domain.reference import (
    Account,
    Asset,
    ClockLimit,
    Item,
    Leave,
    PolicyChange,
    Reference,
)
from ledger.domain.refusal import Reason, Refused
from ledger.domain.run import Content, Decision, Refusal, Watermark
from ledger.domain.transaction import Draft, metadata_text
from ledger.gl.rows import PostedRun, PostedTransaction
from ledger.streaming.reference import key_and_row
from tests.builders import (
    NOW,
    draft,
    entry,
    id_in_shard,
    received,
    reversal,
    unreadable,
    void_of,
    wire,
)

SHARDS = 2
SECOND = 1_000_000
SCALES = {"CAD": 2, "JPY": 0, "BTC": 8}


class Ledger:
    """Shard 0 of two: note reference data, publish, decide; then `breaks` are the audit's."""

    def __init__(self, *items: Item, policy: Policy | None = None) -> None:
        self.noted: list[ReferenceRecord] = []
        self.reference = Reference(scales={})
        self.log: list[Received] = []
        self.settled: list[ChainedRun] = []
        self.ids: dict[str, AcceptedId] = {}
        self.reversals: dict[str, int] = {}
        self.scales: dict[str, int] = {}
        self.voided: set[int] = set()
        self.floor = LONG_AGO
        self.mark = Watermark()
        self.rows: list[dict[str, Any]] = []
        self._chain = Chain(0, Findings())
        self.note(PolicyChange(policy or Policy(), SHARDS))
        self.note(*(Asset(code, scale) for code, scale in SCALES.items()), *items)

    def note(self, *items: Item) -> None:
        """Records of the reference topic; what the fold does not take, it ignores."""
        for item in items:
            key, row = key_and_row(item)
            offset = len(self.noted)
            value = avro.encode("Reference", row, b"\0\0\0\0\1")
            self.noted.append(
                ReferenceRecord(offset, key, value, avro.decode("Reference", value, 5))
            )
            self.reference.offset = offset
            try:
                self.reference.add([item])
            except ValueError:
                pass
            self.reference.note(offset, key, value)

    def change(self, policy: Policy) -> None:
        """A policy in place of the present one."""
        self.note(PolicyChange(policy, SHARDS, self.reference.policies[-1][0]))

    def publish(self, made: Draft | Refused, at: int = NOW, **each: Any) -> int:
        """A record of the log; returns its offset."""
        offset = len(self.log)
        value = b"?" if isinstance(made, Refused) else wire(made)
        self.log.append(received(made, offset, recorded_at=at, **{"value": value} | each))
        return offset

    def decide(self) -> None:
        """Settle what was published since, as one run."""
        start = self.mark.end
        reference, shown = self.reference, []
        for each in self.log[start:]:
            draft = each.draft
            if each.value is not None and len(each.value) > reference.policy.max_bytes:
                draft = unreadable(Reason.TOO_LARGE)
            at = reference.recorded_at(0, each.offset, each.recorded_at)
            shown.append(each._replace(recorded_at=at, draft=draft))
        changed = {
            code: scale for code, scale in self.scales.items()
            if reference.scales.get(code, scale) != scale
        }  # fmt: skip
        memory = Memory(
            self.ids.get, self.reversals.get, floor=self.floor, changed=changed,
            voided=self.voided, voidable=self._voidable(),
        )  # fmt: skip
        made = decide(
            shown, shard=0, shards=SHARDS, end=len(self.log), watermark=self.mark, memory=memory,
            reference=reference, policy=reference.policy,
        )  # fmt: skip
        self.ids |= {name: AcceptedId.unpack(packed) for name, packed in memory.ids.items()}
        self.reversals |= memory.reversals
        self.voided = set(memory.voided)
        columns = made.content
        for code, scale in zip(columns.currencies, columns.scales, strict=True):
            self.scales.setdefault(code, scale)
        self.append(made.decision)

    def leave(
        self,
        offset: int,
        run: int | None = None,
        until: int | None = None,
        reason: str = "me: why not",
    ) -> None:
        """Leave to void what is at an offset; `run` in place of the one that accepted it."""
        run = self.run_of(offset) if run is None else run
        self.note(Leave(0, offset, run, reason, until=until))

    def run_of(self, offset: int) -> int:
        """The decision offset of the run that settled the position."""
        return next(at for at, row in enumerate(self.rows) if offset < row["end"])

    def _voidable(self) -> dict[str, Voidable]:
        found = {}
        for leave in self.reference.leaves.get(0, {}).values():
            if leave.run >= len(self.rows):
                continue
            content = Content.decode(self.rows[leave.run]["content"]).part({leave.offset})
            if content.offsets:
                taken = Voidable(leave.run, leave.at, leave.reason, content, leave.until)
                found[content.transaction_ids[0]] = taken
        return found

    def append(self, decision: Decision) -> None:
        """The run goes to the decision log."""
        offset = len(self.settled)
        self.rows.append(decision.row())
        settled = self._chain.take(offset, self.rows[-1])
        assert settled is not None
        self.settled.append(settled)
        self.mark = decision.after(self.mark, decisions_offset=offset)
        policy = self.reference.policy_at(decision.reference_offset)
        self.floor = policy.floor_after(self.floor, decision.recorded_until)

    def forget(self, some: random.Random) -> None:
        """The table is tidied up, or not."""
        for name in [name for name, seen in self.ids.items() if seen.known_from < self.floor]:
            if some.random() < 0.5:
                del self.ids[name]
                self.reversals.pop(name, None)

    def said(self) -> dict[int, str]:
        """What was decided, by offset."""
        found = {}
        for run in self.settled:
            found |= {each.offset: "accepted" for each in run.transactions}
            found |= dict.fromkeys(run.duplicates, "duplicate")
            found |= {each.offset: each.code for each in run.refused}
            found |= {each.offset: "void" for each in run.voids}
        return found

    def force(self, offset: int, said: str) -> None:
        """Change what was decided of one record, and nothing else."""
        at = next(i for i, run in enumerate(self.settled) if run.head.end > offset)
        run = self.settled[at]
        record = self.log[offset]
        accepted = [each for each in run.transactions if each.offset != offset]
        duplicates = [each for each in run.duplicates if each != offset]
        refused = [each for each in run.refused if each.offset != offset]
        voids = [each for each in run.voids if each.offset != offset]
        if said == "accepted":
            accepted.append(self._accepted(record, run))
        elif said == "duplicate":
            duplicates.append(offset)
        else:
            refused.append(
                Refusal(offset, record.recorded_at, None, said, "", "", record.key, record.value)
            )
        self.settled[at] = replace(
            run, transactions=accepted, duplicates=duplicates, refused=refused, voids=voids
        )

    def _accepted(self, record: Received, run: ChainedRun) -> PostedTransaction:
        made = record.draft
        assert not isinstance(made, Refused)
        legs = []
        for each in made["entries"]:
            scale = SCALES.get(each["currency"], 2)
            minor = minor_units(each["amount"], scale) or 0
            sign = 1 if each["side"] == "debit" else -1
            legs.append((each["account"], each["currency"], scale, sign * minor))
        until = [each.recorded_at for each in self.log[: record.offset + 1]]
        return PostedTransaction(
            0, record.offset, made["transaction_id"], made["kind"], made["description"],
            made["effective_at"], min(max(until), run.head.recorded_until), made["created_at"],
            made["ordering_key"] or "", made["reverses"] or "", metadata_text(made["metadata"]),
            legs,
        )  # fmt: skip

    def originals(self, head: PostedRun) -> list[LogRecord]:
        """The log's records at a run's positions."""
        return [_original(each) for each in self.log[head.start : head.end]]

    def breaks(self, *kinds: BreakKind) -> list[Break]:
        """What the audit finds; of the kinds named, or of rules and reference data."""
        findings = Findings()
        ids = Ids()
        verdicts = Verdicts(0, self.noted, SHARDS, ids, findings)
        check = LogCheck(0, ids, findings, verdicts)
        for run in self.settled:
            head = run.head
            verdicts.begin(head)
            check.take(run, self.originals(head))
            verdicts.end(head)
        wanted = kinds or (BreakKind.RULE, BreakKind.REFERENCE)
        return [each for each in findings.breaks() if each.kind in wanted]


def _original(record: Received) -> LogRecord:
    made = record.draft
    shown, code = (made.sentence, made.reason.value) if isinstance(made, Refused) else (made, "")
    return LogRecord(record.offset, record.recorded_at, record.key, record.value, shown, code)


def at_home(number: int) -> str:
    """An id or ordering key of shard 0."""
    return id_in_shard(0, SHARDS, f"n{number}")


NAMES = [at_home(number) for number in range(24)]
KEYS = [None, None, *NAMES[:3]]
ACCOUNTS = ["assets:cash", "assets:bank", "liabilities:a", "income:fees", "equity:open"]
BIG = str(2**63 - 1)


def _entries(some: random.Random) -> list[Any]:
    one, other = some.sample(ACCOUNTS, 2)
    currency = some.choice(["CAD", "CAD", "CAD", "JPY", "BTC"])
    amount = some.choice(["10", "7", "3"])
    return [entry(one, "debit", amount, currency), entry(other, "credit", amount, currency)]


def _leg(**changes: str) -> Any:
    return lambda made: {"entries": [made["entries"][0] | changes, *made["entries"][1:]]}


FAULTS: list[Any] = [
    {"kind": ""}, {"kind": "k" * 65}, {"kind": "a\u200bb"}, {"kind": " k"}, {"kind": "e\u0301"},
    {"kind": "\u00e9t\u00e9"}, {"description": "a\nb"}, {"description": "a\x00b"},
    {"description": "d" * 1_001}, {"metadata": {"": "x"}}, {"metadata": {"a": "x" * 4_000}},
    {"metadata": {str(number): "x" for number in range(33)}}, {"metadata": {"b": "1", "a": "é"}},
    {"effective_at": -(2**62)}, {"effective_at": NOW - 900 * DAY}, {"ordering_key": ""},
    {"ordering_key": NAMES[0] + "\n"}, {"reverses": "x\n"}, {"description": "x" * 900},
    _leg(amount="10.000000001"), _leg(amount="-1"), _leg(amount="-."), _leg(amount="0"),
    _leg(amount="1e3"), _leg(amount="9" * 65), _leg(amount=BIG), _leg(amount="9" * 30),
    _leg(amount="10.01"), _leg(currency="XYZ"), _leg(account="assets"), _leg(account="cash:a"),
    _leg(account="assets:a b"), _leg(amount="5."), _leg(amount=".5"), _leg(amount="١"),
    lambda made: {"entries": made["entries"][:1]},
    lambda made: {"entries": made["entries"] * 501},
    lambda made: {"entries": [each | {"amount": BIG} for each in made["entries"]] * 2},
    lambda made: {"created_at": made["created_at"] + 20 * MINUTE},
    lambda made: {"created_at": made["created_at"] - 3 * DAY},
    lambda made: {"created_at": made["created_at"] - 30 * DAY},
]  # fmt: skip


def _made(some: random.Random, before: list[Draft], now: int) -> Draft:
    """New, a repetition or a reversal; sometimes with a fault."""
    kind = some.random()
    if before and kind < 0.15:
        made = some.choice(before[-40:])
        made = some.choice([made, made | {"created_at": now}])
    elif before and kind < 0.5:
        of = some.choice(before[-8:] if some.random() < 0.8 else before)
        at = of["effective_at"] + some.choice([0, 1, 1, DAY, -1])
        made = reversal(of, some.choice(NAMES) + "r", created_at=now, effective_at=at)
        if some.random() < 0.15:
            made = made | {"reverses": some.choice(NAMES)}
    else:
        name = some.choice(NAMES) + some.choice(["", "", "\n", "a", "b", "c"])
        made = draft(name, entries=_entries(some), at=now, ordering_key=some.choice(KEYS))
    if some.random() < 0.2:
        fault = some.choice(FAULTS)
        made = made | (fault(made) if callable(fault) else fault)
    return made  # type: ignore[return-value]


def _publish(ledger: Ledger, some: random.Random, before: list[Draft], now: int) -> None:
    at = now - some.choice([0, 0, 0, 3 * SECOND])
    if some.random() < 0.04:
        reasons = [Reason.UNREADABLE, Reason.UNKNOWN_SCHEMA, Reason.FOREIGN_SCHEMA]
        ledger.publish(unreadable(some.choice(reasons)), at)
        return
    made = _made(some, before, now)
    before.append(made)
    each = {"key": b"other"} if some.random() < 0.02 else {}
    ledger.publish(made, at, **each)


def _change(ledger: Ledger, some: random.Random, now: int, kinds: int) -> None:
    account = some.choice(ACCOUNTS)
    policy = ledger.reference.policy
    items: Iterable[Item] = ()
    match some.randrange(kinds):
        case 0:
            items = [Account(account, closed_at=now + some.choice([-1, DAY]))]
        case 1:
            items = [Account(account, opened_at=now - some.choice([0, DAY]), currency="CAD")]
        case 2 | 3:
            items = [Account(account)]
        case 4:
            until, at_most = len(ledger.log) + some.randrange(3), now - DAY
            items = [ClockLimit(some.choice([0, 1]), until, at_most)]
        case 5:
            ledger.change(replace(policy, window=some.choice([1, 2, 9]) * DAY,
                                  max_bytes=some.choice([600, 262_144])))  # fmt: skip
        case _:
            is_open = some.random() < 0.8
            ledger.change(replace(policy, open_unknown_accounts=is_open, early=9 * MINUTE))
            items = [PolicyChange(Policy(window=DAY), SHARDS, 0), Asset("CAD", 4)]
    ledger.note(*items)


def _void(ledger: Ledger, some: random.Random, now: int) -> None:
    """Ask to void something, with leave or without; sometimes what was void before, or past."""
    there = [offset for offset, said in ledger.said().items() if said == "accepted"]
    if not there:
        return
    offset = some.choice(there[-4:] if some.random() < 0.7 else there)
    if some.random() < 0.8:
        wrong = some.random() < 0.1
        run = some.choice([0, len(ledger.rows) + 5]) if wrong else None
        until = some.choice([None, None, now, now - 1, now + DAY])
        ledger.leave(offset, run, until, some.choice(["me: why", "me", "", "a\nb", "x" * 1_001]))
    for _ in range(some.choice([0, 1, 1, 1, 2])):
        made = ledger.log[offset].draft
        assert not isinstance(made, Refused)
        ledger.publish(void_of(made, some.choice(NAMES) + "v", created_at=now), now)
        if some.random() < 0.5:
            ledger.publish(some.choice([made, reversal(made, some.choice(NAMES) + "w")]), now)


def at_random(seed: int, runs: int = 40, kinds: int = 7) -> Ledger:
    """A log of some hundred records, with everything in it, decided by the product.

    `kinds` of changes that there are: with 4 of them no policy, no clock and nothing void.
    """
    some = random.Random(seed)
    ledger, now, before = Ledger(policy=Policy(window=2 * DAY)), NOW, list[Draft]()
    for _ in range(runs):
        for _ in range(some.randrange(12)):
            now += some.choice([0, SECOND, MINUTE, MINUTE, DAY // 4])
            _publish(ledger, some, before, now)
        ledger.decide()
        ledger.forget(some)
        if kinds > 4 and some.random() < 0.25:
            _void(ledger, some, now)
        if some.random() < 0.3:
            _change(ledger, some, now, kinds)
        now += some.choice([0, MINUTE, DAY // 2, 2 * DAY])
    return ledger
