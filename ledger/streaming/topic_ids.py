"""Which topic it is that has a name: one that was deleted and made again has another id.

aiokafka's own request for metadata is older than ids of topics (KIP-516).
"""

from typing import Any
from uuid import UUID

from aiokafka.errors import TopicAuthorizationFailedError, UnknownTopicOrPartitionError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from ledger.errors import LedgerError, Unavailable
from ledger.streaming.topic_look import TopicAdmin

ID_BYTES = 16
TEXT = CompactString("utf-8")


class _Id(AbstractType[bytes]):
    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: Any) -> bytes:
        found: bytes = data.read(ID_BYTES)
        return found


NO_ID = bytes(ID_BYTES)


# https://kafka.apache.org/protocol#The_Messages_Metadata
class FoundTopics(Response):
    """The answer, with an id a topic."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(
            ("node_id", Int32), ("host", TEXT), ("port", Int32), ("rack", TEXT),
            ("tags", TaggedFields),
        )),
        ("cluster_id", TEXT),
        ("controller_id", Int32),
        ("topics", CompactArray(
            ("error_code", Int16), ("name", TEXT), ("topic_id", _Id), ("is_internal", Boolean),
            ("partitions", CompactArray(
                ("error_code", Int16), ("partition_index", Int32), ("leader_id", Int32),
                ("leader_epoch", Int32), ("replica_nodes", CompactArray(Int32)),
                ("isr_nodes", CompactArray(Int32)), ("offline_replicas", CompactArray(Int32)),
                ("tags", TaggedFields),
            )),
            ("topic_authorized_operations", Int32),
            ("tags", TaggedFields),
        )),
        ("tags", TaggedFields),
    )  # fmt: skip


class FindTopics(RequestStruct):
    """The request as it is sent."""

    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = FoundTopics
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", _Id), ("name", TEXT), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class FindTopic(Request[FindTopics]):
    """Asks for one topic by its name, and has none made."""

    API_KEY = 3

    def __init__(self, name: str) -> None:
        self._name = name

    def build(self, request_struct_class: type[FindTopics]) -> FindTopics:
        return request_struct_class([(NO_ID, self._name, {})], False, False, {})


async def topic_id(admin: TopicAdmin, name: str) -> str:
    """The id of a topic; empty where the broker has none for topics, being older than Kafka 3.1.

    Raises LedgerError for a topic that is not there or that this user may not describe, Unavailable
    when Kafka does not answer.
    """
    try:
        answer = await admin.send(FindTopic(name))
    except NotImplementedError:
        return ""
    (found,) = answer.to_object()["topics"]
    if found["error_code"] == TopicAuthorizationFailedError.errno:
        raise LedgerError(
            f"This user may not describe {name}: the role has no right to it, see docs/security.md."
        )
    if found["error_code"] == UnknownTopicOrPartitionError.errno:
        raise Unavailable(
            f"Kafka has no topic {name}: it was deleted. `faust-ledger topics create` makes it, "
            "then see docs/runbooks/balances-lost.md."
        )
    return "" if found["topic_id"] == NO_ID else str(UUID(bytes=found["topic_id"]))
