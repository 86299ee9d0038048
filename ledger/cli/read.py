"""`faust-ledger balances`; and what `trial-balance` shares with it."""

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from ledger.cli.books import of_books
from ledger.cli.completeness import INCOMPLETE, of_ledger, of_stream, print_completeness
from ledger.cli.moments import AsOf, By, KnownAt, Moment, Through, Timezone, moment_of
from ledger.cli.output import (
    OK,
    AsJson,
    DataDir,
    print_note,
    print_sentence,
    require_choice,
    run,
    settings_for,
)
from ledger.cli.tables import Column, Format, FormatOption, format_of, print_table_of

if TYPE_CHECKING:
    from ledger.cli.completeness import CompletenessReport
    from ledger.gl.account_rows import Sums
    from ledger.gl.books import BalanceQuery, BalanceSnapshot
    from ledger.gl.history.books import History
    from ledger.gl.journal import Journal
    from ledger.settings import Settings

Row = dict[str, Any]

Currencies = Annotated[
    list[str] | None,
    typer.Option("--currency", metavar="CODE", help="Only this currency; may be repeated."),
]
Depth = Annotated[
    int | None,
    typer.Option(
        min=1, show_default="all",
        help="Sum accounts by so many segments of their path: with 2, assets:cash has all under "
        "it.",
    ),
]  # fmt: skip
NoZero = Annotated[
    bool, typer.Option("--no-zero", help="Leave out balances that are zero, with nothing pending.")
]

ACCOUNT = Column("account", "account", "account")
CURRENCY = Column("currency", "currency", "code")
BALANCES = (
    ACCOUNT,
    CURRENCY,
    Column("posted", "posted", "amount"),
    Column("pending", "pending", "amount", drop=1, if_zero=True),
    Column("debits", "debits", "amount", drop=3),
    Column("credits", "credits", "amount", drop=3),
    Column("entries", "entries", "count", drop=2),
    Column("status", "status", "code"),
)
NOTHING = "No such account has a balance."


class Choice(NamedTuple):
    """Which balances to print: currencies, empty for all; segments of paths; zero ones or not."""

    currencies: list[str]
    depth: int | None
    no_zero: bool

    def summed(self, rows: "list[Sums]") -> "list[Sums]":
        """The rows in these currencies, summed to the depth; zero ones included."""
        from ledger.gl.account_rows import rolled_up

        if self.currencies:
            _note_unknown(self.currencies, {row.currency for row in rows})
            rows = [row for row in rows if row.currency in self.currencies]
        return rows if self.depth is None else rolled_up(rows, self.depth)

    def shown(self, rows: "list[Sums]") -> "list[Sums]":
        """The rows to print of those that `summed` returned."""
        return [row for row in rows if not row.is_zero] if self.no_zero else rows


def _note_unknown(wanted: list[str], known: set[str]) -> None:
    from ledger.settings_sources import nearest

    for each in wanted:
        if each not in known:
            print_note(f"No account has a balance in {each}.{nearest(each, known)}")


