"""`faust-ledger database promote`: the replica of the database takes the primary's place."""

from typing import Annotated

import typer

from ledger.cli.output import AsJson, DataDir, errors, print_json, print_plain


def promote_replica(
    switch_over: Annotated[
        bool,
        typer.Option(
            "--switch-over",
            help="The primary answers and is to give its place up: it is stopped in order, and "
            "hands over all that it has.",
        ),
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make the replica of the database the primary: the old one is lost, or gives its place up.

    The old one is ended first and cannot take writes any more, whoever starts it. Posting, the API
    and commands find the new one by themselves; what it lacks is posted again from the decision
    log. `up` then makes the old one its replica. See docs/runbooks/database-primary-lost.md.

    --json prints {"primary", "fenced", "last_commit_at"}. Exit codes: 0 done; 3 a fault, or the
    primary answers.
    """
    from ledger.cli.stack import directory, teller

    place = directory(data_dir)
    from ledger.stack import promotion

    done = promotion.promote_replica(place, switch_over=switch_over, say=teller(errors()))
    last = done.last_commit.isoformat() if done.last_commit else None
    if as_json:
        print_json({"primary": done.primary, "fenced": done.fenced, "last_commit_at": last})
        return
    print_plain(f"{done.primary} is the primary; {done.fenced} takes no writes any more")
    print_plain(f"its last commit was of {last or 'no time'}; what it lacks is posted again")
    print_plain(f"`faust-ledger up` makes {done.fenced} its replica")
