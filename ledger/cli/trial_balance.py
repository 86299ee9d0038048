"""`faust-ledger trial-balance`: every account's net debit or credit, and the totals."""

from typing import TYPE_CHECKING, Any

import typer

from ledger.cli.completeness import INCOMPLETE, print_completeness
from ledger.cli.moments import AsOf, By, KnownAt, Through, Timezone, moment_of
from ledger.cli.output import FINDINGS, OK, AsJson, DataDir, print_json, run, settings_for
from ledger.cli.read import (
    ACCOUNT,
    CURRENCY,
    NOTHING,
    Choice,
    Currencies,
    Depth,
    NoZero,
    fields_of,
    from_ledger,
    print_moment,
)
from ledger.cli.tables import Column, Format, FormatOption, format_of, print_table_of

if TYPE_CHECKING:
    from ledger.gl.account_rows import Total

Row = dict[str, Any]

COLUMNS = (
    ACCOUNT,
    CURRENCY,
    Column("net_debit", "net debit", "amount"),
    Column("net_credit", "net credit", "amount"),
    Column("debits", "debits", "amount", drop=2),
    Column("credits", "credits", "amount", drop=2),
    Column("entries", "entries", "count", drop=1),
)


def print_trial_balance(
    currency: Currencies = None,
    depth: Depth = None,
    no_zero: NoZero = False,
    as_of: AsOf = None,
    through: Through = None,
    timezone: Timezone = None,
    by: By = None,
    known_at: KnownAt = None,
    fmt: FormatOption = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show every account of the general ledger with its net debit or credit, and the totals.

    The totals are by currency and type of account. They include accounts that --no-zero leaves out.

    The command reports whether the answer is complete, as `balances` does. --json prints one
    object, with "totals" (type null: all types) and "through", the position of every shard; the
    other formats have the accounts.

    Exit codes: 0 debits equal credits in every currency; 1 they do not; 2 wrong usage; 3 a fault;
    4 they do, and something is missing, or whether the answer is complete is not known.
    """
    from ledger.gl.account_rows import totals

    form = format_of(fmt, as_json=as_json, whole=True)
    moment = moment_of(as_of, through, timezone, by, known_at)
    settings = settings_for(data_dir)
    found, report = run(from_ledger(settings, None, None, moment))
    choice = Choice(currency or [], depth, no_zero)
    summed = choice.summed(found)
    added, sums = fields_of(form, report, moment), totals(summed)
    rows = [each.fields() | each.net_fields() | added for each in choice.shown(summed)]
    print_moment(moment, form)
    if form is None:
        print_json(_whole(rows, sums) | report.whole() | moment.fields())
    else:
        table = _table(rows, sums) if form is Format.TABLE else rows
        print_table_of(COLUMNS, table, form, nothing=NOTHING)
    print_completeness(report, as_json=form is not Format.TABLE)
    balanced = all(each.debits == each.credits for each in sums if each.type is None)
    raise typer.Exit(FINDINGS if not balanced else OK if report.complete else INCOMPLETE)


def _whole(rows: list[Row], sums: "list[Total]") -> Row:
    """The one JSON object, without what the answer's completeness adds."""
    return {"currencies": by_currency(sums), "accounts": rows,
            "totals": [each.fields() for each in sums]}  # fmt: skip


def by_currency(sums: "list[Total]") -> dict[str, dict[str, str]]:
    """Debits and credits of all types of account by currency, as decimal text."""
    shown = [each.fields() for each in sums if each.type is None]
    return {each["currency"]: {name: each[name] for name in ("debits", "credits")}
            for each in shown}  # fmt: skip


def _table(rows: list[Row], sums: "list[Total]") -> list[Row]:
    """The rows of the table: the accounts, and below them the totals in the same columns."""
    if not sums:
        return []
    titles = {each.key: each.title for each in COLUMNS} | {"account": "total"}
    shown = [each.fields() for each in sums]
    for each in shown:
        each["account"] = each["type"] or "all types"
    blank: Row = dict.fromkeys(titles)
    return [*map(_with_one_side, rows), blank, titles, *map(_with_one_side, shown)]


def _with_one_side(row: Row) -> Row:
    """Without the zero of the other side, as in a trial balance on paper."""
    debit, credit = (bool(row[side].strip("0.")) for side in ("net_debit", "net_credit"))
    if debit == credit:
        # Both are zero, and the normal side has it; or this is a total.
        debit = row["account"].startswith(("assets", "expenses"))
        return row if credit else row | {"net_credit" if debit else "net_debit": None}
    return row | {"net_credit" if debit else "net_debit": None}
