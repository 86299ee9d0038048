"""`GET /v1/reports/{name}`: a report as JSON or as a file."""

import csv
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from ledger.api.access.caller import Caller
from ledger.api.access.dependencies import allowed
from ledger.api.parameters import Time, Under, new_router
from ledger.api.problems import REFUSALS, Problem, answers
from ledger.api.reads import After, AtMoment, Timeout, wanted_of
from ledger.api.routes.models import CompleteTo
from ledger.api.services.reports import Form, ReportQuery, ReportsService, rendered
from ledger.reports.lines import LINES
from ledger.reports.rates import FIELDS, Rate, RatesError, rate_of
from ledger.reports.rendered import MEDIA_TYPES
from ledger.reports.sheets import SHEETS

Name = Literal[
    "trial-balance", "balance-sheet", "income-statement", "register", "statement", "movements",
    "breaks",
]  # fmt: skip


class ReportCondition(BaseModel):
    """What the report is of."""

    name: str
    value: str


class ReportColumn(BaseModel):
    """A column; amounts are decimal text in the currency of their row."""

    key: str
    title: str
    kind: Literal["text", "amount", "count", "time"]


class ReportRow(BaseModel):
    """A row: its cells by the keys of the columns."""

    row: Literal["line", "heading", "total"]
    depth: Annotated[int, Field(description="How far it is indented.")]
    cells: dict[str, str | int | None]


class ReportAnswer(BaseModel):
    """A report, every total of which is the sum of its parts to the last unit."""

    report: str
    title: str
    conditions: list[ReportCondition]
    columns: list[ReportColumn]
    rows: list[ReportRow]
    totals: list[ReportRow]
    complete_to: CompleteTo
    differences: Annotated[
        list[str], Field(description="What does not balance, in sentences; there should be none.")
    ]


def router(service: ReportsService) -> APIRouter:
    """The route over this service."""
    made = new_router("ledger")
    forms: dict[int | str, dict[str, Any]] = {
        200: {"content": {media.partition(";")[0]: {} for name, media in MEDIA_TYPES.items()
                          if name != "json"}},
    }  # fmt: skip

    @made.get("/reports/{name}", response_model=ReportAnswer,
              responses=forms | answers("DATABASE_UNAVAILABLE", "TOKEN_INVALID", "NOT_YET",
                                        "NOT_ACCEPTABLE", "REFUSED", *REFUSALS))  # fmt: skip
    async def make_report(
        caller: Annotated[Caller, allowed("finance")],
        name: Annotated[Name, Path(description="Which report.")],
        moment: AtMoment,
        *,
        under: Under = None,
        compare: Annotated[
            Time | None,
            Query(description="Beside it, the same as of another time on the same axis."),
        ] = None,
        start: Annotated[
            Time | None, Query(alias="from", description="Entries at or after this: RFC 3339.")
        ] = None,
        currency: Annotated[list[str], Query(max_length=100, description="Only these.")] = [],  # noqa: B006 - FastAPI copies it
        depth: Annotated[
            int | None, Query(ge=1, le=100, description="Sum accounts by so many segments.")
        ] = None,
        no_zero: Annotated[bool, Query(description="Without accounts that are zero.")] = False,
        presentation: Annotated[
            str | None, Query(max_length=64, description="Convert to this currency, by `rate`.")
        ] = None,
        rate: Annotated[
            list[str],
            Query(
                max_length=100,
                description="`USD,1.3650,Bank of Canada,2026-11-30`: 1 USD in "
                "the presentation currency, its source and time.",
            ),
        ] = [],  # noqa: B006 - FastAPI copies it
        format: Annotated[Form, Query(description="JSON, or a file.")] = "json",
        after: After = None,
        timeout: Timeout = None,  # noqa: ASYNC109 - the answer says how far it is
    ) -> Any:
        """A report: trial balance, balance sheet, income statement, register, and others.

        `under` is the account of a register, a statement or movements; else that account and all
        below it count. Reports of entries take one of the two times as their end.
        """
        # The entries of an account name other accounts.
        if under is None or name in LINES:
            caller.require_all_accounts()
        else:
            caller.require("finance", [under])
        query = ReportQuery(
            name, under, start, compare, tuple(sorted(set(currency))), depth, no_zero, presentation,
            _rates(presentation, rate),
        )  # fmt: skip
        _require_fitting(query, is_later=after is not None, is_past=moment is not None)
        found = await service.report(query, wanted_of(caller, after, timeout, moment))
        answer = await rendered(found, format)
        if isinstance(answer, dict):
            return answer
        content, media = answer
        headers = {"Content-Disposition": f'attachment; filename="{name}.{format}"'}
        return Response(content, media_type=media, headers=headers)

    return made


def _require_fitting(query: ReportQuery, *, is_later: bool, is_past: bool) -> None:
    """Raises Problem for parameters that are not of this report."""
    is_of_entries = query.name in LINES
    wrong = {
        "compare": query.compare is not None and is_of_entries,
        "depth": query.depth is not None and is_of_entries,
        "no_zero": query.no_zero and is_of_entries,
        "presentation": query.presentation is not None and is_of_entries,
        "from": query.start is not None and not is_of_entries,
        "under": query.account is not None and query.name == "breaks",
        "as_of": is_past and query.name == "breaks",
        "after": is_later and query.name not in SHEETS,
    }
    for field, is_wrong in wrong.items():
        if is_wrong:
            raise Problem("INVALID_PARAMETER", f"{field}: {query.name} has none.", field=field)


def _rates(presentation: str | None, rates: Sequence[str]) -> list[Rate]:
    """The rates to the presentation currency. Raises Problem where they cannot be believed."""
    if (presentation is None) != (not rates):
        raise Problem(
            "INVALID_PARAMETER", "presentation: give it and its rates together.",
            field="presentation",
        )  # fmt: skip
    try:
        rows = list(csv.reader(rates, strict=True))
        return [_rate(presentation, row, f"rate {number}") for number, row in enumerate(rows, 1)]
    except (RatesError, csv.Error) as error:
        raise Problem("INVALID_PARAMETER", f"rate: {error}", field="rate") from error


def _rate(target: str | None, row: Sequence[str], place: str) -> Rate:
    if len(row) != len(FIELDS) - 1:
        raise RatesError(
            f"{place} is currency,rate,source,time, such as USD,1.3650,ECB,2026-11-30."
        )
    return rate_of(dict(zip(FIELDS, (row[0], target, *row[1:]), strict=True)), place)
