"""The parameters that reads share: of when an answer is, and what it must include."""

from dataclasses import replace
from typing import Annotated, Literal

from fastapi import Depends, Query, Request

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import CALLER
from ledger.api.parameters import Time
from ledger.api.problems import Problem
from ledger.api.services.wanted import Moment, Wanted

Currency = Annotated[
    str | None, Query(description="Only this currency.", min_length=1, max_length=64)
]


def moment_of(
    as_of: Annotated[
        Time | None, Query(description="Only entries strictly before this time: RFC 3339.")
    ] = None,
    by: Annotated[
        Literal["effective", "recorded"] | None,
        Query(description="The time that `as_of` is about; effective if it is not given."),
    ] = None,
    effective_before: Annotated[
        Time | None, Query(description="Only what is effective before this time.")
    ] = None,
    recorded_before: Annotated[
        Time | None, Query(description="Only what was recorded before this time.")
    ] = None,
) -> Moment | None:
    """The time that an answer is of; None for the present."""
    if as_of is None:
        if by is not None:
            raise Problem("INVALID_PARAMETER", "by: it needs as_of.", field="by")
        if effective_before is None and recorded_before is None:
            return None
        return Moment(effective_before, recorded_before)
    if effective_before is not None or recorded_before is not None:
        raise Problem(
            "INVALID_PARAMETER",
            "as_of: give it, with `by`, or effective_before and recorded_before.",
            field="as_of",
        )
    return Moment(None, as_of) if by == "recorded" else Moment(as_of, None)


AtMoment = Annotated[Moment | None, Depends(moment_of)]
After = Annotated[
    str | None,
    Query(
        description="Wait until the answer includes this: the `token` of another answer, or a "
        "transaction_id. What begins with `pos.` is a token.",
        min_length=1,
        max_length=16_384,
    ),
]
Timeout = Annotated[
    float | None,
    Query(
        description="Seconds to wait at most for `after`; 10 if not given.",
        ge=0,
        le=60,
        allow_inf_nan=False,
    ),
]


def wanted_of(
    caller: Caller, after: str | None, timeout: float | None, moment: Moment | None = None
) -> Wanted:
    """What the answer must include, and of when. Raises Problem for a `timeout` of nothing."""
    if timeout is not None and after is None:
        raise Problem("INVALID_PARAMETER", "timeout: it needs `after`.", field="timeout")
    return Wanted(None, after, timeout, moment, caller.permission)


def wanted_in(
    request: Request,
    moment: AtMoment,
    currency: Currency = None,
    after: After = None,
    timeout: Timeout = None,
) -> Wanted:
    """The same, in one currency or all."""
    caller = request.scope[CALLER]
    return replace(wanted_of(caller, after, timeout, moment), currency=currency)


Asked = Annotated[Wanted, Depends(wanted_in)]
