"""The schema registry: register our schemas, learn the ids, read what others wrote with theirs.

Subjects follow the TopicNameStrategy, `<topic>-value`. Compatibility is FULL_TRANSITIVE: a new
reader reads everything ever written, and everybody's old reader reads what a new writer writes.

It is asked over HTTP as it is. The libraries for it parse every schema that they receive, and a
foreign one must be checked before that (`writers.py`).
https://docs.confluent.io/platform/current/schema-registry/develop/api.html
"""

import json
import struct
from collections import deque
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx
from fastavro.types import Schema
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_random_exponential

import schemas
from ledger.domain import avro
from ledger.errors import LedgerError, Unavailable
from ledger.hiding import hidden, shown_url
from ledger.settings import Settings, addresses_in
from ledger.streaming import connection
from ledger.streaming.topics import topics
from ledger.streaming.writers import readable_or_error, schema_in

COMPATIBILITY = "FULL_TRANSITIVE"
HEADER = struct.Struct(">bI")
NOT_FOUND, CONFLICT, UNPROCESSABLE = 404, 409, 422
CHANGE_IT = "Change it in a compatible way (schemas/README.md), or register it under a new topic."
RIGHTS = "Is the setting registry_url right, and may the user do that? See docs/security.md."
JSON = {"Content-Type": "application/vnd.schemaregistry.v1+json"}

retried = retry(
    retry=retry_if_exception_type(Unavailable),
    wait=wait_random_exponential(multiplier=0.1, max=2),
    stop=stop_after_delay(30),
    reraise=True,
)


def subject_of(topic: str) -> str:
    """TopicNameStrategy."""
    return f"{topic}-value"


class Registry:
    """A client of the registry, with the schemas that it has looked up, by id.

    Of several addresses one that does not answer makes room for the next. Every method raises
    Unavailable when none does.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._writers: dict[int, Schema] = {}
        self._addresses = deque(addresses_in(settings.registry_url))

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(**connection.registry(self._settings))

    @cached_property
    def _blocking(self) -> httpx.Client:
        # Used once at the start and then hardly ever: it keeps no connection open.
        limits = httpx.Limits(max_keepalive_connections=0)
        return httpx.Client(**connection.registry(self._settings), limits=limits)

    async def get(self, path: str) -> Any:
        """What the registry has at `path`, as JSON; None for nothing."""
        with self._answering():
            return _found(await self._get(path))

    async def _get(self, path: str) -> httpx.Response:
        for address in list(self._addresses)[:-1]:
            with suppress(httpx.TransportError):
                answer = await self._client.get(_at(address, path))
                if not answer.is_server_error:
                    return answer
            self._leave(address)
        return await self._client.get(_at(self._addresses[0], path))

    async def learn(self, schema_id: int) -> None:
        """Look a schema up for `writer`, if that was not done before. Raises as `writer`."""
        if schema_id not in self._writers:
            self._keep(schema_id, await self.get(f"schemas/ids/{schema_id}"))

    def writer(self, schema_id: int) -> Schema:
        """The schema of an id, ready to read with; blocks where it was not looked up before.

        Raises ValueError for one that the registry does not know, or that nobody reads with.
        """
        if schema_id not in self._writers:
            with self._answering():
                found = _found(self._request("GET", f"schemas/ids/{schema_id}"))
            self._keep(schema_id, found)
        return self._writers[schema_id]

    def _keep(self, schema_id: int, found: Any) -> None:
        if found is None:
            raise ValueError(f"the registry knows no schema {schema_id}")
        self._writers[schema_id] = readable_or_error(schema_in(found), schema_id)

    def ids(self, names: Collection[str] | None = None) -> dict[str, int]:
        """The ids of our schemas `names`, or of all, by record name; blocks.

        Raises LedgerError for one that is not registered.
        """
        ids = {}
        for subject, name in self._subjects(names):
            found = self._id_of(subject, name)
            if found is None:
                raise LedgerError(
                    f"Schema {name} is not registered under {subject} in this version. Run "
                    "`faust-ledger up`, or register schemas/ with your registry, and start again; "
                    "a client that is newer than its ledger waits for that."
                )
            ids[name] = found
        return ids

    def register(self) -> dict[str, int]:
        """Register all our schemas; returns the ids by record name. Blocks.

        A schema already registered keeps its id. Raises LedgerError for one that is refused.
        """
        return {name: self._register(subject, name) for subject, name in self._subjects(None)}

    def _subjects(self, names: Collection[str] | None) -> Iterator[tuple[str, str]]:
        for topic in topics(self._settings).all():
            if topic.schema is not None and (names is None or topic.schema in names):
                yield subject_of(topic.name), topic.schema

    @retried
    def _register(self, subject: str, name: str) -> int:
        known = self._id_of(subject, name)
        if known is not None:
            return known
        level = self._send("PUT", f"config/{subject}", {"compatibility": COMPATIBILITY})
        self._taken(level, subject, name)
        answer = self._send("POST", f"subjects/{subject}/versions", _body(name))
        return int(self._taken(answer, subject, name)["id"])

    def _id_of(self, subject: str, name: str) -> int | None:
        answer = self._send("POST", f"subjects/{subject}", _body(name))
        found = None if answer.status_code == NOT_FOUND else self._taken(answer, subject, name)
        return None if found is None else int(found["id"])

    def _send(self, method: str, path: str, body: dict[str, str]) -> httpx.Response:
        with self._answering():
            return self._request(method, path, content=json.dumps(body), headers=JSON)

    def _request(self, method: str, path: str, **given: Any) -> httpx.Response:
        """As `_get`, blocking. What is registered again keeps its id."""
        for address in list(self._addresses)[:-1]:
            with suppress(httpx.TransportError):
                answer = self._blocking.request(method, _at(address, path), **given)
                if not answer.is_server_error:
                    return answer
            self._leave(address)
        return self._blocking.request(method, _at(self._addresses[0], path), **given)

    def _leave(self, address: str) -> None:
        """Ask another first, unless somebody else has seen to that meanwhile."""
        if self._addresses[0] == address:
            self._addresses.rotate(-1)

    def _taken(self, answer: httpx.Response, subject: str, name: str) -> Any:
        """The answer of a registry that accepts a schema. Raises LedgerError for a refusal."""
        if answer.is_client_error:
            wrong = answer.status_code in (CONFLICT, UNPROCESSABLE)
            raise LedgerError(
                f"The registry refuses schema {name} under {subject}: {_why(answer)}. "
                + (CHANGE_IT if wrong else RIGHTS)
            )
        with self._answering():
            return answer.raise_for_status().json()

    @contextmanager
    def _answering(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, ValueError) as error:
            # ValueError: a proxy in front of the registry answers in HTML.
            raise Unavailable(
                f"The schema registry at {shown_url(self._settings.registry_url)} does not answer: "
                f"{hidden(repr(error))}. Is it up (`faust-ledger status`), and is the setting "
                "registry_url right?"
            ) from error


def _at(address: str, path: str) -> str:
    return f"{address.rstrip('/')}/{path}"


def _body(name: str) -> dict[str, str]:
    return {"schema": json.dumps(schemas.load(name)), "schemaType": "AVRO"}


def _found(answer: httpx.Response) -> Any:
    return None if answer.status_code == NOT_FOUND else answer.raise_for_status().json()


def _why(answer: httpx.Response) -> str:
    """The status, and the registry's own sentence where it has one."""
    try:
        sentence = f": {answer.json()['message']}"
    except (ValueError, LookupError, TypeError):
        sentence = ""
    return hidden(f"{answer.status_code} {answer.reason_phrase}{sentence}")


