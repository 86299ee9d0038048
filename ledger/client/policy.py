"""Changes of the policy of a ledger, and limits of a shard's clock.

A change is a record of the reference topic. In each shard it counts from the position at which the
shard's owner has read it; the decision log records that position.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ledger.client.imports import Importer
from ledger.clock import now
from ledger.domain.policy import DAY
from ledger.domain.reference import ClockLimit, PolicyChange, Reference
from ledger.domain.transaction import shown_time
from ledger.errors import LedgerError
from ledger.streaming.reference import policy_from, policy_row


@dataclass(frozen=True, slots=True)
class PresentPolicy:
    """The policy that counts, by the settings' names, and its offset in the reference topic.

    `behind`: shards that do not decide by it yet. `notes`: its consequences.
    """

    policy: Mapping[str, Any]
    offset: int
    behind: list[int]
    notes: list[str]


def present_policy(importer: Importer) -> PresentPolicy:
    """The policy that counts. Raises LedgerError for a ledger without one."""
    known = importer.known
    if not known.policies:
        raise LedgerError("This ledger has no policy yet; `faust-ledger policy init` writes it.")
    return PresentPolicy(_row(known), known.policies[-1][0], [], [])


async def change_policy(
    importer: Importer, changes: Mapping[str, Any], *, reason: str, seconds: float
) -> PresentPolicy:
    """Change the policy, by the settings' names, and wait until every shard decides by it.

    It waits for at most `seconds`. Raises LedgerError if another change came first.
    """
    before = present_policy(importer)
    row = {**before.policy, **changes}
    item = PolicyChange(policy_from(row), row["shards"], before.offset, reason)
    offset, behind = await importer.put(item, seconds)
    known = await importer.read_again()
    # Not by the last one: our policy may have been replaced since.
    if all(at != offset for at, _ in known.policies):
        raise LedgerError(
            f"The policy was not changed: another change came first and made it "
            f"{_row(known)}. Check it (`faust-ledger policy show`) and try again."
        )
    return PresentPolicy(_row(known), known.policies[-1][0], behind, _notes(before.policy, row))


async def limit_clock(
    importer: Importer,
    shard: int,
    *,
    until: int | None,
    at_most: int | None,
    reason: str,
    seconds: float,
) -> tuple[ClockLimit, list[int]]:
    """Limit the recorded time of the shard's positions before `until` to `at_most` (microseconds).

    Default: all positions in the log, and the present. Returns the limit, and the shards that do
    not decide with it after `seconds`.
    """
    end = await importer.end_of(shard)
    if until is not None and until > end:
        raise LedgerError(
            f"Shard {shard} ends at {end}: a limit is for records that are in the log, and those "
            f"up to {until} are not there yet. Set the broker's clock right."
        )
    limit = ClockLimit(
        shard,
        end if until is None else until,
        now() if at_most is None else at_most,
        reason,
    )
    _, behind = await importer.put(limit, seconds)
    return limit, behind


def _row(known: Reference) -> dict[str, Any]:
    return policy_row(known.policy, known.shards or 0)


def _notes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    if after["window_days"] <= before["window_days"]:
        return []
    since = now() - 2 * before["window_days"] * DAY
    note = (
        "Ids are remembered for twice the window, so those accepted before about "
        f"{shown_time(since)[:10]} may be forgotten. A transaction created before that stays "
        "TOO_LATE, because it could be a repetition that is not recognised."
    )
    return [note]
