"""`faust-ledger reverse`: the transaction that takes another one back."""

import time
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ledger.cli.output import (
    FINDINGS,
    OK,
    TIME_UP,
    AsJson,
    DataDir,
    located,
    optional_time,
    print_json,
    print_note,
    print_refusal,
    require_utf8,
    run,
    settings_for,
    voided_since,
)
from ledger.clock import now

if TYPE_CHECKING:
    from ledger.client.outcomes import Tally
    from ledger.client.receipt import Receipt
    from ledger.domain.run import Refusal
    from ledger.domain.transaction import Draft
    from ledger.settings import Settings


def reverse(
    transaction_id: Annotated[
        str, typer.Argument(metavar="ID", help="The transaction to take back.")
    ],
    publish: Annotated[
        bool,
        typer.Option("--publish", help="Publish it, and wait until it is reconciled or refused."),
    ] = False,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Why, for the description of the reversal.")
    ] = None,
    effective: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            show_default="that of the original",
            help="When it is effective: RFC 3339, or a date for its first instant in UTC.",
        ),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=0, help="With --publish: seconds to wait for the outcome.")
    ] = 60,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Print the reversal of a transaction, as a line for `publish`; --publish sends it.

    It has the same entries with debit and credit exchanged, and the same ordering key. Its id is
    made of the original's, so that the same command again is a repetition and books nothing.
    Another reason or time for the same reversal is another content, and refused ID_REUSED.

    --json prints the same line; with --publish, an object with the reversal and its outcome.

    Exit codes: 0 printed, or reconciled; 1 the original is unknown, void or reversed already, or
    the reversal was refused, or a break touches it; 2 the time was up, or wrong usage; 3 a fault.
    """
    require_utf8(transaction_id, "ID")
    require_utf8(reason or "", "--reason")
    settings = settings_for(data_dir)
    at = optional_time(effective, "--effective")
    made = run(_reversal(settings, transaction_id, reason, at))
    if isinstance(made, str):
        print_note(made)
        raise typer.Exit(FINDINGS)
    if not publish:
        from ledger.client.reversal import line_of

        print_json(line_of(made))
        raise typer.Exit(OK)
    raise typer.Exit(run(_publish(settings, made, timeout, as_json=as_json)))


async def _reversal(
    settings: "Settings", transaction_id: str, reason: str | None, at: int | None
) -> "Draft | str":
    """The reversal, or a sentence about why there is none."""
    from ledger.cli.transaction import look_up
    from ledger.client.reversal import original_in, reversal_id, reversal_of, taken_back

    found = await look_up(settings, transaction_id, back=0)
    original = original_in(found)
    if isinstance(original, str):
        return original
    if at is not None and at < original.effective_at:
        raise typer.BadParameter(
            f"{transaction_id} was effective later, so nothing could be taken back then.",
            param_hint="--effective",
        )
    if found.books and any(each.reversals for each in found.books.found):
        before = await look_up(settings, reversal_id(transaction_id), back=0)
        if sentence := taken_back(transaction_id, before):
            return sentence
    return reversal_of(original, created_at=now(), effective_at=at, reason=reason)


async def _publish(settings: "Settings", draft: "Draft", seconds: float, *, as_json: bool) -> int:
    from ledger.client.outcomes import OutcomeWatch
    from ledger.client.publisher import Publisher
    from ledger.domain.refusal import Refused

    began = time.monotonic()
    async with (
        OutcomeWatch(settings, on_refused=partial(print_refusal_of, draft)) as outcomes,
        Publisher(settings) as publisher,
    ):
        sent = await publisher.publish(draft)
        if isinstance(sent, Refused):
            print_note(f"{sent.reason}: {located(sent.field, sent.sentence)}")
            return FINDINGS
        outcomes.add(sent)
        tally, done = await outcomes.wait(seconds)
    if as_json:
        print_json(_report(draft, sent, tally) | {"seconds": round(time.monotonic() - began, 3)})
    elif not tally.rejected:
        _print_outcome(draft, tally.duplicates, done=done)
    if tally.voided:
        print_note(voided_since(tally.voided))
    for found in tally.breaks:
        print_note(f"break: {found.account} {found.currency} in shard {found.shard}")
    bad = tally.rejected or tally.voided or tally.breaks
    return FINDINGS if bad else OK if done else TIME_UP


def print_refusal_of(draft: "Draft", shard: int, refusal: "Refusal") -> None:
    """Print why the reversal `draft` was refused."""
    from ledger.domain.refusal import Reason

    print_refusal(shard, refusal)
    if refusal.code == Reason.ID_REUSED:
        print_note(f"`faust-ledger transaction show {draft['reverses']}` names what reversed it.")


def _report(draft: "Draft", sent: "Receipt", tally: "Tally") -> dict[str, Any]:
    from ledger.client.reversal import line_of

    counts = ("accepted", "duplicates", "rejected", "reconciled", "voided")
    return {
        "transaction": line_of(draft),
        "shard": sent.shard,
        "offset": sent.offset,
        **{name: getattr(tally, name) for name in counts},
    }


def _print_outcome(draft: "Draft", duplicates: int, *, done: bool) -> None:
    if duplicates:
        print_note(
            f"{draft['transaction_id']} was in the ledger already: {draft['reverses']} is reversed "
            "once."
        )
    elif done:
        print(f"{draft['reverses']} is reversed by {draft['transaction_id']}, and reconciled.")
    else:
        print_note(
            f"{draft['transaction_id']} is published; the time is up, and it is not reconciled yet "
            "(`faust-ledger status`). It is safe to give this command again."
        )
