"""Builders that every test may use: drafts, received records, settled runs, contents.

Everything is at one moment, `NOW`, and valid; a test names only what it is about:

    draft("t-1", amount="12.34", reverses="t-0")
    settle([received(draft("t-1")), received(draft("t-2"), offset=1)])
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ledger.domain import avro
from ledger.domain.account import Side
from ledger.domain.balance import Totals
from ledger.domain.decide import VOID, Received, decide
from ledger.domain.memory import AcceptedId, Memory, Voidable
from ledger.domain.partition import partition_of
from ledger.domain.policy import Policy
from ledger.domain.reference import Account, Asset, Reference
from ledger.domain.refusal import Reason, Refused
from ledger.domain.run import Content, Decision, Outcomes, Stripe, Watermark, voids_of
from ledger.domain.transaction import Draft, DraftEntry, ordering_key
from ledger.settings import Settings
from ledger.streaming.transactions import Subject, TransactionReader

NOW = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z in microseconds since 1970."""
CASH = "assets:cash"
DEPOSIT = "liabilities:deposits:2378"
FEES = "income:fees"
OPPOSITE: dict[str, Side] = {"debit": "credit", "credit": "debit"}


def entry(account: str, side: str, amount: str = "10.00", currency: str = "CAD") -> DraftEntry:
    """One leg as published; `side` may be wrong on purpose."""
    return {"account": account, "side": side, "amount": amount, "currency": currency}  # type: ignore[typeddict-item]


def pair(
    amount: str = "10.00", currency: str = "CAD", *, debit: str = CASH, credit: str = DEPOSIT
) -> list[DraftEntry]:
    """Two legs that balance."""
    return [entry(debit, "debit", amount, currency), entry(credit, "credit", amount, currency)]


def draft(
    transaction_id: str = "t-1",
    *,
    amount: str = "10.00",
    currency: str = "CAD",
    debit: str = CASH,
    credit: str = DEPOSIT,
    entries: Sequence[DraftEntry] | None = None,
    at: int = NOW,
    **changes: Any,
) -> Draft:
    """A valid transaction made and effective at `at`, but for what `changes` says of its fields."""
    made: dict[str, Any] = {
        "transaction_id": transaction_id,
        "kind": "deposit",
        "description": "",
        "effective_at": at,
        "created_at": at,
        "ordering_key": None,
        "reverses": None,
        "entries": pair(amount, currency, debit=debit, credit=credit)
        if entries is None
        else list(entries),
        "metadata": {},
    }
    unknown = changes.keys() - made.keys()
    assert not unknown, f"a draft has no {unknown}"
    return made | changes  # type: ignore[return-value]


def reversal(of: Draft, transaction_id: str = "r-1", **changes: Any) -> Draft:
    """What reverses `of`: its ordering key, every entry on the other side."""
    mirrored = [each | {"side": OPPOSITE[each["side"]]} for each in of["entries"]]
    same = {"kind": "reversal", "ordering_key": ordering_key(of), "at": of["created_at"]}
    named = {"reverses": of["transaction_id"], "entries": mirrored}
    return draft(transaction_id, **(same | named | changes))


def void_of(of: Draft, transaction_id: str = "v-1", **changes: Any) -> Draft:
    """What asks to void `of`: in its shard, by its ordering key."""
    same = {"kind": VOID, "ordering_key": ordering_key(of), "at": of["created_at"]}
    return draft(
        transaction_id, **(same | {"reverses": of["transaction_id"], "entries": []} | changes)
    )


class KnownReader(TransactionReader):
    """Knows the schema of what `wire` makes, without a registry."""

    @classmethod
    def of(cls, settings: Settings, schema_id: int | None = None) -> "KnownReader":
        subject = Subject(None, "transactions-value")  # type: ignore[arg-type]
        subject.known[1] = avro.parsed("Transaction")
        return cls(subject, settings.max_transaction_bytes)

    async def prepare(self, values: Iterable[bytes | None]) -> None:
        """It knows already."""

    async def learn(self) -> None:
        """All is known."""


def wire(made: Mapping[str, Any], schema_id: int = 1, schema: str = "Transaction") -> bytes:
    """The value of a Kafka record: zero byte, schema id, Avro."""
    return avro.encode(schema, made, b"\0" + schema_id.to_bytes(4, "big"))


def received(
    made: Draft | Refused,
    offset: int = 0,
    *,
    recorded_at: int = NOW,
    key: bytes | None | str = "right",
    value: bytes | None = None,
) -> Received:
    """A record as the log gave it; its key is the right one unless one is named."""
    if isinstance(key, str):
        key = None if isinstance(made, Refused) else ordering_key(made).encode(errors="replace")
    return Received(offset, recorded_at, key, value, made)


def numbered(drafts: Iterable[Draft | Refused], start: int = 0, **each: Any) -> list[Received]:
    """Records at `start`, `start + 1` …"""
    return [received(made, start + index, **each) for index, made in enumerate(drafts)]


def no_memory() -> Memory:
    """Nothing was accepted before."""
    return Memory(lambda _: None, lambda _: None)


