"""`python -m agents stream|posting|history --data-dir D --name N`: one application of a worker."""

import argparse
import asyncio
import ctypes
import gc
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import faust
import uvloop

from agents import wiring
from agents.history import HistoryStage
from agents.progress import Progress
from agents.runtime.app import LedgerApp, exit_of
from agents.runtime.health import Answers, Figures
from agents.runtime.runtime import Task
from agents.runtime.topic_watch import TopicWatch, require_topics
from ledger import settings as configuration
from ledger.errors import LedgerError, SettingsError, Unavailable
from ledger.health.application import LOOP_SECONDS, Health
from ledger.health.exits import Exit
from ledger.health.partitions import current_partition
from ledger.health.waiting import waited_for
from ledger.hiding import log_to_stderr
from ledger.settings import Settings
from ledger.streaming.connection import why_unavailable
from ledger.streaming.log import Log
from ledger.streaming.registry import Codec, codec_of
from ledger.streaming.store import mend, require_format, require_room
from ledger.streaming.topics import topics

REACH_SECONDS = 15.0
TRIM_SECONDS = 10.0
GATHER_SECONDS = {"history": 0.1}
"""Seconds between a fetch that brought records and the next one, by application.

Nobody waits for history, and a fetch costs the same whatever it brings.
"""


def main() -> None:
    """Run until told to stop, or until the supervisor is gone."""
    parser = argparse.ArgumentParser(prog="python -m agents")
    parser.add_argument("application", choices=list(APPLICATIONS))
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--parent", type=int, help="a pipe's end that closes with the supervisor")
    options = parser.parse_args()
    log_to_stderr()
    # That a service inside Faust starts or stops is of no use to an operator.
    for name in ("faust", "mode"):
        logging.getLogger(name).setLevel("WARNING")
    logging.getLogger().handlers[0].addFilter(is_no_service_notice)
    # A timer that fires late says that the process is busy, which metrics say better.
    logging.getLogger("mode.timers").setLevel("ERROR")
    if options.parent is not None:
        threading.Thread(target=_die_with, args=[options.parent], daemon=True).start()
    threading.Thread(target=_give_back, daemon=True).start()
    settings = read_settings(options.data_dir)
    data = options.data_dir / "workers" / options.name / options.application
    prepare_disk(data)
    uvloop.install()
    health = Health()
    # What is asked for by no partition's own task is the application's.
    current_partition.set(health.own)
    answers = Answers(options.application, settings, health, data)
    answers.serve()
    # Measured: the collector's default takes 13 to 25 % of the stream application, and a look at
    # each 100,000 new objects 4 %: it sees rows that live on, or go with their run. What the
    # imports made lives for ever.
    gc.set_threshold(400_000, 10, 1_000)
    gc.freeze()
    # Records are fetched in a thread of its own: with Python's 5 ms it would wait so long for each
    # of its turns whenever the agents are busy.
    sys.setswitchinterval(0.000_5)
    app = LedgerApp(
        options.application, settings, begin(settings, health), data, health,
        gather_seconds=GATHER_SECONDS.get(options.application, 0.0),
    )  # fmt: skip
    serve(options.application, app, answers)
    worker = faust.Worker(app, loglevel="INFO", override_logging=False, quiet=True)
    # It would write control characters into the log.
    worker.spinner = None
    worker.execute_from_commandline()


def read_settings(data_dir: Path) -> Settings:
    """Exits with Exit.SETTINGS for what is set wrong."""
    try:
        return configuration.load(data_dir)
    except LedgerError as error:
        logging.getLogger(__name__).critical("This worker cannot start: %s", error)
        sys.exit(Exit.SETTINGS)


def begin(settings: Settings, health: Health) -> Codec:
    """Once Kafka and the registry answer: Faust would not wait for them, but end.

    Exits with Exit.SETTINGS for schemas or topics that are not ours.
    """

    async def infrastructure() -> Codec:
        log = Log(settings)
        codec = await waited_for(lambda: asyncio.to_thread(codec_of, settings), "read the schemas")
        try:
            reference = topics(settings).reference.name
            await waited_for(lambda: require_topics(settings), "look at the topics' settings")
            await waited_for(lambda: reach(settings, log, reference), "reach Kafka")
        finally:
            await log.close()
        return codec

    # Faust goes on with this loop.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    turn(loop, health)
    try:
        return loop.run_until_complete(infrastructure())
    except LedgerError as error:
        logging.getLogger(__name__).critical("This worker cannot start: %s", error)
        sys.exit(exit_of(error))


