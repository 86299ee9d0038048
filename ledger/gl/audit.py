"""Audits of a journal: does every transaction balance, is the chain whole, do the sums hold.

Pure over the protocol, so that the same audit reads every database. Findings are values with a
sentence each; no finding means that all is well. Memory is bounded by a shard's stripes, and by
the transactions of one run.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from operator import attrgetter
from typing import NamedTuple

from ledger.domain import money
from ledger.domain.balance import NOTHING, Totals
from ledger.domain.run import Content, RunHead, Stripe, Watermark, chain_digest
from ledger.domain.transaction import MIN_ENTRIES
from ledger.gl.journal import Journal, PostedRun, PostedTransaction, PostedVoid, Row
from ledger.gl.posting import transactions_of
from ledger.gl.scales import Scales

PAGE = 1_000
LOWEST = -(2**62)
"""Below every offset, those that cannot be included."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong, where, and in a sentence what. `offset`: of which log, the sentence says.

    `row`: what it is about, as far as that can be told; of a digest it is the run's.
    `shard`: None for what has none.
    """

    shard: int | None
    offset: int
    sentence: str
    row: Row | None = None


class Sides(NamedTuple):
    """Debits and credits of the whole journal in one currency, minor units."""

    scale: int
    debits: int
    credits: int


@dataclass(frozen=True, slots=True)
class DoubleEntry:
    """Sums by currency, transactions counted, and those that do not balance."""

    sums: Mapping[str, Sides]
    transactions: int
    findings: list[Finding]


def double_entry(journal: Journal) -> DoubleEntry:
    """Debits and credits of every transaction, and of all of them."""
    sums: dict[str, Sides] = {}
    findings: list[Finding] = []
    count = 0
    for shard in journal.recorded_until():
        voided = {each.offset for each in journal.voids(shard)}
        for transaction in journal.transactions(shard, LOWEST):
            if transaction.offset in voided:
                continue
            count += 1
            sides = _sides(transaction)
            for currency, (scale, debits, credits) in sides.items():
                known = sums.get(currency, Sides(scale, 0, 0))
                sums[currency] = Sides(scale, known.debits + debits, known.credits + credits)
            findings += _imbalance(transaction, sides)
    return DoubleEntry(dict(sorted(sums.items())), count, findings)


def _sides(transaction: PostedTransaction) -> dict[str, Sides]:
    sides: dict[str, Sides] = {}
    for _, currency, scale, amount in transaction.entries:
        _, debits, credits = sides.get(currency, Sides(scale, 0, 0))
        sides[currency] = Sides(scale, debits + max(amount, 0), credits + max(-amount, 0))
    return sides


def _imbalance(transaction: PostedTransaction, sides: Mapping[str, Sides]) -> Iterator[Finding]:
    name = f"Transaction {transaction.transaction_id!r} at offset {transaction.offset}"
    row = Row.of("entries", shard=transaction.shard, log_offset=transaction.offset)
    if len(transaction.entries) < MIN_ENTRIES:
        yield Finding(
            transaction.shard,
            transaction.offset,
            f"{name} has {len(transaction.entries)} entries; every transaction has two or more.",
            row,
        )
    for currency, (scale, debits, credits) in sides.items():
        if debits != credits:
            yield Finding(
                transaction.shard,
                transaction.offset,
                f"{name} does not balance in {currency}: debits {money.show(debits, scale)}, "
                f"credits {money.show(credits, scale)}.",
                row,
            )


def stripes_against_entries(journal: Journal, shard: int) -> list[Finding]:
    """The shard's stripes against what its entries add up to, both as of one watermark."""
    watermark, stored = journal.snapshot(shard, LOWEST)
    voids = {each.offset: each for each in journal.voids(shard)}
    counted: dict[Stripe, Totals] = {}
    for transaction in journal.transactions(shard, LOWEST, watermark.end):
        void = voids.get(transaction.offset)
        # One that was voided since the snapshot is in its stripes.
        if void is not None and void.decisions_offset < watermark.decisions_offset:
            continue
        for account, currency, _, amount in transaction.entries:
            stripe = Stripe(account, currency)
            known = counted.get(stripe, NOTHING)
            counted[stripe] = Totals(
                known.debits + max(amount, 0),
                known.credits + max(-amount, 0),
                known.entries + 1,
                transaction.offset,
            )
    for void in voids.values():
        if void.decisions_offset < watermark.decisions_offset:
            counted |= void.moved(counted)
    return [
        _difference(shard, stripe, stored.get(stripe, NOTHING), counted.get(stripe, NOTHING))
        for stripe in sorted(stored.keys() | counted.keys())
        if stored.get(stripe) != counted.get(stripe)
    ]


def _difference(shard: int, stripe: Stripe, stored: Totals, counted: Totals) -> Finding:
    parts = [
        f"{name} {had} stored, {should} by its entries"
        for name, had, should in zip(Totals._fields, stored, counted, strict=True)
        if had != should
    ]
    return Finding(
        shard,
        max(stored.offset, counted.offset),
        f"The totals of {stripe.account} in {stripe.currency} (minor units) are not the sum of "
        f"its entries: {'; '.join(parts) or 'a row without entries'}.",
        Row.of("stripes", **stripe._asdict(), shard=shard),
    )


