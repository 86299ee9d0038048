"""Kafka's users: those that are missing are added, with a password by SCRAM-SHA-512.

aiokafka has no requests for users, and Kafka's own program takes seconds of a Java start.
https://cwiki.apache.org/confluence/display/KAFKA/KIP-554
"""

import hashlib
import secrets
from collections.abc import Iterable, Mapping

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import connection

SCRAM_SHA_512 = 2
ITERATIONS = 4096
"""The least that Kafka takes, and its own default; the passwords are 24 random bytes."""
NOT_FOUND = 91
TAGS: tuple[str, type[TaggedFields]] = ("tags", TaggedFields)
TEXT = CompactString("utf-8")


class _DescribedUsers(Response):
    API_KEY = 50
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32), ("error_code", Int16), ("error_message", TEXT),
        ("results", CompactArray(
            ("user", TEXT), ("error_code", Int16), ("error_message", TEXT),
            ("credentials", CompactArray(("mechanism", Int8), ("iterations", Int32), TAGS)), TAGS,
        )),
        TAGS,
    )  # fmt: skip


class _DescribeUsersV0(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 50
    API_VERSION = 0
    RESPONSE_TYPE = _DescribedUsers
    SCHEMA = Schema(("users", CompactArray(("name", TEXT), TAGS)), TAGS)


class DescribeUsers(Request[_DescribeUsersV0]):
    """Asks which of these users there are."""

    API_KEY = 50

    def __init__(self, users: Iterable[str]) -> None:
        self._users: list[tuple[str, dict[int, bytes]]] = [(user, {}) for user in users]

    def build(self, request_struct_class: type[_DescribeUsersV0]) -> _DescribeUsersV0:
        return request_struct_class(self._users, {})


class _AlteredUsers(Response):
    API_KEY = 51
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("results", CompactArray(
            ("user", TEXT), ("error_code", Int16), ("error_message", TEXT), TAGS,
        )),
        TAGS,
    )  # fmt: skip


class _AlterUsersV0(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY = 51
    API_VERSION = 0
    RESPONSE_TYPE = _AlteredUsers
    SCHEMA = Schema(
        ("deletions", CompactArray(("name", TEXT), ("mechanism", Int8), TAGS)),
        ("upsertions", CompactArray(
            ("name", TEXT), ("mechanism", Int8), ("iterations", Int32), ("salt", CompactBytes),
            ("salted_password", CompactBytes), TAGS,
        )),
        TAGS,
    )  # fmt: skip


class AddUsers(Request[_AlterUsersV0]):
    """Adds users with their passwords, by SCRAM-SHA-512."""

    API_KEY = 51

    def __init__(self, passwords: Mapping[str, str]) -> None:
        self._added = [_credential(*each) for each in passwords.items()]

    def build(self, request_struct_class: type[_AlterUsersV0]) -> _AlterUsersV0:
        return request_struct_class([], self._added, {})


def _credential(user: str, password: str) -> tuple[str, int, int, bytes, bytes, dict[int, bytes]]:
    salt = secrets.token_bytes(32)
    salted = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, ITERATIONS)
    return user, SCRAM_SHA_512, ITERATIONS, salt, salted, {}


async def add_missing(settings: Settings, passwords: Mapping[str, str]) -> list[str]:
    """Add the users that Kafka does not have, by name with their passwords; their names.

    Raises Unavailable when Kafka does not answer, LedgerError when it refuses.
    """
    client = AIOKafkaClient(**connection.kafka(settings))
    try:
        await client.bootstrap()
        asked = DescribeUsers(passwords)
        answer = await client.send(client.get_random_node(), asked)
        if answer.error_code:
            raise for_code(answer.error_code)(answer.error_message)
        missing = [user for user, code, *_ in answer.results if code == NOT_FOUND]
        if missing:
            request = AddUsers({user: passwords[user] for user in missing})
            answer = await client.send(client.get_random_node(), request)
    except (KafkaError, OSError) as error:
        raise Unavailable(f"Kafka at {settings.bootstrap_servers}: {error}") from error
    finally:
        await client.close()
    for user, code, message, *_ in answer.results:
        if code and code != NOT_FOUND:
            raise LedgerError(
                f"Kafka does not add user {user}: {for_code(code).__name__}: {message}"
            )
    return missing
