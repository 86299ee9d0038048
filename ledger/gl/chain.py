"""The digest chain of a journal: every run's digest, every link, and the heads that were published.

Memory is bounded by the transactions of one run.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from operator import attrgetter

from ledger.domain.money import MAX_SCALE
from ledger.domain.run import Content, Watermark, chain_digest
from ledger.gl.books import Books
from ledger.gl.posting import TRANSACTION_COLUMNS, posted_transactions
from ledger.gl.rows import JournalFinding, PostedRun, PostedTransaction, PostedVoid, RowKey

_MORE = 1_000
"""How many transactions are read beyond those accepted: a forged end must not fill the memory."""
_TRIES = 20
"""Runs whose digests are tried with other decimals; each costs many digests."""


class Scales:
    """Decimals by currency as the digests have them, if table `currencies` was changed.

    What is found out from one run counts for all runs after it.
    """

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._tries = _TRIES

    def right(self, transactions: Iterable[PostedTransaction]) -> Iterable[PostedTransaction]:
        """`transactions` with the decimals that were found out."""
        return _with(transactions, self._known) if self._known else transactions

    def changed(
        self,
        transactions: list[PostedTransaction],
        fits: Callable[[Iterable[PostedTransaction]], bool],
    ) -> tuple[str, int, int] | None:
        """A currency, the decimals that its row has, and those with which the digest `fits`."""
        if self._tries <= 0:
            return None
        self._tries -= 1
        scales = {entry[1]: entry[2] for each in transactions for entry in each.entries}
        for code, had in scales.items():
            for scale in range(MAX_SCALE + 1):
                if fits(_with(transactions, self._known | {code: scale})):
                    self._known[code] = scale
                    return code, had, scale
        return None


def _with(
    transactions: Iterable[PostedTransaction], scales: dict[str, int]
) -> Iterator[PostedTransaction]:
    for each in transactions:
        yield each._replace(
            entries=[
                (account, code, scales.get(code, scale), amount)
                for account, code, scale, amount in each.entries
            ]
        )


def verify_chain(
    books: Books,
    shard: int,
    last: Watermark,
    voids: Sequence[PostedVoid] = (),
    *,
    heads: Iterable[Watermark] = (),
    scales: Scales | None = None,
) -> list[JournalFinding]:
    """Findings on the shard's runs before the watermark `last`.

    `voids`: of the shard, read after `last`. `scales`: shared by the shards, so that a changed row
    of a currency is one finding and not one a run.

    `heads` are watermarks of this shard that were published, read before `last`. One behind the
    database must be the end of one of its runs; one ahead of it means that the journal was cut
    off. What is posted meanwhile is left to the next audit.
    """
    published: dict[int, set[bytes]] = defaultdict(set)
    for head in heads:
        published[head.decisions_offset].add(head.digest)
    findings: list[JournalFinding] = []
    scales = Scales() if scales is None else scales
    # `before` stays behind a run that does not follow, so that an inserted run is one finding.
    before = tail = Watermark()
    findings += _check_head(shard, tail, published.pop(0, set()))
    left_out = [void.taken for void in voids if not void.was_posted]
    voided = [each for content in left_out for each in posted_transactions(shard, content)]
    for run in books.runs(shard):
        if run.decisions_offset >= last.decisions_offset:
            break
        linked = _follows(run, tail) or _follows(run, before)
        if not linked:
            findings.append(_unlinked(run, tail))
        findings += _check_content(books, run, scales, voided)
        tail = run.after
        before = tail if linked else before
        findings += _check_head(shard, tail, published.pop(tail.decisions_offset, set()))
    findings += [*_check_end(shard, tail, last), *_check_rest(books, shard, last)]
    findings += [_lost_head(shard, offset, last) for offset in sorted(published)]
    return findings


def _follows(run: PostedRun, tail: Watermark) -> bool:
    return run.follows == tail.digest and run.start == tail.end


def _unlinked(run: PostedRun, tail: Watermark) -> JournalFinding:
    return JournalFinding.about(
        run.key,
        f"The run at decision offset {run.decisions_offset} is recorded as following position "
        f"{run.start} and digest {run.follows.hex()[:16]}…; the run before it in the journal "
        f"ends at {tail.end} with {tail.digest.hex()[:16]}….",
    )


def _check_content(
    books: Books, run: PostedRun, scales: Scales, voided: Sequence[PostedTransaction]
) -> Iterator[JournalFinding]:
    void = [each for each in voided if run.start <= each.offset < run.end]
    rows = books.transactions(run.shard, run.start, run.end)
    found = list(islice(rows, max(run.accepted, 0) + _MORE))
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
        yield JournalFinding(
            run.shard,
            run.decisions_offset,
            f"With {had} decimals for {code}, as table currencies has it, the rows of {where} do "
            f"not give its digest; with {should} they do. Its row in currencies was changed.",
            RowKey.of("currencies", code=code),
        )
        return
    counted = f"{run.accepted} transactions were accepted and {len(found)} are there"
    yield JournalFinding.about(
        run.key,
        f"The rows of {where} (log offsets {run.start} to {run.end - 1}; {counted}) do not give "
        "its digest: something in them, or in the run's own row, was changed after posting. The "
        "decision log still has what it was.",
    )


def _digest(run: PostedRun, transactions: Iterable[PostedTransaction]) -> bytes | None:
    """None for rows that no run can have had, such as an amount beyond 64 bits."""
    try:
        content = sha256(rebuilt(transactions).encode()).digest()
    except OverflowError:
        return None
    return chain_digest(run.head, content=content, outcomes=run.outcomes_digest)


def rebuilt(transactions: Iterable[PostedTransaction]) -> Content:
    """The run's content as intake wrote it: stripes in order of first appearance."""
    content = Content()
    columns = [getattr(content, name) for name in TRANSACTION_COLUMNS]
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
        for column, value in zip(columns, each[1:-1], strict=True):
            column.append(value)
    return content