async def reach(settings: Settings, log: Log, topic: str) -> None:
    """Raises Unavailable while it is not to be had, the topic's leader as well."""
    try:
        async with asyncio.timeout(REACH_SECONDS):
            await log.bounds(topic, 0)
    except TimeoutError as error:
        raise Unavailable(f"Kafka gave no answer within {REACH_SECONDS:.0f} s.") from error
    except Unavailable as error:
        raise Unavailable(f"Cannot connect to Kafka: {await why_unavailable(settings)}") from error


def turn(loop: asyncio.AbstractEventLoop, health: Health) -> None:
    """Note now and then, on `loop`, that it turns."""
    health.loop.ran()
    loop.call_later(LOOP_SECONDS / 2, turn, loop, health)


def prepare_disk(data: Path) -> None:
    """Before this process joins the group: with a disk that it cannot use, others have the shards.

    Exits with Exit.DISK when there is no room, with Exit.SETTINGS for tables of a newer release.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        require_room(data)
        require_format(data)
    except LedgerError as error:
        logging.getLogger(__name__).critical("This worker cannot start: %s", error)
        sys.exit(Exit.SETTINGS)
    except OSError as error:
        logging.getLogger(__name__).critical(
            "This worker cannot write to its disk (%s), so it takes no shards. Make room below %s; "
            "it looks again by itself.", error, data,
        )  # fmt: skip
        sys.exit(Exit.DISK)
    mend(data)


def serve_stream(app: LedgerApp, answers: Answers) -> None:
    """Intake, reconciliation and balances: what must go on when the database is unavailable."""
    progress = Progress(app.runtime)
    app.serve(wiring.stream(app.runtime, progress))
    watch = TopicWatch(app.runtime)
    app.do(Task("looking at the topics", watch.look_on))
    serve_figures(app, answers, Figures(app.runtime, progress.end))


def serve_posting(app: LedgerApp, answers: Answers) -> None:
    """Posting alone: what waits for the database."""
    # Imported here: the stream application needs no database driver.
    from ledger.gl.databases import open_journal

    journal = open_journal(app.runtime.settings.service_database_url)
    app.serve(wiring.posting(app.runtime, journal))
    serve_figures(app, answers, Figures(app.runtime))


def serve_history(app: LedgerApp, answers: Answers) -> None:
    """History alone: what is behind the others, and may be behind for long."""
    from ledger.gl.databases import open_history_writer

    settings = app.runtime.settings
    progress = Progress(app.runtime, gather_seconds=app.gather_seconds)
    writer = open_history_writer(settings.history_database_url or settings.service_database_url)
    stage = HistoryStage(app.runtime, progress, writer)
    app.serve(wiring.history(stage, progress))
    serve_figures(app, answers, Figures(app.runtime, behind=stage.behind))


APPLICATIONS = {"stream": serve_stream, "posting": serve_posting, "history": serve_history}


def serve(application: str, app: LedgerApp, answers: Answers) -> None:
    """Exits with Exit.SETTINGS for a database's address or driver with which it can never work."""
    try:
        APPLICATIONS[application](app, answers)
    except SettingsError as error:
        logging.getLogger(__name__).critical("This worker cannot start: %s", error)
        sys.exit(Exit.SETTINGS)


def serve_figures(app: LedgerApp, answers: Answers, figures: Figures) -> None:
    """Keep the figures of the health answers up to date."""
    answers.add(figures)
    app.do(Task("looking up figures", figures.look_on))


def is_no_service_notice(record: logging.LogRecord) -> bool:
    """False for the lines in which a service inside Faust, such as a consumer, starts or stops."""
    return record.levelno > logging.INFO or not str(record.msg).startswith("[^")


def _give_back() -> None:
    """Now and then what was freed, to the system: glibc keeps it, after a restore above all.

    Having it do so by itself, by a low MALLOC_TRIM_THRESHOLD_, was measured to take more processor
    time.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        time.sleep(TRIM_SECONDS)
        trim(0)


def _die_with(pipe: int) -> Any:
    """End when the supervisor does, however it ends: its end of the pipe closes."""
    os.read(pipe, 1)
    os._exit(0)


if __name__ == "__main__":
    main()
