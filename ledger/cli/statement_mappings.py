"""`faust-ledger statements save-mapping` and `mappings`: what a bank's CSV means, by a name."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from ledger.cli.output import (
    FINDINGS,
    AsJson,
    DataDir,
    print_json,
    print_note,
    print_plain,
    require_utf8,
    run,
    settings_for,
)
from ledger.cli.tables import Column, FormatOption, format_of, print_table_of

MAPPINGS = (
    Column("name", "name", "code"),
    Column("version", "version", "number"),
    Column("of", "of", "code"),
)


def save_mapping(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name for it, such as bank-csv.")],
    file: Annotated[str, typer.Argument(help="A TOML file, or - for standard input.")],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Save what the columns of a bank's CSV mean, by a name (docs/statements.md).

    A name that is known gets another version. Every statement names the version that it was read
    with.

    Exit codes: 0 saved, or saved before; 1 the mapping is wrong (stderr says how); 2 wrong usage;
    3 a fault.
    """
    from ledger.cli.statement_import import save
    from ledger.statements.model import Unproven
    from ledger.statements.texts import named

    require_utf8(name, "NAME")
    with opened(file) as stream:
        text = stream.read().decode("utf-8", "replace")
    try:
        saved = run(save(settings_for(data_dir), named(name, "The name"), text))
    except Unproven as error:
        print_note(str(error))
        raise typer.Exit(FINDINGS) from error
    if as_json:
        print_json({"name": saved.name, "version": saved.version})
    else:
        print_plain(f"{saved.name} is saved as version {saved.version}")


def list_mappings(
    fmt: FormatOption = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """List the mappings of CSV that were saved, each in its newest version.

    JSON has the text of each.
    """
    from ledger.cli.statement_import import read_book
    from ledger.statements.mapping import parse_mapping

    form = format_of(fmt, as_json=as_json)
    book = run(read_book(settings_for(data_dir)))
    newest = [book.mappings[name][-1] for name in sorted(book.mappings) if book.mappings[name]]
    rows = [
        {"name": each.name, "version": each.version, "of": parse_mapping(each.text).of,
         "text": each.text}
        for each in newest
    ]  # fmt: skip
    print_table_of(
        MAPPINGS, rows, form, nothing="No mapping is saved: `faust-ledger statements save-mapping`."
    )


@contextmanager
def opened(file: str) -> "Iterator[BinaryIO]":
    """The file, or standard input for -; a usage error for one that cannot be read."""
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = Path(file).open("rb")  # noqa: SIM115 - it is closed below
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise typer.BadParameter(f"{file}: {why}", param_hint="FILE") from error
    with stream:
        yield stream
