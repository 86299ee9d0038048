"""How far a download is: a bar on a terminal, plain lines elsewhere; always on stderr."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from ledger.errors import StackError


class Meter:
    """What a download reports to; sizes in bytes. This one only counts."""

    def __init__(self) -> None:
        self.expected = self.arrived = 0

    def expect(self, size: int) -> None:
        """That much more is coming."""
        self.expected += size

    def advance(self, size: int) -> None:
        """That much has arrived."""
        self.arrived += size


class Stoppable(Meter):
    """Passes on to a meter; raises `StackError` in the download's thread once it is to stop."""

    def __init__(self, meter: Meter, stop: Event) -> None:
        super().__init__()
        self._meter, self._stop = meter, stop

    def expect(self, size: int) -> None:
        self._check()
        self._meter.expect(size)

    def advance(self, size: int) -> None:
        self._check()
        self._meter.advance(size)

    def _check(self) -> None:
        if self._stop.is_set():
            raise StackError("The download was interrupted; the next `up` begins it again.")


class Meters:
    """Opens a meter for each thing that is downloaded. These show nothing."""

    @contextmanager
    def meter(self, title: str) -> Iterator[Meter]:
        """A meter for `title`, until it is done."""
        yield Meter()


class Lines(Meters):
    """A line when something begins and one when it is done, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def meter(self, title: str) -> Iterator[Meter]:
        self._console.print(f"Downloading {title} ...", highlight=False)
        meter, began = Meter(), time.monotonic()
        yield meter
        took = time.monotonic() - began
        self._console.print(
            f"Downloaded {title}: {meter.arrived / 1e6:.0f} MB in {took:.0f} s", highlight=False
        )


class Bar(Meter):
    """A meter on a task of `rich`'s progress."""

    def __init__(self, progress: Progress, title: str) -> None:
        super().__init__()
        self._progress, self._began = progress, time.monotonic()
        self._task = progress.add_task(title, total=None)

    def expect(self, size: int) -> None:
        super().expect(size)
        self._progress.update(self._task, total=self.expected)

    def advance(self, size: int) -> None:
        super().advance(size)
        self._progress.update(self._task, completed=self.arrived)

    def close(self) -> None:
        """Everything is there: show how long it took."""
        self._progress.update(self._task, seconds=time.monotonic() - self._began)


class Pace(ProgressColumn):
    """Speed while bytes arrive; then how long it took. Between two files, what is done there."""

    def render(self, task: Task) -> Text:
        if "seconds" in task.fields:
            return Text(f"in {task.fields['seconds']:.0f} s")
        if task.total is None or task.completed >= task.total or not task.speed:
            return Text("checking")
        return Text(f"{decimal(int(task.speed))}/s")


class Bars(Meters):
    """One bar for each thing, on a terminal; safe to use from several threads."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def meter(self, title: str) -> Iterator[Meter]:
        bar = Bar(self._progress, title)
        yield bar
        bar.close()


@contextmanager
def shown(console: Console) -> Iterator[Meters]:
    """Bars where `console` is a terminal, lines where not."""
    # Not rich's is_terminal, which FORCE_COLOR makes true of a pipe.
    if not console.file.isatty():
        yield Lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(20), DownloadColumn(), Pace())
    with Progress(*columns, console=console) as progress:
        yield Bars(progress)
