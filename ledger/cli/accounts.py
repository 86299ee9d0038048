"""`faust-ledger accounts list | show`: accounts as they are declared, and those in use."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli import read
from ledger.cli.completeness import INCOMPLETE, of_ledger, of_stream, print_completeness
from ledger.cli.output import (
    FINDINGS,
    OK,
    AsJson,
    DataDir,
    print_json,
    print_note,
    print_plain,
    require_choice,
    run,
    settings_for,
)
from ledger.cli.read import is_under, require_types
from ledger.cli.tables import Column, Format, FormatOption, format_of, print_table_of
from ledger.clock import now

if TYPE_CHECKING:
    from ledger.cli.completeness import CompletenessReport
    from ledger.domain.reference import Account, Reference
    from ledger.settings import Settings

COLUMNS = (
    Column("account", "account", "account"),
    Column("name", "name", "text"),
    Column("currency", "currency", "code"),
    Column("opened_at", "opened", "time", drop=2),
    Column("closed_at", "closed", "time"),
    Column("declared", "declared", "code", drop=1),
)
BALANCES = tuple(each for each in read.BALANCES if each is not read.ACCOUNT)


def list_accounts(
    under: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Only this account and those below it."),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--type", metavar="TYPE", help="Only assets, liabilities, equity, income or expenses."
        ),
    ] = None,
    declared: Annotated[
        bool, typer.Option("--declared", help="Only declared accounts; needs no database.")
    ] = False,
    fmt: FormatOption = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List accounts: those that `accounts import` declared, and others that have entries.

    An account without a currency takes every one. Accounts that are in use come from the general
    ledger; the command reports whether that is complete, as `balances` does.

    Exit codes: 0 complete; 2 wrong usage; 3 a fault; 4 the accounts are printed, and some that
    were used lately may be missing.
    """
    form = format_of(fmt, as_json=as_json)
    if kind is not None:
        from ledger.domain.account import TYPES

        require_choice(kind, TYPES, "--type", "type of account")
    if under is not None:
        require_types([under])
    settings = settings_for(data_dir)
    rows, report = run(_list(settings, under, with_used=not declared))
    shown = [row for row in rows if kind in (None, row["type"])]
    if form is Format.TABLE:
        shown = [row | {"declared": "yes" if row["declared"] else "no"} for row in shown]
    print_table_of(COLUMNS, shown, form, nothing="There is no such account.")
    if report is not None:
        print_completeness(report, as_json=form is not Format.TABLE)
    raise typer.Exit(OK if report is None or report.complete else INCOMPLETE)


async def _list(
    settings: "Settings", under: str | None, *, with_used: bool
) -> "tuple[list[dict[str, Any]], CompletenessReport | None]":
    from ledger.client.assets import read_reference
    from ledger.domain.completeness import Asked
    from ledger.gl.databases import open_journal

    known = await read_reference(settings)
    if not with_used:
        return account_rows(known, (), under), None
    prefix = None if under is None else under.removesuffix(":")
    with closing(open_journal(settings.database_url)) as journal:
        books, report = await of_ledger(
            settings, journal, Asked(), lambda: journal.balance_snapshot(prefix=prefix)
        )
    return account_rows(known, {row.account for row in books.rows}, under), report


def account_rows(
    known: "Reference", used: Iterable[str], under: str | None
) -> list[dict[str, Any]]:
    """Declared accounts and those in `used`, below `under`, sorted."""
    codes = sorted({*known.accounts, *used})
    return [
        account_row(code, known.accounts.get(code))
        for code in codes
        if under is None or is_under(code, under)
    ]


def account_row(code: str, declared: "Account | None") -> dict[str, Any]:
    """What is declared of an account; times in RFC 3339."""
    return {
        "account": code,
        "type": code.partition(":")[0],
        "name": declared.name if declared else "",
        "currency": declared.currency if declared else None,
        "opened_at": _time(declared.opened_at if declared else None),
        "closed_at": _time(declared.closed_at if declared else None),
        "declared": declared is not None,
    }


def _time(micros: int | None) -> str | None:
    from ledger.client.drafts import rfc3339

    return None if micros is None else rfc3339(micros)


def show_account(
    account: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="The account, such as assets:cash.")
    ],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show an account: what is declared of it, and its live balances.

    The balances are those of `balances`, with whether they are complete.

    Exit codes: 0 complete; 1 the account is neither declared nor in use; 2 wrong usage; 3 a fault;
    4 the account is printed, and something is missing, or that is not known.
    """
    require_types([account])
    settings = settings_for(data_dir)
    known, balances, report = run(_show(settings, account))
    found = shown_account(account, known, at=now()) | {"balances": balances}
    is_known = bool(balances or found["declared"])
    if as_json:
        print_json(found | report.fields())
    elif is_known:
        _print_account(found)
    print_completeness(report, as_json=as_json)
    if not is_known:
        print_note(_unknown(account, known))
    status = OK if is_known else FINDINGS
    raise typer.Exit(status if report.complete else INCOMPLETE)


async def _show(
    settings: "Settings", account: str
) -> "tuple[Reference, list[dict[str, Any]], CompletenessReport]":
    from ledger.client.assets import read_reference
    from ledger.client.balances import BalanceReader

    async def live() -> list[dict[str, Any]]:
        async with BalanceReader(settings, accounts=[account]) as reader:
            found = await reader.snapshot()
        return [
            {each.key: getattr(balance, each.key) for each in BALANCES}
            for _, balance in sorted(found.items())
        ]

    known = await read_reference(settings)
    balances, report = await of_stream(settings, live)
    return known, balances, report


def shown_account(account: str, known: "Reference", *, at: int) -> dict[str, Any]:
    """What is declared of the account, its normal side, and its state at a time (microseconds)."""
    from ledger.domain.account import normal_side

    declared = known.accounts.get(account)
    state = "open"
    if declared is None:
        state = "open" if known.policy.open_unknown_accounts else "not declared"
    elif declared.closed_at is not None and at >= declared.closed_at:
        state = "closed"
    elif declared.opened_at is not None and at < declared.opened_at:
        state = "not open yet"
    return account_row(account, declared) | {"normal_side": normal_side(account), "state": state}


def _print_account(found: Mapping[str, Any]) -> None:
    print_plain(f"{found['account']}: {found['state']}")
    for name, value in (
        ("name", found["name"]),
        ("currency", found["currency"] or "any"),
        ("normal side", found["normal_side"]),
        ("declared", "yes" if found["declared"] else "no (`faust-ledger accounts import`)"),
        ("opened", found["opened_at"]),
        ("closed", found["closed_at"]),
    ):
        if value:
            print_plain(f"  {name:<12}{value}")
    print_table_of(BALANCES, found["balances"], Format.TABLE, nothing="It has no balance.")


def _unknown(account: str, known: "Reference") -> str:
    from ledger.settings_sources import nearest

    return (
        f"{account} is neither declared nor in use.{nearest(account, known.accounts)} "
        "`faust-ledger accounts list` has all."
    )