def verify_chain(
    journal: Journal,
    shard: int,
    heads: Iterable[Watermark] = (),
    scales: Scales | None = None,
) -> list[Finding]:
    """Every run's digest from the journal's rows, every link, and the published `heads`.

    `scales`: shared by the shards, so that a currency's row that was changed is one finding and
    not one a run.

    `heads` are watermarks of this shard that were published, read before this is called. One
    behind the database must be the end of one of its runs; one ahead of it means that the
    journal was cut off. What is posted meanwhile is left to the next audit.
    """
    last = journal.watermark(shard)
    published: dict[int, set[bytes]] = defaultdict(set)
    for head in heads:
        published[head.decisions_offset].add(head.digest)
    findings: list[Finding] = []
    scales = Scales() if scales is None else scales
    # Before what does not follow: a row that was put between two runs is one finding, and not two.
    before = tail = Watermark()
    findings += _check_head(shard, tail, published.pop(0, set()))
    left_out = [void for void in journal.voids(shard) if not void.was_posted]
    voids = [each for void in left_out for each in transactions_of(shard, void.taken)]
    for run in journal.runs(shard):
        if run.decisions_offset >= last.decisions_offset:
            break
        linked = _follows(run, tail) or _follows(run, before)
        void = [each for each in voids if run.start <= each.offset < run.end]
        findings += [*(() if linked else _unlinked(run, tail))]
        findings += _content(journal, run, scales, void)
        tail = Watermark(run.decisions_offset + 1, run.end, run.digest, run.recorded_until)
        before = tail if linked else before
        findings += _check_head(shard, tail, published.pop(tail.decisions_offset, set()))
    findings += [*_check_end(shard, tail, last), *_check_rest(journal, shard, last)]
    findings += [_lost_head(shard, offset, last) for offset in sorted(published)]
    return findings


def _follows(run: PostedRun, tail: Watermark) -> bool:
    return run.follows == tail.digest and run.start == tail.end


def _unlinked(run: PostedRun, tail: Watermark) -> Iterator[Finding]:
    yield Finding(
        run.shard,
        run.decisions_offset,
        f"The run at decision offset {run.decisions_offset} says that it follows position "
        f"{run.start} and digest {run.follows.hex()[:16]}…; the run before it in the journal "
        f"ends at {tail.end} with {tail.digest.hex()[:16]}….",
        row_of(run),
    )


def row_of(run: PostedRun) -> Row:
    """The name of its row."""
    return Row.of("runs", shard=run.shard, decisions_offset=run.decisions_offset)


def voids_against_runs(journal: Journal, shard: int) -> Iterator[Finding]:
    """What is void against the runs that accepted it and took it back.

    Without the log it cannot be known whether that was allowed: `reconcile --full` says so.
    """
    voids = journal.voids(shard)
    if not voids:
        return
    named = {each.run for each in voids} | {each.decisions_offset for each in voids}
    end = journal.watermark(shard).decisions_offset
    runs = {run.decisions_offset: run for run in journal.runs(shard)
            if run.decisions_offset in named}  # fmt: skip
    for void in voids:
        problem = _void_problem(journal, void, runs, end)
        if problem is not None:
            sentence = f"What is at offset {void.offset} is void by a row that {problem}."
            row = Row.of("voids", shard=shard, log_offset=void.offset)
            yield Finding(shard, void.offset, sentence, row)


def _void_problem(
    journal: Journal, void: PostedVoid, runs: Mapping[int, PostedRun], end: int
) -> str | None:
    accepted, took = runs.get(void.run), runs.get(void.decisions_offset)
    if not void.taken.offsets:
        return "does not have it"
    if accepted is None or not accepted.start <= void.offset < accepted.end:
        return f"names the run at decision offset {void.run}, which has not accepted it"
    has_taken = took is not None and took.start <= void.void_offset < took.end
    # What is left out is so before the run that takes it back is posted.
    if not has_taken and (void.was_posted or void.decisions_offset < end):
        return f"names {void.decisions_offset} as the run that took it back, which has not"
    rows = journal.transactions(void.shard, void.offset, void.offset + 1)
    is_there = next(iter(rows), None) is not None
    if is_there and not void.was_posted:
        return "leaves it out, and it is posted"
    if void.was_posted and not is_there:
        return "says that it was posted before, and it is not there"
    return None


