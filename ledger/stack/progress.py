"""How far a download is: a bar on a terminal, plain lines elsewhere; always on stderr."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TransferSpeedColumn,
)

from ledger.errors import StackError


class Meter(Protocol):
    """What a download reports to; sizes in bytes."""

    def expect(self, size: int) -> None:
        """That much more is coming."""

    def advance(self, size: int) -> None:
        """That much has arrived."""


class Silent:
    """A meter that nobody looks at."""

    def expect(self, size: int) -> None:
        """Nothing."""

    def advance(self, size: int) -> None:
        """Nothing."""


class Bar:
    """A meter on a `rich` progress bar; safe to use from several threads."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._expected = 0

    def expect(self, size: int) -> None:
        """Lengthen the bar."""
        self._expected += size
        self._progress.update(self._task, total=self._expected)

    def advance(self, size: int) -> None:
        """Fill it further."""
        self._progress.advance(self._task, size)


class Stoppable:
    """A meter through which a download is told to give up: it raises in the download's thread."""

    def __init__(self, meter: Meter, stop: Event) -> None:
        self._meter = meter
        self._stop = stop

    def expect(self, size: int) -> None:
        """Pass it on; `StackError` once told to stop."""
        self._check()
        self._meter.expect(size)

    def advance(self, size: int) -> None:
        """Pass it on; `StackError` once told to stop."""
        self._check()
        self._meter.advance(size)

    def _check(self) -> None:
        if self._stop.is_set():
            raise StackError("The download was interrupted; the next `up` begins it again.")


class Meters(Protocol):
    """Opens a meter for each thing that is downloaded."""

    @contextmanager
    def meter(self, title: str) -> Iterator[Meter]:
        """A meter for `title`, until it is done."""
        yield Silent()


class Quiet:
    """Opens meters that nobody looks at."""

    @contextmanager
    def meter(self, title: str) -> Iterator[Meter]:
        """A silent one."""
        yield Silent()


class Lines:
    """A line when something begins and one when it is done, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def meter(self, title: str) -> Iterator[Meter]:
        """Announce `title`, count, and say how much it was."""
        self._console.print(f"Downloading {title} ...", highlight=False)
        counted, began = Counter(), time.monotonic()
        yield counted
        took = time.monotonic() - began
        self._console.print(
            f"Downloaded {title}: {counted.total / 1e6:.0f} MB in {took:.0f} s", highlight=False
        )


class Counter:
    """A meter that adds up."""

    def __init__(self) -> None:
        self.total = 0

    def expect(self, size: int) -> None:
        """Nothing: what arrives is what counts."""

    def advance(self, size: int) -> None:
        """Add it."""
        self.total += size


class Bars:
    """One bar for each thing, on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def meter(self, title: str) -> Iterator[Meter]:
        """A bar called `title`."""
        yield Bar(self._progress, self._progress.add_task(title, total=None))


@contextmanager
def shown(console: Console) -> Iterator[Meters]:
    """Bars where `console` is a terminal, lines where not."""
    # Not rich's is_terminal, which FORCE_COLOR makes true of a pipe.
    if not console.file.isatty():
        yield Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield Bars(progress)
