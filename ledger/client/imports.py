"""Import reference data: check all lines, append, read back, and wait for every shard."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from ledger.client.balances import BalanceReader
from ledger.client.bulk import Splitter
from ledger.client.import_checks import (
    Checks,
    Line,
    Problem,
    Stored,
    closings,
    lost_lines,
    with_balance,
)
from ledger.client.lines import (
    Malformed,
    check_names,
    malformed,
    optional_text,
    read_object,
    text_of,
    time_of,
)
from ledger.client.outcomes import LastProgress, last_progress
from ledger.client.partitions import ledger_partitions
from ledger.client.records import Records
from ledger.client.reference import ClientReference
from ledger.client.resource import AsyncResource
from ledger.clock import now
from ledger.domain import account as accounts
from ledger.domain import names
from ledger.domain.portions import portions
from ledger.domain.reference import MAX_CODE, Account, Asset, Item, Reference, asset_problem
from ledger.domain.refusal import Refused
from ledger.domain.transaction import EARLIEST, LATEST
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming.decisions import valid_runs
from ledger.streaming.log import PORTION, SMALL_BATCH_BYTES, Log
from ledger.streaming.reader import Reader
from ledger.streaming.reference import item_of, key_and_row
from ledger.streaming.topics import topics

MAX_NAME = 1_000

log = logging.getLogger(__name__)


def read_items(text: bytes, kind: str) -> tuple[list[Line], list[Problem]]:
    """The items of `kind` "asset" or "account" in JSON Lines, and the problems of bad lines."""
    splitter = Splitter()
    items: list[Line] = []
    bad: list[Problem] = []
    for number, line in splitter.feed(text) + splitter.end():
        fields = read_object(line)
        if isinstance(fields, Refused):
            bad.append((number, fields.sentence))
            continue
        try:
            item = _asset(fields) if kind == "asset" else _account(fields)
        except Malformed as error:
            bad.append((number, error.refused.sentence))
            continue
        reopens = "closed_at" in fields and fields["closed_at"] is None
        items.append(Line(number, item, reopens))
    return items, bad


def _asset(fields: dict[str, Any]) -> Asset:
    check_names(fields, required=("code", "scale"), optional=("name",))
    scale = fields["scale"]
    if not isinstance(scale, int) or isinstance(scale, bool):
        raise malformed("scale", "must be a whole number")
    code = text_of(fields, "code")
    if problem := asset_problem(code, scale):
        raise malformed(code or "code", f"cannot be registered: {problem}")
    return Asset(code, scale, _name(fields))


def _account(fields: dict[str, Any]) -> Account:
    optional = ("name", "currency", "opened_at", "closed_at")
    check_names(fields, required=("account",), optional=optional)
    code = text_of(fields, "account")
    if not accounts.well_formed(code):
        raise malformed(
            "account",
            "is not an account code: assets, liabilities, equity, income or expenses, then "
            "segments of letters, digits, dot, dash and underscore after colons, "
            f"{accounts.MAX_ACCOUNT} characters at most",
        )
    opened, closed = _time(fields, "opened_at"), _time(fields, "closed_at")
    if opened is not None and closed is not None and closed < opened:
        raise malformed("closed_at", "is before opened_at")
    return Account(code, _name(fields), optional_text(fields, "currency"), opened, closed)


def _name(fields: dict[str, Any]) -> str:
    name = optional_text(fields, "name") or ""
    if len(name) > MAX_NAME:
        raise malformed("name", f"has more than {MAX_NAME} characters")
    if name and (problem := names.problem(name)):
        raise malformed("name", problem)
    return name


def _time(fields: dict[str, Any], name: str) -> int | None:
    if fields.get(name) is None:
        return None
    found = time_of(fields, name)
    if not EARLIEST <= found < LATEST:
        raise malformed(name, "is outside the years 1900 to 2199")
    return found


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The result of an import.

    `count`: lines that took effect; `lost`: those that did not, because another record came first;
    `behind`: shards that do not decide with it yet.
    """

    count: int = 0
    lost: list[Problem] = field(default_factory=list)
    notes: list[Problem] = field(default_factory=list)
    behind: list[int] = field(default_factory=list)


def _counting(row: Mapping[str, Any]) -> Item:
    """The item of a record of the topic. Raises ValueError if no reader accepts it."""
    item = item_of(row)
    if isinstance(item, Asset) and (problem := asset_problem(item.code, item.scale)):
        raise ValueError(f"{item.code[:MAX_CODE]!r} with {item.scale} decimals: {problem}")
    return item


