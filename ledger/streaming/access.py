"""Who may do what in Kafka: the rules of each role, and bringing a cluster's ACLs in line."""

import logging
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
EVERYBODY = "*"

log = logging.getLogger(__name__)


# The numbers are the protocol's: https://kafka.apache.org/protocol#The_Messages_CreateAcls
class Resource(IntEnum):
    """What a rule is about."""

    ANY = 1
    TOPIC = 2
    GROUP = 3
    CLUSTER = 4
    TRANSACTIONAL_ID = 5
    DELEGATION_TOKEN = 6
    USER = 7


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
    """`role`, or everybody, may do `operation` on what is named, from `host`."""

    role: str
    operation: int
    resource: int
    name: str
    pattern: int = Pattern.EXACTLY
    host: str = ANYWHERE


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

    What is allowed to everybody on the ledger's own topics and groups is taken back too; a warning
    names what reaches further, for that may be meant for others. Rules that deny stay.

    Raises Unavailable when Kafka does not answer, LedgerError when it refuses.
    """
    client = AIOKafkaClient(**connection.kafka(settings))
    try:
        await client.bootstrap()
        there = set(await _present(client, settings))
        foreign = {rule for rule in there if reaches_further(settings, rule)}
        for rule in sorted(foreign, key=str):
            log.warning("%s", said(rule))
        there -= foreign
        wanted = set(rules(settings))
        for rule in sorted(wanted - there, key=str):
            await _send(client, CreateAclsRequest(*_fields(rule)), "creation_responses")
        for rule in sorted(there - wanted, key=str):
            await _send(client, DeleteAclsRequest(*_fields(rule)), "filter_responses")
    except (KafkaError, OSError) as error:
        raise Unavailable(f"Kafka at {settings.bootstrap_servers}: {error}") from error
    finally:
        await client.close()


async def beyond(settings: Settings) -> list[Rule]:
    """What is allowed to our roles, or to everybody on what is the ledger's, beyond the rules.

    Raises as `grant` does.
    """
    client = AIOKafkaClient(**connection.kafka(settings))
    try:
        await client.bootstrap()
        return sorted(set(await _present(client, settings)) - set(rules(settings)), key=str)
    except (KafkaError, OSError) as error:
        raise Unavailable(f"Kafka at {settings.bootstrap_servers}: {error}") from error
    finally:
        await client.close()


def reaches_further(settings: Settings, rule: Rule) -> bool:
    """Whether a rule for everybody is about more than the ledger's own topics and groups."""
    own = (f"{settings.prefix}.", f"{settings.prefix}-")
    about = rule.resource in (Resource.TOPIC, Resource.GROUP) and rule.name.startswith(own)
    return rule.role == EVERYBODY and not about


def said(rule: Rule) -> str:
    """For people: what it allows, and how it is taken back."""
    what = Resource(rule.resource).name.lower().replace("_", "-")
    operation = _OPERATIONS.get(rule.operation, str(rule.operation))
    pattern = "prefixed" if rule.pattern == Pattern.PREFIX else "literal"
    name = "" if rule.resource == Resource.CLUSTER else f" '{rule.name}'"
    return (
        f"User:{rule.role} may {operation} on {what} {rule.name} ({pattern}) from {rule.host}, "
        "which is beyond the ledger's rules. If that is not meant for somebody else: kafka-acls "
        f"--remove --allow-principal 'User:{rule.role}' --allow-host '{rule.host}' --operation "
        f"{operation} --{what}{name} --resource-pattern-type {pattern}"
    )


_OPERATIONS = {
    2: "All", 3: "Read", 4: "Write", 5: "Create", 6: "Delete", 7: "Alter", 8: "Describe",
    9: "ClusterAction", 10: "DescribeConfigs", 11: "AlterConfigs", 12: "IdempotentWrite",
    13: "CreateTokens", 14: "DescribeTokens", 15: "TwoPhaseCommit",
}  # fmt: skip


def _reaches_ledger(settings: Settings, rule: Rule) -> bool:
    if rule.resource not in (Resource.TOPIC, Resource.GROUP):
        return rule.resource == Resource.CLUSTER
    prefix = settings.prefix
    if rule.name == ANYWHERE or rule.name.startswith((f"{prefix}.", f"{prefix}-")):
        return True
    return rule.pattern == Pattern.PREFIX and f"{prefix}.".startswith(rule.name)


def _fields(rule: Rule) -> tuple[int, str, int, str, str, int, int]:
    return (
        rule.resource, rule.name, rule.pattern,
        f"User:{rule.role}", rule.host, rule.operation, ALLOW,
    )  # fmt: skip


async def _present(client: AIOKafkaClient, settings: Settings) -> list[Rule]:
    """Of our roles, and what everybody may do with what is the ledger's."""
    wanted = DescribeAclsRequest(
        Resource.ANY, None, Pattern.ANY, None, None, Operation.ANY, ANY_PERMISSION
    )
    answer = await client.send(client.get_random_node(), wanted)
    _require(answer.error_code, answer.error_message)
    found = _read(answer.resources)
    return [each for each in found if each.role in ROLES or _reaches_ledger(settings, each)]


def _read(resources: list[tuple[int, str, int, list[tuple[str, str, int, int]]]]) -> Iterator[Rule]:
    for resource, name, pattern, acls in resources:
        for principal, host, operation, permission in acls:
            role = principal.removeprefix("User:")
            if role in (*ROLES, EVERYBODY) and permission == ALLOW:
                yield Rule(role, operation, resource, name, pattern, host)


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
