"""What the parties state, read from their records: the table, the stripes topic, the balances."""

import logging
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ledger.domain import avro
from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark

_MARK = struct.Struct(">" + 2 * "qq32sq" + "qq")
_HEAD_BYTES = 5

log = logging.getLogger(__name__)


class TableMark(NamedTuple):
    """Where a shard's table says that it stands."""

    stream: Watermark
    compared: Watermark
    posted: int
    breaks: int


class TableRow(NamedTuple):
    """A row of a shard's table."""

    scale: int
    live: Totals
    posted: Totals
    broken: bool


class Changelog:
    """A shard's table by its changelog: of every key the newest value, whatever came last.

    Source of the formats: agents/stripes.py; written down here once more.
    """

    def __init__(self) -> None:
        self._newest: dict[bytes, bytes] = {}

    def take(self, key: bytes, value: bytes) -> None:
        """A record, in the order of the log; one that no worker wrote is left out."""
        try:
            version = _version(key, value)
        except (ValueError, struct.error) as error:
            log.warning("A foreign record of the stripes' changelog: %s", error)
            return
        known = self._newest.get(key)
        if known is None or version >= _version(key, known):
            self._newest[key] = value

    def mark(self) -> TableMark:
        """Zeros for a table that was never written."""
        held = self._newest.get(b"w")
        if held is None:
            return TableMark(Watermark(), Watermark(), 0, 0)
        numbers = _MARK.unpack(held)
        return TableMark(Watermark(*numbers[:4]), Watermark(*numbers[4:8]), *numbers[8:])

    def rows(self) -> dict[Stripe, TableRow]:
        """The rows."""
        return {_stripe(key): _row(value) for key, value in self._newest.items() if key != b"w"}


def _row(value: bytes) -> TableRow:
    return row_of(avro.decode("Stripe", value, _HEAD_BYTES))


def row_of(row: Mapping[str, Any]) -> TableRow:
    """A Stripe record. Raises ValueError where the totals are not four numbers."""
    return TableRow(row["scale"], _totals(row["live"]), _totals(row["posted"]), row["broken"])


def _totals(text: str) -> Totals:
    debits, credits, entries, offset = map(int, text.split())
    return Totals(debits, credits, entries, offset)


def _stripe(key: bytes) -> Stripe:
    if key[:1] != b"s":
        raise ValueError(f"{key[:32]!r} is not the key of a row")
    account, currency = key[1:].decode().split(" ")
    return Stripe(account, currency)


def _version(key: bytes, value: bytes) -> int:
    if key == b"w":
        return int(_MARK.unpack(value)[0])
    _stripe(key)
    return _row(value).live.offset


@dataclass(slots=True)
class Holding:
    """An account in the stripes topic: its rows by shard, and where the topic last spoke of it."""

    scale: int
    partition: int
    parts: dict[int, TableRow] = field(default_factory=dict)
    spoken: int = -1

    def take(self, offset: int, shard: int, row: TableRow) -> None:
        """A record: what is older than what is known counts for nothing."""
        known = self.parts.get(shard)
        if known is None or row.live.offset >= known.live.offset:
            self.scale, self.parts[shard] = row.scale, row
        self.spoken = offset


def totals_of(row: Mapping[str, Any]) -> Totals:
    """A Totals record: digits because sums may outgrow 64 bits."""
    return Totals(int(row["debits"]), int(row["credits"]), row["entries"], row["offset"])


Holdings = dict[Stripe, Holding]
Balances = dict[Stripe, Mapping[str, Any]]


def take_stripe(
    holdings: Holdings, partition: int, offset: int, key: bytes, row: Mapping[str, Any]
) -> None:
    """A record of the stripes topic. Raises ValueError for one that is none."""
    account, currency, shard = key.decode().split(" ")
    stripe, read = Stripe(account, currency), row_of(row)
    holding = holdings.get(stripe)
    if holding is None:
        holding = holdings[stripe] = Holding(read.scale, partition)
    holding.take(offset, int(shard), read)


def take_balance(balances: Balances, row: Mapping[str, Any]) -> None:
    """A record of the balances topic: one below a version seen counts for nothing."""
    stripe = Stripe(row["account"], row["currency"])
    known = balances.get(stripe)
    if known is None or row["version"] >= known["version"]:
        balances[stripe] = row


def forget_balance(balances: Balances, key: bytes) -> None:
    """A record without a value: what was said of it is taken back, whatever its version."""
    account, _, currency = key.decode(errors="replace").partition(" ")
    balances.pop(Stripe(account, currency), None)


class OpenBreaks:
    """The breaks topic: of every stripe the latest."""

    def __init__(self) -> None:
        self._latest: dict[tuple[int, Stripe], Mapping[str, Any]] = {}

    def take(self, row: Mapping[str, Any]) -> None:
        """A record, in the order of the log; one of an earlier position counts for nothing."""
        key = row["shard"], Stripe(row["account"], row["currency"])
        known = self._latest.get(key)
        if known is None or row["end"] >= known["end"]:
            self._latest[key] = row

    def open(self) -> list[Mapping[str, Any]]:
        """Those that are still open."""
        return [row for _, row in sorted(self._latest.items()) if row["state"] == "open"]
