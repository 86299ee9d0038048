"""Changes of what a ledger decides by: its policy, and limits of a shard's clock.

A change is a record of the reference topic. It counts from the position in each shard at which the
shard's owner has read it, which the decision log records.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.client.imports import Importer
from ledger.domain.policy import DAY
from ledger.domain.reference import ClockLimit, PolicyChange, Reference
from ledger.domain.transaction import shown_time
from ledger.errors import LedgerError
from ledger.streaming.reference import policy_from, policy_row


@dataclass(frozen=True, slots=True)
class Changed:
    """What counts now, by the settings' names, and since which offset of the reference topic.

    `behind`: shards that did not say in time that they decide with it. `notes`: what to know.
    """

    policy: Mapping[str, Any]
    offset: int
    behind: list[int]
    notes: list[str]


def present(importer: Importer) -> Changed:
    """What counts. Raises LedgerError for a ledger without a policy."""
    known = importer.known
    if not known.policies:
        raise LedgerError("This ledger has no policy yet; `faust-ledger policy init` writes it.")
    return Changed(_row(known), known.policies[-1][0], [], [])


async def change(
    importer: Importer, changes: Mapping[str, Any], *, reason: str, seconds: float
) -> Changed:
    """Replace the present policy, by the settings' names, and wait until every shard has it.

    Waits `seconds` at most. Raises LedgerError when somebody else replaced it meanwhile.
    """
    before = present(importer)
    row = {**before.policy, **changes}
    item = PolicyChange(policy_from(row), row["shards"], before.offset, reason)
    offset, behind = await importer.put(item, seconds)
    known = await importer.read_again()
    # Not by the last one: somebody may have replaced the one that came before ours since.
    if all(at != offset for at, _ in known.policies):
        raise LedgerError(
            f"The policy was not changed: somebody else has changed it just now, to "
            f"{_row(known)}. Look at that (`faust-ledger policy show`) and decide again."
        )
    return Changed(_row(known), known.policies[-1][0], behind, _notes(before.policy, row))


async def limit_clock(
    importer: Importer,
    shard: int,
    *,
    until: int | None,
    at_most: int | None,
    reason: str,
    seconds: float,
) -> tuple[ClockLimit, list[int]]:
    """Have the shard's positions before `until` recorded at `at_most` (microseconds) at latest.

    Default: all that are in the log now, at the present. Returns the limit, and the shards that
    did not say within `seconds` that they decide with it.
    """
    end = await importer.end_of(shard)
    if until is not None and until > end:
        raise LedgerError(
            f"Shard {shard} ends at {end}: a limit is about records that are in the log, not "
            f"about those before {until} that are still to come. Set the broker's clock right."
        )
    limit = ClockLimit(
        shard,
        end if until is None else until,
        time.time_ns() // 1_000 if at_most is None else at_most,
        reason,
    )
    _, behind = await importer.put(limit, seconds)
    return limit, behind


def _row(known: Reference) -> dict[str, Any]:
    return policy_row(known.policy, known.shards or 0)


def _notes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    if after["window_days"] <= before["window_days"]:
        return []
    since = time.time_ns() // 1_000 - 2 * before["window_days"] * DAY
    note = (
        "Ids are remembered for twice the window, so those accepted before about "
        f"{shown_time(since)[:10]} may be forgotten. A transaction created before that stays "
        "TOO_LATE: it could be a repetition, and nobody could tell."
    )
    return [note]
