"""The decision log, decoded independently: which runs are in the chain, and what they decided."""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from typing import Any, NamedTuple

from ledger.audit.findings import Break, BreakKind, Findings, Party
from ledger.domain import avro
from ledger.domain.run import Refusal, Stripe
from ledger.gl.posting import TRANSACTION_COLUMNS
from ledger.gl.rows import PostedRun, PostedTransaction

_NUMBERS = struct.Struct(">iqqqqq")
_BETWEEN = (Party.LOG, Party.DECISIONS)


class Void(NamedTuple):
    """A record that voids an accepted transaction, as schemas/Voids.avsc has it.

    `accepted`: that transaction, and `content` its bytes. `decimals`: (code, decimals) of its
    stripes from then on.
    """

    offset: int
    recorded_at: int
    run: int
    authority: int
    reason: str
    content: bytes
    accepted: PostedTransaction
    decimals: frozenset[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class ChainedRun:
    """A run that is in the chain."""

    head: PostedRun
    transactions: Sequence[PostedTransaction]
    duplicates: Sequence[int]
    refused: Sequence[Refusal]
    voids: Sequence[Void] = ()


def run_digest(run: Mapping[str, Any]) -> bytes:
    """SHA-256 over the tag, six big-endian numbers, the digests, and two SHA-256.

    The digests: of the run before, and of the reference data if the run names one; the tag tells
    which. The second SHA-256 is `outcomes_digest`.

    Source: the formula of `ledger.domain.run.chain_digest`, implemented independently.
    """
    names = ("shard", "start", "end", "recorded_until", "reference_offset", "accepted")
    reference = run.get("reference_digest", b"")
    digest = sha256(b"faust-ledger run %d\n" % (2 if reference else 1))
    digest.update(_NUMBERS.pack(*(run[name] for name in names)))
    digest.update(run["follows"] + reference)
    digest.update(sha256(run["content"]).digest())
    digest.update(outcomes_digest(run))
    return digest.digest()


def outcomes_digest(run: Mapping[str, Any]) -> bytes:
    """SHA-256 of the outcomes; if the run voids something, of theirs and of the voids' SHA-256.

    Source: `ledger.domain.run.Decision.outcomes_digest`, implemented independently.
    """
    outcomes, voids = sha256(run["outcomes"]).digest(), run.get("voids", b"")
    return sha256(outcomes + sha256(voids).digest()).digest() if voids else outcomes


class Chain:
    """Follows one shard's decisions; a run that does not follow the last one is dropped."""

    def __init__(self, shard: int, findings: Findings) -> None:
        self._shard, self._findings = shard, findings
        self._end, self._digest = 0, bytes(32)
        self._gap_reported = False

    def take(self, decisions_offset: int, run: Mapping[str, Any]) -> ChainedRun | None:
        """The run, read at `decisions_offset` with the fields of Decision.avsc, if in the chain."""
        follows = (run["shard"], run["start"], run["follows"])
        if follows != (self._shard, self._end, self._digest):
            if run["start"] > self._end and not self._gap_reported:
                self._gap_reported = True
                self._add(
                    f"The run at decision offset {decisions_offset} begins at {run['start']}, but "
                    f"the last that counts ended at {self._end}: what lay between was altered or "
                    "lost, and nothing after it counts."
                )
            return None
        self._end, self._digest = run["end"], run_digest(run)
        head = PostedRun(
            shard=self._shard,
            decisions_offset=decisions_offset,
            start=run["start"],
            end=run["end"],
            follows=run["follows"],
            digest=self._digest,
            outcomes_digest=outcomes_digest(run),
            recorded_until=run["recorded_until"],
            reference_offset=run["reference_offset"],
            accepted=run["accepted"],
            reference_digest=run.get("reference_digest", b""),
        )
        try:
            return self._read(head, run)
        except (ValueError, IndexError) as error:
            self._add(f"The run at decision offset {decisions_offset} is inconsistent: {error}.")
            return ChainedRun(head, (), (), ())

    def _read(self, head: PostedRun, run: Mapping[str, Any]) -> ChainedRun:
        transactions = list(transactions_in(self._shard, avro.decode("Content", run["content"])))
        if len(transactions) != head.accepted or head.end < head.start:
            raise ValueError(f"{head.accepted} accepted, {len(transactions)} in its content")
        outcomes = avro.decode("Outcomes", run["outcomes"])
        refused = [Refusal(**each) for each in outcomes["refused"]]
        voids = list(voids_in(self._shard, run.get("voids", b"")))
        return ChainedRun(head, transactions, outcomes["duplicates"], refused, voids)

    def _add(self, sentence: str) -> None:
        self._findings.add(Break(BreakKind.CHAIN, _BETWEEN, self._shard, sentence))


def stripes_of(entries: Iterable[tuple[str, str, int, int]]) -> tuple[Stripe, ...]:
    """The stripes that entries touch, in order of first appearance."""
    return tuple(dict.fromkeys(Stripe(*entry[:2]) for entry in entries))


def voids_in(shard: int, encoded: bytes) -> Iterator[Void]:
    """The voids of a run. Raises ValueError for bytes that cannot be decoded."""
    for row in avro.decode("Voids", encoded)["voided"] if encoded else ():
        columns = avro.decode("Content", row["content"])
        taken = list(transactions_in(shard, columns))
        if len(taken) != 1:
            raise ValueError(f"the void at offset {row['offset']} is of {len(taken)} transactions")
        yield Void(
            offset=row["offset"],
            recorded_at=row["recorded_at"],
            run=row["run"],
            authority=row["authority"],
            reason=row["reason"],
            content=row["content"],
            accepted=taken[0],
            decimals=frozenset(zip(columns["currencies"], row["scales"], strict=True)),
        )


def transactions_in(
    shard: int, columns: Mapping[str, Sequence[Any]]
) -> Iterator[PostedTransaction]:
    """The transactions of a run's columns. Raises ValueError or IndexError where they disagree."""
    names = list(zip(columns["accounts"], columns["currencies"], columns["scales"], strict=True))
    if min(columns["entry_stripes"], default=0) < 0:
        raise ValueError("an entry points before the first stripe")
    every_entry = (
        (*names[stripe], amount)
        for stripe, amount in zip(columns["entry_stripes"], columns["entry_amounts"], strict=True)
    )
    heads = zip(*(columns[name] for name in TRANSACTION_COLUMNS), strict=True)
    for head, count in zip(heads, columns["entry_counts"], strict=True):
        entries = list(islice(every_entry, max(count, 0)))
        if len(entries) != count:
            raise ValueError(f"offset {head[0]} has {len(entries)} entries of {count}")
        yield PostedTransaction._make((shard, *head, entries))
    if next(every_entry, None) is not None:
        raise ValueError("there are entries of no transaction")
