"""`faust-ledger register`: the entries of one account with its balance after each."""

import sys
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, timedelta, tzinfo
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.books import of_books
from ledger.cli.completeness import INCOMPLETE, of_ledger, print_completeness
from ledger.cli.completion import complete_timezones
from ledger.cli.moments import EPOCH, Axis, end_of, instant_of, zone_of
from ledger.cli.output import (
    FINDINGS,
    OK,
    AsJson,
    DataDir,
    print_note,
    print_sentence,
    require_order,
    run,
    settings_for,
)
from ledger.cli.read import require_types
from ledger.cli.tables import Column, Format, FormatOption, format_of, grouped, print_table_of
from ledger.terminal import UNLIMITED, columns_of

if TYPE_CHECKING:
    from ledger.cli.completeness import CompletenessReport
    from ledger.gl.history.books import History
    from ledger.gl.lookups import Register, RegisterLine, RegisterQuery
    from ledger.settings import Settings

SEVERAL = "several"
COLUMNS = (
    Column("date", "date", "time"),
    Column("label", "id", "code"),
    Column("kind", "kind", "code", drop=2),
    Column("description", "description", "text", drop=3),
    Column("debit", "debit", "amount"),
    Column("credit", "credit", "amount"),
    Column("balance", "balance", "amount"),
    Column("currency", "currency", "code"),
    Column("other_side", "other side", "account", drop=4),
)
OPENING = "opening balance"
ALL_COLUMNS = tuple(
    Column(key, key)
    for key in (
        "line", "effective_at", "recorded_at", "transaction_id", "kind", "description", "debit",
        "credit", "balance", "currency", "other_side", "reverses", "shard", "offset", "entry",
    )
)  # fmt: skip
"""Of CSV, which has room for all."""


