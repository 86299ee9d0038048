"""`faust-ledger publish`: transactions from JSON Lines."""

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

from ledger.cli.dating import opened, undatable
from ledger.cli.output import (
    OK,
    REFUSED,
    TIME_UP,
    AsJson,
    DataDir,
    meter,
    print_json,
    run,
    say,
    settings_for,
    tell,
    time_option,
    voided_since,
)

if TYPE_CHECKING:
    from ledger.client.bulk import Counts
    from ledger.client.outcomes import Outcomes, Tally
    from ledger.client.past import Past
    from ledger.client.publisher import Publisher
    from ledger.domain.refusal import Refused
    from ledger.domain.run import Refusal
    from ledger.settings import Settings

SPOOL_BYTES = 16 * 1024 * 1024
STILL_SECONDS = 10


def register(app: typer.Typer) -> None:
    """Add `publish`."""
    app.command()(publish)


@dataclass(frozen=True)
class Wish:
    """What was asked for; `created_at` in microseconds since 1970, None: as the source says."""

    file: str
    wait: bool
    timeout: float | None
    strict: bool
    check: bool
    created_at: int | None


def publish(
    file: Annotated[str, typer.Argument(help="A file of JSON Lines, or - for standard input.")],
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when each is reconciled or refused.")
    ] = False,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="With --wait: seconds to wait after the last was published. "
            "Default: as long as it takes.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Check all lines first; send nothing if one is bad.")
    ] = False,
    no_check: Annotated[
        bool,
        typer.Option("--no-check", help="Send whatever can be encoded; the service refuses it."),
    ] = False,
    created_at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME|now",
            help="created_at of lines without one; `now` also promises that none was ever "
            "published. Default: the file's modification time, the present for standard input.",
        ),
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Publish transactions, one JSON object a line.

    {"transaction_id", "effective_at", "kind", "entries": [{"account", "side": "debit"|"credit",
    "amount": "12.34", "currency": "CAD"}, ...], "description"?, "ordering_key"?, "created_at"?,
    "reverses"?, "metadata"?}. Times are RFC 3339. A bad line is sent to nobody and reported on
    stderr with its number; the others are sent.

    Ids of lines without created_at are looked up in the general ledger first, so that what was
    accepted before is not taken for new, however long ago. Where it cannot be asked, and the
    ledger is older than it remembers ids (window_days), such lines need --created-at.

    Exit codes: 0 done, whatever lines were bad; 1 with --strict a bad line, a file that is too old
    or needs --created-at, or with --wait an open break that touches a transaction, or one that was
    voided since; 2 the time was up, or wrong usage; 3 a fault: publishing the same again is safe.
    """
    wish = Wish(file, wait, timeout, strict, not no_check, _created_at(created_at))
    raise typer.Exit(run(_publish(wish, settings_for(data_dir), as_json=as_json)))


def _created_at(text: str | None) -> int | None:
    if text is None:
        return None
    return time.time_ns() // 1000 if text == "now" else time_option(text, "--created-at")


async def _publish(wish: Wish, settings: "Settings", *, as_json: bool) -> int:
    from ledger.client.bulk import Counts
    from ledger.client.outcomes import Outcomes
    from ledger.client.publisher import Publisher

    began = time.monotonic()
    counts, tally, sent, done = Counts(), None, False, True
    async with AsyncExitStack() as stack:
        source = _open(wish.file, spool=wish.strict)
        stack.callback(source.close)
        past = opened(settings, stack)
        if not await undatable(wish, source, past):
            publisher = await stack.enter_async_context(Publisher(settings, check=wish.check))
            outcomes = None
            if wish.wait:
                watching = Outcomes(settings, on_refused=_say_refusal)
                outcomes = await stack.enter_async_context(watching)
            counts, sent = await _feed(wish, source, publisher, outcomes, past)
            if outcomes is not None and sent:
                tally, done = await _settle(outcomes, counts.published, wish.timeout)
    report = _report(counts, tally, time.monotonic() - began, waited=wish.wait)
    print_json(report) if as_json else _say_report(report, tally, done=done)
    if not sent or (tally is not None and (tally.breaks or tally.voided)):
        return REFUSED
    return OK if done else TIME_UP


@dataclass(frozen=True)
class Source:
    """The lines; of a regular file also its size, and when it was modified in microseconds."""

    stream: BinaryIO
    size: int | None = None
    modified: int | None = None
    again: bool = False
    """Whether it can be read twice."""

    def created_at(self, wish: Wish) -> int:
        """Of lines that do not say."""
        if wish.created_at is not None:
            return wish.created_at
        return time.time_ns() // 1000 if self.modified is None else self.modified

    def close(self) -> None:
        """Standard input is not ours to close."""
        if self.stream is not _standard_input():
            self.stream.close()


def _open(file: str, *, spool: bool) -> Source:
    """What cannot be read twice is spooled to a temporary file where it must be."""
    try:
        # Unbuffered: a thread that still waits for a buffer at the end of Python is fatal to it.
        stream = _standard_input() if file == "-" else Path(file).open("rb", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise typer.BadParameter(f"{file}: {error.strerror}", param_hint="FILE") from error
    if file != "-":
        found = os.fstat(stream.fileno())
        if stat.S_ISREG(found.st_mode):
            return Source(stream, found.st_size, found.st_mtime_ns // 1000, again=True)
    if not spool:
        return Source(stream)
    spooled = tempfile.SpooledTemporaryFile(SPOOL_BYTES)  # noqa: SIM115 - Source.close
    while chunk := stream.read(1 << 20):
        spooled.write(chunk)
    spooled.seek(0)
    return Source(cast("BinaryIO", spooled), again=True)


def _standard_input() -> BinaryIO:
    return cast("BinaryIO", getattr(sys.stdin.buffer, "raw", sys.stdin.buffer))


async def _feed(
    wish: Wish,
    source: Source,
    publisher: "Publisher",
    outcomes: "Outcomes | None",
    past: "Past",
) -> tuple["Counts", bool]:
    """Publish the source; False, with nothing sent, when --strict found a bad line."""
    from ledger.client.bulk import Feed, lines_of
    from ledger.errors import LedgerError

    made = partial(
        Feed,
        publisher,
        created_at=source.created_at(wish),
        on_refused=_say_refused,
        past=past,
        promised=wish.created_at is not None,
    )
    if wish.strict:
        feed = made()
        with meter("Checking", source.size, in_bytes=True) as shown:
            async for found in lines_of(source.stream, shown):
                await feed.check(found)
        if feed.counts.refused:
            return feed.counts, False
        source.stream.seek(0)
    on_receipt = outcomes.add if outcomes is not None else (lambda receipt: None)
    feed = made(on_receipt=on_receipt)
    try:
        with meter("Publishing", source.size, in_bytes=True) as shown:
            async for found in lines_of(source.stream, shown):
                await feed.publish(found)
            await feed.finish()
    except LedgerError:
        say(f"{feed.counts.published} of {feed.counts.lines} lines were acknowledged before this:")
        raise
    return feed.counts, True


def _say_refused(number: int, refused: "Refused") -> None:
    say(f"line {number}: {refused.reason}: {_located(refused.field, refused.sentence)}")


def _say_refusal(shard: int, refusal: "Refusal") -> None:
    name = refusal.transaction_id or f"shard {shard} offset {refusal.offset}"
    say(f"{name}: {refusal.code}: {_located(refusal.field, refusal.reason)}")


def _located(field: str, sentence: str) -> str:
    return sentence if field in sentence else f"{field}: {sentence}"


async def _settle(
    outcomes: "Outcomes", published: int, seconds: float | None
) -> tuple["Tally", bool]:
    with meter("Reconciling", published) as shown:
        last, since, told = 0, time.monotonic(), False

        def tell(tally: "Tally") -> None:
            nonlocal last, since, told
            moved = tally.accepted + tally.reconciled + tally.rejected + tally.duplicates
            if moved != last:
                last, since = moved, time.monotonic()
            elif not told and time.monotonic() - since > STILL_SECONDS:
                told = True
                say(f"Nothing has moved for {STILL_SECONDS} s: does a worker run? "
                    "(`faust-ledger status`)")  # fmt: skip
            shown(tally.reconciled + tally.rejected + tally.duplicates)

        return await outcomes.settle(seconds, on_tally=tell)


def _report(
    counts: "Counts", tally: "Tally | None", seconds: float, *, waited: bool
) -> dict[str, Any]:
    """What --json prints; what only --wait finds out is null without it."""
    known = waited and tally is not None
    nothing = 0 if waited else None
    return {
        "lines": counts.lines,
        "published": counts.published,
        "accepted": tally.accepted if known and tally else nothing,
        "rejected": counts.refused + (tally.rejected if tally else 0),
        "duplicates": tally.duplicates if known and tally else nothing,
        "reconciled": tally.reconciled if known and tally else nothing,
        "seconds": round(seconds, 3),
        "voided": tally.voided if known and tally else nothing,
    }


def _say_report(report: dict[str, Any], tally: "Tally | None", *, done: bool) -> None:
    print(f"{report['published']:,} of {report['lines']:,} lines published "
          f"in {report['seconds']:.1f} s, {report['rejected']:,} rejected")  # fmt: skip
    if tally is None:
        return
    print(f"{tally.accepted:,} accepted, {tally.duplicates:,} duplicates, "
          f"{tally.reconciled:,} reconciled")  # fmt: skip
    if tally.voided:
        tell(voided_since(tally.voided))
    for found in tally.breaks:
        tell(f"break: {found.account} {found.currency} in shard {found.shard}")
    if not done:
        print("The time is up; not all of them are reconciled yet.")
