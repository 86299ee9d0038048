"""Importing reference data: all lines checked first, then appended, then awaited in every shard."""

import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from aiokafka import TopicPartition

from ledger.client.bulk import Splitter
from ledger.client.lines import (
    Malformed,
    check_names,
    malformed,
    optional_text,
    read_object,
    text_of,
    time_of,
)
from ledger.client.outcomes import Standing, standing
from ledger.client.reading import Reader, ledger_partitions
from ledger.client.records import Records
from ledger.client.reference import ReferenceFollower
from ledger.domain import account as accounts
from ledger.domain.reference import Account, Asset, ScaleChanged, asset_problem
from ledger.domain.refusal import Refused
from ledger.domain.transaction import EARLIEST, LATEST
from ledger.settings import Settings
from ledger.streaming.decisions import valid_runs
from ledger.streaming.log import Log
from ledger.streaming.reference import key_and_row
from ledger.streaming.topics import topics

MAX_NAME = 1_000
BATCH_BYTES = 256 * 1024

Item = Asset | Account
Numbered = tuple[int, Item]
Problem = tuple[int, str]
"""A line's number and a sentence."""


def read_items(text: bytes, kind: str) -> tuple[list[Numbered], list[Problem]]:
    """The assets or accounts in JSON Lines, by `kind` "asset" or "account", and the bad lines."""
    splitter = Splitter()
    items: list[Numbered] = []
    bad: list[Problem] = []
    for number, line in splitter.feed(text) + splitter.end():
        fields = read_object(line)
        if isinstance(fields, Refused):
            bad.append((number, fields.sentence))
            continue
        try:
            items.append((number, _asset(fields) if kind == "asset" else _account(fields)))
        except Malformed as error:
            bad.append((number, error.refused.sentence))
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
    if len(name) > MAX_NAME or any("\ud800" <= each <= "\udfff" for each in name):
        raise malformed("name", f"is not text of at most {MAX_NAME} characters")
    return name


def _time(fields: dict[str, Any], name: str) -> int | None:
    if fields.get(name) is None:
        return None
    found = time_of(fields, name)
    if not EARLIEST <= found < LATEST:
        raise malformed(name, "is outside the years 1900 to 2199")
    return found


class Importer:
    """Enter, `check`, `add`; an async context manager."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._names = settings, topics(settings)
        self._log = Log(settings)
        self._reader = Reader(settings)

    async def __aenter__(self) -> Self:
        """Raises LedgerError, with what to do, when Kafka or the registry is not as it must be."""
        names = self._names
        counts = await ledger_partitions(
            self._settings, names.transactions.name, names.reference.name
        )
        self._shards = counts[names.transactions.name]
        self._records = await Records.of(self._settings, "Reference", "Decision", "Progress")
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._log.close)
            await stack.enter_async_context(self._reader)
            follower = ReferenceFollower(self._settings, self._records)
            async with follower:
                self._known = follower.known
            self._open = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._open.aclose()

    def check(self, items: Iterable[Numbered]) -> list[Problem]:
        """What is wrong with items given what is known, earlier ones included."""
        bad = []
        for number, item in items:
            try:
                self._known.add([item])
            except ScaleChanged as error:
                bad.append((number, str(error)))
                continue
            currency = item.currency if isinstance(item, Account) else None
            if currency is not None and currency not in self._known.scales:
                sentence = (
                    f"{currency!r} is neither an ISO 4217 currency nor a registered asset; "
                    "register it with `faust-ledger assets import` first."
                )
                bad.append((number, sentence))
        return bad

    async def add(self, items: Sequence[Item], seconds: float) -> list[int]:
        """Append them and wait until every shard decides with them.

        Returns the shards that did not say so within `seconds`. Raises Unavailable.
        """
        if not items:
            return []
        # Noted before: from here on each shard must say that it has moved.
        progress = self._names.progress.name
        shards = await standing(self._reader, self._records, progress, self._shards)
        position = await self._append(items)
        return await self._taken_up(shards, position, seconds)

    async def _append(self, items: Sequence[Item]) -> int:
        """Returns the position after the last of them."""
        position, size = 0, 0
        batch: list[tuple[bytes, bytes]] = []
        for index, item in enumerate(items):
            key, row = key_and_row(item)
            batch.append((key, self._records.codec.encode("Reference", row)))
            size += len(batch[-1][1])
            if size > BATCH_BYTES or index + 1 == len(items):
                offset = await self._log.append(self._names.reference.name, 0, batch)
                position, batch, size = offset + len(batch), [], 0
        return position

    async def _taken_up(self, shards: list[Standing], position: int, seconds: float) -> list[int]:
        until = time.monotonic() + seconds
        behind = set(range(len(shards)))
        marks = [shard.watermark for shard in shards]
        name = self._names.decisions.name
        self._reader.place(
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
