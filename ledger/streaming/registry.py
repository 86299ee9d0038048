"""The schema registry: register our schemas, learn the ids, read what others wrote with theirs.

Subjects follow the TopicNameStrategy, `<topic>-value`. Compatibility is FULL_TRANSITIVE: a new
reader reads everything ever written, and everybody's old reader reads what a new writer writes.
"""

import json
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastavro import parse_schema
from fastavro.types import Schema
from schema_registry.client import SchemaRegistryClient, schema
from schema_registry.client.errors import ClientError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

import schemas
from ledger.domain import avro
from ledger.domain.refusal import Reason, Refused
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.topics import topics

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
                f"The registry refuses schema {name} under {subject}: {error.message}. Change it "
                "in a compatible way (schemas/README.md), or register it under a new topic."
            ) from error
        raise Unavailable(f"The schema registry fails: {error}") from error
    except httpx.HTTPError as error:
        raise Unavailable(f"The schema registry does not answer: {error}") from error


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
            raise Unavailable(f"The schema registry does not answer: {error!r}") from error
        if found is None:
            raise ValueError(f"the registry knows no schema {schema_id}")
        readable = _readable(_json_or_text(found["schema"]), schema_id)
        if isinstance(readable, Refused):
            raise ValueError(readable.sentence)  # noqa: TRY004 - of a value, not of a type
        return readable

    return Codec(known_ids(settings), look_up)


def _readable(writer: Any, schema_id: int) -> Schema | Refused:
    """The schema ready to read with, or why nothing is read with it.

    A schema that contains itself lets few bytes recurse until fastavro overflows the C stack, one
    with a list of nothing lets them fill the memory; and times in another unit would be read as
    ours. Measured: a value nested 30,000 deep ends the process.
    """
    try:
        why = _unsafe(writer, frozenset())
        if why is None:
            return parse_schema(avro.without_logical_types(writer))
    except Exception as error:  # whatever a schema of somebody else's makes fastavro stumble over
        why = f"cannot be read: {type(error).__name__}"
    return Refused(Reason.FOREIGN_SCHEMA, f"Schema {schema_id} {why}. Use the published one.")


def _unsafe(part: Any, inside: frozenset[str]) -> str | None:
    """What is wrong with a schema, below the names in `inside`; None if nothing."""
    if isinstance(part, str):
        return "contains itself" if part.rpartition(".")[2] in inside else None
    if isinstance(part, list):
        return next((why for each in part if (why := _unsafe(each, inside))), None)
    if part.get("logicalType", "").startswith(("timestamp-", "local-timestamp-")):
        micros = part["logicalType"] == "timestamp-micros"
        return None if micros else "has times in another unit than timestamp-micros"
    if part.get("type") == "array" and _may_be_empty(part["items"]):
        return "has a list of nothing"
    below = inside | {part["name"]} if "name" in part and "fields" in part else inside
    inner = [field["type"] for field in part.get("fields", ())]
    inner += [part[name] for name in ("items", "values") if name in part]
    if isinstance(part.get("type"), dict | list):
        inner.append(part["type"])
    return next((why for each in inner if (why := _unsafe(each, below))), None)


def _may_be_empty(part: Any) -> bool:
    """Whether a value of this schema can take no bytes at all."""
    if isinstance(part, dict) and part.get("type") == "record":
        return all(_may_be_empty(each["type"]) for each in part["fields"])
    if isinstance(part, dict) and part.get("type") == "fixed":
        return bool(part["size"] == 0)
    return part in ("null", {"type": "null"})


def _json_or_text(schema_text: str) -> Any:
    try:
        return json.loads(schema_text)
    except ValueError:
        return schema_text


@dataclass(slots=True)
class TransactionReader:
    """Decodes what producers wrote, with whatever version of our schema they used."""

    client: httpx.AsyncClient
    subject: str
    max_bytes: int
    _known: dict[int, Schema | Refused] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: Settings) -> "TransactionReader":
        """A reader of the transactions topic that `settings` name."""
        return cls(
            # One client that keeps its connection: garbage names a thousand schemas in a run.
            httpx.AsyncClient(**connection.registry(settings)),
            subject_of(topics(settings).transactions.name),
            settings.max_transaction_bytes,
        )

    async def prepare(self, values: Iterable[bytes | None]) -> None:
        """Look up the schemas that `values` name. Raises Unavailable: ask again later.

        What the registry does not know today it may know tomorrow, so that is asked every run.
        """
        wanted = {
            HEADER.unpack_from(value)[1]
            for value in values
            if value is not None and len(value) >= HEADER.size and value[0] == 0
        }
        if unsure := {i for i in wanted if isinstance(self._known.get(i), Refused | None)}:
            ours = await self._ours()
            for schema_id in unsure:
                if schema_id in ours:
                    readable = _readable(ours[schema_id], schema_id)
                    same = readable == avro.parsed("Transaction")
                    self._known[schema_id] = avro.parsed("Transaction") if same else readable
                else:
                    self._known[schema_id] = await self._refusal(schema_id)

    def decode(self, value: bytes | None) -> Any:
        """A Draft, or Refused. `prepare` must have seen the value."""
        if value is None:
            sentence = "The record has no value; a transaction is never deleted, only reversed."
            return Refused(Reason.UNREADABLE, sentence)
        if len(value) > self.max_bytes:
            sentence = (
                f"The record has {len(value)} bytes; at most {self.max_bytes} are taken. Send less "
                "text with it, or split the transaction."
            )
            return Refused(Reason.TOO_LARGE, sentence)
        if len(value) < HEADER.size or value[0]:
            sentence = (
                "The value does not begin with a zero byte and a schema id of four: write it with "
                "a serializer for the schema registry."
            )
            return Refused(Reason.UNREADABLE, sentence)
        writer = self._known[HEADER.unpack_from(value)[1]]
        if isinstance(writer, Refused):
            return writer
        ours = avro.parsed("Transaction")
        try:
            return avro.decode_as(
                writer, value, HEADER.size, reader=None if writer is ours else ours
            )
        except ValueError as error:
            sentence = f"The value is {error}; write it with the schema whose id it names."
            return Refused(Reason.UNREADABLE, sentence)

    async def _ours(self) -> dict[int, Any]:
        """Every version of our subject, by id. Others' schemas, of any kind, are never parsed."""
        ours = {}
        for version in await self._get(f"subjects/{self.subject}/versions") or ():
            found = await self._get(f"subjects/{self.subject}/versions/{version}")
            if found is not None:
                ours[int(found["id"])] = _json_or_text(found["schema"])
        return ours

    async def _refusal(self, schema_id: int) -> Refused:
        if await self._get(f"schemas/ids/{schema_id}") is None:
            sentence = f"The registry knows no schema {schema_id}; register it first."
            return Refused(Reason.UNKNOWN_SCHEMA, sentence)
        sentence = (
            f"Schema {schema_id} is not one of subject {self.subject}. Register the schema there, "
            "or send the record to the topic that it is for."
        )
        return Refused(Reason.FOREIGN_SCHEMA, sentence)

    async def _get(self, path: str) -> Any:
        """What the registry has there, None for nothing."""
        try:
            answer = await self.client.get(path)
            if answer.status_code == NOT_FOUND:
                return None
            return answer.raise_for_status().json()
        except (httpx.HTTPError, ValueError) as error:
            # ValueError: what stands before the registry says in HTML that it is away.
            raise Unavailable(f"The schema registry does not answer: {error!r}") from error
