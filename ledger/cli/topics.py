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
    run,
    settings_for,
)

if TYPE_CHECKING:
    from ledger.streaming.topic_rules import TopicDifference

FIELDS = ("topic", "setting", "has", "must", "why", "command")


def check_topics(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Compare partitions, replicas and settings of every topic with those that the ledger requires.

    The command changes nothing. Exit codes: 0 nothing differs, 1 something differs, 3 a fault.

    --json prints {"ok", "differences": [{"topic", "setting", "has", "must", "why", "command",
    "ignored"}], "hidden": [topic]}. The user has no right to read the settings of hidden topics.
    """
    from ledger.streaming.topics import look

    found, hidden = run(look(founded_settings(data_dir)))
    well = all(each.ignored for each in found)
    if as_json:
        rows = [{**_row(each), "ignored": each.ignored} for each in found]
        print_json({"ok": well, "differences": rows, "hidden": hidden})
    else:
        _print(found, hidden)
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


def _print(found: "list[TopicDifference]", hidden: list[str]) -> None:
    for each in found:
        ignored = " (ignored, as the setting added_partitions says)" if each.ignored else ""
        print(f"{each.topic}: {each.setting} is {each.has} and must be {each.must}{ignored}")
        print(f"    {each.why}\n    {each.command}")
    if hidden:
        print_note(
            f"This user has no right to read the settings of {', '.join(hidden)}: see "
            "docs/security.md."
        )
    elif not found:
        print_note("All topics have the required settings.")


def _row(found: "TopicDifference") -> dict[str, Any]:
    return {name: getattr(found, name) for name in FIELDS}
