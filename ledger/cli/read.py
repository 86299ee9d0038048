"""`faust-ledger balances` and `trial-balance`: reading what the ledger says."""

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.completeness import INCOMPLETE, of_ledger, of_stream, tell
from ledger.cli.output import (
    OK,
    REFUSED,
    AsJson,
    DataDir,
    one_of,
    print_json,
    print_table,
    run,
    say,
    settings_for,
    time_option,
)

if TYPE_CHECKING:
    from ledger.cli.completeness import Statement
    from ledger.gl.journal import BalanceRow
    from ledger.settings import Settings

Row = dict[str, Any]


class Source(StrEnum):
    """Where balances come from."""

    STREAM = "stream"
    LEDGER = "ledger"


class Axis(StrEnum):
    """Which time an as-of means."""

    EFFECTIVE = "effective"
    RECORDED = "recorded"


AsOf = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Count only what was strictly before this: RFC 3339, or a "
                 "date for its first instant in UTC. Asks the general ledger."),
]  # fmt: skip
By = Annotated[Axis, typer.Option(help="The time that --as-of means.")]

COLUMNS = {
    "account": "left", "currency": "left", "posted": "right", "pending": "right",
    "debits": "right", "credits": "right", "entries": "right", "status": "left",
}  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.command()(balances)
    app.command("trial-balance")(trial_balance)


def balances(
    accounts: Annotated[
        list[str] | None, typer.Argument(metavar="ACCOUNT", help="Only these. Default: all.")
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            help="Only accounts under this path: assets:cash is under assets, assets:c "
            "is under neither."
        ),
    ] = None,
    source: Annotated[
        Source | None,
        typer.Option(show_default="stream", help="The live balances, or the general ledger."),
    ] = None,
    as_of: AsOf = None,
    by: By = Axis.EFFECTIVE,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show balances by account and currency, posted and pending.

    Both are on the account's normal side: debits for assets and expenses, credits for the rest.

    From the stream each has a status: reconciled, pending (some of it waits for the general
    ledger) or break (stream and general ledger disagree). From the general ledger nothing is
    pending and the status is posted.

    The answer says whether it is complete: whether it counts everything that was in the log, or
    with --by recorded everything recorded before that time. JSON has it as "complete", "as_of"
    and "missing" (by shard: position, log_end, waiting).

    Exit codes: 0 complete; 2 wrong usage; 3 a fault; 4 the answer is there, and something is
    missing, or whether it is complete is not known.
    """
    if as_of is not None and source is Source.STREAM:
        raise typer.BadParameter("The stream knows the present only.", param_hint="--as-of")
    at = None if as_of is None else time_option(as_of, "--as-of")
    require_types([*(accounts or ()), *([] if prefix is None else [prefix])])
    settings = settings_for(data_dir)
    wanted = accounts or None
    if source is Source.LEDGER or at is not None:
        found, statement = run(from_ledger(settings, wanted, prefix, at, by))
        rows = list(map(as_row, found))
    else:
        rows, statement = run(live(settings, wanted, prefix))
    if as_json:
        fields = statement.fields()
        for row in rows:
            print_json(row | fields)
    else:
        _print_rows(rows)
    tell(statement, as_json=as_json)
    raise typer.Exit(OK if statement.complete else INCOMPLETE)


def require_types(paths: list[str]) -> None:
    """A usage error unless each begins as an account does: no balance is no answer to a slip."""
    from ledger.domain.account import TYPES

    for path in paths:
        one_of(path.partition(":")[0], TYPES, path, "type of account")


def _print_rows(rows: list[Row]) -> None:
    if rows:
        print_table(COLUMNS, [[str(row[name]) for name in COLUMNS] for row in rows])
    else:
        say("No such account has a balance.")


async def live(
    settings: "Settings", accounts: list[str] | None, prefix: str | None
) -> "tuple[list[Row], Statement]":
    """Rows of the balances topic as it is now, sorted, and how complete they are."""
    return await of_stream(settings, lambda: from_stream(settings, accounts, prefix))


async def from_stream(
    settings: "Settings", accounts: list[str] | None, prefix: str | None
) -> list[Row]:
    """Rows of the balances topic as it is now, sorted."""
    from ledger.client.balances import BalanceReader

    async with BalanceReader(settings, accounts=accounts) as reader:
        found = await reader.snapshot()
    return [
        {name: getattr(balance, name) for name in COLUMNS}
        for _, balance in sorted(found.items())
        if prefix is None or under(balance.account, prefix)
    ]


def under(account: str, prefix: str) -> bool:
    """Whether `account` is `prefix` or below it; whole segments of the path."""
    return f"{account}:".startswith(f"{prefix.removesuffix(':')}:")


async def from_ledger(
    settings: "Settings",
    accounts: list[str] | None,
    prefix: str | None,
    at: int | None,
    by: Axis,
) -> "tuple[list[BalanceRow], Statement]":
    """Balances of the general ledger, sorted, and how complete they are."""
    from ledger.domain.completeness import Asked
    from ledger.gl.postgresql import PostgresJournal

    journal = PostgresJournal(settings.database_url)
    under_ = None if prefix is None else prefix.removesuffix(":")
    try:
        books, statement = await of_ledger(
            settings,
            journal,
            Asked(at, by.value),
            lambda: journal.balance_snapshot(
                accounts=accounts, prefix=under_, as_of=at, by=by.value
            ),
        )
    finally:
        journal.close()
    return sorted(books.rows, key=lambda row: (row.account, row.currency)), statement


def as_row(row: "BalanceRow") -> Row:
    """A balance of the general ledger, where nothing is pending."""
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


def trial_balance(
    as_of: AsOf = None, by: By = Axis.EFFECTIVE, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Debits and credits of every account in the general ledger, and their sums by currency.

    It says whether it is complete, as `balances` does; JSON also has "through", by shard.

    Exit codes: 0 debits equal credits in every currency; 1 they do not; 2 wrong usage; 3 a fault;
    4 they do, and something is missing, or whether it is complete is not known.
    """
    at = None if as_of is None else time_option(as_of, "--as-of")
    settings = settings_for(data_dir)
    found, statement = run(from_ledger(settings, None, None, at, by))
    sums = totals(found)
    rows = [as_row(each) for each in found]
    if as_json:
        print_json({"currencies": sums, "accounts": rows} | statement.whole())
    else:
        _print_rows(rows)
        table = [[currency, each["debits"], each["credits"]] for currency, each in sums.items()]
        print_table({"currency": "left", "debits": "right", "credits": "right"}, table)
    tell(statement, as_json=as_json)
    balanced = all(each["debits"] == each["credits"] for each in sums.values())
    raise typer.Exit(REFUSED if not balanced else OK if statement.complete else INCOMPLETE)


def totals(rows: "Iterable[BalanceRow]") -> dict[str, dict[str, str]]:
    """Decimal sums of debits and credits by currency."""
    from ledger.domain import money

    sums: dict[str, tuple[int, int, int]] = {}
    for row in rows:
        scale, debits, credits = sums.get(row.currency, (row.scale, 0, 0))
        sums[row.currency] = (scale, debits + row.debits, credits + row.credits)
    return {
        currency: {"debits": money.show(debits, scale), "credits": money.show(credits, scale)}
        for currency, (scale, debits, credits) in sorted(sums.items())
    }
