"""Our public records, read whatever registered version of their schema they were written with."""

import logging
import struct
from collections.abc import Iterable
from typing import Any

import httpx
from aiokafka import ConsumerRecord
from fastavro.types import Schema
from schema_registry.client import AsyncSchemaRegistryClient, schema
from schema_registry.client.errors import ClientError

import schemas
from ledger.domain import avro
from ledger.errors import LedgerError, Unavailable
from ledger.hiding import hidden, shown_url
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.registry import HEADER, SERVER_ERROR, Codec, subject_of
from ledger.streaming.topics import topics
from ledger.streaming.writers import readable_or_error

NO_SCHEMA = 0
"""The id of none: registries count from 1."""

log = logging.getLogger(__name__)


class Records:
    """`codec` writes them and reads this version's; `decode` reads any version's."""

    def __init__(self, client: AsyncSchemaRegistryClient, codec: Codec) -> None:
        self._client, self.codec = client, codec
        self._writers: dict[int, Schema] = {}

    @classmethod
    async def of(cls, settings: Settings, *names: str) -> "Records":
        """For the records `names`, whose schemas must be registered.

        Raises LedgerError when one is not, Unavailable when the registry does not answer.
        """
        client = connection.schemas(settings, AsyncSchemaRegistryClient)
        ids = {}
        for topic in topics(settings).all():
            if topic.schema in names:
                subject = subject_of(topic.name)
                ids[topic.schema] = await _registered(client, settings, subject, topic.schema)
        return cls(client, Codec(ids))

    @classmethod
    def of_any_version(cls, settings: Settings, name: str) -> "Records":
        """Only to read records `name`: whatever version the registry has them in."""
        client = connection.schemas(settings, AsyncSchemaRegistryClient)
        return cls(client, Codec({name: NO_SCHEMA}))

    async def decode(
        self, name: str, records: Iterable[ConsumerRecord], *, tell: bool = True
    ) -> list[tuple[ConsumerRecord, dict[str, Any]]]:
        """Each record with its row. Those without a value, or not a `name` at all, are left out.

        `tell`: say which. Raises Unavailable when a newer schema must be looked up and the registry
        does not answer.
        """
        rows = []
        for record in records:
            if record.value is None:
                continue
            try:
                rows.append((record, await self._decode(name, record.value)))
            except (ValueError, struct.error) as error:
                where = f"{record.topic}[{record.partition}] at {record.offset}"
                level = logging.ERROR if tell else logging.DEBUG
                log.log(level, "A foreign record is left out, %s: %s", where, error)
        return rows

    async def _decode(self, name: str, value: bytes) -> dict[str, Any]:
        magic, schema_id = HEADER.unpack_from(value)
        if magic:
            raise ValueError("it is not framed for the schema registry")
        if schema_id == self.codec.ids[name]:
            return avro.decode(name, value, HEADER.size)
        writer = self._writers.get(schema_id) or await self._look_up(schema_id)
        row: dict[str, Any] = avro.decode_as(writer, value, HEADER.size, reader=avro.parsed(name))
        return row

    async def _look_up(self, schema_id: int) -> Schema:
        try:
            found = await self._client.get_by_id(schema_id)
        except (ClientError, httpx.HTTPError) as error:
            raise Unavailable(
                f"The schema registry does not answer: {hidden(str(error))}. Is it up "
                "(`faust-ledger status`), and is the setting registry_url right?"
            ) from error
        except Exception as error:  # whatever the client makes of a schema that is none of ours
            raise ValueError(f"schema {schema_id} is none of ours: {error!r}") from error
        if found is None:
            raise ValueError(f"the registry knows no schema {schema_id}")
        readable = readable_or_error(found.raw_schema, schema_id)
        self._writers[schema_id] = readable
        return readable


async def _registered(
    client: AsyncSchemaRegistryClient, settings: Settings, subject: str, name: str
) -> int:
    try:
        known = await client.check_version(subject, schema.AvroSchema(schemas.load(name)))
    except (ClientError, httpx.HTTPError) as error:
        if isinstance(error, ClientError) and (error.http_code or SERVER_ERROR) < SERVER_ERROR:
            raise LedgerError(
                f"The registry refuses to tell of {subject}: {hidden(str(error))}"
            ) from error
        raise Unavailable(
            f"The schema registry at {shown_url(settings.registry_url)} does not answer: "
            f"{hidden(str(error))}. Is it up "
            "(`faust-ledger status`), and is the setting registry_url right?"
        ) from error
    if known is None:
        raise LedgerError(
            f"The registry has no schema {name} of this version under {subject}. `faust-ledger up` "
            "registers them; a client that is newer than its ledger waits for it."
        )
    return int(known.schema_id)