def register_all(settings: Settings) -> dict[str, int]:
    """Register every topic's schema under its subject; as `Registry.register`."""
    return Registry(settings).register()


def known_ids(settings: Settings) -> dict[str, int]:
    """The ids of our schemas, by record name; a worker registers nothing. As `Registry.ids`."""
    return retried(Registry(settings).ids)()


def codec_of(settings: Settings) -> "Codec":
    """A codec that also reads what older and newer versions of ours write.

    Raises as `known_ids` does.
    """
    return Codec(known_ids(settings), Registry(settings).writer)


def _unknown(schema_id: int) -> Schema:
    raise ValueError(f"schema {schema_id} is not this version's")


@dataclass(frozen=True, slots=True)
class Codec:
    """Writes and reads our own records as the registry's wire format: 0, schema id, Avro binary.

    `look_up` gives the schema of an id that is not this version's; it raises ValueError for one
    that nobody knows, Unavailable to be asked again.
    """

    ids: dict[str, int]
    look_up: Callable[[int], Schema] = _unknown

    def head(self, name: str) -> bytes:
        """What a record of ours begins with."""
        return HEADER.pack(0, self.ids[name])

    def encode(self, name: str, row: Any) -> bytes:
        """The value of a Kafka record."""
        return avro.encode(name, row, self.head(name))

    def decode(self, name: str, value: bytes) -> dict[str, Any]:
        """Raises ValueError for what no version of ours wrote, Unavailable as `look_up` does."""
        schema_id = schema_id_of(value)
        if schema_id == self.ids[name]:
            return avro.decode(name, value, HEADER.size)
        writer = self.look_up(schema_id)
        row: dict[str, Any] = avro.decode_as(writer, value, HEADER.size, avro.parsed(name))
        return row


def schema_id_of(value: bytes) -> int:
    """The id of the schema that `value` names. Raises ValueError for what names none."""
    if len(value) < HEADER.size or value[0]:
        raise ValueError("it is not framed for the schema registry")
    found: int = HEADER.unpack_from(value)[1]
    return found
