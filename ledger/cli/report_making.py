"""The general ledger's rows for a report, and the report that they make."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ledger.cli.moments import Moment, zone_of
from ledger.cli.output import run
from ledger.cli.read import from_ledger, is_under
from ledger.cli.register import read_register
from ledger.cli.report_choice import OF_BALANCES, OF_ENTRIES, Chosen
from ledger.client.drafts import rfc3339
from ledger.clock import now
from ledger.errors import LedgerError
from ledger.reports.report import Condition

if TYPE_CHECKING:
    from ledger.cli.completeness import CompletenessReport
    from ledger.gl.lookups import RegisterQuery
    from ledger.reports.report import Report
    from ledger.settings import Settings

Made = tuple["Report", list["CompletenessReport"]]


def made(settings: "Settings", chosen: Chosen) -> "Made":
    """The report, and the completeness of each answer that it is made of."""
    if chosen.name in OF_BALANCES:
        return _of_balances(settings, chosen)
    if chosen.name in OF_ENTRIES:
        return _of_entries(settings, chosen)
    return _of_breaks(settings, chosen), []


def _of_balances(settings: "Settings", chosen: Chosen) -> "Made":
    from ledger.reports.asked import Asked, books
    from ledger.reports.rates import read_rates
    from ledger.reports.sheets import SHEETS

    prefix = chosen.account
    moments = [chosen.moment, *([] if chosen.compared is None else [chosen.compared])]
    answers = [run(from_ledger(settings, None, prefix, each)) for each in moments]
    reports = [report for _, report in answers]
    rates = [] if chosen.rates is None else read_rates(_text(chosen.rates))
    asked = Asked(
        labels=[_label(each) for each in moments],
        currencies=tuple(chosen.currencies),
        depth=chosen.depth,
        has_zeros=not chosen.no_zero,
        is_whole=prefix is None,
        presentation=chosen.presentation,
        rates=rates,
        conditions=_conditions(chosen, moments, reports),
        positions=_positions(reports[0]),
    )
    found = books(asked, *(rows for rows, _ in answers))
    return SHEETS[chosen.name](found), reports


def _label(moment: Moment) -> str:
    """The title of a column."""
    if moment.through is not None:
        return f"through {moment.through}"
    return "now" if moment.at is None else f"before {rfc3339(moment.at)}"


def _conditions(
    chosen: Chosen, moments: Sequence[Moment], reports: "Sequence[CompletenessReport]"
) -> "list[Condition]":
    whens = [each.sentence or "Now: everything that is posted." for each in moments]
    found = [
        Condition("made at", rfc3339(now())),
        *([] if chosen.account is None else [Condition("accounts", chosen.account)]),
        *map(Condition, ("of", "beside"), whens),
    ]
    sentences = dict.fromkeys(sentence for each in reports for sentence in each.sentences())
    return [*found, *(Condition("completeness", sentence) for sentence in sentences)]


def _positions(report: "CompletenessReport") -> dict[int, int]:
    through = report.whole()["through"]
    return {int(shard): int(each["position"]) for shard, each in through.items()}


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(f"The rates {file} cannot be read: {error}. Give a text file.") from error


def _of_entries(settings: "Settings", chosen: Chosen) -> "Made":
    from ledger.reports.lines import LINES, Entries

    assert chosen.account is not None
    rows, _ = run(from_ledger(settings, None, chosen.account, Moment()))
    # An account alone is shown also where it has no entry.
    accounts = sorted({row.account for row in rows if is_under(row.account, chosen.account)})
    asked: RegisterQuery = {
        "currency": chosen.currencies[0] if chosen.currencies else None,
        "start": chosen.start,
        "end": chosen.moment.at,
        "by": chosen.by,
        "limit": None,
    }
    answers = [run(read_register(settings, each, asked)) for each in accounts or [chosen.account]]
    reports = [report for _, report in answers]
    found = _conditions(chosen, [chosen.moment], reports)
    if chosen.start is not None:
        found.append(Condition("from", rfc3339(chosen.start)))
    found.append(Condition("dates", f"{chosen.by} time, {chosen.timezone or 'UTC'}"))
    entries = Entries(
        dict(zip(accounts or [chosen.account], (each for each, _ in answers), strict=True)),
        chosen.by,
        zone_of(chosen.timezone),
        is_whole=chosen.start is None,
        conditions=found,
        positions=_positions(reports[0]),
    )
    return LINES[chosen.name](entries), reports


def _of_breaks(settings: "Settings", chosen: Chosen) -> "Report":
    from ledger.cli.breaks import open_breaks
    from ledger.reports.ageing import ageing

    found = [
        each
        for each in run(open_breaks(settings))
        if not chosen.currencies or each.currency in chosen.currencies
    ]
    return ageing(found, now(), _conditions(chosen, [], []))
