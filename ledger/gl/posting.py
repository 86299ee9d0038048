"""What every journal checks and derives before it posts; pure, without a database."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence

from ledger.domain.run import Content, Watermark
from ledger.errors import InvariantBroken
from ledger.gl.journal import NotPostable, Posting, PostingRun, Prepared
from ledger.gl.rows import PostedRun, PostedTransaction

TRANSACTION_COLUMNS = (
    "offsets", "transaction_ids", "kinds", "descriptions", "effective_at", "recorded_at",
    "created_at", "ordering_keys", "reverses", "metadata",
)  # fmt: skip
"""The columns of a Content with the fields of a PostedTransaction, in their order."""
_OF_DECISION = [name for name in PostedRun._fields if name != "decisions_offset"]


def follow(shard: int, before: Watermark, runs: Sequence[PostingRun]) -> Watermark:
    """The watermark once `runs` are posted.

    Raises InvariantBroken when they are another shard's, leave a gap, or contradict themselves.
    """
    at = before
    for run in runs:
        decision, offset = run.decision, run.decisions_offset
        if decision.shard != shard or offset < at.decisions_offset or not decision.continues(at):
            raise InvariantBroken(
                f"The run at decision offset {offset} of shard {decision.shard} does not follow "
                f"what is posted of shard {shard} (decision offset {at.decisions_offset}, end "
                f"{at.end}). Nothing was posted. This is a fault of the posting service: keep "
                "its log, report it, and restart the service, which reads the decisions again."
            )
        if problem := _problem(run):
            raise InvariantBroken(
                f"The run at decision offset {offset} of shard {shard} contradicts itself: "
                f"{problem}. Nothing was posted. Compare the record with its digest; if that "
                "holds, intake wrote it so, which is a fault to report."
            )
        at = decision.after(at, decisions_offset=offset)
    return at


def _problem(run: PostingRun) -> str | None:
    decision, offsets = run.decision, run.content.offsets
    if decision.end < decision.start:
        return "it ends before it starts"
    if len(offsets) != decision.accepted:
        return f"{decision.accepted} transactions accepted, {len(offsets)} in its content"
    if any(map(int.__ge__, offsets, offsets[1:])):
        return "its transactions are not in ascending order of offset"
    if offsets and not decision.start <= offsets[0] <= offsets[-1] < decision.end:
        return "a transaction's offset is outside the run"
    return _column_problem(run.content)


def _column_problem(content: Content) -> str | None:
    if not len(content.entry_amounts) == len(content.entry_stripes) == sum(content.entry_counts):
        return "its entry columns differ in length"
    if 0 in content.entry_amounts:
        return "an entry's amount is zero"
    if not (all(content.transaction_ids) and all(content.kinds)):
        return "a transaction has no id or no kind"
    return None


def scales_of(contents: Iterable[Content]) -> dict[str, int]:
    """Decimals by currency code. Raises NotPostable where the runs disagree."""
    return _agreed(
        pair
        for content in contents
        for pair in set(zip(content.currencies, content.scales, strict=True))
    )


def scales_together(prepared: Iterable[Prepared]) -> dict[str, int]:
    """Decimals by code of several postings. Raises NotPostable where they disagree."""
    return _agreed(pair for each in prepared for pair in each.scales.items())


def _agreed(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
    scales: dict[str, int] = {}
    for code, scale in pairs:
        same_scale(code, scale, scales.setdefault(code, scale))
    return scales


def same_scale(code: str, scale: int, known: int) -> None:
    """Raises NotPostable: with other decimals everything posted would change its worth."""
    if scale != known:
        raise NotPostable(
            f"A run gives {code} {scale} decimals, but the ledger has it with {known}. Nothing "
            "was posted. A currency's decimals never change: find out who gave it these. What to "
            "do: docs/runbooks/not-postable.md"
        )


def other_release(message: str) -> str:
    """The sentence of a NotPostable where a column is missing, as `message` has it."""
    return (
        f"The general ledger's tables are not those of this release: {message}. Nothing was "
        "posted. Run `faust-ledger setup` as the owner (of the embedded stack `faust-ledger up`), "
        "which makes the missing migrations, then restart the workers; if the tables are of a "
        "newer release, start that one: docs/upgrading.md"
    )


def posted_run(run: PostingRun) -> PostedRun:
    """The run as the journal gives it back."""
    fields = {name: getattr(run.decision, name) for name in _OF_DECISION}
    return PostedRun(decisions_offset=run.decisions_offset, **fields)


def posted_transactions(shard: int, content: Content) -> Iterator[PostedTransaction]:
    """The transactions of a run's content, as the journal gives them back."""
    scale_of = dict(zip(content.currencies, content.scales, strict=True))
    columns = [getattr(content, name) for name in TRANSACTION_COLUMNS]
    for *fields, legs in zip(*columns, content.legs(), strict=True):
        entries = [(account, code, scale_of[code], amount) for account, code, amount in legs]
        yield PostedTransaction._make((shard, *fields, entries))


def named_refused(posting: Posting, accepts: Callable[[Sequence[Content]], bool]) -> str:
    """The first transaction that a database refuses, to stand before a sentence; empty if none.

    `accepts`: whether it takes these contents, and nothing of them stays. It is a bisection: a
    dozen attempts for thousands of transactions.
    """
    contents = [run.posted for run in posting.runs]
    offsets = [offset for content in contents for offset in content.offsets]
    names = [name for content in contents for name in content.transaction_ids]

    def refuses(count: int) -> bool:
        first = set(offsets[:count])
        return not accepts([each.part(first) for each in contents])

    at = bisect_left(range(1, len(offsets) + 1), True, key=refuses)
    return f"{names[at]!r} at offset {offsets[at]}: " if at < len(offsets) else ""
