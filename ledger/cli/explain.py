"""`faust-ledger explain`: what a balance is made of, and how each part of it was checked."""

from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.completeness import INCOMPLETE, log_ends, print_completeness, until_level
from ledger.cli.moments import AsOf, By, KnownAt, Moment, Through, Timezone, moment_of
from ledger.cli.output import (
    FINDINGS,
    OK,
    AsJson,
    DataDir,
    print_json,
    print_note,
    print_sentence,
    run,
    settings_for,
)
from ledger.cli.read import print_moment, require_types
from ledger.cli.tables import Column, Format, FormatOption, format_of, print_table_of
from ledger.errors import LedgerError

if TYPE_CHECKING:
    from ledger.cli.completeness import CompletenessReport
    from ledger.client.why_rows import Checks
    from ledger.gl.history.why import WhyAnswer, WhyQuery
    from ledger.settings import Settings

Row = dict[str, Any]

SHOWN = 20
AMOUNTS = (
    Column("debits", "debits", "amount"),
    Column("credits", "credits", "amount"),
    Column("posted", "balance", "amount"),
    Column("entries", "entries", "count"),
)
PARTS = (Column("name", "part", "text"), *AMOUNTS)
GROUPS = (Column("kind", "kind", "code"), Column("lines", "lines", "count"), *AMOUNTS[:3])
PRODUCERS = (Column("producer", "producer", "code"), *GROUPS[1:])
LINES = (
    Column("recorded_at", "recorded", "time", drop=4),
    Column("effective_at", "effective", "time", drop=1),
    Column("transaction_id", "id", "code"),
    Column("kind", "kind", "code", drop=2),
    Column("debit", "debit", "amount"),
    Column("credit", "credit", "amount"),
    Column("balance", "balance", "amount"),
    Column("shard", "shard", "number", drop=3),
    Column("offset", "offset", "number", drop=3),
)
SHARDS = (
    Column("shard", "shard", "number"),
    Column("posted", "balance", "amount"),
    Column("entries", "entries", "count", drop=1),
    Column("position", "position", "number"),
    Column("compared_to", "compared to", "number", drop=2),
    Column("compared_at", "compared at", "time"),
    Column("posted_at", "last posted at", "time", drop=3),
)
PENDING = (
    Column("transaction_id", "pending", "code"),
    Column("debit", "debit", "amount"),
    Column("credit", "credit", "amount"),
    Column("decided_at", "decided at", "time", drop=1),
    Column("waits", "waits for", "text"),
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """An account's figures taken apart, with their completeness and how they were checked.

    `unknown`: sentences about what could not be read.
    """

    answer: "WhyAnswer"
    report: "CompletenessReport"
    checks: "Checks"
    unknown: list[str] = field(default_factory=list)


def explain_balance(
    account: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="The account, such as assets:cash.")
    ],
    currency: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only the balance in this currency.")
    ] = None,
    lines: Annotated[
        int, typer.Option(min=1, max=1_000, help="At most so many lines one by one, the last ones.")
    ] = SHOWN,
    as_of: AsOf = None,
    through: Through = None,
    timezone: Timezone = None,
    by: By = None,
    known_at: KnownAt = None,
    fmt: FormatOption = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what a balance is made of, and how each part of it was checked.

    A balance is what had been recorded before the last day (UTC) on which something was, the lines
    of that day, and, for a balance of an effective time, what was recorded after that day. These
    lines are also summed by kind and by producer (`producer` in the metadata). If the day has more
    lines than --lines, the last ones are shown, and the others count as before them. By recorded
    time it is the balance as it was known then.

    By shard: what it contributes, the position up to which it is counted, up to where and when
    stream and general ledger were compared, and when its last run was posted. What is decided and
    not in the balance yet is pending; the command states on what each entry waits. A line's shard
    and offset name its record in the log.

    The parts add up to the balance to the last unit. --json prints one object.

    Exit codes: 0 complete; 1 the parts do not add up; 2 wrong usage; 3 a fault; 4 something is
    missing, or could not be read.
    """
    from ledger.client.why_rows import figure_row, flat_rows

    form = format_of(fmt, as_json=as_json, whole=True)
    require_types([account])
    moment = moment_of(as_of, through, timezone, by, known_at)
    found = run(_read(settings_for(data_dir), _query(account, currency, moment, lines), moment))
    figures = [figure_row(each, found.checks) for each in found.answer.found]
    print_moment(moment, form)
    if form is None:
        print_json({"account": account, "figures": figures} | found.report.whole()
                   | moment.fields() | {"not_read": found.unknown})  # fmt: skip
    elif form is Format.TABLE:
        _print_tables(account, figures)
    else:
        rows = [row for each in figures for row in flat_rows(account, each)]
        print_table_of(_flat_columns(), rows, form, nothing=_nothing(account))
    print_completeness(found.report, as_json=form is not Format.TABLE)
    for sentence in found.unknown:
        print_note(f"Not read: {sentence}")
    raise typer.Exit(_status(found))


def _query(account: str, currency: str | None, moment: Moment, lines: int) -> "WhyQuery":
    from ledger.gl.history.why import WhyQuery

    if moment.by == "recorded":
        return WhyQuery(account, currency, None, moment.at, lines)
    return WhyQuery(account, currency, moment.at, moment.known_at, lines)


async def _read(settings: "Settings", query: "WhyQuery", moment: Moment) -> Explanation:
    import asyncio

    from ledger.cli.completeness import CompletenessReport
    from ledger.client.ends import completeness_of
    from ledger.client.pending import progress_of
    from ledger.client.why_rows import Checks
    from ledger.gl.databases import (
        history_address,
        open_history,
        open_journal,
        require_history,
    )

    require_history(settings)
    ends, why = await log_ends(settings, moment.asked)
    unknown = list[str]()
    with (
        closing(open_history(history_address(settings))) as history,
        closing(open_journal(settings.database_url)) as journal,
    ):
        if ends is not None:
            look = partial(asyncio.to_thread, history.positions)
            await until_level(settings, moment.asked, ends, look)
        answer = await asyncio.to_thread(history.why, query)
        posted = await asyncio.to_thread(journal.watermarks)
        posted_at = await asyncio.to_thread(journal.posted_at)
    found = await completeness_of(settings, moment.asked, ends, answer.positions)
    progress = {}
    try:
        progress = await progress_of(settings, query.account, answer.positions)
    except LedgerError as error:
        unknown.append(f"what is compared and pending: {error}")
    unknown += [
        f"what is pending in shard {shard} beyond position {each.decided_to}: that is much."
        for shard, each in progress.items()
        if not each.is_whole
    ]
    checks = Checks(answer.positions, posted, posted_at, progress)
    return Explanation(answer, CompletenessReport(found, why), checks, unknown)


def _status(found: Explanation) -> int:
    if any(list(each.differences()) for each in found.answer.found):
        return FINDINGS
    return OK if found.report.complete and not found.unknown else INCOMPLETE


def _flat_columns() -> list[Column]:
    from ledger.client.why_rows import FLAT

    return [Column(key, key) for key in ("account", "currency", "part", "name", *FLAT)]


def _nothing(account: str) -> str:
    return f"{account} has no balance, for what was asked."


def _print_tables(account: str, figures: list[Row]) -> None:
    for figure in figures:
        print_sentence(f"{account} in {figure['currency']}:")
        print_table_of(PARTS, parts_of(figure), Format.TABLE, nothing="")
        for columns, name in ((LINES, "lines"), (GROUPS, "by_kind"), (PRODUCERS, "by_producer"),
                              (SHARDS, "by_shard"), (PENDING, "pending")):  # fmt: skip
            if rows := [_named(row) for row in figure[name]]:
                print_sentence("")
                print_table_of(columns, rows, Format.TABLE, nothing="")
        if not figure["adds_up"]:
            print_note(
                "The parts do not add up to the balance: `faust-ledger verify` and `faust-ledger "
                "reconcile --full` show what differs, `faust-ledger rebuild history` repairs it."
            )
    if not figures:
        print_note(_nothing(account))


def _named(row: Row) -> Row:
    from ledger.client.why_rows import WAITS

    waits = WAITS.get(row.get("waits_for", ""), "")
    return row | {"waits": waits, "producer": row.get("producer") or "(none)"}


def parts_of(figure: Row) -> list[Row]:
    """What was before, the lines, what came later, and the sum."""
    start, lines = figure["before"]["recorded_before"], figure["lines"]
    day = start[:10] if figure["before"]["is_whole_day"] else start
    rows = [figure["before"] | {"name": f"recorded before {day}" if start else "recorded"}]
    if lines:
        sums = _summed(figure)
        rows.append(sums | {"name": f"recorded since, {len(lines)} lines"})
    if figure["later"]["entries"] or figure["later"]["posted"].strip("0."):
        rows.append(figure["later"] | {"name": "recorded after that day"})
    return [*rows, figure | {"name": "balance"}]


def _summed(figure: Row) -> Row:
    """The lines, as the sum of their groups."""
    from decimal import Decimal

    sides = ("debits", "credits", "posted")
    sums = {side: str(sum((Decimal(row[side]) for row in figure["by_kind"]), Decimal()))
            for side in sides}  # fmt: skip
    return sums | {"entries": sum(row["entries"] for row in figure["by_kind"])}
