"""`faust-ledger topics`: the topics' settings compared with what they must be, and mended."""

from typing import TYPE_CHECKING, Any

import typer

from ledger.cli.output import (
    OK,
    REFUSED,
    AsJson,
    DataDir,
    print_json,
    run,
    say,
    settings_for,
)

if TYPE_CHECKING:
    from ledger.streaming.topic_rules import TopicDifference

FIELDS = ("topic", "setting", "has", "must", "why", "command")

group = typer.Typer(no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    app.add_typer(
        group, name="topics", help="Kafka's topics: compare their settings, create and mend them."
    )


@group.command()
def check(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Compare partitions, copies and settings of every topic with what the ledger rests on.

    Nothing is changed. Exit code 1 when something differs. --json prints {"ok", "differences":
    [{"topic", "setting", "has", "must", "why", "command", "ignored"}], "hidden": [topic]}; of those
    hidden this user may not see the settings.
    """
    from ledger.client.shards import as_founded
    from ledger.streaming.topics import look

    found, hidden = run(look(run(as_founded(settings_for(data_dir)))))
    well = all(each.ignored for each in found)
    if as_json:
        rows = [{**_row(each), "ignored": each.ignored} for each in found]
        print_json({"ok": well, "differences": rows, "hidden": hidden})
    else:
        _print(found, hidden)
    raise typer.Exit(OK if well else REFUSED)


@group.command()
def create(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Create the topics that are missing, and set settings right; nothing in them is changed.

    It needs a user who may create and alter topics. Another number of partitions cannot be mended
    and is an error, with nothing changed. --json prints {"created": [topic], "mended": [{"topic",
    "setting", "has", "must", "why", "command"}]}. Exit code 3 is a fault.
    """
    from ledger.client.shards import as_founded
    from ledger.streaming.topics import bring_about

    done = run(bring_about(run(as_founded(settings_for(data_dir)))))
    if as_json:
        print_json({"created": done.created, "mended": [_row(each) for each in done.mended]})
        return
    for name in done.created:
        print(f"created {name}")
    for each in done.mended:
        print(f"mended {each.topic}: {each.setting} was {each.has}, is {each.mend}")
    if not done.created and not done.mended:
        say("All topics are there and as they must be.")


@group.command()
def recover(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Move transactions out of partitions that were added to their topic, where nobody decides.

    Each is appended again, byte for byte, to the partition of its key, then deleted where it was.
    Doing it again is harmless. --json prints {"partitions", "appended"}. Exit code 3 is a fault.
    """
    from ledger.client import beyond

    done = run(beyond.recover(settings_for(data_dir)))
    if as_json:
        print_json(done._asdict())
    else:
        print(f"{done.partitions} partitions beyond the ledger's, {done.appended} records moved")


def _print(found: "list[TopicDifference]", hidden: list[str]) -> None:
    for each in found:
        ignored = " (ignored, as added_partitions says)" if each.ignored else ""
        print(f"{each.topic}: {each.setting} is {each.has} and must be {each.must}{ignored}")
        print(f"    {each.why}\n    {each.command}")
    if hidden:
        say(f"This user may not see the settings of {', '.join(hidden)}: see docs/security.md.")
    elif not found:
        say("All topics are as they must be.")


def _row(found: "TopicDifference") -> dict[str, Any]:
    return {name: getattr(found, name) for name in FIELDS}
