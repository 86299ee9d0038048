"""`faust-ledger publish`: publish transactions from JSON Lines or CSV."""

import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from ledger.cli.dating import is_undatable, open_past
from ledger.cli.line_input import CsvOption, FileArgument, Input, open_input
from ledger.cli.outcome_lines import OutcomeLines, OutcomesOption, open_outcomes
from ledger.cli.output import (
    FINDINGS,
    OK,
    TIME_UP,
    AsJson,
    DataDir,
    located,
    meter,
    optional_time,
    print_json,
    print_note,
    run,
    settings_for,
)
from ledger.cli.publish_report import print_summary, summary_of, wait_for_outcomes
from ledger.clock import now
from ledger.errors import LedgerError

if TYPE_CHECKING:
    from ledger.client.bulk import LineCounts, Row
    from ledger.client.outcomes import Tally
    from ledger.client.past import Past
    from ledger.client.publisher import Publisher
    from ledger.client.receipt import LineOutcome
    from ledger.domain.run import Refusal
    from ledger.settings import Settings

CreatedAt = Annotated[
    str | None,
    typer.Option(
        metavar="TIME|now",
        help="created_at of lines without one. `now` also promises that none of them was ever "
        "published. Default: the file's modification time; the present for standard input.",
    ),
]


@dataclass(frozen=True)
class PublishRequest:
    """The options; `created_at` in microseconds since 1970, None for the time of the input."""

    file: str
    csv: Path | None = None
    wait: bool = False
    timeout: float | None = None
    strict: bool = False
    check: bool = True
    allow_rejects: bool = False
    created_at: int | None = None
    outcomes: TextIO | None = None

    def default_time(self, source: Input) -> int:
        """created_at of lines without one."""
        return source.default_time() if self.created_at is None else self.created_at


