"""Who may do what in Kafka: the rules of each role, and bringing a cluster's ACLs in line."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.topics import topics

ROLES = ("producer", "backend", "finance", "service")


# The numbers are the protocol's: https://kafka.apache.org/protocol#The_Messages_CreateAcls
class Resource(IntEnum):
    """What a rule is about."""

    ANY = 1
    TOPIC = 2
    GROUP = 3


class Pattern(IntEnum):
    """How a rule's name is meant."""

    ANY = 1
    EXACTLY = 3
    PREFIX = 4


class Operation(IntEnum):
    """What is allowed; reading and writing allow to describe."""

    ANY = 1
    READ = 3
    WRITE = 4
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10


ALLOW = 3
ANY_PERMISSION = 1
ANYWHERE = "*"


@dataclass(frozen=True, slots=True)
class Rule:
    """`role` may do `operation` on what is named, from any host."""

    role: str
    operation: int
    resource: int
    name: str
    pattern: int = Pattern.EXACTLY


def rules(settings: Settings) -> list[Rule]:
    """Everything that is allowed. Nobody but the brokers and the admin has other rights.

    A producer reads what becomes of its transactions: outcomes are in the decision log, which is
    everybody's. The service never writes what it is asked (transactions) or told (reference).
    Who starts on topics, or answers for them, sees their settings; only the admin changes them.
    """
    names, prefix = topics(settings), settings.prefix
    given: dict[str, tuple[list[str], list[str]]] = {
        "producer": (
            ["decisions", "progress", "breaks", "rejects", "reference"],
            ["transactions"],
        ),
        "backend": (["balances", "breaks", "progress", "reference"], []),
        "finance": ([], ["reference"]),
        "service": (
            [],
            ["decisions", "posted", "stripes", "stripes_changelog", "balances", "breaks",
             "rejects", "progress"],
        ),
    }  # fmt: skip
    found = []
    for role, (read, written) in given.items():
        for operation, some in ((Operation.READ, read), (Operation.WRITE, written)):
            found += [
                Rule(role, operation, Resource.TOPIC, getattr(names, each).name) for each in some
            ]
    for role in ("finance", "service"):
        for operation in (Operation.READ, Operation.DESCRIBE_CONFIGS):
            found.append(Rule(role, operation, Resource.TOPIC, f"{prefix}.", Pattern.PREFIX))
    # How many partitions it has, which are those of the balances.
    found.append(Rule("backend", Operation.DESCRIBE, Resource.TOPIC, names.stripes.name))
    for role in ("backend", "finance"):
        found.append(Rule(role, Operation.READ, Resource.GROUP, f"{role}-", Pattern.PREFIX))
    for application in ("stream", "posting"):
        group = f"{prefix}-{application}"
        found.append(Rule("service", Operation.READ, Resource.GROUP, group))
        found.append(Rule("finance", Operation.DESCRIBE, Resource.GROUP, group))
    return found


async def grant(settings: Settings) -> None:
    """Have exactly these rules for our roles; what is right already stays as it is.

    Raises Unavailable when Kafka does not answer, LedgerError when it refuses.
    """
    client = AIOKafkaClient(**connection.kafka(settings))
    try:
        await client.bootstrap()
        there = set(await _present(client))
        wanted = set(rules(settings))
        for rule in sorted(wanted - there, key=str):
            await _send(client, CreateAclsRequest(*_fields(rule)), "creation_responses")
        for rule in sorted(there - wanted, key=str):
            await _send(client, DeleteAclsRequest(*_fields(rule)), "filter_responses")
    except (KafkaError, OSError) as error:
        raise Unavailable(f"Kafka at {settings.bootstrap_servers}: {error}") from error
    finally:
        await client.close()


def _fields(rule: Rule) -> tuple[int, str, int, str, str, int, int]:
    return (
        rule.resource, rule.name, rule.pattern, f"User:{rule.role}", ANYWHERE, rule.operation, ALLOW
    )  # fmt: skip


async def _present(client: AIOKafkaClient) -> list[Rule]:
    """Of our roles."""
    wanted = DescribeAclsRequest(
        Resource.ANY, None, Pattern.ANY, None, None, Operation.ANY, ANY_PERMISSION
    )
    answer = await client.send(client.get_random_node(), wanted)
    _require(answer.error_code, answer.error_message)
    return list(_read(answer.resources))


def _read(resources: list[tuple[int, str, int, list[tuple[str, str, int, int]]]]) -> Iterator[Rule]:
    for resource, name, pattern, acls in resources:
        for principal, host, operation, permission in acls:
            role = principal.removeprefix("User:")
            if role in ROLES and (host, permission) == (ANYWHERE, ALLOW):
                yield Rule(role, operation, resource, name, pattern)


async def _send(
    client: AIOKafkaClient, request: CreateAclsRequest | DeleteAclsRequest, answers: str
) -> None:
    answer = await client.send(client.get_random_node(), request)
    for code, message, *_ in getattr(answer, answers):
        _require(code, message)


def _require(code: int, message: str | None) -> None:
    if code:
        raise LedgerError(
            f"Kafka does not take the access rules: {for_code(code).__name__}: {message}. They "
            "need a cluster with an authorizer, and a user that may alter it."
        )
