"""The ids that a shard has accepted, as its owner remembers them: a cache of the decision log."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from ledger.domain.memory import AcceptedId, Memory, Voidable
from ledger.domain.policy import LONG_AGO, Policy
from ledger.domain.run import Content, Watermark
from ledger.domain.valid_run import ValidRun
from ledger.streaming.store import Store

_MARK = struct.Struct(">qq32sqq32sq")
_UNTIL = struct.Struct(">cQQ")
"""The key of a run's ids: the newest one's time, and where the run is in the decision log.

One for a run, with all its ids: one for each id was measured to double what an id costs, with four
million of them, for RocksDB's compactions."""
_BETWEEN = "\0"
"""Two ids: it is refused in one, where the end of a line is not."""
MARK = b"w"
_NONE = b"\0"
FORGET_EACH = 1_000_000
"""Microseconds of the log's time between two searches for ids that are out of date."""
FORGOTTEN_AT_ONCE = 100_000
"""Keys in one write, and those of one run more."""


class AcceptedMark(NamedTuple):
    """How far a shard's decisions are known, and with what reference data the last was made.

    `floor`: the time from which on every accepted id is remembered, microseconds.
    """

    watermark: Watermark = Watermark()
    reference_offset: int = -1
    reference_digest: bytes = b""
    floor: int = LONG_AGO

    def after(self, run: ValidRun, policy: Policy) -> "AcceptedMark":
        """Once `run`, decided by `policy`, is known."""
        decision = run.decision
        return AcceptedMark(
            run.after,
            decision.reference_offset,
            decision.reference_digest,
            policy.floor_after(self.floor, decision.recorded_until),
        )


class AcceptedIds:
    """A shard's table of accepted ids: a cache of the decision log, complete up to `mark`.

    `scales`: decimals by code, of every currency that the shard has accepted. `voided`: offsets of
    what was voided since it was accepted.
    """

    def __init__(self, path: Path) -> None:
        self._store = Store(path)
        self.mark = self._read_mark()
        self.scales = {key[1:].decode(): int(scale) for key, scale in self._store.scan(b"c", b"d")}
        self.voided = {int(key[1:]) for key, _ in self._store.scan(b"v", b"w")}
        self._oldest = 0
        self._compared = (0, 0, 0)
        self._conflicts: Mapping[str, int] = {}

    @property
    def watermark(self) -> Watermark:
        return self.mark.watermark

    def _read_mark(self) -> AcceptedMark:
        held = self._store.get(MARK)
        if held is None:
            return AcceptedMark()
        if len(held) != _MARK.size:
            # Of a version before 0.2, which knew less: all of it is in the decision log.
            self._forget_everything()
            return AcceptedMark()
        *watermark, offset, digest, floor = _MARK.unpack(held)
        return AcceptedMark(Watermark(*watermark), offset, digest.rstrip(_NONE) and digest, floor)

    def _forget_everything(self) -> None:
        while keys := [key for key, _ in islice(self._store.scan(), FORGOTTEN_AT_ONCE)]:
            # The mark goes with the first of them: whoever dies here begins anew.
            self._store.write((), [MARK, *keys])

    def close(self) -> None:
        self._store.close()

    def find(self, transaction_id: str) -> AcceptedId | None:
        """What is remembered of an accepted transaction."""
        return self.find_all([transaction_id])[transaction_id]

    def find_all(self, transaction_ids: Sequence[str]) -> dict[str, AcceptedId | None]:
        """The same of many together."""
        keys = [b"t" + each.encode("utf-8", "surrogatepass") for each in transaction_ids]
        held = self._store.get_all(keys)
        seen = (None if each is None else AcceptedId.unpack(each) for each in held)
        return dict(zip(transaction_ids, seen, strict=True))

    def find_reversal(self, transaction_id: str) -> int | None:
        """Offset of what reversed it."""
        held = self._store.get(b"r" + transaction_id.encode("utf-8", "surrogatepass"))
        return None if held is None else int(held)

    def memory(
        self,
        scales: Mapping[str, int] | None = None,
        voidable: Mapping[str, Voidable] | None = None,
    ) -> Memory:
        """For a run to look things up and to learn.

        `scales`: decimals as reference data have. `voidable`: what there is leave to void.
        """
        return Memory(
            self.find,
            self.find_reversal,
            floor=self.mark.floor,
            changed={} if scales is None else self._changed(scales),
            voided=self.voided,
            voidable=voidable,
        )

    def _changed(self, scales: Mapping[str, int]) -> Mapping[str, int]:
        """What was accepted with other decimals than `scales` has; looked for when that grows."""
        known = (id(scales), len(scales), len(self.scales))
        if known != self._compared:
            own = self.scales.items()
            self._conflicts = {code: each for code, each in own if scales.get(code, each) != each}
            self._compared = known
        return self._conflicts

    def write(self, memory: Memory, run: ValidRun, policy: Policy) -> None:
        """What a run, decided by `policy`, added, and that it was, in one write.

        What is out of date goes.
        """
        mark = self.mark.after(run, policy)
        watermark = mark.watermark
        puts = [(MARK, _MARK.pack(
            watermark.decisions_offset, watermark.end, watermark.digest,
            watermark.recorded_until, mark.reference_offset, mark.reference_digest, mark.floor,
        ))]  # fmt: skip
        puts += [(b"t" + name.encode(), seen) for name, seen in memory.ids.items()]
        if memory.ids:
            key = _UNTIL.pack(b"x", memory.known_until, watermark.decisions_offset)
            puts.append((key, _BETWEEN.join(memory.ids).encode()))
        for name, offset in memory.reversals.items():
            puts.append((b"r" + name.encode(), b"%d" % offset))
        puts += self._new_scales(run.content)
        puts += [(b"v%d" % offset, _NONE) for offset in memory.voided - self.voided]
        # Twice the window: within the second one a reversal is told TOO_OLD and not UNKNOWN.
        oldest, forgotten = mark.floor, list[bytes]()
        if oldest >= self._oldest + FORGET_EACH:
            self._oldest, forgotten = oldest, self._out_of_date(oldest)
        self._store.write(puts, forgotten)
        self.mark, self.voided = mark, self.voided | memory.voided

    def _new_scales(self, content: Content) -> Iterable[tuple[bytes, bytes]]:
        """The first decimals that a currency was accepted with; no later ones replace them."""
        new = set(content.currencies) - self.scales.keys()
        if not new:
            return
        for code, scale in zip(content.currencies, content.scales, strict=True):
            if code in new and code not in self.scales:
                self.scales[code] = scale
                yield b"c" + code.encode(), b"%d" % scale

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