def publish(
    file: FileArgument,
    csv: CsvOption = None,
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
    allow_rejects: Annotated[
        bool,
        typer.Option("--allow-rejects", help="End with 0 although lines were refused."),
    ] = False,
    created_at: CreatedAt = None,
    outcomes: OutcomesOption = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Publish transactions, one JSON object a line, or the rows of a CSV file.

    {"transaction_id", "effective_at", "kind", "entries": [{"account", "side": "debit"|"credit",
    "amount": "12.34", "currency": "CAD"}, ...], "description"?, "ordering_key"?, "created_at"?,
    "reverses"?, "metadata"?}. Times are RFC 3339. A bad line is not published: stderr names its
    number and the reason. The other lines are published. `faust-ledger check` publishes nothing.

    With --csv a mapping states which columns these fields come from; a row is an entry, or a
    transaction of two entries (docs/producers.md).

    --outcomes writes one JSON object about each line. `outcome` is refused, published (Kafka has
    it), unknown (Kafka did not acknowledge it) and, with --wait, accepted, duplicate or voided.

    The command first looks up the ids of lines without created_at in the general ledger, so that a
    transaction that was accepted long ago is not taken for a new one. Such lines need --created-at
    if the general ledger cannot be asked and the ledger is older than window_days, for which it
    remembers ids.

    Exit codes: 0 done, and nothing was refused; 1 a line was refused, here or (known with --wait)
    by the ledger, unless --allow-rejects is given; a file that is too old or needs --created-at;
    with --wait an open break that touches a transaction, or a transaction that was voided; 2 the
    time was up, or wrong usage; 3 a fault: it is safe to publish the same lines again.
    """
    request = PublishRequest(
        file, csv, wait, timeout, strict, not no_check, allow_rejects, created_at_of(created_at),
        open_outcomes(outcomes, file, as_json=as_json),
    )  # fmt: skip
    with usage_errors():
        raise typer.Exit(run(_publish(request, settings_for(data_dir), as_json=as_json)))


def created_at_of(text: str | None) -> int | None:
    """Microseconds since 1970 of the option --created-at."""
    return now() if text == "now" else optional_time(text, "--created-at")


@contextmanager
def usage_errors() -> Iterator[None]:
    """A mapping that is none, or not that of the file, is a usage error."""
    try:
        yield
    except LedgerError as error:
        from ledger.client.csv_mapping import MappingError

        if isinstance(error, MappingError):
            raise typer.BadParameter(str(error), param_hint="--csv") from error
        raise


async def _publish(request: PublishRequest, settings: "Settings", *, as_json: bool) -> int:
    from ledger.client.bulk import LineCounts
    from ledger.client.outcomes import Tally
    from ledger.client.publisher import Publisher

    began = time.monotonic()
    counts, tally, sent, done = LineCounts(), Tally() if request.wait else None, False, True
    async with AsyncExitStack() as stack:
        source = await open_input(request.file, request.csv, spool=request.strict)
        stack.callback(source.close)
        past = open_past(settings, stack)
        # First: where Kafka is away that is the reason, and not a line without created_at.
        publisher = await stack.enter_async_context(Publisher(settings, check=request.check))
        if not await is_undatable(request, source, past):
            report = _Report(request, settings)
            stack.enter_context(report.lines)
            if report.watch is not None:
                await stack.enter_async_context(report.watch)
            counts, sent = await _feed(request, source, publisher, report, past)
            if report.watch is not None and sent:
                tally, done = await wait_for_outcomes(
                    report.watch, counts.published, request.timeout
                )
    summary = summary_of(counts, tally, time.monotonic() - began)
    if as_json:
        print_json(summary)
    else:
        print_summary(
            summary, tally if sent else None, done=done, quiet=request.outcomes is sys.stdout
        )
    if not sent or _is_finding(request, summary, tally):
        return FINDINGS
    return OK if done else TIME_UP


def _is_finding(request: PublishRequest, summary: dict[str, Any], tally: "Tally | None") -> bool:
    if summary["rejected"] and not request.allow_rejects:
        return True
    return tally is not None and bool(tally.breaks or tally.voided)


class _Report:
    """Prints refusals as they come, writes outcomes, and has what is published watched."""

    def __init__(self, request: PublishRequest, settings: "Settings") -> None:
        from ledger.client.outcomes import OutcomeWatch

        self.watch = OutcomeWatch(settings, on_refused=self.refused) if request.wait else None
        self.lines = OutcomeLines(request.outcomes, self.watch)

    def take(self, found: "LineOutcome") -> None:
        """Take the outcome of a line."""
        print_refused_line(found)
        if found.receipt is not None and self.watch is not None:
            self.watch.add(found.receipt, found.line)
        self.lines.add(found)

    def check(self, found: "LineOutcome") -> None:
        """Take the outcome of a line that is only checked so far."""
        print_refused_line(found)
        self.lines.hold(found)

    def refused(self, shard: int, refusal: "Refusal") -> None:
        """Take the ledger's refusal of a line that was published."""
        from ledger.client.receipt import Receipt

        assert self.watch is not None, "it reports the refusal"
        receipt = Receipt(shard, refusal.offset)
        name = refusal.transaction_id or f"shard {shard} offset {refusal.offset}"
        print_note(f"line {self.watch.line_of(receipt)}: {name}: {refusal.code}: "
                   f"{located(refusal.field, refusal.reason)}")  # fmt: skip
        self.lines.refused_by_ledger(receipt, refusal)


def print_refused_line(found: "LineOutcome") -> None:
    """Print a line's number and the reason on stderr, if it was refused."""
    if (refused := found.refused) is not None:
        why = located(refused.field, refused.sentence)
        print_note(f"line {found.line}: {refused.reason}: {why}")


async def _feed(
    request: PublishRequest, source: Input, publisher: "Publisher", report: _Report, past: "Past"
) -> tuple["LineCounts", bool]:
    """Publish the lines. Returns False, with nothing sent, when --strict found a bad line."""
    from ledger.client.bulk import Feed

    new_feed = partial(
        Feed["Publisher"],
        publisher,
        created_at=request.default_time(source),
        past=past,
        promised=request.created_at is not None,
    )
    if request.strict:
        feed = new_feed(on_outcome=report.check)
        await take_lines(source, "Checking", feed.check)
        if feed.counts.refused:
            return feed.counts, False
        source.rewind()
        report.lines.drop_held()
    feed = new_feed(on_outcome=report.take)
    try:
        await take_lines(source, "Publishing", feed.publish)
        await feed.finish()
    except LedgerError:
        print_note(
            f"{feed.counts.published} of {feed.counts.lines} lines were acknowledged before this:"
        )
        raise
    return feed.counts, True


async def take_lines(
    source: Input,
    what: str,
    take: "Callable[[Sequence[tuple[int, bytes | Row]]], Awaitable[None]]",
) -> None:
    """Pass all lines to `take`, with a meter called `what`."""
    with meter(what, source.size, in_bytes=True) as shown:
        async for found in source.lines(shown):
            await take(found)
