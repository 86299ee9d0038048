"""`faust-ledger statements`: import, list and show statements of banks and custodians."""

from typing import TYPE_CHECKING, Annotated

import typer

from ledger.cli.completeness import INCOMPLETE
from ledger.cli.completion import complete_timezones
from ledger.cli.output import (
    FINDINGS,
    OK,
    AsJson,
    DataDir,
    print_json,
    print_note,
    require_utf8,
    run,
    settings_for,
)
from ledger.cli.statement_mappings import opened
from ledger.cli.tables import Column, Format, FormatOption, format_of, print_table_of

if TYPE_CHECKING:
    from datetime import date

COLUMNS = (
    Column("account", "account", "account"),
    Column("closing_on", "through", "time"),
    Column("number", "number", "number"),
    Column("opening", "opening", "amount", drop=2),
    Column("closing", "closing", "amount"),
    Column("currency", "currency", "code"),
    Column("lines", "lines", "count", drop=1),
    Column("superseded", "corrected", "count", drop=3),
    Column("id", "id", "code"),
    Column("broken", "broken", "prose"),
)
LINES = (
    Column("number", "line", "number"),
    Column("booked", "booked", "time"),
    Column("value", "value", "time", drop=3),
    Column("amount", "amount", "amount"),
    Column("reference", "reference", "code", drop=1),
    Column("counterpart", "counterpart", "text"),
    Column("text", "text", "text", drop=2),
)
POSITIONS = (
    Column("number", "line", "number"),
    Column("isin", "ISIN", "code"),
    Column("code", "asset", "code"),
    Column("quantity", "quantity", "amount"),
    Column("name", "name", "text"),
)
StatementId = Annotated[
    str,
    typer.Argument(metavar="ID", help="The statement's id, as `statements list` has it."),
]


def import_statements(
    file: Annotated[str, typer.Argument(help="camt.053, MT940 or CSV; - for standard input.")],
    account: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="The account of the ledger that it is of. It is remembered: only the first "
            "statement of an account needs it.",
        ),
    ] = None,
    mapping: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The file is CSV: a mapping that `save-mapping` saved."
        ),
    ] = None,
    encoding: Annotated[
        str, typer.Option(metavar="NAME", help="Of MT940; XML and mappings name their own.")
    ] = "utf-8",
    opening: Annotated[
        str | None,
        typer.Option(metavar="AMOUNT", help="The opening balance of CSV without balances."),
    ] = None,
    closing: Annotated[
        str | None,
        typer.Option(metavar="AMOUNT", help="The closing balance of CSV without balances."),
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="The date of positions in CSV without one."),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option(
            metavar="ZONE", show_default="as remembered, or UTC",
            help="Where the bank's days end, such as America/Toronto. It is remembered.",
            autocompletion=complete_timezones,
        ),
    ] = None,
    relink: Annotated[
        bool,
        typer.Option("--relink", help="--account is another account than before; from now on."),
    ] = False,
    tied: Annotated[
        bool,
        typer.Option(
            "--tied", help="Refuse a statement whose closing balance is not the ledger's."
        ),
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """Import statements of a bank or custodian, after they are proven.

    Opening balance and lines must make the closing balance; numbers follow the statement before
    without a hole; the opening balance is the closing one of that. If a statement of the file
    fails, nothing of the file is imported. The same file again changes nothing. A corrected
    statement replaces the one with its number, and the command prints what it says otherwise, line
    by line.

    The closing balance is compared with the ledger's at the end of that day. A difference is
    printed and refuses nothing, unless --tied is given: what the ledger lacks is found by importing
    the statement.

    Exit codes: 0 imported, or imported before; 1 refused (stderr has the code, the line and a
    sentence); 2 wrong usage; 3 a fault; 4 imported, and whether the ledger has the closing balance
    is not known.
    """
    from ledger.cli.statement_import import Asked, import_file
    from ledger.cli.statement_output import print_import

    asked = Asked(
        file=file, account=account, mapping=mapping, encoding=_encoding(encoding), opening=opening,
        closing=closing, on=_day(on), timezone=_zone(timezone), relink=relink, tied=tied,
    )  # fmt: skip
    with opened(file) as stream:
        found = run(import_file(settings_for(data_dir), stream, asked))
    if as_json:
        print_json(found.fields())
    else:
        print_import(found)
    raise typer.Exit(
        FINDINGS if found.refused is not None else OK if found.is_tie_known else INCOMPLETE
    )


def list_statements(
    account: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Only of this account of the ledger."),
    ] = None,
    fmt: FormatOption = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List the statements that count, by account and date.

    "corrected" is how often a statement was replaced. A statement that does not follow the one
    before it says why: that one was corrected later.
    """
    from ledger.cli.statement_import import read_book
    from ledger.cli.statement_rows import head_fields

    form = format_of(fmt, as_json=as_json)
    book = run(read_book(settings_for(data_dir)))
    rows = [
        head_fields(head) | {
            "superseded": len(book.heads[head.statement.id]) - 1, "broken": broken,
        }
        for head, broken in book.listed()
        if account in (None, head.account)
    ]  # fmt: skip
    print_table_of(
        COLUMNS, rows, form, nothing="There is no statement: `faust-ledger statements import`."
    )


def show_statement(
    statement_id: StatementId,
    fmt: FormatOption = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Show a statement: its lines or positions, and whether the ledger has its balance now.

    --json prints one object with all of it; the other formats have the lines.

    Exit codes: 0 the ledger has it; 1 there is no such statement, or the ledger has another
    balance; 2 wrong usage; 3 a fault; 4 whether the ledger has it is not known.
    """
    from ledger.cli.statement_import import read_statement
    from ledger.cli.statement_output import print_head, print_ties
    from ledger.cli.statement_rows import head_fields, line_fields, tie_fields

    require_utf8(statement_id, "ID")
    form = format_of(fmt, as_json=as_json, whole=True)
    found = run(read_statement(settings_for(data_dir), statement_id))
    if found is None:
        print_note(f"There is no statement {statement_id}. `faust-ledger statements list` has all.")
        raise typer.Exit(FINDINGS)
    head, statement, tie = found
    rows = line_fields(statement)
    if form is None:
        print_json(head_fields(head) | {"rows": rows} | tie_fields(tie))
    else:
        columns = POSITIONS if statement.of_securities else LINES
        if form is Format.TABLE:
            print_head(head)
        print_table_of(columns, rows, form, nothing="It has no lines.")
        print_ties(tie_fields(tie), to_stderr=form is not Format.TABLE)
    if not tie.known:
        raise typer.Exit(INCOMPLETE)
    raise typer.Exit(FINDINGS if any(each.difference for each in tie.ties) else OK)


def _day(given: str | None) -> "date | None":
    if given is None:
        return None
    from ledger.statements.model import Unproven
    from ledger.statements.texts import iso_day

    try:
        return iso_day(given, "It")
    except Unproven as error:
        raise typer.BadParameter(f"{given!r} is no date.", param_hint="--on") from error


def _zone(given: str | None) -> str | None:
    from ledger.cli.moments import zone_of

    zone_of(given)
    return given


def _encoding(given: str) -> str:
    import codecs

    try:
        is_text = codecs.lookup(given)._is_text_encoding
        by_lines = is_text and "\n:".encode(given) == b"\n:"
    except (LookupError, ValueError):
        by_lines = False
    if not by_lines:
        raise typer.BadParameter(
            f"{given!r} is no encoding of MT940, such as utf-8 or latin-1.",
            param_hint="--encoding",
        )
    return given
