"""RocksDB, one database a partition: a run's rows and its watermark are one write."""

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from rocksdict import (
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
)

CACHE_BYTES = 64 * 1024 * 1024
"""Of all stores of this process together, what they have in memory unwritten included: there are
three for each shard, and they come and go."""
BUFFER_BYTES = 32 * 1024 * 1024


class Store:
    """Bytes to bytes, ordered by key. Raises what RocksDB raises when the disk fails."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = Rdict(str(path), _options())
        self.get = self._db.get

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = ()) -> None:
        """All of it or nothing, whatever happens to the process."""
        batch = WriteBatch(raw_mode=True)
        for key, value in puts:
            batch.put(key, value)
        for key in deletes:
            batch.delete(key)
        self._db.write(batch)

    def scan(self, start: bytes = b"", end: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with keys in [start, end), in order."""
        for key, value in self._db.items(from_key=start or None):
            assert isinstance(key, bytes)  # raw mode
            if end is not None and key >= end:
                return
            yield key, value

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
    options.set_max_background_jobs(2)
    options.set_keep_log_file_num(2)
    options.set_compression_type(DBCompressionType.lz4())
    # Most ids asked for are new: measured, 0.4 us for one that is not there instead of 1.6.
    options.set_memtable_whole_key_filtering(True)
    options.set_memtable_prefix_bloom_ratio(0.02)
    table = BlockBasedOptions()
    table.set_block_cache(blocks)
    # Else each store would keep these in memory of its own, without a limit.
    table.set_cache_index_and_filter_blocks(True)
    table.set_bloom_filter(10, False)
    options.set_block_based_table_factory(table)
    return options
