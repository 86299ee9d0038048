"""Log against decisions: every record decided once, and what was accepted is what was written."""

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ledger.audit.chain import Accepted, Settled, Turned, Void
from ledger.audit.content import content_of, content_said, metadata_in, minor_units
from ledger.audit.findings import Break, Findings, Kind, Party
from ledger.audit.ids import Ids
from ledger.domain.run import Stripe

if TYPE_CHECKING:
    from ledger.audit.verdicts import Verdicts

What = Accepted | Turned | Void | str
"""What was decided of a record."""
VOID = "ledger.void"
_BETWEEN = (Party.LOG, Party.DECISIONS)
_REPETITION = "a repetition"
MIN_ENTRIES = 2
_SHOWN = 128
KEPT = 1_048_576
"""Bytes that a refusal keeps of a record's key and of its value; the log may have more."""


class Original(NamedTuple):
    """A record of the log; `taken_at` is its own time in microseconds.

    `draft`: the transaction in it; why it cannot be read; None where nobody asked. `code`: that
    of the refusal for which it cannot be read.
    """

    offset: int
    taken_at: int
    key: bytes | None
    value: bytes | None
    draft: dict[str, Any] | str | None
    code: str = ""


class LogCheck:
    """One shard's log against its decisions, run by run, and against the rules if given."""

    def __init__(
        self,
        shard: int,
        ids: Ids,
        findings: Findings,
        verdicts: "Verdicts | None" = None,
        void: Container[int] = (),
    ) -> None:
        assert verdicts is None or verdicts.ids is ids, "they judge by what this accepts"
        self._shard, self._ids, self._findings = shard, ids, findings
        self._verdicts, self._void = verdicts, void
        self._voided: set[str] = set()
        self._recorded_at = 0

    def take(self, settled: Settled, originals: Sequence[Original]) -> None:
        """The run, and every record of the log at its positions."""
        decided, verdicts = self._decided(settled), self._verdicts
        for original in originals:
            at, what = original.taken_at, decided.pop(original.offset, None)
            if verdicts is not None:
                at = verdicts.recorded_at(original.offset, at)
            self._recorded_at = max(self._recorded_at, at)
            if verdicts is not None and what is not None:
                # First: what was accepted before is what it is judged by.
                verdicts.take(original, what, self._recorded_at)
            self._one(original, what)
        for offset, what in decided.items():
            self._add(
                Kind.EXTRA, _stripes(what), f"Offset {offset} was decided ({_name(what)}), but the "
                "log has no record there.",
            )  # fmt: skip
        if settled.head.recorded_until != self._recorded_at:
            self._add(
                Kind.DIFFERS, (), "The log's time (microseconds) got to "
                f"{settled.head.recorded_until}, says the run at decision offset "
                f"{settled.head.decisions_offset}; by its records it got to {self._recorded_at}.",
            )  # fmt: skip

    def _decided(self, settled: Settled) -> dict[int, What]:
        """What was decided by offset; each offset twice is told of here."""
        decided: dict[int, What] = {}
        outcomes: list[tuple[int, What]] = [
            *((each.offset, each) for each in settled.transactions),
            *((offset, _REPETITION) for offset in settled.duplicates),
            *((each.offset, each) for each in settled.refused),
            *((each.offset, each) for each in settled.voids),
        ]
        for offset, what in outcomes:
            if offset in decided:
                known = decided[offset]
                self._add(
                    Kind.DECIDED_TWICE, _stripes(known) or _stripes(what), f"Offset {offset} was "
                    f"decided twice: {_name(known)}, and {_name(what)}.",
                )  # fmt: skip
            decided[offset] = what
        return decided

    def _one(self, original: Original, what: What | None) -> None:
        match what:
            case None:
                self._add(
                    Kind.UNDECIDED, (), f"The record at offset {original.offset} was passed over: "
                    "neither accepted nor refused nor recognised as a repetition.",
                )  # fmt: skip
            case Accepted():
                self._accepted(original, what)
            case Turned():
                if (what.key, what.value) != (_kept(original.key), _kept(original.value)):
                    self._add(
                        Kind.DIFFERS, (), f"The refusal of offset {original.offset} keeps another "
                        "key or value than the record has.",
                    )  # fmt: skip
            case Void():
                self._void_by(original, what)
            case _:
                self._repetition(original)

    def _accepted(self, original: Original, accepted: Accepted) -> None:
        self._check_balance(accepted)
        draft = original.draft
        if not isinstance(draft, dict):
            self._differs(accepted, {"value": draft or "not read"}, {"value": "accepted"})
            return
        scales = self._ids.scales
        if original.offset in self._void:
            # Whatever is wrong with its decimals, it counts for nothing.
            scales = {entry[1]: entry[2] for entry in accepted.entries}
        else:
            self._learn_scales(accepted)
        if not self._is_as_written(original, accepted, scales):
            self._compare(original, accepted, scales)
        known = self._ids.accept(self._shard, accepted, draft)
        if known is not None:
            self._add(
                Kind.ID_TWICE, _stripes(accepted), f"Transaction {accepted.transaction_id!r} was "
                f"accepted in shard {known.shard} at offset {known.offset}, and again in shard "
                f"{self._shard} at offset {original.offset}.",
            )  # fmt: skip

    def _is_as_written(
        self, original: Original, accepted: Accepted, scales: Mapping[str, int]
    ) -> bool:
        """What `_compare` finds nothing in, for a tenth of its time."""
        draft: Any = original.draft
        name, key = draft["transaction_id"], draft["ordering_key"]
        heads = (
            name, draft["kind"], draft["description"], draft["effective_at"], self._recorded_at,
            draft["created_at"], key or "", draft["reverses"] or "",
        )  # fmt: skip
        return (
            accepted[1:9] == heads
            and original.key == (key or name).encode()
            and draft["metadata"] == metadata_in(accepted.metadata)
            and _are_as_written(draft["entries"], accepted.entries, scales)
        )

    def _compare(self, original: Original, accepted: Accepted, scales: Mapping[str, int]) -> None:
        draft: Any = original.draft
        wrote = content_of(draft, self._recorded_at, scales)
        said = content_said(accepted)
        key = (draft["ordering_key"] or draft["transaction_id"]).encode()
        if original.key != key:
            wrote, said = wrote | {"key": repr(original.key)}, said | {"key": repr(key)}
        names = [name for name in wrote if wrote[name] != said[name]]
        if names:
            sides = ({name: side[name] for name in names} for side in (wrote, said))
            self._differs(accepted, *sides)

    def _learn_scales(self, accepted: Accepted) -> None:
        for _, currency, scale, _ in accepted.entries:
            known = self._ids.scales.setdefault(currency, scale)
            if known != scale:
                self._add(
                    Kind.DIFFERS, _stripes(accepted), f"At offset {accepted.offset} {currency} has "
                    f"{scale} decimals; before it had {known}.",
                )  # fmt: skip

    def _check_balance(self, accepted: Accepted) -> None:
        if len(accepted.entries) == MIN_ENTRIES:
            (_, currency, _, debit), (_, other, _, credit) = accepted.entries
            if currency == other and debit == -credit != 0:
                return
        net: defaultdict[str, int] = defaultdict(int)
        for _, currency, _, amount in accepted.entries:
            net[currency] += amount
        amounts = [entry[3] for entry in accepted.entries]
        if any(net.values()) or not all(amounts) or len(amounts) < MIN_ENTRIES:
            self._add(
                Kind.UNBALANCED, _stripes(accepted), f"Transaction {accepted.transaction_id!r} at "
                f"offset {accepted.offset} was accepted with debits less credits of {dict(net)} "
                f"minor units over {len(amounts)} entries.",
            )  # fmt: skip

    def _repetition(self, original: Original) -> None:
        """It must repeat something that counts, or it would be money lost."""
        draft = original.draft
        if isinstance(draft, dict):
            if asks_to_void(draft) and draft["reverses"] in self._voided:
                return
            known = self._ids.find(draft["transaction_id"])
            if known is not None and known.is_repeated_by(draft):
                return
        name = (draft["transaction_id"] if isinstance(draft, dict) else draft or "")[:_SHOWN]
        self._add(
            Kind.FALSE_DUPLICATE, (), f"Offset {original.offset} ({name!r}) counts as a "
            "repetition, but nothing with that id and content was accepted before it.",
        )  # fmt: skip

    def _void_by(self, original: Original, void: Void) -> None:
        """It must ask for that, and what it takes back must be as it was accepted."""
        name, draft = void.accepted.transaction_id, original.draft
        known = self._ids.find(name)
        self._voided.add(name)
        if not isinstance(draft, Mapping) or not asks_to_void(draft) or draft["reverses"] != name:
            self._add(
                Kind.DIFFERS, _stripes(void.accepted), f"Offset {original.offset} voids {name!r}, "
                "and its record does not ask for that.",
            )  # fmt: skip
        elif known is None:
            self._add(
                Kind.EXTRA, _stripes(void.accepted), f"Offset {original.offset} voids {name!r}, "
                "and nothing with that id was accepted before it.",
            )  # fmt: skip
        elif known[:2] != (self._shard, void.accepted.offset):
            # An id that was used again: once the last use is void, the one before may be.
            if known.offset in self._void:
                return
            self._add(
                Kind.DIFFERS, _stripes(void.accepted), f"Offset {original.offset} voids {name!r} "
                f"at offset {void.accepted.offset}, and it was accepted in shard {known.shard} at "
                f"{known.offset} last.",
            )  # fmt: skip
        elif not known.is_of(void.accepted):
            self._add(
                Kind.DIFFERS, _stripes(void.accepted), f"Offset {original.offset} voids {name!r}, "
                "and what it takes back is not what was accepted.",
            )  # fmt: skip

    def _differs(
        self, accepted: Accepted, wrote: Mapping[str, Any], said: Mapping[str, Any]
    ) -> None:
        sentence = (
            f"Transaction {accepted.transaction_id!r} at offset {accepted.offset} was accepted "
            f"with another content than it was published with: {', '.join(wrote)}."
        )
        self._findings.add(
            Break(Kind.DIFFERS, _BETWEEN, self._shard, sentence, _stripes(accepted), wrote, said)
        )

    def _add(self, kind: Kind, stripes: tuple[Stripe, ...], sentence: str) -> None:
        self._findings.add(Break(kind, _BETWEEN, self._shard, sentence, stripes))


