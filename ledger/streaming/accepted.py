"""The ids that a shard has accepted, as its owner remembers them: a cache of the decision log."""

import struct
from collections.abc import Sequence
from pathlib import Path

from ledger.domain.intake import Memory, Seen
from ledger.domain.run import Watermark
from ledger.streaming.store import Store

_MARK = struct.Struct(">qq32sqq")
_UNTIL = struct.Struct(">cQQ")
"""The key of a run's ids: the newest one's time, and where the run is in the decision log.

One for a run, with all its ids: one for each id was measured to double what an id costs, with four
million of them, for RocksDB's compactions."""
_BETWEEN = "\0"
"""Two ids: it is refused in one, where the end of a line is not."""
MARK = b"w"
FORGET_EACH = 1_000_000
"""Microseconds of the log's time between two searches for ids that are out of date."""
FORGOTTEN_AT_ONCE = 100_000
"""Keys in one write, and those of one run more."""


class AcceptedIds:
    """A shard's table of accepted ids: a cache of the decision log, complete up to `mark`."""

    def __init__(self, path: Path) -> None:
        self._store = Store(path)
        self.watermark, self.reference_offset = self._read_mark()
        self._oldest = 0

    def _read_mark(self) -> tuple[Watermark, int]:
        held = self._store.get(MARK)
        if held is None:
            return Watermark(), -1
        *mark, reference_offset = _MARK.unpack(held)
        return Watermark(*mark), reference_offset

    def close(self) -> None:
        """Give the files back."""
        self._store.close()

    def find(self, transaction_id: str) -> Seen | None:
        """What is remembered of an accepted transaction."""
        return self.find_all([transaction_id])[transaction_id]

    def find_all(self, transaction_ids: Sequence[str]) -> dict[str, Seen | None]:
        """The same of many together."""
        keys = [b"t" + each.encode("utf-8", "surrogatepass") for each in transaction_ids]
        held = self._store.get_all(keys)
        seen = (None if each is None else Seen.unpack(each) for each in held)
        return dict(zip(transaction_ids, seen, strict=True))

    def find_reversal(self, transaction_id: str) -> int | None:
        """Offset of what reversed it."""
        held = self._store.get(b"r" + transaction_id.encode("utf-8", "surrogatepass"))
        return None if held is None else int(held)

    def memory(self) -> Memory:
        """For a run to look things up and to learn."""
        return Memory(self.find, self.find_reversal)

    def write(
        self, memory: Memory, watermark: Watermark, reference_offset: int, *, window: int
    ) -> None:
        """What a run added, and that it was added, in one write; what is out of date goes."""
        puts = [(MARK, _MARK.pack(
            watermark.decisions_offset, watermark.end, watermark.digest,
            watermark.recorded_until, reference_offset,
        ))]  # fmt: skip
        puts += [(b"t" + name.encode(), seen) for name, seen in memory.ids.items()]
        if memory.ids:
            key = _UNTIL.pack(b"x", memory.known_until, watermark.decisions_offset)
            puts.append((key, _BETWEEN.join(memory.ids).encode()))
        for name, offset in memory.reversals.items():
            puts.append((b"r" + name.encode(), b"%d" % offset))
        # Twice the window: within the second one a reversal is told TOO_OLD and not UNKNOWN.
        oldest = watermark.recorded_until - 2 * window
        forgotten: list[bytes] = []
        if oldest >= self._oldest + FORGET_EACH:
            self._oldest, forgotten = oldest, self._out_of_date(oldest)
        self._store.write(puts, forgotten)
        self.watermark, self.reference_offset = watermark, reference_offset

    def _out_of_date(self, oldest: int) -> list[bytes]:
        """Keys of runs whose ids are all older; what is left of many, the next time."""
        deletes: list[bytes] = []
        for key, names in self._store.scan(b"x", _UNTIL.pack(b"x", oldest, 0)):
            deletes.append(key)
            for name, seen in self.find_all(names.decode().split(_BETWEEN)).items():
                if seen is not None and seen.known_from < oldest:
                    deletes += [b"t" + name.encode(), b"r" + name.encode()]
            if len(deletes) > FORGOTTEN_AT_ONCE:
                break
        return deletes
