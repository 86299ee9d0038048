"""`faust-ledger reference save` and `restore`: a copy of the reference data, and its way back."""

from pathlib import Path
from typing import Annotated

import typer

from ledger.cli.output import OK, REFUSED, AsJson, DataDir, print_json, run, say, settings_for, tell

File = Annotated[Path, typer.Argument(help="The copy, a file of JSON Lines.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to `app`."""
    group = typer.Typer(
        name="reference",
        help="A copy of the reference data (assets, accounts, policy), for the day it is lost.",
        no_args_is_help=True,
    )
    group.command("save")(save)
    group.command("restore")(restore)
    app.add_typer(group)


def save(file: File, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Write a copy of ledger.reference, from which `restore` can make the topic again.

    The only other copy is on the brokers' disks, and a ledger without it decides nothing. Do this
    whenever reference data were imported or the policy was changed; a scheduler may do it each
    hour. An older copy in FILE is replaced at once, and only by one that begins with the same
    records: a topic that was lost or made anew never replaces a good copy.

    --json prints {"records", "digest", "shards", "hole"}. Exit codes: 0 done; 1 it was written, and
    could not be restored, for an offset has no record (hole); 3 a fault, or refused.
    """
    from ledger.client import reference_copy as kept

    saved = run(kept.save(settings_for(data_dir), file))
    if as_json:
        print_json(saved._asdict() | {"digest": saved.digest.hex()})
    else:
        tell(f"{saved.records:,} records kept in {file}")
        print(f"{saved.shards} shards were decided with them")
    if saved.hole is not None:
        say(f"No record has offset {saved.hole}: it was compacted away, or is a mark of a Kafka "
            "transaction. This copy cannot be restored, for Kafka numbers without a gap. Keep "
            "copies of the brokers' disks.")  # fmt: skip
    raise typer.Exit(OK if saved.hole is None else REFUSED)


def restore(file: File, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Write a copy back into ledger.reference, which was lost and made anew empty.

    Every record gets the offset that it had, so the digest that each shard's last run names is the
    same again: that is looked at in the copy before anything is written, and in the topic after it.
    What was interrupted goes on when it is done again. Make the topic with `faust-ledger topics
    create` first; workers are started again afterwards. See docs/runbooks/reference-lost.md.

    --json prints {"records", "written", "digest", "shards"}. Exit code 3 is a fault, or refused:
    the topic has other records, or the copy is not what was decided with.
    """
    from ledger.client import reference_copy as kept

    done = run(kept.restore(settings_for(data_dir), file))
    if as_json:
        print_json(done._asdict() | {"digest": done.digest.hex()})
        return
    print(
        f"{done.records:,} records are in the topic, {done.written:,} written now; {done.shards} "
        "shards were decided with exactly these"
    )