def _content(
    journal: Journal, run: PostedRun, scales: Scales, void: Sequence[PostedTransaction]
) -> Iterator[Finding]:
    # A little more than there should be: an end moved far away must not fill the memory.
    rows = journal.transactions(run.shard, run.start, run.end)
    found = list(islice(rows, max(run.accepted, 0) + PAGE))
    # What was left out has no row; the digest covers it as it was accepted.
    there = {each.offset for each in found}
    left_out = [each for each in void if each.offset not in there]
    transactions = sorted([*scales.right(found), *left_out], key=attrgetter("offset"))
    if _digest(run, transactions) == run.digest:
        return
    where = f"the run at decision offset {run.decisions_offset}"
    changed = None
    if not void:
        changed = scales.changed(found, lambda other: _digest(run, other) == run.digest)
    if changed is not None:
        code, had, should = changed
        yield Finding(
            run.shard,
            run.decisions_offset,
            f"With {had} decimals for {code}, as table currencies has it, the rows of {where} do "
            f"not give its digest; with {should} they do. Its row in currencies was changed.",
            Row.of("currencies", code=code),
        )
        return
    counted = f"{run.accepted} transactions were accepted and {len(found)} are there"
    yield Finding(
        run.shard,
        run.decisions_offset,
        f"The rows of {where} (log offsets {run.start} to {run.end - 1}; {counted}) do not give "
        "its digest: something in them, or in the run's own row, was changed after posting. The "
        "decision log still has what it was.",
        row_of(run),
    )


def _digest(run: PostedRun, transactions: Iterable[PostedTransaction]) -> bytes | None:
    """None for rows that no run can have had, such as an amount beyond 64 bits."""
    try:
        content = sha256(rebuilt(transactions).encode()).digest()
    except OverflowError:
        return None
    return chain_digest(run_head(run), content=content, outcomes=run.outcomes_digest)


def run_head(run: PostedRun) -> RunHead:
    """What the digest covers besides content and outcomes."""
    return RunHead(
        run.shard,
        run.start,
        run.end,
        run.follows,
        run.recorded_until,
        run.reference_offset,
        run.accepted,
        run.reference_digest,
    )


def rebuilt(transactions: Iterable[PostedTransaction]) -> Content:
    """The run's content as intake wrote it: stripes in order of first appearance."""
    content = Content()
    stripes: dict[tuple[str, str], int] = {}
    for each in transactions:
        for account, currency, scale, amount in each.entries:
            stripe = stripes.setdefault((account, currency), len(stripes))
            if stripe == len(content.accounts):
                content.accounts.append(account)
                content.currencies.append(currency)
                content.scales.append(scale)
            content.entry_stripes.append(stripe)
            content.entry_amounts.append(amount)
        content.entry_counts.append(len(each.entries))
        content.offsets.append(each.offset)
        content.recorded_at.append(each.recorded_at)
        content.effective_at.append(each.effective_at)
        content.created_at.append(each.created_at)
        content.transaction_ids.append(each.transaction_id)
        content.kinds.append(each.kind)
        content.descriptions.append(each.description)
        content.ordering_keys.append(each.ordering_key)
        content.reverses.append(each.reverses)
        content.metadata.append(each.metadata)
    return content


def _check_head(shard: int, tail: Watermark, digests: Iterable[bytes]) -> Iterator[Finding]:
    for digest in digests:
        if digest != tail.digest:
            yield Finding(
                shard,
                tail.decisions_offset,
                f"At decision offset {tail.decisions_offset} the digest {digest.hex()[:16]}… was "
                f"published; the journal has {tail.digest.hex()[:16]}… there. Its rows were "
                "rewritten together with their digests.",
                Row.of("runs", shard=shard, decisions_offset=tail.decisions_offset - 1),
            )


def _check_end(shard: int, tail: Watermark, last: Watermark) -> Iterator[Finding]:
    if tail != last:
        yield Finding(
            shard,
            last.decisions_offset,
            f"The shard is said to be posted up to decision offset {last.decisions_offset} and "
            f"position {last.end}, digest {last.digest.hex()[:16]}…; its last run ends at "
            f"{tail.decisions_offset}, {tail.end} and {tail.digest.hex()[:16]}…. Runs were "
            "removed, or the shard's row was changed.",
            Row.of("shards", shard=shard),
        )


def _check_rest(journal: Journal, shard: int, last: Watermark) -> Iterator[Finding]:
    run = next(journal.runs(shard, last.decisions_offset), None)
    transaction = next(journal.transactions(shard, last.end), None)
    # Read after them: where rows were posted meanwhile, it has moved with them.
    if journal.watermark(shard) != last or not (run or transaction):
        return
    row = row_of(run) if run else None
    if row is None and transaction:
        row = Row.of("transactions", shard=shard, log_offset=transaction.offset)
    what = f"run at decision offset {run.decisions_offset}" if run else "transaction"
    where = f" at log offset {transaction.offset}" if transaction else ""
    yield Finding(
        shard,
        run.decisions_offset if run else last.decisions_offset,
        f"There is a {what}{where} after the end of what was posted (decision offset "
        f"{last.decisions_offset}, position {last.end}): the posting service did not write it, "
        "or the shard's row was set back.",
        row,
    )


def _lost_head(shard: int, offset: int, last: Watermark) -> Finding:
    if offset > last.decisions_offset:
        sentence = (
            f"A head at decision offset {offset} was published, but the journal ends at "
            f"{last.decisions_offset}: it was cut off, or restored from an older backup. The "
            "posting service posts the rest again from the decision log."
        )
    else:
        sentence = f"A head at decision offset {offset} was published; no run ends there now."
    return Finding(shard, offset, sentence, Row.of("shards", shard=shard))
