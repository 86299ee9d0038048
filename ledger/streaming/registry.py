"""The schema registry: register our schemas, learn the ids, read what others wrote with theirs.

Subjects follow the TopicNameStrategy, `<topic>-value`. Compatibility is FULL_TRANSITIVE: a new
reader reads everything ever written, and everybody's old reader reads what a new writer writes.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastavro.types import Schema
from schema_registry.client import SchemaRegistryClient, schema
from schema_registry.client.errors import ClientError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

import schemas
from ledger.domain import avro
from ledger.errors import LedgerError, Unavailable
from ledger.hiding import hidden
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.topics import topics
from ledger.streaming.writers import readable_or_error, schema_in

COMPATIBILITY = "FULL_TRANSITIVE"
HEADER = struct.Struct(">bI")
NOT_FOUND = 404
SERVER_ERROR = 500


def subject_of(topic: str) -> str:
    """TopicNameStrategy."""
    return f"{topic}-value"


def register_all(settings: Settings) -> dict[str, int]:
    """Register every topic's schema under its subject; returns the ids by record name.

    A schema already registered keeps its id. Raises LedgerError when the registry refuses a
    schema as incompatible with what was there, Unavailable when it does not answer.
    """
    client = connection.schemas(settings, SchemaRegistryClient)
    ids = {}
    for topic in topics(settings).all():
        if topic.schema is not None:
            ids[topic.schema] = _register(client, subject_of(topic.name), topic.schema)
    return ids


def known_ids(settings: Settings) -> dict[str, int]:
    """The ids of our schemas, by record name; a worker registers nothing.

    Raises LedgerError for one that is not registered.
    """
    client = connection.schemas(settings, SchemaRegistryClient)
    ids = {}
    for topic in topics(settings).all():
        if topic.schema is not None:
            ids[topic.schema] = _register(
                client, subject_of(topic.name), topic.schema, look_only=True
            )
    return ids


@retry(
    retry=retry_if_exception_type(Unavailable),
    wait=wait_random_exponential(multiplier=0.1, max=2),
    stop=stop_after_delay(30),
    reraise=True,
)
def _register(
    client: SchemaRegistryClient, subject: str, name: str, *, look_only: bool = False
) -> int:
    try:
        ours = schema.AvroSchema(schemas.load(name))
        known = client.check_version(subject, ours)
        if known is not None:
            return int(known.schema_id)
        if look_only:
            raise LedgerError(
                f"Schema {name} is not registered under {subject} in this version. Run "
                "`faust-ledger up`, or register schemas/ with your registry, and start again."
            )
        client.update_compatibility(level=COMPATIBILITY, subject=subject)
        return int(client.register(subject, ours))
    except ClientError as error:
        if error.http_code is not None and error.http_code < SERVER_ERROR:
            raise LedgerError(
                f"The registry refuses schema {name} under {subject}: {hidden(error.message)}. "
                "Change it "
                "in a compatible way (schemas/README.md), or register it under a new topic."
            ) from error
        raise Unavailable(f"The schema registry fails: {hidden(str(error))}") from error
    except httpx.HTTPError as error:
        raise Unavailable(f"The schema registry does not answer: {hidden(str(error))}") from error


def _unknown(schema_id: int) -> Schema:
    raise ValueError(f"schema {schema_id} is not this version's")


@dataclass(frozen=True, slots=True)
class Codec:
    """Writes and reads our own records as the registry's wire format: 0, schema id, Avro binary.

    `look_up` gives the schema of an id that is not this version's, once; it raises ValueError for
    one that nobody knows, Unavailable to be asked again.
    """

    ids: dict[str, int]
    look_up: Callable[[int], Schema] = _unknown
    _writers: dict[int, Schema] = field(default_factory=dict)

    def head(self, name: str) -> bytes:
        """What a record of ours begins with."""
        return HEADER.pack(0, self.ids[name])

    def encode(self, name: str, row: Any) -> bytes:
        """The value of a Kafka record."""
        return avro.encode(name, row, self.head(name))

    def decode(self, name: str, value: bytes) -> dict[str, Any]:
        """Raises ValueError for what no version of ours wrote, Unavailable as `look_up` does."""
        if len(value) < HEADER.size or value[0]:
            raise ValueError("it is not framed for the schema registry")
        schema_id = HEADER.unpack_from(value)[1]
        if schema_id == self.ids[name]:
            return avro.decode(name, value, HEADER.size)
        if schema_id not in self._writers:
            self._writers[schema_id] = self.look_up(schema_id)
        writer = self._writers[schema_id]
        row: dict[str, Any] = avro.decode_as(writer, value, HEADER.size, avro.parsed(name))
        return row


def codec_of(settings: Settings) -> Codec:
    """A codec that also reads what older and newer versions of ours write.

    Raises as `known_ids` does.
    """
    client = httpx.Client(**connection.registry(settings))

    def look_up(schema_id: int) -> Schema:
        try:
            answer = client.get(f"schemas/ids/{schema_id}")
            found = None
            if answer.status_code != NOT_FOUND:
                found = answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            # ValueError: what stands before the registry says in HTML that it is away.
            raise Unavailable(
                f"The schema registry does not answer: {hidden(repr(error))}"
            ) from error
        if found is None:
            raise ValueError(f"the registry knows no schema {schema_id}")
        return readable_or_error(schema_in(found), schema_id)

    return Codec(known_ids(settings), look_up)
