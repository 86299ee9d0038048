"""What commands share: options, settings, the event loop, output for people and for programs."""

import json
import os
import sys
from collections.abc import (
    AsyncIterator,
    Callable,
    Collection,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, TypeVar

import typer

from ledger.clock import now
from ledger.hiding import hidden
from ledger.terminal import columns_of, console, folded, plain_lines, print_table

if TYPE_CHECKING:
    from rich.console import Console

    from ledger.audit.reading import Sources, StreamSources
    from ledger.domain.run import Refusal
    from ledger.settings import Settings

OK = 0
FINDINGS = 1
TIME_UP = 2

T = TypeVar("T")

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", envvar="FAUST_LEDGER_DATA_DIR", show_default=False,
        help="Data directory of the stack and its workers. Default: the setting data_dir.",
    ),
]  # fmt: skip
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, for programs.")]
Timeout = Annotated[float, typer.Option(min=0, help="Seconds to wait for every shard.")]
Reason = Annotated[
    str, typer.Option(help="Who asked for this, and why. It is recorded with the change.")
]


def settings_for(data_dir: Path | None) -> "Settings":
    """The settings of this command. Loopback addresses are excluded from an HTTP proxy."""
    from ledger.proxies import around_proxies
    from ledger.settings import load, require_ledger

    os.environ.update(around_proxies())
    settings = load(data_dir)
    require_ledger(settings)
    return settings


def founded_settings(data_dir: Path | None) -> "Settings":
    """`settings_for`, with the number of shards that the ledger's policy has."""
    from ledger.client.shards import as_founded

    return run(as_founded(settings_for(data_dir)))


