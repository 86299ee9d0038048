"""A shard's stripes: RocksDB with a changelog, and the rows that were used last in memory."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import cast

from ledger.domain.compare import Mark
from ledger.domain.fold import NO_ROW, Row
from ledger.domain.portions import portions
from ledger.domain.run import Stripe
from ledger.streaming.log import PORTION, Log
from ledger.streaming.registry import Codec
from ledger.streaming.stripe_rows import (
    MARK,
    RowCodec,
    decode_mark,
    encode_mark,
    key_of,
    stripe_of,
)
from ledger.streaming.table import ChangelogTable


class StripeTable:
    """Rows by stripe, and the mark that says where they stand.

    `cached`: how many rows are kept decoded, about 0.7 KB each; the table has them all.
    """

    def __init__(
        self, path: Path, log: Log, codec: Codec, topic: str, shard: int, *, cached: int
    ) -> None:
        self._codec = RowCodec(codec)
        self._table = ChangelogTable(path, log, topic, shard, self._codec.version_of)
        self._limit = cached
        self._cached: dict[Stripe, Row] = {}

    async def open(self) -> Mark:
        """Restore the table from its changelog; returns its mark."""
        await self._table.open()
        self._cached.clear()
        held = self._table.get(MARK)
        return Mark() if held is None else decode_mark(held)

    def rows(self, stripes: Sequence[Stripe]) -> Sequence[Row]:
        """In the order of `stripes`; NO_ROW for one that is not there."""
        cached = self._cached
        rows = [cached.get(stripe) for stripe in stripes]
        unknown = [place for place, row in enumerate(rows) if row is None]
        if unknown:
            held = self._table.get_all([key_of(stripes[place]) for place in unknown])
            for place, value in zip(unknown, held, strict=True):
                rows[place] = NO_ROW if value is None else self._codec.decode(value)
        return cast("Sequence[Row]", rows)

    def held(self, stripes: Iterable[Stripe]) -> Iterator[tuple[Stripe, Row]]:
        """Those of `stripes` that are in the table, some at a time."""
        keys = dict.fromkeys(map(key_of, stripes))
        parts = map(self._table.held, portions(keys, count=PORTION))
        return self._decoded(chain.from_iterable(part.items() for part in parts))

    def scan(self) -> Iterator[tuple[Stripe, Row]]:
        return self._decoded(self._table.scan(b"s"))

    def _decoded(self, rows: Iterable[tuple[bytes, bytes]]) -> Iterator[tuple[Stripe, Row]]:
        return ((stripe_of(key), self._codec.decode(value)) for key, value in rows)

    def encode(self, rows: Mapping[Stripe, Row]) -> dict[Stripe, bytes]:
        return {stripe: self._codec.encode(row) for stripe, row in rows.items()}

    async def write(self, values: Mapping[Stripe, bytes], mark: Mark) -> None:
        """Rows and mark, in the changelog and then here, in one batch and one write."""
        rows = {key_of(stripe): value for stripe, value in values.items()}
        await self._table.write(rows | {MARK: encode_mark(mark)})

    def write_mark_here(self, mark: Mark) -> None:
        """On this disk alone; a successor finds the position by comparing again."""
        self._table.write_here({MARK: encode_mark(mark)})

    def remember(self, rows: Mapping[Stripe, Row]) -> None:
        """Keep decoded what was just written."""
        self._cached |= rows
        if len(self._cached) > self._limit:
            self._cached = dict(islice(rows.items(), self._limit))

    def forget(self) -> None:
        self._cached.clear()
