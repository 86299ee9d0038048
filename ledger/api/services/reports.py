"""Reports over HTTP: those of balances from history, those of entries from the journal."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ledger.api.breaks import OpenBreaks
from ledger.api.database import Database
from ledger.api.problems import Problem
from ledger.api.reference import ApiReference
from ledger.api.services.past_answers import PastAnswers
from ledger.api.services.wanted import Moment, Wanted
from ledger.client.drafts import rfc3339
from ledger.clock import now
from ledger.errors import LedgerError
from ledger.gl.books import Books
from ledger.gl.history.books import HistoryBalances
from ledger.reports.ageing import aged, ageing
from ledger.reports.asked import Asked, books
from ledger.reports.lines import LINES, Entries
from ledger.reports.pages import as_pdf
from ledger.reports.rates import Rate
from ledger.reports.rendered import MEDIA_TYPES, as_csv, as_json
from ledger.reports.report import Condition, Report, wrong_sums
from ledger.reports.sheets import SHEETS
from ledger.reports.workbook import as_xlsx

MOST_LINES = 100_000
"""Entries of an account in a report."""
Form = Literal["json", "csv", "xlsx", "pdf"]
FILES: dict[str, Callable[[Report], str | bytes]] = {
    "csv": as_csv, "xlsx": as_xlsx, "pdf": as_pdf,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReportQuery:
    """What a report is asked for; times in microseconds. The fields are those of the route."""

    name: str
    account: str | None = None
    start: int | None = None
    compare: int | None = None
    currencies: Sequence[str] = ()
    depth: int | None = None
    no_zero: bool = False
    presentation: str | None = None
    rates: Sequence[Rate] = ()


class ReportsService:
    """Makes reports. Raises Problem as `PastAnswers` does, and for what does not fit together."""

    def __init__(
        self,
        past: PastAnswers,
        database: Database[Books],
        breaks: OpenBreaks,
        reference: ApiReference,
    ) -> None:
        self._past, self._database = past, database
        self._breaks, self._reference = breaks, reference

    async def report(self, query: ReportQuery, wanted: Wanted) -> Report:
        """The report, every total added up again from its parts."""
        if query.name in SHEETS:
            made = await self._of_balances(query, wanted)
        elif query.name in LINES:
            made = await self._of_entries(query, wanted)
        else:
            made = self._of_breaks(query)
        wrong = await asyncio.to_thread(wrong_sums, made)
        if wrong:
            raise LedgerError(" ".join(wrong))
        return made

    async def _of_balances(self, query: ReportQuery, wanted: Wanted) -> Report:
        moments = [wanted.moment or Moment()]
        if query.compare is not None:
            moments.append(_beside(moments[0], query.compare))
        answers: list[HistoryBalances] = [
            await self._past.ask(wanted, _balances(query.account, moment)) for moment in moments
        ]
        asked = Asked(
            labels=list(map(_label, moments)),
            currencies=query.currencies,
            depth=query.depth,
            has_zeros=not query.no_zero,
            is_whole=query.account is None,
            presentation=query.presentation,
            rates=query.rates,
            conditions=_conditions(query, moments),
            positions={shard: mark.end for shard, mark in answers[0].positions.items()},
        )
        try:
            made = await asyncio.to_thread(books, asked, *(each.rows for each in answers))
        except LedgerError as error:
            raise Problem("INVALID_PARAMETER", str(error), field="rate") from error
        return await asyncio.to_thread(SHEETS[query.name], made)

    async def _of_entries(self, query: ReportQuery, wanted: Wanted) -> Report:
        if query.account is None:
            raise Problem("INVALID_PARAMETER", f"{query.name} needs an account.", field="account")
        account, moment = query.account, wanted.moment or Moment()
        if None not in moment:
            raise Problem(
                "INVALID_PARAMETER", "Entries have one time as their end: give one of the two.",
                field="recorded_before",
            )  # fmt: skip
        if len(query.currencies) > 1:
            raise Problem("INVALID_PARAMETER", "Give one currency, or none.", field="currency")
        by: Literal["effective", "recorded"] = "effective"
        if moment.recorded_before is not None:
            by = "recorded"
        currency = query.currencies[0] if query.currencies else None
        end = moment.recorded_before if by == "recorded" else moment.effective_before
        found = await self._database.ask(
            lambda journal: journal.register(
                account, currency=currency, start=query.start, end=end, by=by, limit=MOST_LINES
            )
        )
        conditions = [*_conditions(query, [moment]), Condition("dates", f"{by} time, UTC")]
        is_whole = query.start is None and len(found.lines) < MOST_LINES
        if len(found.lines) == MOST_LINES:
            conditions.append(Condition("entries", f"the last {MOST_LINES:,}"))
        entries = Entries(
            {account: found}, by, is_whole=is_whole, conditions=conditions,
            positions={shard: mark.end for shard, mark in found.watermarks.items()},
        )  # fmt: skip
        return await asyncio.to_thread(LINES[query.name], entries)

    def _of_breaks(self, query: ReportQuery) -> Report:
        self._breaks.require()
        self._reference.require()
        scales = self._reference.known.scales
        found = [
            aged(stripe.account, stripe.currency, scales.get(stripe.currency, 0), stripe.shard,
                 each.detected_at, each.stream, each.ledger)
            for stripe, each in self._breaks.found.items()
            if not query.currencies or stripe.currency in query.currencies
        ]  # fmt: skip
        return ageing(found, now(), _conditions(query, []))


async def rendered(report: Report, form: Form) -> dict[str, Any] | tuple[bytes, str]:
    """The JSON answer, or the bytes of a file and their media type.

    Raises Problem where the form needs a library that is not installed, or has too many rows.
    """
    if form == "json":
        return await asyncio.to_thread(as_json, report)
    try:
        made = await asyncio.to_thread(FILES[form], report)
    except LedgerError as error:
        raise Problem("NOT_ACCEPTABLE", str(error), field="format") from error
    return made.encode() if isinstance(made, str) else made, MEDIA_TYPES[form]


def _balances(account: str | None, moment: Moment) -> Any:
    return lambda history: history.as_of(prefix=account, **moment._asdict())


def _beside(moment: Moment, at: int) -> Moment:
    """The same axis at another instant, as known at the same time."""
    if moment.effective_before is None and moment.recorded_before is not None:
        return Moment(None, at)
    return Moment(at, moment.recorded_before)


def _label(moment: Moment) -> str:
    at = moment.recorded_before if moment.effective_before is None else moment.effective_before
    return "now" if at is None else f"before {rfc3339(at)}"


def _conditions(query: ReportQuery, moments: Sequence[Moment]) -> list[Condition]:
    found = [Condition("made at", rfc3339(now()))]
    if query.account is not None:
        found.append(Condition("accounts", query.account))
    found += map(Condition, ("of", "beside"), map(_sentence, moments))
    if query.start is not None:
        found.append(Condition("from", rfc3339(query.start)))
    return found


def _sentence(moment: Moment) -> str:
    words = [
        f"{name.removesuffix('_before')} before {rfc3339(at)}"
        for name, at in moment._asdict().items()
        if at is not None
    ]
    return " and ".join(words) or "now: everything that is counted"