def run(work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, run on uvloop."""
    import asyncio

    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@asynccontextmanager
async def open_sources(settings: "Settings") -> "AsyncIterator[Sources]":
    """The topics and the general ledger, as audits read them."""
    from ledger.audit.reading import Sources
    from ledger.client.shards import as_founded
    from ledger.gl.databases import open_journal

    settings = await as_founded(settings)
    sources = Sources.of(settings, open_journal(settings.database_url))
    try:
        yield sources
    finally:
        await sources.close()


@asynccontextmanager
async def open_stream(settings: "Settings") -> "AsyncIterator[StreamSources]":
    """The positions that the topics have, without the general ledger."""
    from ledger.audit.reading import StreamSources
    from ledger.client.shards import as_founded

    sources = StreamSources.of_progress(await as_founded(settings))
    try:
        yield sources
    finally:
        await sources.close()


def print_json(found: Mapping[str, Any]) -> None:
    """Print one object on a line of stdout."""
    # Escaped: some readers of lines take U+2028 for the end of one.
    print(json.dumps(found))


def print_plain(text: str) -> None:
    """Print lines on stdout, with control characters that a producer wrote spelt out."""
    print(plain_lines(text))


def print_note(text: str) -> None:
    """Print lines on stderr, without passwords or control characters."""
    # Not typer's echo, which writes UTF-8 where ASCII was asked for.
    print(plain_lines(hidden(text)), file=sys.stderr, flush=True)


def print_sentence(text: str, file: TextIO | None = None) -> None:
    """Print a sentence on `file` or stdout, folded between words on a terminal."""
    out = sys.stdout if file is None else file
    print(*folded(plain_lines(text), columns_of(out)), sep="\n", file=out, flush=file is not None)


def print_rows(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print a table of `rows`, which have a value or None for each name in `columns`."""
    print_table(
        columns,
        [["" if row[name] is None else str(row[name]) for name in columns] for row in rows],
    )


def errors() -> "Console":
    """A rich console on stderr."""
    return console(sys.stderr)


Meter = Callable[[int], None]
"""Takes how much is done so far."""


@contextmanager
def meter(what: str, total: int | None, *, in_bytes: bool = False) -> Iterator[Meter]:
    """A progress bar on stderr if that is a terminal, nothing otherwise."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    count = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), count, TimeElapsedColumn())
    with Progress(*columns, console=errors(), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def time_option(text: str, name: str) -> int:
    """Microseconds since 1970 of the option `name`: RFC 3339, now, or a date for its start in UTC.

    Anything else, and a time outside the years of a ledger, is a usage error.
    """
    if text == "now":
        return now()
    from ledger.client.lines import parse_time

    found = parse_time(text if "T" in text.upper() or " " in text else f"{text}T00:00:00Z")
    if isinstance(found, str):
        sentence = f"{text!r} {found}; or give a date, 2024-05-01, or now."
        raise typer.BadParameter(sentence, param_hint=name)
    return micros_in_range(found, text, name)


def micros_in_range(micros: int, text: str, name: str) -> int:
    """`micros`, which `text` of the option `name` gave; a usage error outside a ledger's years."""
    from ledger.domain.transaction import EARLIEST, LATEST

    if not EARLIEST <= micros <= LATEST:
        sentence = f"{text!r} is out of range: a ledger takes the years 1900 to 2199."
        raise typer.BadParameter(sentence, param_hint=name)
    return micros


def optional_time(text: str | None, name: str) -> int | None:
    """`time_option`, or None for an option that was not given."""
    return None if text is None else time_option(text, name)


def require_order(start: int | None, end: int | None) -> None:
    """A usage error unless --from is before --to."""
    if start is not None and end is not None and start >= end:
        raise typer.BadParameter("is not after --from, so nothing is between.", param_hint="--to")


def require_utf8(given: str, name: str) -> None:
    """A usage error for an argument of bytes that are no text, which nothing has for an id."""
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise typer.BadParameter("is not UTF-8.", param_hint=name) from error


def require_choice(
    given: str, known: Collection[str], name: str, what: str, *, listed: bool = True
) -> None:
    """A usage error unless `given`, a value of the option `name`, is in `known`, called `what`.

    The message has the known ones, if they are to be `listed`.
    """
    if given in known:
        return
    from ledger.settings_sources import nearest

    rest = f" There are: {', '.join(known)}." if listed else ""
    raise typer.BadParameter(
        f"{given!r} is no {what}.{nearest(given, known)}{rest}", param_hint=name
    )


def print_refusal(shard: int, refusal: "Refusal") -> None:
    """Print the refusal of a record on stderr, by its id, or its place if it has none."""
    name = refusal.transaction_id or f"shard {shard} offset {refusal.offset}"
    print_note(f"{name}: {refusal.code}: {located(refusal.field, refusal.reason)}")


def located(field: str, sentence: str) -> str:
    """`sentence`, with the name of the field unless it has it."""
    return sentence if field in sentence else f"{field}: {sentence}"


def note_behind(done: str, shards: Sequence[int], seconds: float) -> None:
    """Report the shards that did not start to use a change within `seconds`."""
    if shards:
        print_note(
            f"{done}, but shards {', '.join(map(str, shards))} did not take it up within "
            f"{seconds:.0f} s: is a worker running? (`faust-ledger status`) They take it up as "
            "soon as one runs."
        )


def print_voids(voids: Sequence[Mapping[str, Any]]) -> None:
    """Print the transactions that were voided, with the reason. Every audit shows them."""
    if not voids:
        return
    print(f"{len(voids):,} void by authority, counted nowhere (`faust-ledger void list`)")
    columns: dict[str, Any] = {
        "shard": "right", "offset": "right", "transaction": "left", "voided at": "right",
        "reason": "prose",
    }  # fmt: skip
    print_rows(columns, [{**each, "voided at": each["void_offset"]} for each in voids])


def voided_since(count: int) -> str:
    """The sentence about accepted transactions that were voided before they were posted."""
    return (
        f"{count:,} of them could not be posted and were voided: they do not count "
        "(`faust-ledger void list`)"
    )