class Importer(AsyncResource):
    """Checks and appends reference data; an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._names = settings, topics(settings)
        self._log = Log(settings)
        self._reader = Reader(settings)

    async def _enter(self, stack: AsyncExitStack) -> None:
        names = self._names
        counts = await ledger_partitions(
            self._settings, names.transactions.name, names.reference.name
        )
        self._shards = counts[names.transactions.name]
        self._records = await Records.of(self._settings, "Reference", "Decision", "Progress")
        stack.push_async_callback(self._log.close)
        await stack.enter_async_context(self._reader)
        self._known = await self.read_again()

    def check(self, lines: Iterable[Line]) -> tuple[list[Problem], list[Problem]]:
        """The problems of lines, given what is known and the lines before; and notes."""
        checks = Checks(self._known)
        return checks.problems(lines), checks.notes

    async def check_closings(self, lines: Iterable[Line]) -> list[Problem]:
        """A problem for each line that would close an account that has a balance now.

        Raises LedgerError if balances cannot be read.
        """
        closing = closings(lines, self._known)
        if not closing:
            return []
        try:
            async with BalanceReader(
                self._settings, accounts={line.item.code for line in closing}
            ) as reader:
                at = now()
                return with_balance(closing, await reader.snapshot(), at)
        except Unavailable:
            raise
        except LedgerError as error:
            raise LedgerError(
                f"An account's balance is read before it is closed. {error} Import as a user who "
                "may read balances (the role finance), or close accounts whatever they hold with "
                "--close-with-balance."
            ) from error

    async def add(self, lines: Sequence[Line], seconds: float) -> ImportResult:
        """Append the lines, read back what counts, and wait until every shard decides with it.

        It waits for at most `seconds`. Raises Unavailable.
        """
        if not lines:
            return ImportResult()
        # Read before the append: each shard's next runs show whether it decides with the lines.
        shards = await self._last_progress()
        offsets = await self._append([line.item for line in lines])
        stored = await self._read_back(offsets[-1] + 1)
        lost, notes = lost_lines(lines, offsets, stored, self._known)
        behind = await self._wait_for_shards(shards, offsets[-1] + 1, seconds)
        return ImportResult(len(lines) - len(lost), lost, notes, behind)

    @property
    def known(self) -> Reference:
        """The reference data on entry."""
        return self._known

    async def put(self, item: Item, seconds: float) -> tuple[int, list[int]]:
        """Append one record and wait, for at most `seconds`, until every shard decides with it.

        Returns its offset and the shards that do not decide with it yet.
        """
        shards = await self._last_progress()
        (offset,) = await self._append([item])
        return offset, await self._wait_for_shards(shards, offset + 1, seconds)

    async def read_again(self) -> Reference:
        """The present reference data."""
        async with ClientReference(self._settings, self._records) as follower:
            return follower.known

    async def end_of(self, shard: int) -> int:
        """The position after the shard's last record. Raises LedgerError for an unknown shard."""
        if not 0 <= shard < self._shards:
            raise LedgerError(f"There is no shard {shard}: the shards are 0 to {self._shards - 1}.")
        partition = TopicPartition(self._names.transactions.name, shard)
        return (await self._reader.bounds([partition]))[partition][1]

    async def _last_progress(self) -> list[LastProgress]:
        progress = self._names.progress.name
        return await last_progress(self._reader, self._records, progress, self._shards)

    async def _append(self, items: Sequence[Item]) -> list[int]:
        """Append the items; returns their offsets."""
        rows = map(key_and_row, items)
        records = [(key, self._records.codec.encode("Reference", row)) for key, row in rows]
        offsets: list[int] = []
        for batch in portions(
            records,
            count=PORTION,
            size=SMALL_BATCH_BYTES,
            weight=lambda pair: len(pair[0]) + len(pair[1]),
        ):
            first = await self._log.append(self._names.reference.name, 0, batch)
            offsets += range(first, first + len(batch))
        return offsets

    async def _read_back(self, end: int) -> list[Stored]:
        """The records of the topic after `known` and before `end`."""
        partition = TopicPartition(self._names.reference.name, 0)
        first, _ = (await self._reader.bounds([partition]))[partition]
        found, start = [], max(first, self._known.offset)
        async for records in self._reader.between({partition: start}, {partition: end}):
            for record, row in await self._records.decode("Reference", records):
                try:
                    item = _counting(row)
                except ValueError as error:
                    log.warning("Reference data at %s is ignored: %s", record.offset, error)
                    continue
                if isinstance(item, Account | Asset):
                    found.append(Stored(record.offset, record.timestamp * 1_000, item))
        return found

    async def _wait_for_shards(
        self, shards: list[LastProgress], position: int, seconds: float
    ) -> list[int]:
        """The shards that do not decide with the reference data before `position` in time."""
        until = time.monotonic() + seconds
        behind = set(range(len(shards)))
        marks = [shard.watermark for shard in shards]
        name = self._names.decisions.name
        self._reader.assign(
            {TopicPartition(name, index): mark.decisions_offset for index, mark in enumerate(marks)}
        )
        while behind and (left := until - time.monotonic()) > 0:
            for record in await self._reader.fetch(min(0.5, left)):
                shard = record.partition
                for run in valid_runs(self._records.codec, [record], marks[shard]):
                    marks[shard] = run.after
                    if run.decision.reference_offset >= position:
                        behind.discard(shard)
        return sorted(behind)
