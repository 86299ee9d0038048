"""The policy: what a ledger decides by besides its rules, as a record of the reference topic."""

from dataclasses import dataclass

MINUTE = 60_000_000
DAY = 24 * 60 * MINUTE
"""Microseconds."""
LONG_AGO = -(2**62)
"""Before every time that a ledger can speak of, microseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What a decision depends on; durations in microseconds, sizes in bytes."""

    window: int = 30 * DAY
    early: int = 5 * MINUTE
    open_unknown_accounts: bool = True
    max_bytes: int = 262_144

    def floor_after(self, floor: int, recorded_until: int) -> int:
        """The time from which on a shard remembers every id, once its log's time has come so far.

        Ids go after twice the window. What is older than this was perhaps forgotten, so it is
        never taken as new, however long the window is by then. All in microseconds; it never falls.
        """
        return max(floor, recorded_until - 2 * self.window)
