"""`faust-ledger publish`: publish transactions from JSON Lines."""

import os
import stat
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, cast

import typer

from ledger.cli.dating import is_undatable, open_past
from ledger.cli.output import (
    FINDINGS,
    OK,
    TIME_UP,
    AsJson,
    DataDir,
    located,
    meter,
    print_json,
    print_note,
    print_plain,
    print_refusal,
    run,
    settings_for,
    time_option,
    voided_since,
)
from ledger.clock import now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ledger.client.bulk import Line, LineCounts
    from ledger.client.outcomes import OutcomeWatch, Tally
    from ledger.client.past import Past
    from ledger.client.publisher import Publisher
    from ledger.domain.refusal import Refused
    from ledger.settings import Settings

SPOOL_BYTES = 16 * 1024 * 1024
STALLED_SECONDS = 10


@dataclass(frozen=True)
class PublishRequest:
    """The options; `created_at` in microseconds since 1970, None for the time of the input."""

    file: str
    wait: bool
    timeout: float | None
    strict: bool
    check: bool
    created_at: int | None


def publish(
    file: Annotated[str, typer.Argument(help="A file of JSON Lines, or - for standard input.")],
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until every transaction is reconciled or refused.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="With --wait: seconds to wait after the last line is published. "
            "Default: no limit.",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", help="Check all lines first, and publish nothing if a line is bad."
        ),
    ] = False,
    no_check: Annotated[
        bool,
        typer.Option(
            "--no-check", help="Publish whatever can be encoded, and leave checks to the service."
        ),
    ] = False,
    created_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|now",
            help="created_at of lines without one. `now` also promises that none of them was ever "
            "published. Default: the file's modification time; the present for standard input.",
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Publish transactions, one JSON object a line.

    {"transaction_id", "effective_at", "kind", "entries": [{"account", "side": "debit"|"credit",
    "amount": "12.34", "currency": "CAD"}, ...], "description"?, "ordering_key"?, "created_at"?,
    "reverses"?, "metadata"?}. Times are RFC 3339. A bad line is not published: stderr names its
    number and the reason. The other lines are published.

    The command first looks up the ids of lines without created_at in the general ledger, so that a
    transaction that was accepted long ago is not taken for a new one. Such lines need --created-at
    if the general ledger cannot be asked and the ledger is older than window_days, for which it
    remembers ids.

    Exit codes: 0 done, even if some lines were bad; 1 with --strict a bad line, a file that is too
    old or needs --created-at, or with --wait an open break that touches a transaction, or a
    transaction that was voided; 2 the time was up, or wrong usage; 3 a fault: it is safe to publish
    the same lines again.
    """
    at = None
    if created_at is not None:
        at = now() if created_at == "now" else time_option(created_at, "--created-at")
    request = PublishRequest(file, wait, timeout, strict, not no_check, at)
    raise typer.Exit(run(_publish(request, settings_for(data_dir), as_json=as_json)))


async def _publish(request: PublishRequest, settings: "Settings", *, as_json: bool) -> int:
    from ledger.client.bulk import LineCounts
    from ledger.client.outcomes import OutcomeWatch, Tally
    from ledger.client.publisher import Publisher

    began = time.monotonic()
    counts, tally, sent, done = LineCounts(), Tally() if request.wait else None, False, True
    async with AsyncExitStack() as stack:
        source = _open(request.file, spool=request.strict)
        stack.callback(source.close)
        past = open_past(settings, stack)
        if not await is_undatable(request, source, past):
            publisher = await stack.enter_async_context(Publisher(settings, check=request.check))
            outcomes = None
            if request.wait:
                watch = OutcomeWatch(settings, on_refused=print_refusal)
                outcomes = await stack.enter_async_context(watch)
            counts, sent = await _feed(request, source, publisher, outcomes, past)
            if outcomes is not None and sent:
                tally, done = await _wait(outcomes, counts.published, request.timeout)
    report = _report(counts, tally, time.monotonic() - began)
    if as_json:
        print_json(report)
    else:
        _print_report(report, tally if sent else None, done=done)
    if not sent or (tally is not None and (tally.breaks or tally.voided)):
        return FINDINGS
    return OK if done else TIME_UP


@dataclass(frozen=True)
class Input:
    """The lines; for a regular file also its size and its modification time in microseconds."""

    stream: BinaryIO
    size: int | None = None
    modified: int | None = None
    is_seekable: bool = False

    def created_at(self, request: PublishRequest) -> int:
        """For lines without one."""
        if request.created_at is not None:
            return request.created_at
        return now() if self.modified is None else self.modified

    def close(self) -> None:
        """Close the file; standard input stays open."""
        if self.stream is not _standard_input():
            self.stream.close()


def _open(file: str, *, spool: bool) -> Input:
    """With `spool`, what cannot be read twice is copied to a temporary file first."""
    try:
        # Unbuffered: Python crashes at exit while a thread still waits for a buffer.
        stream = _standard_input() if file == "-" else Path(file).open("rb", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from error
    if file != "-":
        found = os.fstat(stream.fileno())
        if stat.S_ISREG(found.st_mode):
            return Input(stream, found.st_size, found.st_mtime_ns // 1000, is_seekable=True)
    if not spool:
        return Input(stream)
    spooled = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - Input.close
    while chunk := stream.read(1 << 20):
        spooled.write(chunk)
    spooled.seek(0)
    return Input(cast("BinaryIO", spooled), is_seekable=True)


def _standard_input() -> BinaryIO:
    return cast("BinaryIO", getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))


async def _feed(
    request: PublishRequest,
    source: Input,
    publisher: "Publisher",
    outcomes: "OutcomeWatch | None",
    past: "Past",
) -> tuple["LineCounts", bool]:
    """Publish the lines. Returns False, with nothing sent, when --strict found a bad line."""
    from ledger.client.bulk import Feed
    from ledger.errors import LedgerError

    new_feed = partial(
        Feed,
        publisher,
        created_at=source.created_at(request),
        on_refused=_print_refused_line,
        past=past,
        promised=request.created_at is not None,
    )
    if request.strict:
        feed = new_feed()
        await _take_lines(source, "Checking", feed.check)
        if feed.counts.refused:
            return feed.counts, False
        source.stream.seek(0)
    feed = new_feed(on_receipt=outcomes.add if outcomes is not None else lambda receipt: None)
    try:
        await _take_lines(source, "Publishing", feed.publish)
        await feed.finish()
    except LedgerError:
        print_note(
            f"{feed.counts.published} of {feed.counts.lines} lines were acknowledged before this:"
        )
        raise
    return feed.counts, True


async def _take_lines(
    source: Input, what: str, take: "Callable[[list[Line]], Awaitable[None]]"
) -> None:
    from ledger.client.bulk import lines_of

    with meter(what, source.size, in_bytes=True) as shown:
        async for found in lines_of(source.stream, shown):
            await take(found)


def _print_refused_line(number: int, refused: "Refused") -> None:
    print_note(f"line {number}: {refused.reason}: {located(refused.field, refused.sentence)}")


async def _wait(
    outcomes: "OutcomeWatch", published: int, seconds: float | None
) -> tuple["Tally", bool]:
    with meter("Reconciling", published) as shown:
        last, since, warned = 0, time.monotonic(), False

        def show(tally: "Tally") -> None:
            nonlocal last, since, warned
            moved = tally.accepted + tally.reconciled + tally.rejected + tally.duplicates
            if moved != last:
                last, since = moved, time.monotonic()
            elif not warned and time.monotonic() - since > STALLED_SECONDS:
                warned = True
                print_note(f"No progress for {STALLED_SECONDS} s: is a worker running? "
                           "(`faust-ledger status`)")  # fmt: skip
            shown(tally.reconciled + tally.rejected + tally.duplicates)

        return await outcomes.wait(seconds, on_tally=show)


def _report(counts: "LineCounts", tally: "Tally | None", seconds: float) -> dict[str, Any]:
    """The object that --json prints; the counts of `tally` are null without --wait."""
    return {
        "lines": counts.lines,
        "published": counts.published,
        "accepted": tally and tally.accepted,
        "rejected": counts.refused + (tally.rejected if tally else 0),
        "duplicates": tally and tally.duplicates,
        "reconciled": tally and tally.reconciled,
        "seconds": round(seconds, 3),
        "voided": tally and tally.voided,
    }


def _print_report(report: dict[str, Any], tally: "Tally | None", *, done: bool) -> None:
    print(f"{report['published']:,} of {report['lines']:,} lines published "
          f"in {report['seconds']:.1f} s, {report['rejected']:,} rejected")  # fmt: skip
    if tally is None:
        return
    print(f"{tally.accepted:,} accepted, {tally.duplicates:,} duplicates, "
          f"{tally.reconciled:,} reconciled")  # fmt: skip
    if tally.voided:
        print_plain(voided_since(tally.voided))
    for found in tally.breaks:
        print_plain(f"break: {found.account} {found.currency} in shard {found.shard}")
    if not done:
        print("The time is up; not all of them are reconciled yet.")
