"""Topics as the broker has them: described, and single settings altered."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import DescribeConfigsRequest
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.types import Array, Boolean, Int8, Int16, Int32, Schema, String

from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.topic_rules import ActualTopic, rules

if TYPE_CHECKING:
    from ledger.streaming.topics import Topic

TOPIC_RESOURCE = 2
SET = 0
REQUEST_MS = 10_000


# https://kafka.apache.org/protocol#The_Messages_IncrementalAlterConfigs: aiokafka has only the
# request that replaces all settings of a topic, also those that somebody else has set.
class AlteredConfigs(Response):
    """The answer, an error code a topic."""

    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("responses", Array(
            ("error_code", Int16), ("error_message", String("utf-8")),
            ("resource_type", Int8), ("resource_name", String("utf-8")),
        )),
    )  # fmt: skip


class AlterSomeConfigs(RequestStruct):
    """The request as it is sent."""

    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = AlteredConfigs
    SCHEMA = Schema(
        ("resources", Array(
            ("resource_type", Int8), ("resource_name", String("utf-8")),
            ("configs", Array(
                ("name", String("utf-8")), ("config_operation", Int8), ("value", String("utf-8")),
            )),
        )),
        ("validate_only", Boolean),
    )  # fmt: skip


class AlterSome(Request[AlterSomeConfigs]):
    """Sets what is named of each topic, and nothing else."""

    API_KEY = 44

    def __init__(self, changes: Mapping[str, Mapping[str, str]]) -> None:
        self._resources = [
            (TOPIC_RESOURCE, topic, [(name, SET, value) for name, value in values.items()])
            for topic, values in changes.items()
        ]

    def build(self, request_struct_class: type[AlterSomeConfigs]) -> AlterSomeConfigs:
        return request_struct_class(self._resources, False)


@dataclass
class TopicsFound:
    """Existing topics by name. `hidden`: those that this user may not describe."""

    topics: dict[str, ActualTopic] = field(default_factory=dict)
    hidden: list[str] = field(default_factory=list)


class TopicAdmin:
    """Describes and alters topics, at any broker; an async context manager.

    Every call raises Unavailable.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def __aenter__(self) -> Self:
        given = connection.kafka(self._settings)
        self._client = AIOKafkaClient(**given, request_timeout_ms=REQUEST_MS)
        try:
            await self._client.bootstrap()
        except (KafkaError, OSError) as error:
            await self._client.close()
            why = await connection.why_unavailable(self._settings)
            raise Unavailable(
                f"Cannot connect to Kafka at {self._settings.bootstrap_servers}: {why}"
            ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def look(self, wanted: "Iterable[Topic]") -> TopicsFound:
        """Partitions, copies and settings of these topics."""
        known = {topic.name: topic for topic in wanted}
        shapes, hidden = await self._shapes(known)
        configs = await self._configs([known[name] for name in shapes])
        seen = TopicsFound(hidden=hidden + [name for name in shapes if name not in configs])
        for name, (partitions, copies) in shapes.items():
            seen.topics[name] = ActualTopic(partitions, copies, configs.get(name))
        return seen

    async def partitions(self, names: Iterable[str]) -> tuple[dict[str, int], list[str]]:
        """How many each existing topic has; and the topics that this user may not describe."""
        shapes, hidden = await self._shapes(names)
        return {name: partitions for name, (partitions, _) in shapes.items()}, hidden

    async def _shapes(self, names: Iterable[str]) -> tuple[dict[str, tuple[int, int]], list[str]]:
        # Without leave to create: a broker that makes topics by itself would make them wrong.
        asked = MetadataRequest(list(names), allow_auto_topic_creation=False)
        shapes, hidden = {}, []
        for topic in (await self.send(asked)).to_object()["topics"]:
            found = topic["partitions"]
            if topic["error_code"] == TopicAuthorizationFailedError.errno:
                hidden.append(topic["topic"])
            elif found:
                fewest = min(len(each["replicas"]) for each in found)
                shapes[topic["topic"]] = (len(found), fewest)
        return shapes, hidden

    async def _configs(self, wanted: "list[Topic]") -> dict[str, dict[str, str | None]]:
        """The settings of the topics that this user may describe."""
        if not wanted:
            return {}
        names = [(TOPIC_RESOURCE, each.name, list(rules(each, 1))) for each in wanted]
        answer = await self.send(DescribeConfigsRequest(names))
        found = {}
        for code, message, _, name, entries in answer.resources:
            if code == TopicAuthorizationFailedError.errno:
                continue
            if code == UnknownTopicOrPartitionError.errno:
                raise Unavailable(f"{name} was removed while it was described.")
            _require(code, message, f"The settings of {name} cannot be read")
            found[name] = {entry[0]: entry[1] for entry in entries}
        return found

    async def alter(self, changes: Mapping[str, Mapping[str, str]]) -> None:
        """Set these settings, by topic. Raises LedgerError where that is refused."""
        if changes:
            answer = await self.send(AlterSome(changes))
            for code, message, _, name in answer.responses:
                _require(code, message, f"The settings of {name} cannot be changed")

    async def send(self, request: Any) -> Any:
        """The answer to a request. Raises Unavailable."""
        try:
            return await self._client.send(self._client.get_random_node(), request)
        except (KafkaError, OSError) as error:
            raise Unavailable(
                f"Kafka at {self._settings.bootstrap_servers}: {error or type(error).__name__}"
            ) from error


def _require(code: int, message: str | None, what: str) -> None:
    if code:
        error: type[KafkaError] = for_code(code)
        if error.retriable:
            raise Unavailable(f"{what}: {error.__name__}.")
        raise LedgerError(
            f"{what}: {error.__name__}: {message}. It needs a user who may alter and describe "
            "topics' configurations, see docs/security.md."
        )
