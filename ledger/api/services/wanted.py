"""What a read must include, and of when."""

from dataclasses import dataclass
from typing import NamedTuple

DEFAULT_SECONDS = 10.0


class Moment(NamedTuple):
    """Only entries effective before, and recorded before, these instants; microseconds."""

    effective_before: int | None = None
    recorded_before: int | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """All is optional.

    `currency`: no other. `after`: a position token or a transaction's id, waited for `seconds` at
    most. `moment`: not the present balances.
    """

    currency: str | None = None
    after: str | None = None
    seconds: float | None = None
    moment: Moment | None = None

    @property
    def wait_seconds(self) -> float:
        """How long to wait for what `after` names."""
        return DEFAULT_SECONDS if self.seconds is None else self.seconds
