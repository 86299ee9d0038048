"""`faust-ledger balances` and `trial-balance`: print balances."""

from collections.abc import Iterable
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ledger.cli.completeness import INCOMPLETE, of_ledger, of_stream, print_completeness
from ledger.cli.output import (
    FINDINGS,
    OK,
    AsJson,
    DataDir,
    optional_time,
    print_json,
    print_note,
    print_rows,
    print_sums,
    require_choice,
    run,
    settings_for,
)

if TYPE_CHECKING:
    from ledger.cli.completeness import CompletenessReport
    from ledger.gl.books import BalanceRow
    from ledger.settings import Settings

Row = dict[str, Any]


Axis = Literal["effective", "recorded"]
AsOf = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Count only entries strictly before this time: RFC 3339, or "
                 "a date for its first instant in UTC. Reads the general ledger."),
]  # fmt: skip
By = Annotated[Axis, typer.Option(help="The time that --as-of is about.")]

COLUMNS = {
    "account": "left", "currency": "left", "posted": "right", "pending": "right",
    "debits": "right", "credits": "right", "entries": "right", "status": "left",
}  # fmt: skip


def print_balances(
    accounts: Annotated[
        list[str] | None,
        typer.Argument(metavar="ACCOUNT", help="Only these accounts. Default: all."),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            help="Only accounts under this path: assets:cash is under assets, but not under "
            "assets:c."
        ),
    ] = None,
    source: Annotated[
        Literal["stream", "ledger"] | None,
        typer.Option(show_default="stream", help="Read the live balances, or the general ledger."),
    ] = None,
    as_of: AsOf = None,
    by: By = "effective",
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show balances by account and currency, posted and pending.

    Both are on the account's normal side: debits for assets and expenses, credits for the rest.

    A balance from the stream has a status: reconciled, pending (a part of it waits for the general
    ledger) or break (stream and general ledger disagree). In a balance from the general ledger
    nothing is pending, and the status is posted.

    The command also reports whether the answer is complete: whether it counts everything that was
    in the log, or with --by recorded everything that was recorded before the given time. JSON has
    this as "complete", "as_of" and "missing" (by shard: position, log_end, waiting).

    Exit codes: 0 complete; 2 wrong usage; 3 a fault; 4 the balances are printed, and something is
    missing, or whether they are complete is not known.
    """
    if as_of is not None and source == "stream":
        raise typer.BadParameter("The stream has only present balances.", param_hint="--as-of")
    at = optional_time(as_of, "--as-of")
    require_types([*(accounts or ()), *([] if prefix is None else [prefix])])
    settings = settings_for(data_dir)
    wanted = accounts or None
    if source == "ledger" or at is not None:
        found, report = run(from_ledger(settings, wanted, prefix, at, by))
        rows = list(map(as_row, found))
    else:
        rows, report = run(of_stream(settings, lambda: from_stream(settings, wanted, prefix)))
    if as_json:
        fields = report.fields()
        for row in rows:
            print_json(row | fields)
    else:
        _print_rows(rows)
    print_completeness(report, as_json=as_json)
    raise typer.Exit(OK if report.complete else INCOMPLETE)


def require_types(paths: list[str]) -> None:
    """A usage error unless each path begins with a type of account."""
    from ledger.domain.account import TYPES

    for path in paths:
        require_choice(path.partition(":")[0], TYPES, path, "type of account")


def _print_rows(rows: list[Row]) -> None:
    if rows:
        print_rows(COLUMNS, rows)
    else:
        print_note("No such account has a balance.")


async def from_stream(
    settings: "Settings", accounts: list[str] | None, prefix: str | None
) -> list[Row]:
    """The present rows of the balances topic, sorted."""
    from ledger.client.balances import BalanceReader

    async with BalanceReader(settings, accounts=accounts) as reader:
        found = await reader.snapshot()
    return [
        {name: getattr(balance, name) for name in COLUMNS}
        for _, balance in sorted(found.items())
        if prefix is None or is_under(balance.account, prefix)
    ]


def is_under(account: str, prefix: str) -> bool:
    """Whether `account` is `prefix` or below it, by whole segments of the path."""
    return f"{account}:".startswith(f"{prefix.removesuffix(':')}:")


async def from_ledger(
    settings: "Settings",
    accounts: list[str] | None,
    prefix: str | None,
    at: int | None,
    by: Axis,
) -> "tuple[list[BalanceRow], CompletenessReport]":
    """Balances of the general ledger, sorted, and their completeness."""
    from ledger.domain.completeness import Asked
    from ledger.gl.postgresql import PostgresJournal

    under = None if prefix is None else prefix.removesuffix(":")
    with closing(PostgresJournal(settings.database_url)) as journal:
        books, report = await of_ledger(
            settings,
            journal,
            Asked(at, by),
            lambda: journal.balance_snapshot(accounts=accounts, prefix=under, as_of=at, by=by),
        )
    return sorted(books.rows, key=lambda row: (row.account, row.currency)), report


def as_row(row: "BalanceRow") -> Row:
    """A balance of the general ledger as a row; nothing in it is pending."""
    from ledger.domain import money
    from ledger.domain.account import on_normal_side

    posted = on_normal_side(row.account, debits=row.debits, credits=row.credits)
    return {
        "account": row.account,
        "currency": row.currency,
        "posted": money.show(posted, row.scale),
        "pending": money.show(0, row.scale),
        "debits": money.show(row.debits, row.scale),
        "credits": money.show(row.credits, row.scale),
        "entries": row.entries,
        "status": "posted",
    }


def print_trial_balance(
    as_of: AsOf = None, by: By = "effective", data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Show debits and credits of every account in the general ledger, and their sums by currency.

    The command reports whether the answer is complete, as `balances` does. JSON also has
    "through", the position of every shard.

    Exit codes: 0 debits equal credits in every currency; 1 they do not; 2 wrong usage; 3 a fault;
    4 they do, and something is missing, or whether the answer is complete is not known.
    """
    at = optional_time(as_of, "--as-of")
    settings = settings_for(data_dir)
    found, report = run(from_ledger(settings, None, None, at, by))
    sums = totals(found)
    rows = [as_row(each) for each in found]
    if as_json:
        print_json({"currencies": sums, "accounts": rows} | report.whole())
    else:
        _print_rows(rows)
        print_sums(sums)
    print_completeness(report, as_json=as_json)
    balanced = all(each["debits"] == each["credits"] for each in sums.values())
    raise typer.Exit(FINDINGS if not balanced else OK if report.complete else INCOMPLETE)


def totals(rows: "Iterable[BalanceRow]") -> dict[str, dict[str, str]]:
    """Sums of debits and credits by currency, as decimal text."""
    from ledger.domain import money

    sums: dict[str, tuple[int, int, int]] = {}
    for row in rows:
        scale, debits, credits = sums.get(row.currency, (row.scale, 0, 0))
        sums[row.currency] = (scale, debits + row.debits, credits + row.credits)
    return {
        currency: {"debits": money.show(debits, scale), "credits": money.show(credits, scale)}
        for currency, (scale, debits, credits) in sorted(sums.items())
    }
