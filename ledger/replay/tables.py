"""`faust-ledger rebuild tables`: removes a worker's RocksDB tables, to be rebuilt from Kafka."""

import fcntl
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ledger.errors import LedgerError
from ledger.settings import Settings
from ledger.streaming import table as table_
from ledger.streaming.log import Log
from ledger.streaming.topics import Topic, Topics, topics

INTAKE, STRIPES, BALANCES = TABLE_KINDS = ("intake", "stripes", "balances")


class Table(NamedTuple):
    """One partition's table on this disk."""

    kind: str
    partition: int
    path: Path


class Lacking(NamedTuple):
    """A topic that no longer has what a table is rebuilt from: it begins at `first`."""

    table: Table
    topic: str
    first: int

    def sentence(self) -> str:
        """For people."""
        return (
            f"{self.table.path} cannot be rebuilt: {self.topic}[{self.table.partition}] begins "
            f"at offset {self.first}, and what was before it is deleted."
        )


def tables_of(settings: Settings, worker: str, kinds: Iterable[str]) -> list[Table]:
    """The tables on this disk. Raises LedgerError if there is no such worker."""
    folder = settings.data_dir / "workers" / worker / "stream"
    if not folder.is_dir():
        known = sorted(each.parent.name for each in settings.data_dir.glob("workers/*/stream"))
        raise LedgerError(
            f"{folder} does not exist: no worker {worker} has run on this machine with this data "
            f"directory. Those that have: {', '.join(known) or 'none'}."
        )
    return [
        Table(kind, int(path.name), path)
        for kind in kinds
        for path in sorted(folder.glob(f"{kind}/[0-9]*"), key=lambda path: int(path.name))
    ]


def require_stopped(settings: Settings, worker: str, tables: Iterable[Table]) -> None:
    """Raises LedgerError while a process may use the tables."""
    if _runs(settings, worker) or any(_is_open(table.path) for table in tables):
        raise LedgerError(
            f"{worker} runs, and uses its tables. Nothing was removed. "
            "Stop it (`faust-ledger up --workers 0` stops this machine's workers, `down` all of "
            "it; elsewhere, end its process), and run this again."
        )


def _runs(settings: Settings, worker: str) -> bool:
    """By its command line; without psutil only the tables' locks show that it runs."""
    with suppress(ImportError):
        from ledger.stack import files, workers

        found = workers.found(files.layout(settings.data_dir.resolve()))
        return any(each.name == worker for each in found)
    return False


def _is_open(path: Path) -> bool:
    """RocksDB holds a lock on this file as long as it has the store open."""
    if not (path / "LOCK").exists():
        return False
    with (path / "LOCK").open("r+b") as lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


async def lacking(settings: Settings, tables: Iterable[Table], *, from_log: bool) -> list[Lacking]:
    """The tables that cannot be rebuilt, and why. Raises Unavailable if Kafka does not answer."""
    names = topics(settings)
    log = Log(settings)
    try:
        return [
            Lacking(table, topic.name, first)
            for table in tables
            for topic in _origins(names, from_log=from_log)[table.kind]
            if (first := (await log.bounds(topic.name, table.partition))[0])
        ]
    finally:
        await log.close()


def _origins(names: Topics, *, from_log: bool) -> Mapping[str, list[Topic]]:
    """The topics that each kind of table is rebuilt from, which must be whole."""
    folded = [names.decisions, names.posted]
    return {
        INTAKE: [names.decisions],
        STRIPES: folded if from_log else [names.stripes_changelog],
        BALANCES: [names.stripes],
    }


async def refold_stripes(settings: Settings, tables: Iterable[Table]) -> None:
    """Have the stripes among removed tables folded from the decision log, not their changelog."""
    topic = topics(settings).stripes_changelog.name
    log = Log(settings)
    try:
        for table in tables:
            if table.kind == STRIPES:
                _, end = await log.bounds(topic, table.partition)
                table_.begin_anew(table.path, end)
    finally:
        await log.close()


def remove(tables: Iterable[Table]) -> int:
    """Returns how many. A partly removed table is damaged, and removed at the next start."""
    count = 0
    for table in tables:
        shutil.rmtree(table.path)
        count += 1
    return count
