"""What the parties state, read from their records: the table, the stripes topic, the balances."""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ledger.domain.balance import Totals
from ledger.domain.run import Stripe, Watermark

_MARK = struct.Struct(">" + 2 * "qq32sq" + "qq")
_LIVE_OFFSET = 4
NOTHING = Totals()


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
        """A record, in the order of the log."""
        known = self._newest.get(key)
        if known is None or _version(key, value) >= _version(key, known):
            self._newest[key] = value

    def mark(self) -> TableMark:
        """Zeros for a table that was never written."""
        held = self._newest.get(b"w")
        if held is None:
            return TableMark(Watermark(), Watermark(), 0, 0)
        numbers = _MARK.unpack(held)
        return TableMark(Watermark(*numbers[:4]), Watermark(*numbers[4:8]), *numbers[8:])

    def rows(self) -> dict[Stripe, TableRow]:
        """The rows. Raises ValueError for one that is none."""
        return {
            Stripe(*key[1:].decode().split(" ")): _row(value)
            for key, value in self._newest.items()
            if key[:1] == b"s"
        }


def _row(text: bytes) -> TableRow:
    scale, *totals, broken = map(int, text.split())
    return TableRow(scale, Totals(*totals[:4]), Totals(*totals[4:]), bool(broken))


def _version(key: bytes, value: bytes) -> int:
    number: int = _MARK.unpack(value)[0] if key == b"w" else int(value.split()[_LIVE_OFFSET])
    return number


class Said(NamedTuple):
    """What the stripes topic says of one shard's part; `live` only where it is ahead."""

    posted: Totals
    live: Totals | None
    broken: bool

    def latest(self) -> Totals:
        """The totals that count most."""
        return self.live or self.posted


@dataclass(slots=True)
class Holding:
    """An account in the stripes topic: its parts by shard, and where the topic last spoke of it."""

    scale: int
    partition: int
    parts: dict[int, Said] = field(default_factory=dict)
    spoken: int = -1

    def take(self, offset: int, row: Mapping[str, Any]) -> None:
        """A Stripe record: what is older than what is known counts for nothing."""
        told = totals_of(row["posted"])
        ahead = totals_of(row["live"]) if row["live"] else None
        known = self.parts.get(row["shard"])
        broken = row["broken"]
        if known is not None:
            if known.posted.offset > told.offset:
                told, broken = known.posted, known.broken
            if known.live and (ahead is None or known.live.offset > ahead.offset):
                ahead = known.live
        if ahead and ahead.offset <= told.offset:
            ahead = None
        self.scale, self.spoken = row["scale"], offset
        self.parts[row["shard"]] = Said(told, ahead, broken)


def totals_of(row: Mapping[str, Any]) -> Totals:
    """A Totals record: digits because sums may outgrow 64 bits."""
    return Totals(int(row["debits"]), int(row["credits"]), row["entries"], row["offset"])


Holdings = dict[Stripe, Holding]
Balances = dict[Stripe, Mapping[str, Any]]


def take_stripe(holdings: Holdings, partition: int, offset: int, row: Mapping[str, Any]) -> None:
    """A record of the stripes topic."""
    stripe = Stripe(row["account"], row["currency"])
    holding = holdings.get(stripe)
    if holding is None:
        holding = holdings[stripe] = Holding(row["scale"], partition)
    holding.take(offset, row)


def take_balance(balances: Balances, row: Mapping[str, Any]) -> None:
    """A record of the balances topic: one below a version seen counts for nothing."""
    stripe = Stripe(row["account"], row["currency"])
    known = balances.get(stripe)
    if known is None or row["version"] >= known["version"]:
        balances[stripe] = row


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