def print_register(
    account: Annotated[
        str, typer.Argument(metavar="ACCOUNT", help="The account, such as assets:cash.")
    ],
    currency: Annotated[
        str | None, typer.Option(metavar="CODE", help="Only entries in this currency.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TIME",
            help="Only entries at or after this: RFC 3339, now, or a date for the instant at which "
            "it begins. The first line is then the balance before.",
        ),
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Only entries before this.")
    ] = None,
    through: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Only entries up to the end of this day."),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="UTC",
            help="The time zone of every date, given and shown, such as America/Toronto.",
            autocompletion=complete_timezones,
        ),
    ] = None,
    by: Annotated[
        Axis,
        typer.Option(help="The time of the dates, of the order, and of --from, --to, --through."),
    ] = "effective",
    limit: Annotated[
        int | None,
        typer.Option(min=1, show_default="all", help="Only the last entries, this many."),
    ] = None,
    fmt: FormatOption = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the entries of an account with the balance after each, from the general ledger.

    Lines are in the order of time, and those of one effective time as they were recorded. The
    balance is on the account's normal side: debits for assets and expenses, credits for the rest.
    It ends at what `balances --source ledger` has. An opening line has the balance before the first
    entry shown. The other side is the account on the other side of the transaction in the same
    currency, or "several"; JSON has all of them. Transactions that are void are not in it.

    In the order of recorded time (--by recorded) the lines come from history, where it has got far
    enough, and only those that are shown are read. Otherwise every entry of the account is.

    The command reports whether the answer is complete, as `balances` does.

    Exit codes: 0 complete; 1 the entries do not add up to the balance; 2 wrong usage; 3 a fault; 4
    the entries are printed, and something is missing, or whether they are complete is not known.
    """
    form = format_of(fmt, as_json=as_json)
    require_types([account])
    zone = zone_of(timezone)
    asked: RegisterQuery = {
        "currency": currency,
        "start": instant_of(start, zone, "--from"),
        "end": end_option(end, through, zone),
        "by": by,
        "limit": limit,
    }
    require_order(asked["start"], asked["end"])
    found, report = run(read_register(settings_for(data_dir), account, asked))
    rows = register_rows(account, found, by, zone)
    if form is Format.TABLE:
        print_lines(account, rows, asked)
        _print_end(account, found, by)
    else:
        fields = report.fields()
        print_table_of(ALL_COLUMNS, [row | fields for row in rows], form, nothing="")
    print_completeness(report, as_json=form is not Format.TABLE)
    wrong = list(differences(account, found, asked))
    for sentence in wrong:
        print_note(sentence)
    raise typer.Exit(FINDINGS if wrong else OK if report.complete else INCOMPLETE)


def end_option(end: str | None, through: str | None, zone: tzinfo = UTC) -> int | None:
    """Microseconds since 1970 before which --to and --through count; None without them."""
    if through is None:
        return instant_of(end, zone, "--to")
    if end is not None:
        raise typer.BadParameter("give --to or --through, not both.", param_hint="--through")
    return end_of(through, zone, instead="--to")


async def read_register(
    settings: "Settings", account: str, asked: "RegisterQuery"
) -> "tuple[Register, CompletenessReport]":
    """The entries that are asked for, and whether they are complete."""
    from ledger.domain.completeness import Asked
    from ledger.gl.databases import open_journal

    with closing(open_journal(settings.database_url)) as journal:
        # Without an end there is no time up to which it would have to be complete.
        moment = Asked(asked["end"], asked["by"])
        read = partial(journal.register, account, **asked)
        if asked["by"] == "effective":
            return await of_ledger(settings, journal, moment, read)

        def from_history(history: "History") -> "Register | None":
            return history.register(account, **asked)

        return await of_books(settings, journal, moment, read, from_history)


def register_rows(
    account: str,
    found: "Register",
    by: Axis,
    zone: tzinfo = UTC,
) -> list[dict[str, Any]]:
    """The lines with the balance after each, and before them what was before, as decimal text.

    Their dates are those of `zone`.
    """
    from ledger.domain import money
    from ledger.domain.account import on_normal_side

    rows = [
        _empty_row() | {
            "line": "opening",
            "description": OPENING,
            "balance": money.show(
                on_normal_side(account, debits=sides.net, credits=0), sides.scale
            ),
            "currency": currency,
        }
        for currency, sides in found.opening().items()
        if sides.entries or sides.net
    ]  # fmt: skip
    for line, net in found.running():
        rows.append(_row(line, by, zone) | {
            "balance": money.show(on_normal_side(account, debits=net, credits=0), line.scale),
        })  # fmt: skip
    return rows


def _empty_row() -> dict[str, Any]:
    return dict.fromkeys([*(each.key for each in ALL_COLUMNS), "date", "other_accounts"])


def print_lines(account: str, rows: list[dict[str, Any]], asked: "RegisterQuery") -> None:
    """The rows as a table."""
    nothing = f"No entry of {account} is in the general ledger"
    if any(asked.get(name) is not None for name in ("currency", "start", "end")):
        nothing = f"{nothing} for what was asked"
    nothing = f"{nothing}. `faust-ledger accounts list --under {account}` has those below it."
    shown = [_labelled(row) for row in rows]
    print_table_of(table_columns(rows), shown, Format.TABLE, nothing=nothing)


def table_columns(rows: list[dict[str, Any]]) -> list[Column]:
    """The columns of the table: where there is one currency, its column is the first to go."""
    is_one = len({row["currency"] for row in rows}) <= 1
    return [each._replace(drop=1) if is_one and each.key == "currency" else each
            for each in COLUMNS]  # fmt: skip


def _labelled(row: dict[str, Any]) -> dict[str, Any]:
    """A row for people: an opening balance stands where the id would."""
    if row["line"] == "opening":
        return row | {"label": OPENING, "description": None}
    return row | {"label": row["transaction_id"]}


def _row(line: "RegisterLine", by: Axis, zone: tzinfo) -> dict[str, Any]:
    from ledger.client.drafts import rfc3339
    from ledger.domain import money

    amount = money.show(abs(line.amount), line.scale)
    at = line.effective_at if by == "effective" else line.recorded_at
    return _empty_row() | {
        "line": "entry",
        "date": str((EPOCH + timedelta(microseconds=at)).astimezone(zone).date()),
        "effective_at": rfc3339(line.effective_at),
        "recorded_at": rfc3339(line.recorded_at),
        "transaction_id": line.transaction_id,
        "kind": line.kind,
        "description": line.description,
        "debit": amount if line.amount > 0 else None,
        "credit": amount if line.amount < 0 else None,
        "currency": line.currency,
        "other_side": line.others[0] if len(line.others) == 1 else SEVERAL,
        "other_accounts": list(line.others),
        "reverses": line.reverses or None,
        "shard": line.shard,
        "offset": line.offset,
        "entry": line.entry,
    }


def _print_end(account: str, found: "Register", by: str) -> None:
    """The balance at the end in each currency, with what has been shown of how many."""
    from ledger.domain import money
    from ledger.domain.account import normal_side, on_normal_side

    for currency, sides in found.closing.items():
        shown = sum(line.currency == currency for line in found.lines)
        balance = money.show(on_normal_side(account, debits=sides.net, credits=0), sides.scale)
        if columns_of(sys.stdout) < UNLIMITED:
            balance = grouped(balance)
        print_sentence(
            f"Closing balance {balance} {currency} on the {normal_side(account)} side; "
            f"{shown:,} of {sides.entries:,} entries, in the order of {by} time."
        )


def differences(account: str, found: "Register", asked: "RegisterQuery") -> "Iterable[str]":
    """A sentence for each currency in which all entries together are not the balance."""
    from ledger.domain import money

    limit = asked.get("limit")
    if asked.get("start") is not None or (limit is not None and len(found.lines) >= limit):
        return
    for currency, sides in found.opening().items():
        if sides.net or sides.debits:
            yield (
                f"The entries of {account} in {currency} do not add up to its balance: it has "
                f"debits {money.show(sides.debits, sides.scale)} and credits "
                f"{money.show(sides.credits, sides.scale)} beyond them. `faust-ledger verify` and "
                "`faust-ledger reconcile --full` show what differs."
            )