class KeptMemory:
    """Accepted ids in dictionaries: what intake's table is, for tests."""

    def __init__(self) -> None:
        self.ids: dict[str, AcceptedId] = {}
        self.reversals: dict[str, int] = {}
        self.voided: set[int] = set()
        self.voidable: dict[str, Voidable] = {}

    def memory(self) -> Memory:
        """For a run to look things up and to learn."""
        return Memory(self.ids.get, self.reversals.get, voided=self.voided, voidable=self.voidable)

    def give_leave(self, decision: Decision, offset: int, *, run: int = 0, at: int = 7) -> None:
        """What intake makes of a leave, at `at`, to void what `decision`, at `run`, accepted."""
        taken = Voidable(run, at, "me: it is stuck", content_of(decision).part({offset}))
        self.voidable[taken.content.transaction_ids[0]] = taken

    def keep(self, learnt: Memory) -> None:
        """Take what a run added."""
        self.ids |= {name: AcceptedId.unpack(packed) for name, packed in learnt.ids.items()}
        self.reversals.update(learnt.reversals)
        self.voided = set(learnt.voided)


def settle(
    records: Sequence[Received],
    *,
    shard: int = 0,
    shards: int = 1,
    end: int | None = None,
    watermark: Watermark | None = None,
    memory: Memory | None = None,
    reference: Reference | None = None,
    policy: Policy | None = None,
) -> Decision:
    """`decide`, with an empty ledger of one shard around it unless something else is named."""
    mark = watermark or Watermark()
    return decide(
        records,
        shard=shard,
        shards=shards,
        end=max([mark.end, *(each.offset + 1 for each in records)]) if end is None else end,
        watermark=mark,
        memory=memory or no_memory(),
        reference=reference or Reference(),
        policy=policy or Policy(),
    ).decision


def content_of(decision: Decision) -> Content:
    """What a decision accepted."""
    return Content.decode(decision.content)


def outcomes_of(decision: Decision) -> Outcomes:
    """What else a decision says."""
    return Outcomes.decode(decision.outcomes)


def verdicts(decision: Decision) -> dict[int, str]:
    """For each offset: `accepted`, `duplicate`, `void` or the refusal's code, and one of them."""
    outcomes = outcomes_of(decision)
    rows = [(offset, "accepted") for offset in content_of(decision).offsets]
    rows += [(offset, "duplicate") for offset in outcomes.duplicates]
    rows += [(refusal.offset, refusal.code) for refusal in outcomes.refused]
    rows += [(each.offset, "void") for each in voids_of(decision.voids)]
    assert len(rows) == len(dict(rows)), f"an offset has two outcomes: {sorted(rows)}"
    return dict(sorted(rows))


def refusal_of(made: Draft, **around: Any) -> tuple[str, str, str]:
    """(code, field, sentence) of a single record that must be refused."""
    outcomes = outcomes_of(settle([received(made)], **around))
    assert len(outcomes.refused) == 1, f"not refused: {made}"
    refusal = outcomes.refused[0]
    return refusal.code, refusal.field, refusal.reason


def content(
    *transactions: tuple[int, Sequence[tuple[str, str, int]]], scale: int = 2, at: int = NOW
) -> Content:
    """Columns of (offset, [(account, currency, signed minor units), …]), balanced or not."""
    made = Content()
    index: dict[tuple[str, str], int] = {}
    for offset, legs in transactions:
        for account, currency, amount in legs:
            if (account, currency) not in index:
                index[account, currency] = len(index)
                made.accounts.append(account)
                made.currencies.append(currency)
                made.scales.append(scale)
            made.entry_stripes.append(index[account, currency])
            made.entry_amounts.append(amount)
        made.entry_counts.append(len(legs))
        made.offsets.append(offset)
        for times in (made.recorded_at, made.effective_at, made.created_at):
            times.append(at)
        made.transaction_ids.append(f"t-{offset}")
        made.kinds.append("deposit")
        for texts in (made.descriptions, made.ordering_keys, made.reverses, made.metadata):
            texts.append("")
    return made


def run_of(
    made: Content, *, watermark: Watermark | None = None, end: int | None = None
) -> Decision:
    """A valid run with that content, following `watermark`."""
    mark = watermark or Watermark()
    return Decision(
        shard=0,
        start=mark.end,
        end=max([mark.end, *(offset + 1 for offset in made.offsets)]) if end is None else end,
        follows=mark.digest,
        recorded_until=max([mark.recorded_until, *made.recorded_at]),
        reference_offset=0,
        accepted=len(made.offsets),
        content=made.encode(),
        outcomes=Outcomes(fingerprints=bytes(16 * len(made.offsets))).encode(),
    )


def totals(debits: int = 0, credits: int = 0, entries: int = 1, offset: int = 0) -> Totals:
    """Absolute totals of a stripe, minor units."""
    return Totals(debits, credits, entries, offset)


def stripe(account: str = CASH, currency: str = "CAD") -> Stripe:
    """A stripe's name."""
    return Stripe(account, currency)


def reference(*items: Asset | Account) -> Reference:
    """ISO currencies and `items`."""
    made = Reference()
    made.add(items)
    return made


def unreadable(reason: Reason = Reason.UNREADABLE) -> Refused:
    """What decoding makes of garbage."""
    return Refused(reason, "The value is not Avro; write it with the schema whose id it names.")


def id_in_shard(shard: int, shards: int, prefix: str = "t") -> str:
    """A transaction id whose record belongs in `shard`."""
    names = (f"{prefix}-{number}" for number in range(100_000))
    return next(name for name in names if partition_of(name.encode(), shards) == shard)
