"""`faust-ledger topics`: compare the settings of topics with those required, and correct them."""

from typing import TYPE_CHECKING, Any

import typer

from ledger.cli.output import (
    FINDINGS,
    OK,
    AsJson,
    DataDir,
    founded_settings,
    print_json,
    print_note,
    print_plain,
    run,
    settings_for,
)
from ledger.cli.tables import Column, Format, FormatOption, format_of, print_table_of

if TYPE_CHECKING:
    from ledger.streaming.topic_rules import TopicDifference

FIELDS = ("topic", "setting", "has", "must", "why", "command")
COLUMNS = (
    Column("topic", "topic", "code"),
    Column("setting", "setting", "code"),
    Column("has", "is", "code"),
    Column("must", "must be", "code"),
    Column("why", "why", "prose"),
)
WHOLE = (*COLUMNS, Column("command", "command", "path"), Column("ignored", "ignored", "code"))
"""The columns of CSV: a command would make a table as wide as no terminal."""


def check_topics(
    fmt: FormatOption = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Compare partitions, replicas and settings of every topic with those that the ledger requires.

    The command changes nothing. Exit codes: 0 nothing differs, 1 something differs, 3 a fault.

    --json prints {"ok", "differences": [{"topic", "setting", "has", "must", "why", "command",
    "ignored"}], "hidden": [topic]}. The user has no right to read the settings of hidden topics.
    The other formats are a list of the differences.
    """
    from ledger.streaming.topics import look

    form = format_of(fmt, as_json=as_json, whole=True)
    found, hidden = run(look(founded_settings(data_dir)))
    well = all(each.ignored for each in found)
    rows = [{**_row(each), "ignored": each.ignored} for each in found]
    if form is None:
        print_json({"ok": well, "differences": rows, "hidden": hidden})
    elif form is Format.TABLE:
        _print(rows, hidden)
    else:
        print_table_of(WHOLE, rows, form, nothing="")
        _note_hidden(hidden)
    raise typer.Exit(OK if well else FINDINGS)


def create_topics(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Create missing topics and correct wrong settings. Records are never changed.

    It needs a user who may create and alter topics. A wrong number of partitions cannot be
    corrected: the command reports an error and changes nothing.

    --json prints {"created": [topic], "mended": [{"topic", "setting", "has", "must", "why",
    "command"}]}. Exit codes: 0 done, 3 a fault.
    """
    from ledger.streaming.topics import bring_about

    done = run(bring_about(founded_settings(data_dir)))
    if as_json:
        print_json({"created": done.created, "mended": [_row(each) for each in done.mended]})
        return
    for name in done.created:
        print(f"created {name}")
    for each in done.mended:
        print(f"corrected {each.topic}: {each.setting} was {each.has}, is {each.mend}")
    if not done.created and not done.mended:
        print_note("All topics exist and have the required settings.")


def recover_records(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Move transactions out of partitions that were added to their topic.

    No worker reads those partitions. The command appends each record unchanged to the partition of
    its key, then deletes it where it was. It is safe to repeat.

    --json prints {"partitions", "appended"}. Exit codes: 0 done, 3 a fault.
    """
    from ledger.client.beyond import recover

    done = run(recover(settings_for(data_dir)))
    if as_json:
        print_json(done._asdict())
    else:
        print(f"{done.partitions} partitions beyond the ledger's, {done.appended} records moved")


def _print(rows: list[dict[str, Any]], hidden: list[str]) -> None:
    """The differences, and below them the commands, each whole on a line to copy."""
    if rows:
        print_table_of(COLUMNS, rows, Format.TABLE, nothing="")
    for row in rows:
        ignored = " It is ignored, as the setting added_partitions says." if row["ignored"] else ""
        print_plain(f"\nTo correct {row['topic']}, {row['setting']}:{ignored}\n  {row['command']}")
    _note_hidden(hidden)
    if not rows and not hidden:
        print_note("All topics have the required settings.")


def _note_hidden(hidden: list[str]) -> None:
    if hidden:
        print_note(
            f"This user has no right to read the settings of {', '.join(hidden)}: see "
            "docs/security.md."
        )


def _row(found: "TopicDifference") -> dict[str, Any]:
    return {name: getattr(found, name) for name in FIELDS}
