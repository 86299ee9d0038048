"""The point in time that an answer is about: `as_of` and `by`, or both axes at once."""

from typing import Any, NamedTuple

from ledger.api.problems import Problem
from ledger.client.drafts import rfc3339


class Instants(NamedTuple):
    """Only entries effective and recorded strictly before these count, microseconds; None: all."""

    effective_before: int | None = None
    recorded_before: int | None = None

    @property
    def is_now(self) -> bool:
        """Whether everything counts."""
        return self == Instants()

    def fields(self) -> dict[str, Any]:
        """The two as an answer has them: RFC 3339, or null."""
        return {
            name: None if micros is None else rfc3339(micros)
            for name, micros in self._asdict().items()
        }


def instants_of(
    as_of: int | None,
    by: str | None,
    effective_before: int | None,
    recorded_before: int | None,
) -> Instants:
    """What the four parameters ask for. Raises Problem where they contradict each other."""
    given = Instants(effective_before, recorded_before)
    if as_of is None:
        if by is not None:
            raise Problem("INVALID_PARAMETER", "by says which time as_of is about: give as_of.",
                          field="by")  # fmt: skip
        return given
    if not given.is_now:
        raise Problem(
            "INVALID_PARAMETER",
            "Give as_of, or effective_before and recorded_before, not both.",
            field="as_of",
        )
    return Instants(None, as_of) if by == "recorded" else Instants(as_of, None)
