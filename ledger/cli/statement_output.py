"""Statements for people: what was imported, and how it stands beside the ledger."""

import sys
from typing import Any

from ledger.cli.output import print_note, print_plain, print_sentence
from ledger.cli.statement_import import Imported
from ledger.cli.statement_rows import head_fields
from ledger.statements.records import Head


def print_head(head: Head) -> None:
    """Print what a statement is, above its lines."""
    row = head_fields(head)
    print_plain(f"{row['id']}: statement of {row['account']}, {row['format']}, {row['file']}")
    if row["currency"]:
        print_plain(
            f"  opening {row['opening']} on {row['opening_on']}, closing {row['closing']} on "
            f"{row['closing_on']}, {row['currency']}"
        )


def print_import(found: Imported) -> None:
    """Print what became of a file, statement by statement."""
    if found.refused is not None:
        print_note(str(found.refused))
        print_note("Nothing was imported.")
        return
    for row in found.fields()["statements"]:
        print_plain(
            f"{row['id']}: {row['verdict']}, {row['lines']:,} lines, statement of {row['account']}"
        )
        if row["left_out"]:
            print_plain(f"  {row['left_out']:,} entries are not booked and are left out")
        for change in row["changes"]:
            print_plain(f"  {change['what']}: {change['sentence']}")
        print_ties(row)


def print_ties(row: dict[str, Any], *, to_stderr: bool = False) -> None:
    """Print whether the ledger has what the statement has; `row`: as `tie_fields` makes it."""

    def say(text: str) -> None:
        print_sentence(text, sys.stderr if to_stderr else None)

    if row["tied"] is None:
        say(f"Whether the ledger has the balance is not known: {row['unknown']}")
        return
    if row["tied"]:
        say("The ledger has the same.")
    for tie in row["ties"]:
        if tie["difference"].strip("-0."):
            say(
                f"{tie['code']}: the statement has {tie['stated']}, the ledger {tie['ledger']}: "
                f"{tie['difference']} differs."
            )