def _are_as_written(
    entries: Sequence[Mapping[str, str]],
    said: Sequence[tuple[str, str, int, int]],
    scales: Mapping[str, int],
) -> bool:
    if len(entries) != len(said):
        return False
    for entry, (account, currency, _, amount) in zip(entries, said, strict=True):
        wrote = minor_units(entry["amount"], scales[currency])
        if (
            entry["account"] != account
            or entry["currency"] != currency
            or wrote is None
            or (wrote if entry["side"] == "debit" else -wrote) != amount
        ):
            return False
    return True


def asks_to_void(draft: Mapping[str, Any]) -> bool:
    """Whether a record asks to void what it reverses: of a kind of its own, without entries."""
    return draft["kind"] == VOID and not draft["entries"]


def _kept(part: bytes | None) -> bytes | None:
    return part and part[:KEPT]


def _stripes(what: What) -> tuple[Stripe, ...]:
    if isinstance(what, Void):
        what = what.accepted
    if not isinstance(what, Accepted):
        return ()
    return tuple(dict.fromkeys(Stripe(*entry[:2]) for entry in what.entries))


def _name(what: What) -> str:
    match what:
        case Accepted():
            return f"accepted as {what.transaction_id!r}"
        case Turned():
            return "refused"
        case Void():
            return f"the void of {what.accepted.transaction_id!r}"
        case _:
            return what
