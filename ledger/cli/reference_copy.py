"""`faust-ledger reference save` and `restore`: copy the reference data, and restore it."""

from pathlib import Path
from typing import Annotated

import typer

from ledger.cli.output import (
    FINDINGS,
    OK,
    AsJson,
    DataDir,
    print_json,
    print_note,
    print_plain,
    run,
    settings_for,
)

File = Annotated[Path, typer.Argument(help="The copy, a file of JSON Lines.", show_default=False)]


def save_reference(file: File, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Write a copy of ledger.reference, from which `reference restore` can recreate the topic.

    The only other copy is on the brokers' disks, and without it a ledger decides nothing. Run the
    command after each import and each change of the policy, or every hour from a scheduler. It
    replaces an older copy in FILE atomically, and only if the new copy begins with the same
    records: a topic that was lost or recreated never replaces a good copy.

    --json prints {"records", "digest", "shards", "hole"}. Exit codes: 0 done; 1 the copy was
    written but could not be restored, because an offset has no record (hole); 3 a fault, or the
    command refused.
    """
    from ledger.client.reference_copy import save_copy

    saved = run(save_copy(settings_for(data_dir), file))
    if as_json:
        print_json(saved._asdict() | {"digest": saved.digest.hex()})
    else:
        print_plain(f"{saved.records:,} records copied to {file}")
        print(f"{saved.shards} shards were decided with them")
    if saved.hole is not None:
        print_note(
            f"No record has offset {saved.hole}: it was compacted away, or is a marker of a Kafka "
            "transaction. This copy cannot be restored, because Kafka numbers records without "
            "gaps. Keep copies of the brokers' disks."
        )
    raise typer.Exit(OK if saved.hole is None else FINDINGS)


def restore_reference(file: File, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Write a copy back into ledger.reference after it was lost and recreated empty.

    Every record gets the offset that it had, so it has the digest that each shard's last run names.
    The command checks this in the copy before it writes, and in the topic afterwards. If it is
    interrupted, run it again: it continues. First create the topic with `faust-ledger topics
    create`; afterwards restart the workers. See docs/runbooks/reference-lost.md.

    --json prints {"records", "written", "digest", "shards"}. Exit codes: 0 done; 3 a fault, or the
    command refused: the topic has other records, or runs were decided with others than the copy's.
    """
    from ledger.client.reference_copy import restore_copy

    done = run(restore_copy(settings_for(data_dir), file))
    if as_json:
        print_json(done._asdict() | {"digest": done.digest.hex()})
        return
    print(
        f"{done.records:,} records are in the topic, {done.written:,} written now; {done.shards} "
        "shards were decided with exactly these"
    )
