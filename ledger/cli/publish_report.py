"""What `publish` prints at its end, and while it waits for the ledger."""

import time
from typing import TYPE_CHECKING, Any

from ledger.cli.output import meter, print_note, print_plain, voided_since

if TYPE_CHECKING:
    from ledger.client.bulk import LineCounts
    from ledger.client.outcomes import OutcomeWatch, Tally

STALLED_SECONDS = 10


async def wait_for_outcomes(
    watch: "OutcomeWatch", published: int, seconds: float | None
) -> tuple["Tally", bool]:
    """The tally after at most `seconds`, and whether every transaction is reconciled or refused."""
    with meter("Reconciling", published) as shown:
        last, since, warned = 0, time.monotonic(), False

        def show(tally: "Tally") -> None:
            nonlocal last, since, warned
            moved = tally.accepted + tally.reconciled + tally.rejected + tally.duplicates
            if moved != last:
                last, since = moved, time.monotonic()
            elif not warned and time.monotonic() - since > STALLED_SECONDS:
                warned = True
                print_note(f"No progress for {STALLED_SECONDS} s: is a worker running? "
                           "(`faust-ledger status`)")  # fmt: skip
            shown(tally.reconciled + tally.rejected + tally.duplicates)

        return await watch.wait(seconds, on_tally=show)


def summary_of(counts: "LineCounts", tally: "Tally | None", seconds: float) -> dict[str, Any]:
    """The object that --json prints; the counts of `tally` are null without --wait.

    Each line is counted once in: not_sent, accepted, duplicates, refused_by_ledger, voided,
    undecided; without --wait in not_sent and published.
    """
    decided = 0
    if tally is not None:
        found = (tally.accepted, tally.duplicates, tally.rejected, tally.voids, tally.voided)
        decided = sum(found)
    return {
        "lines": counts.lines,
        "published": counts.published,
        "accepted": tally and tally.accepted,
        "rejected": counts.refused + (tally.rejected if tally else 0),
        "duplicates": tally and tally.duplicates,
        "reconciled": tally and tally.reconciled,
        "seconds": round(seconds, 3),
        "voided": tally and tally.voided,
        "not_sent": counts.refused,
        "refused_by_ledger": tally and tally.rejected,
        "undecided": None if tally is None else counts.published - decided,
    }


def print_summary(
    summary: dict[str, Any], tally: "Tally | None", *, done: bool, quiet: bool
) -> None:
    """Each line counts once in the first line; each published one once in the second."""
    # With `--outcomes -` stdout is for programs.
    show = print_note if quiet else print_plain
    seconds, unsent = summary["seconds"], summary["not_sent"]
    show(f"{summary['published']:,} of {summary['lines']:,} lines published in {seconds:.1f} s, "
         f"{unsent:,} refused and not sent")  # fmt: skip
    if tally is None:
        return
    parts = [
        f"{tally.accepted:,} accepted ({tally.reconciled:,} reconciled)",
        f"{tally.duplicates:,} duplicates",
        f"{tally.rejected:,} refused by the ledger",
    ]
    if summary["undecided"]:
        parts.append(f"{summary['undecided']:,} not decided yet")
    show(", ".join(parts))
    if tally.voided:
        show(voided_since(tally.voided))
    for found in tally.breaks:
        show(f"break: {found.account} {found.currency} in shard {found.shard}")
    if not done:
        show("The time is up; not all of them are reconciled yet (`faust-ledger status`).")
