"""What a download shows on a terminal while it goes on, between two files, and at its end."""

import io
from itertools import count

import pytest
from rich.console import Console
from rich.progress import Progress

from ledger.stack.progress import Bars, Lines, Pace


@pytest.fixture
def progress():
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    ticks = count()
    return Progress(
        Pace(), console=console, auto_refresh=False, get_time=lambda: float(next(ticks))
    )


def pace_of(progress):
    return Pace().render(progress.tasks[0]).plain


def test_between_two_files_nothing_stands_still_without_a_word(progress):
    with Bars(progress).meter("kafka") as meter:
        assert pace_of(progress) == "checking"
        meter.expect(100)
        meter.advance(100)
        assert pace_of(progress) == "checking"
        meter.expect(100)
        meter.advance(30)
        meter.advance(30)
        assert pace_of(progress).endswith("/s")
        assert progress.tasks[0].total == 200


def test_at_the_end_it_shows_how_long_it_took(progress):
    with Bars(progress).meter("kafka") as meter:
        meter.expect(100)
        meter.advance(100)
    assert pace_of(progress) == "in 0 s"


def test_in_a_pipe_there_are_two_lines():
    printed = io.StringIO()
    with Lines(Console(file=printed, width=80)).meter("kafka") as meter:
        meter.advance(3_000_000)
    assert printed.getvalue() == "Downloading kafka ...\nDownloaded kafka: 3 MB in 0 s\n"
