"""Statements of the parties, decoded from their records: table, stripes topic, balances, breaks."""

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
    """The positions in a shard's table."""

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
    """A shard's table by its changelog: of every key the value with the highest version.

    Source of the formats: ledger/streaming/stripe_rows.py, implemented independently.
    """

    def __init__(self) -> None:
        self._newest: dict[bytes, bytes] = {}

    def take(self, key: bytes, value: bytes) -> None:
        """Add a record, in the order of the log; one that no worker wrote is ignored."""
        try:
            version = _version(key, value)
        except (ValueError, struct.error) as error:
            log.warning("A foreign record of the stripes' changelog: %s", error)
            return
        known = self._newest.get(key)
        if known is None or version >= _version(key, known):
            self._newest[key] = value

    def mark(self) -> TableMark:
        """The table's positions; zeros for a table that was never written."""
        held = self._newest.get(b"w")
        if held is None:
            return TableMark(Watermark(), Watermark(), 0, 0)
        numbers = _MARK.unpack(held)
        return TableMark(Watermark(*numbers[:4]), Watermark(*numbers[4:8]), *numbers[8:])

    def rows(self) -> dict[Stripe, TableRow]:
        """The table's rows."""
        return {_stripe(key): _row(value) for key, value in self._newest.items() if key != b"w"}


def _row(value: bytes) -> TableRow:
    return table_row(avro.decode("Stripe", value, _HEAD_BYTES))


def table_row(row: Mapping[str, Any]) -> TableRow:
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
class StripedAccount:
    """An account in the stripes topic: its rows by shard; `last`: offset of its last record."""

    scale: int
    partition: int
    parts: dict[int, TableRow] = field(default_factory=dict)
    last: int = -1

    def take(self, offset: int, shard: int, row: TableRow) -> None:
        """Add a record; one that is older than the known row is ignored."""
        known = self.parts.get(shard)
        if known is None or row.live.offset >= known.live.offset:
            self.scale, self.parts[shard] = row.scale, row
        self.last = offset


def totals_of(row: Mapping[str, Any]) -> Totals:
    """A Totals record: texts, because sums may exceed 64 bits."""
    return Totals(int(row["debits"]), int(row["credits"]), row["entries"], row["offset"])


StripedAccounts = dict[Stripe, StripedAccount]
Balances = dict[Stripe, Mapping[str, Any]]


def take_stripe(
    accounts: StripedAccounts, partition: int, offset: int, key: bytes, row: Mapping[str, Any]
) -> None:
    """Add a record of the stripes topic. Raises ValueError for a malformed one."""
    account, currency, shard = key.decode().split(" ")
    stripe, read = Stripe(account, currency), table_row(row)
    known = accounts.get(stripe)
    if known is None:
        known = accounts[stripe] = StripedAccount(read.scale, partition)
    known.take(offset, int(shard), read)


def take_balance(balances: Balances, row: Mapping[str, Any]) -> None:
    """Add a record of the balances topic; one of a lower version is ignored."""
    stripe = Stripe(row["account"], row["currency"])
    known = balances.get(stripe)
    if known is None or row["version"] >= known["version"]:
        balances[stripe] = row


def forget_balance(balances: Balances, key: bytes) -> None:
    """Apply a record without a value: it removes the balance, whatever its version."""
    account, _, currency = key.decode(errors="replace").partition(" ")
    balances.pop(Stripe(account, currency), None)


class OpenBreaks:
    """The breaks topic: of every stripe the latest break."""

    def __init__(self) -> None:
        self._latest: dict[tuple[int, Stripe], Mapping[str, Any]] = {}

    def take(self, row: Mapping[str, Any]) -> None:
        """Add a record, in the order of the log; one of an earlier position is ignored."""
        key = row["shard"], Stripe(row["account"], row["currency"])
        known = self._latest.get(key)
        if known is None or row["end"] >= known["end"]:
            self._latest[key] = row

    def open(self) -> list[Mapping[str, Any]]:
        """The breaks that are still open."""
        return [row for _, row in sorted(self._latest.items()) if row["state"] == "open"]
