"""Runs of the decision log: what is handed on in memory, and how many go together."""

from ledger.domain.intake import decide
from ledger.domain.reference import Reference
from ledger.domain.run import Watermark
from ledger.domain.transaction import Policy
from ledger.streaming.decisions import STRIPE_BYTES, ValidRun, portions
from tests.builders import draft, no_memory, numbered


def chain(*counts: int) -> list[ValidRun]:
    """Runs of so many transactions, each with an account of its own."""
    mark, runs = Watermark(), []
    for number, count in enumerate(counts):
        drafts = [
            draft(f"t-{number}-{each}", debit=f"assets:a{number}-{each}") for each in range(count)
        ]
        settled = decide(
            numbered(drafts, mark.end), shard=0, shards=1, end=mark.end + count, watermark=mark,
            memory=no_memory(), reference=Reference(), policy=Policy(),
        )  # fmt: skip
        runs.append(ValidRun.of(settled, number, mark))
        mark = runs[-1].after
    return runs


def test_what_is_handed_on_is_what_the_log_says() -> None:
    for run in chain(3, 1):
        read = ValidRun(run.decision, run.decisions_offset, run.before, run.after)
        assert (read.content, read.outcomes) == (run.content, run.outcomes)
        assert run.decision.continues(run.before)


def test_portions_are_by_weight_and_hold_one_run_at_least() -> None:
    runs = chain(1, 1, 50, 1, 1)
    light, heavy = runs[0].weight, runs[2].weight
    assert heavy > 50 * STRIPE_BYTES

    def cut(size: int) -> list[list[int]]:
        return [[run.decisions_offset for run in part] for part in portions(runs, size)]

    assert cut(2 * light) == [[0, 1], [2], [3, 4]]
    assert cut(1) == [[0], [1], [2], [3], [4]]
    assert cut(10 * heavy) == [[0, 1, 2, 3, 4]]
    assert list(portions([], 1)) == []
