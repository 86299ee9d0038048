"""RocksDB, one database a partition: a run's rows and its watermark are one write.

What it has is in Kafka too, and each store holds the position to read on from. So RocksDB keeps no
log of its own: after a crash a store is as it was at some earlier write, whole. With that log and a
truncated MANIFEST, RocksDB can lose rows in between and keep a later watermark.
"""

import errno
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from random import SystemRandom

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
    WriteOptions,
)

from ledger.errors import LedgerError

CACHE_BYTES = 80 * 1024 * 1024
"""Of all stores of this process together, what they have in memory unwritten included: there are
three for each shard, and they come and go."""
BUFFER_BYTES = 48 * 1024 * 1024
FLUSHED_EACH = 20.0
"""Seconds, or twice that, after which what a store has in memory alone goes into its files.

RocksDB by itself waits until it is megabytes: a killed worker would have minutes to read again."""
PROBE_BYTES = 8 * 1024 * 1024
"""Room that a disk must have: what RocksDB writes at once."""
FORMAT = 1
"""Rises when what rows and keys mean changes, so that an older release would misread them."""
FORMAT_FILE = "format"
DAMAGED = "damaged"
_SPREAD = SystemRandom()

log = logging.getLogger(__name__)


class Store:
    """Bytes to bytes, ordered by key. Raises what RocksDB raises when the disk fails."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = Rdict(str(path), _options())
        self._unlogged = WriteOptions()
        # A property, where rocksdict's stubs have a method.
        self._unlogged.disable_wal = True  # type: ignore[method-assign,assignment]
        self.get = self._db.get
        # Not all stores of a process at the same time.
        self._flush_at = time.monotonic() + FLUSHED_EACH * (1 + _SPREAD.random())

    def get_all(self, keys: list[bytes]) -> list[bytes | None]:
        """The value of each, None where there is none: in half the time of one by one."""
        found: list[bytes | None] = self._db.get(keys)  # type: ignore[arg-type,assignment]
        return found

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = ()) -> None:
        """All of it or nothing, and after everything before it, whatever happens to the process.

        A key in both stays, with its new value.
        """
        batch = WriteBatch(raw_mode=True)
        for key in deletes:
            batch.delete(key)
        for key, value in puts:
            batch.put(key, value)
        self._db.write(batch, self._unlogged)
        if (now := time.monotonic()) > self._flush_at:
            self._flush_at = now + FLUSHED_EACH
            self._db.flush(wait=False)

    def scan(self, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with keys in [start, end), in order."""
        # rocksdict's own iterators end silently where a block cannot be read.
        at = self._db.iter()
        at.seek(start)
        while at.valid():
            key = at.key()
            if end is not None and key >= end:
                return
            yield key, at.value()
            at.next()
        at.status()

    def values(self, ranges: Iterable[tuple[bytes, bytes]]) -> Iterator[list[bytes]]:
        """Of each range [start, end) the values in it, in the order of keys.

        One iterator for all of them: to make one costs more than what it finds of a few keys.
        """
        at = self._db.iter()
        for start, end in ranges:
            found = list[bytes]()
            at.seek(start)
            while at.valid() and at.key() < end:
                found.append(at.value())
                at.next()
            at.status()
            yield found

    def check(self) -> None:
        """Read all of it. Raises what RocksDB raises when something is not as it was written."""
        for _ in self.scan():
            pass

    def close(self) -> None:
        """Give the files back; the next owner opens them."""
        self._db.close()


@cache
def _shared() -> tuple[Cache, WriteBufferManager]:
    blocks = Cache(CACHE_BYTES)
    buffers = WriteBufferManager.new_write_buffer_manager_with_cache(BUFFER_BYTES, False, blocks)
    return blocks, buffers


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    blocks, buffers = _shared()
    options.set_write_buffer_size(8 * 1024 * 1024)
    options.set_write_buffer_manager(buffers)
    # In pieces of a megabyte, as RocksDB would have it, 24 stores have taken most of what they may
    # have together before they hold anything: their files were of half a megabyte each. Measured
    # under a million accounts, with those merged by fours: 13 us of merging a transaction, now 6.
    options.set_arena_block_size(256 * 1024)
    options.set_level_zero_file_num_compaction_trigger(8)
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    # Packed, numbers and codes take a tenth less of the disk, and a fifth longer to look up.
    options.set_compression_type(DBCompressionType.none())
    # RocksDB's 256 MiB for the first level is rewritten whole each time that something is added.
    options.set_max_bytes_for_level_base(32 * 1024 * 1024)
    options.set_target_file_size_base(8 * 1024 * 1024)
    # Most ids asked for are new, and not there.
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(0.02)
    table = BlockBasedOptions()
    table.set_block_cache(blocks)
    # Else each store would keep these in memory of its own, without a limit.
    table.set_cache_index_and_filter_blocks(True)
    table.set_bloom_filter(10, False)
    options.set_block_based_table_factory(table)
    return options


def is_damage(error: BaseException) -> bool:
    """Whether RocksDB reports that its files are damaged or missing."""
    text = str(error)
    gone = text.startswith("IO error:") and os.strerror(errno.ENOENT) in text
    return type(error) is Exception and (gone or text.startswith("Corruption:"))


def is_disk_trouble(error: BaseException) -> bool:
    """Whether there was no room to write, or the disk failed."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
    return type(error) is Exception and str(error).startswith("IO error:")


def note_damage(folder: Path) -> None:
    """Have `mend` check the stores below `folder` at the next start."""
    folder.joinpath(DAMAGED).touch()


def mend(folder: Path) -> None:
    """Remove the stores in `folder`'s folders that cannot be read: Kafka has what they had."""
    if not folder.joinpath(DAMAGED).exists():
        return
    for path in sorted(folder.glob("*/[0-9]*")):
        if not _is_sound(path):
            shutil.rmtree(path)
    folder.joinpath(DAMAGED).unlink()


def _is_sound(path: Path) -> bool:
    try:
        with closing(Store(path)) as store:
            store.check()
    except Exception as error:
        if not is_damage(error):
            raise
        log.error("%s is damaged; what it had is read from Kafka again: %s", path, error)
        return False
    return True


def require_format(folder: Path) -> None:
    """Raises LedgerError where a newer release has written the stores below `folder`.

    Without a file that names the format they are of release 0.2, or there are none yet.
    """
    file = folder / FORMAT_FILE
    if not file.exists():
        file.write_text(f"{FORMAT}\n")
    found = file.read_text().strip()
    if found != str(FORMAT):
        raise LedgerError(
            f"The tables in {folder} are of format {found or 'unknown'}, and this release reads "
            f"format {FORMAT}: another release of faust-ledger wrote them. Use that one; or remove "
            f"{folder}, and this worker reads its tables from Kafka again."
        )


def require_room(folder: Path) -> None:
    """Raises OSError when `folder`'s disk takes no more."""
    probe = folder / "probe"
    try:
        with probe.open("wb") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    finally:
        probe.unlink(missing_ok=True)
