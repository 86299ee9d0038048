"""What a read must include, and of when."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from ledger.domain.access import Permission

DEFAULT_SECONDS = 10.0


EVERYTHING: Final = Permission(frozenset())
"""Of a caller who is restricted to no accounts."""


class Moment(NamedTuple):
    """Only entries effective before, and recorded before, these instants; microseconds."""

    effective_before: int | None = None
    recorded_before: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """All is optional.

    `currency`: no other. `after`: a position token or a transaction's id, waited for `seconds` at
    most. `moment`: not the present balances. `permission`: the caller's, for what of a transaction
    may be seen.
    """

    currency: str | None = None
    after: str | None = None
    seconds: float | None = None
    moment: Moment | None = None
    permission: Permission = EVERYTHING

    @property
    def wait_seconds(self) -> float:
        """How long to wait for what `after` names."""
        return DEFAULT_SECONDS if self.seconds is None else self.seconds
