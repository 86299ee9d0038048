"""Producers' records decoded, with whatever version of our schema each was written with.

Any four bytes are a schema id, so what is asked of the registry is bounded: whether there are new
versions of our subject, once for all records that wait to know; and, of ids that are none of
those, a few a second, which only distinguishes two refusals.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastavro.types import Schema

import schemas
from ledger.domain import avro
from ledger.domain.codecs import decoder
from ledger.domain.refusal import Reason, Refused
from ledger.domain.transaction import Draft, DraftEntry
from ledger.health.waiting import waited_for
from ledger.settings import Settings
from ledger.streaming.registry import HEADER, Registry, subject_of
from ledger.streaming.topics import topics
from ledger.streaming.writers import readable, schema_in

LOOKS_APART = 0.1
"""Seconds between two lookups of our subject's versions."""
QUESTIONS, QUESTIONS_A_SECOND = 16, 2
"""About ids that are not ours: so many at once, and then more. Each is milliseconds of Python."""
FOREIGN_KEPT = 65_536

UNFRAMED = Refused(
    Reason.UNREADABLE,
    "The value does not begin with a zero byte and a schema id of four: write it with a serializer "
    "for the schema registry.",
)


def too_large(size: int, limit: int) -> Refused:
    """The refusal of a record whose value has `size` bytes."""
    sentence = (
        f"The record has {size} bytes; at most {limit} are taken. Send less text with it, or split "
        "the transaction."
    )
    return Refused(Reason.TOO_LARGE, sentence)


usual = decoder(schemas.load("Transaction"), Draft, DraftEntry)


class Subject:
    """The versions of our schema in the registry, by id. Others' schemas are never parsed."""

    def __init__(self, registry: Registry, subject: str) -> None:
        self._registry, self.name = registry, subject
        self.known: dict[int, Schema | Refused] = {}
        self._versions: set[int] = set()
        self._looking = asyncio.Lock()
        self._begun = self._done = 0
        self._next_look = 0.0

    async def look(self) -> None:
        """Learn what was registered before this call. Raises Unavailable: ask again later."""
        # One that is under way may have begun too early; the next is for all that wait by then.
        wanted = self._begun + 1
        async with self._looking:
            if self._done < wanted:
                loop = asyncio.get_running_loop()
                await asyncio.sleep(max(0.0, self._next_look - loop.time()))
                self._next_look = loop.time() + LOOKS_APART
                self._begun += 1
                await self._learn()
                self._done = self._begun

    async def _learn(self) -> None:
        versions = await self._registry.get(f"subjects/{self.name}/versions") or []
        for version in versions:
            if version not in self._versions:
                found = await self._registry.get(f"subjects/{self.name}/versions/{version}")
                if found is not None:
                    self._take(found)
                    self._versions.add(version)

    async def has(self, schema_id: int) -> bool:
        """Whether the registry has the schema, under whatever subject; it is not read."""
        return await self._registry.get(f"schemas/ids/{schema_id}") is not None

    def _take(self, found: Mapping[str, Any]) -> None:
        schema_id = int(found["id"])
        readable_ = readable(schema_in(found), schema_id, read_as="Transaction")
        ours = avro.parsed("Transaction")
        self.known[schema_id] = ours if readable_ == ours else readable_


class Foreign:
    """Ids that the registry has, but not under our subject."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._known: set[int] = set()
        self._left, self._counted = float(QUESTIONS), 0.0

    def __contains__(self, schema_id: int) -> bool:
        return schema_id in self._known

    async def look(self, ids: Iterable[int]) -> None:
        """Learn of some of `ids`. Raises Unavailable: ask again later."""
        unsure = [each for each in ids if each not in self._known]
        now = asyncio.get_running_loop().time()
        more = (now - self._counted) * QUESTIONS_A_SECOND
        self._left = min(self._left + more, QUESTIONS)
        self._counted = now
        asked = unsure[: int(self._left)]
        self._left -= len(asked)
        found = await asyncio.gather(*map(self._subject.has, asked))
        if len(self._known) < FOREIGN_KEPT:
            self._known |= {each for each, there in zip(asked, found, strict=True) if there}


@dataclass(slots=True)
class TransactionReader:
    """`prepare` asks the registry what `decode` needs to know."""

    subject: Subject
    max_bytes: int
    _foreign: Foreign = field(init=False)

    def __post_init__(self) -> None:
        self._foreign = Foreign(self.subject)

    @classmethod
    def of(cls, settings: Settings, schema_id: int | None = None) -> "TransactionReader":
        """A reader of the transactions topic that `settings` name.

        `schema_id`: of this version's schema, where it is known: what was written with it is read
        without the registry.
        """
        name = subject_of(topics(settings).transactions.name)
        subject = Subject(Registry(settings), name)
        if schema_id is not None:
            subject.known[schema_id] = avro.parsed("Transaction")
        return cls(subject, settings.max_transaction_bytes)

    async def learn(self) -> None:
        """Look up the versions that there are, so that a first record needs no registry."""
        await waited_for(self.subject.look, "look up the versions of the transactions' schema")

    async def prepare(self, values: Iterable[bytes | None]) -> None:
        """Look up the schemas that `values` name. Raises Unavailable: ask again later.

        What is not a version of ours today may be one tomorrow, so that is asked every run.
        """
        wanted = {
            HEADER.unpack_from(value)[1]
            for value in values
            if value is not None and len(value) >= HEADER.size and value[0] == 0
        }
        known = self.subject.known
        if not wanted <= known.keys():
            await self.subject.look()
            await self._foreign.look(wanted - known.keys())

    def decode(self, value: bytes | None) -> Any:
        """A Draft, or Refused. `prepare` must have seen the value."""
        if value is None or len(value) > self.max_bytes or len(value) < HEADER.size or value[0]:
            return self._no_record(value)
        schema_id = HEADER.unpack_from(value)[1]
        writer = self.subject.known.get(schema_id)
        if writer is None:
            return self._not_ours(schema_id)
        if isinstance(writer, Refused):
            return writer
        ours = avro.parsed("Transaction")
        if writer is ours:
            draft = usual(value, HEADER.size)
            if draft is not None:
                return draft
        try:
            return avro.decode_as(
                writer, value, HEADER.size, reader=None if writer is ours else ours
            )
        except ValueError as error:
            sentence = f"The value is {error}; write it with the schema whose id it names."
            return Refused(Reason.UNREADABLE, sentence)

    def _no_record(self, value: bytes | None) -> Refused:
        if value is None:
            sentence = "The record has no value; a transaction is never deleted, only reversed."
            return Refused(Reason.UNREADABLE, sentence)
        if len(value) > self.max_bytes:
            return too_large(len(value), self.max_bytes)
        return UNFRAMED

    def _not_ours(self, schema_id: int) -> Refused:
        if schema_id in self._foreign:
            sentence = (
                f"Schema {schema_id} is not one of subject {self.subject.name}. Register the "
                "schema there, or send the record to the topic that it is for."
            )
            return Refused(Reason.FOREIGN_SCHEMA, sentence)
        sentence = f"The registry knows no schema {schema_id}; register it first."
        return Refused(Reason.UNKNOWN_SCHEMA, sentence)