def _check_head(shard: int, tail: Watermark, digests: Iterable[bytes]) -> Iterator[JournalFinding]:
    for digest in digests:
        if digest != tail.digest:
            yield JournalFinding(
                shard,
                tail.decisions_offset,
                f"At decision offset {tail.decisions_offset} the digest {digest.hex()[:16]}… was "
                f"published; the journal has {tail.digest.hex()[:16]}… there. Its rows were "
                "rewritten together with their digests.",
                RowKey.of("runs", shard=shard, decisions_offset=tail.decisions_offset - 1),
            )


def _check_end(shard: int, tail: Watermark, last: Watermark) -> Iterator[JournalFinding]:
    if tail != last:
        yield JournalFinding(
            shard,
            last.decisions_offset,
            f"The shard is recorded as posted up to decision offset {last.decisions_offset} and "
            f"position {last.end}, digest {last.digest.hex()[:16]}…; its last run ends at "
            f"{tail.decisions_offset}, {tail.end} and {tail.digest.hex()[:16]}…. Runs were "
            "removed, or the shard's row was changed.",
            RowKey.of("shards", shard=shard),
        )


def _check_rest(books: Books, shard: int, last: Watermark) -> Iterator[JournalFinding]:
    run = next(books.runs(shard, last.decisions_offset), None)
    transaction = next(books.transactions(shard, last.end), None)
    # Read after them: if rows were posted meanwhile, the watermark has moved with them.
    if books.watermark(shard) != last or not (run or transaction):
        return
    row = run.key if run else None
    if row is None and transaction:
        row = RowKey.of("transactions", shard=shard, log_offset=transaction.offset)
    what = f"run at decision offset {run.decisions_offset}" if run else "transaction"
    where = f" at log offset {transaction.offset}" if transaction else ""
    yield JournalFinding(
        shard,
        run.decisions_offset if run else last.decisions_offset,
        f"There is a {what}{where} after the end of what was posted (decision offset "
        f"{last.decisions_offset}, position {last.end}): the posting service did not write it, "
        "or the shard's row was set back.",
        row,
    )


def _lost_head(shard: int, offset: int, last: Watermark) -> JournalFinding:
    if offset > last.decisions_offset:
        sentence = (
            f"A head at decision offset {offset} was published, but the journal ends at "
            f"{last.decisions_offset}: it was cut off, or restored from an older backup. The "
            "posting service posts the rest again from the decision log."
        )
    else:
        sentence = f"A head at decision offset {offset} was published; no run ends there now."
    return JournalFinding(shard, offset, sentence, RowKey.of("shards", shard=shard))