def print_balances(
    accounts: Annotated[
        list[str] | None,
        typer.Argument(metavar="ACCOUNT", help="Only these accounts. Default: all."),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Only accounts under this path: assets:cash is under assets, but not under "
            "assets:c.",
        ),
    ] = None,
    currency: Currencies = None,
    depth: Depth = None,
    no_zero: NoZero = False,
    source: Annotated[
        Literal["stream", "ledger"] | None,
        typer.Option(show_default="stream", help="Read the live balances, or the general ledger."),
    ] = None,
    as_of: AsOf = None,
    through: Through = None,
    timezone: Timezone = None,
    by: By = None,
    known_at: KnownAt = None,
    fmt: FormatOption = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show balances by account and currency, posted and pending.

    Those as of a time are read from history, or added up from the journal's entries where history
    is behind; the answer names which. Add --known-at for what was known at another time.

    Both are on the account's normal side: debits for assets and expenses, credits for the rest.

    A balance from the stream has a status: reconciled, pending (a part of it waits for the general
    ledger) or break (stream and general ledger disagree). In a balance from the general ledger
    nothing is pending, and the status is posted. With --depth, a sum has the worst status of what
    it sums.

    The command also reports whether the answer is complete: whether it counts everything that was
    in the log, or with --by recorded everything that was recorded before the given time. JSON has
    this as "complete", "as_of" and "missing" (by shard: position, log_end, waiting), and for a time
    "read_from". --json prints an object a line.

    Exit codes: 0 complete; 2 wrong usage; 3 a fault; 4 the balances are printed, and something is
    missing, or whether they are complete is not known.
    """
    form = format_of(fmt, as_json=as_json)
    moment = moment_of(as_of, through, timezone, by, known_at)
    if moment.at is not None and source == "stream":
        raise typer.BadParameter(
            "The stream has only present balances.",
            param_hint="--as-of" if as_of is not None else "--through",
        )
    require_types([*(accounts or ()), *([] if prefix is None else [prefix])])
    settings, wanted = settings_for(data_dir), accounts or None
    if source == "ledger" or moment.at is not None:
        answer = from_ledger(settings, wanted, prefix, moment)
    else:
        answer = of_stream(settings, lambda: from_stream(settings, wanted, prefix))
    found, report = run(answer)
    choice = Choice(currency or [], depth, no_zero)
    added = fields_of(form, report, moment)
    rows = [each.fields() | added for each in choice.shown(choice.summed(found))]
    print_moment(moment, form)
    print_table_of(BALANCES, rows, form, nothing=NOTHING)
    print_completeness(report, as_json=form is not Format.TABLE)
    raise typer.Exit(OK if report.complete else INCOMPLETE)


def fields_of(form: Format | None, report: "CompletenessReport", moment: Moment) -> Row:
    """The fields that JSON adds to each row."""
    return report.fields() | moment.fields() if form in {Format.JSON, Format.JSONL} else {}


def print_moment(moment: Moment, form: Format | None) -> None:
    """Print what --as-of or --through means.

    JSON has it in its fields. A table for a spreadsheet has not, and who gave a date may have meant
    to include that day.
    """
    if moment.sentence is None:
        return
    if form is Format.TABLE:
        print_sentence(moment.sentence)
    elif moment.is_date and form is Format.CSV:
        print_note(moment.sentence)


def require_types(paths: list[str]) -> None:
    """A usage error unless each path begins with a type of account."""
    from ledger.domain.account import TYPES

    for path in paths:
        require_choice(path.partition(":")[0], TYPES, path, "type of account")


async def from_stream(
    settings: "Settings", accounts: list[str] | None, prefix: str | None
) -> "list[Sums]":
    """The present balances of the balances topic, sorted."""
    from ledger.client.balances import BalanceReader
    from ledger.gl.account_rows import of_balance

    async with BalanceReader(settings, accounts=accounts) as reader:
        found = await reader.snapshot()
    return [
        of_balance(balance)
        for _, balance in sorted(found.items())
        if prefix is None or is_under(balance.account, prefix)
    ]


def is_under(account: str, prefix: str) -> bool:
    """Whether `account` is `prefix` or below it, by whole segments of the path."""
    return f"{account}:".startswith(f"{prefix.removesuffix(':')}:")


async def from_ledger(
    settings: "Settings", accounts: list[str] | None, prefix: str | None, moment: Moment
) -> "tuple[list[Sums], CompletenessReport]":
    """Balances of the general ledger, sorted, and their completeness.

    Those of a time come from history where it has got far enough.
    """
    from ledger.gl.account_rows import of_row
    from ledger.gl.books import BalanceQuery
    from ledger.gl.databases import open_journal

    query = BalanceQuery(
        accounts=accounts,
        prefix=None if prefix is None else prefix.removesuffix(":"),
        as_of=moment.at,
        by=moment.by,
        known_before=moment.known_at,
    )
    with closing(open_journal(settings.database_url)) as journal:
        read = partial(journal.balance_snapshot, **query)
        if moment.at is None:
            books, report = await of_ledger(settings, journal, moment.asked, read)
        else:
            from_history = partial(_of_history, journal, query)
            books, report = await of_books(settings, journal, moment.asked, read, from_history)
    rows = sorted(books.rows, key=lambda row: (row.account, row.currency))
    return list(map(of_row, rows)), report


def _of_history(
    journal: "Journal", query: "BalanceQuery", history: "History"
) -> "BalanceSnapshot | None":
    """None where something that was recorded before the time is void by now.

    Without --known-at it counts for nothing, and history has it as it was known then.
    """
    from ledger.gl.books import BalanceSnapshot, times_of

    effective_before, recorded_before = times_of(query)
    if query["known_before"] is None and recorded_before is not None:
        since = (each.taken for each in journal.voids() if each.recorded_at >= recorded_before)
        if any(at < recorded_before for taken in since for at in taken.recorded_at):
            return None
    found = history.as_of(
        accounts=query["accounts"],
        prefix=query["prefix"],
        effective_before=effective_before,
        recorded_before=recorded_before,
    )
    return BalanceSnapshot(found.positions, found.rows)
