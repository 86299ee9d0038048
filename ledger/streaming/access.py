"""Access rules in Kafka: what each role may do, and making a cluster's ACLs match.

No library fits: aiokafka's admin client has no ACLs; kafka-python's is a second client, blocks, and
fails on an operation that it does not know yet.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import IntEnum

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.topics import topics

ROLES = ("producer", "backend", "finance", "service", "api")
EVERYBODY = "*"
READ = {
    "producer": ("decisions", "progress", "breaks", "rejects", "reference"),
    "backend": ("balances", "coverage", "breaks", "progress", "reference"),
    "api": ("transactions", "decisions", "posted", "rejects", "breaks", "progress", "balances",
            "coverage", "reference", "access", "audit_log", "statements"),
}  # fmt: skip
"""By role, the topics that it reads; finance and the service read all."""
WRITTEN = {
    "producer": ("transactions",),
    "finance": ("reference", "statements"),
    "service": ("decisions", "posted", "stripes", "stripes_changelog", "balances", "breaks",
                "rejects", "progress", "coverage"),
    "api": ("transactions", "audit_log"),
}  # fmt: skip
"""By role, the topics that it writes. Bearer tokens (`access`) are written by the admin alone: who
may write them may give themselves every scope."""

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
    """How a rule's name is matched."""

    ANY = 1
    LITERAL = 3
    PREFIXED = 4


class Operation(IntEnum):
    """What is allowed; READ and WRITE include DESCRIBE."""

    ANY = 1
    ALL = 2
    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    CLUSTER_ACTION = 9
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11
    IDEMPOTENT_WRITE = 12
    CREATE_TOKENS = 13
    DESCRIBE_TOKENS = 14
    TWO_PHASE_COMMIT = 15


ALLOW = 3
ANY_PERMISSION = 1
ANYTHING = "*"
"""As a name, every resource; as a host, every one."""


@dataclass(frozen=True, slots=True)
class AccessRule:
    """`role`, or everybody, may do `operation` on what is named, from `host`."""

    role: str
    operation: int
    resource: int
    name: str
    pattern: int = Pattern.LITERAL
    host: str = ANYTHING


def role_rules(settings: Settings) -> list[AccessRule]:
    """Everything that is allowed. Only the brokers and the admin have other rights.

    A producer reads the decision log for the outcomes of its transactions; so it sees everybody's.
    The service never writes its inputs: transactions and reference data. Finance and the service
    read the settings of topics, which only the admin changes.
    """
    names, prefix = topics(settings), settings.prefix
    found = [
        AccessRule(role, operation, Resource.TOPIC, getattr(names, topic).name)
        for operation, by_role in ((Operation.READ, READ), (Operation.WRITE, WRITTEN))
        for role, some in by_role.items()
        for topic in some
    ]
    every_topic = (Resource.TOPIC, f"{prefix}.", Pattern.PREFIXED)
    for role in ("finance", "service"):
        found.append(AccessRule(role, Operation.READ, *every_topic))
        found.append(AccessRule(role, Operation.DESCRIBE_CONFIGS, *every_topic))
    # For the number of its partitions, which is that of the balances' partitions.
    found += [
        AccessRule(role, Operation.DESCRIBE, Resource.TOPIC, names.stripes.name)
        for role in ("backend", "api")
    ]
    found += [
        AccessRule(role, Operation.READ, Resource.GROUP, f"{role}-", Pattern.PREFIXED)
        for role in ("backend", "finance")
    ]
    for application in ("stream", "posting", "history"):
        group = f"{prefix}-{application}"
        found.append(AccessRule("service", Operation.READ, Resource.GROUP, group))
        found.append(AccessRule("finance", Operation.DESCRIBE, Resource.GROUP, group))
    return found


async def grant(settings: Settings) -> None:
    """Give our roles exactly these rules; what is right already stays.

    What everybody may do with the ledger's own topics and groups is taken back too. A rule for
    everybody that reaches further stays, as it may be meant for others, and is logged as a
    warning. Rules that deny stay.

    Raises Unavailable when Kafka does not answer, LedgerError when it refuses.
    """
    async with _connected(settings) as client:
        present = set(await _present(client, settings))
        foreign = {rule for rule in present if reaches_further(settings, rule)}
        for rule in sorted(foreign, key=str):
            log.warning("%s", described(rule))
        ours, wanted = present - foreign, set(role_rules(settings))
        for rule in sorted(wanted - ours, key=str):
            await _send(client, CreateAclsRequest(*_fields(rule)), "creation_responses")
        for rule in sorted(ours - wanted, key=str):
            await _send(client, DeleteAclsRequest(*_fields(rule)), "filter_responses")


async def excess_rules(settings: Settings) -> list[AccessRule]:
    """The rules of our roles, and of everybody on what is the ledger's, that are not wanted.

    Raises as `grant` does.
    """
    async with _connected(settings) as client:
        return sorted(set(await _present(client, settings)) - set(role_rules(settings)), key=str)


def reaches_further(settings: Settings, rule: AccessRule) -> bool:
    """Whether a rule for everybody is about more than the ledger's own topics and groups."""
    own = rule.resource in (Resource.TOPIC, Resource.GROUP) and _is_own(settings, rule.name)
    return rule.role == EVERYBODY and not own


def described(rule: AccessRule) -> str:
    """What a rule beyond ours allows and the command that removes it, for people."""
    what = Resource(rule.resource).name.lower().replace("_", "-")
    operations = {each.value: each.name.title().replace("_", "") for each in Operation}
    operation = operations.get(rule.operation, str(rule.operation))
    pattern = "prefixed" if rule.pattern == Pattern.PREFIXED else "literal"
    name = "" if rule.resource == Resource.CLUSTER else f" '{rule.name}'"
    return (
        f"User:{rule.role} may {operation} on {what} {rule.name} ({pattern}) from {rule.host}, "
        "which is beyond the ledger's rules. Unless somebody else needs it, remove it: kafka-acls "
        f"--remove --allow-principal 'User:{rule.role}' --allow-host '{rule.host}' --operation "
        f"{operation} --{what}{name} --resource-pattern-type {pattern}"
    )


def _reaches_ledger(settings: Settings, rule: AccessRule) -> bool:
    if rule.resource not in (Resource.TOPIC, Resource.GROUP):
        return rule.resource == Resource.CLUSTER
    if rule.name == ANYTHING or _is_own(settings, rule.name):
        return True
    return rule.pattern == Pattern.PREFIXED and f"{settings.prefix}.".startswith(rule.name)


def _is_own(settings: Settings, name: str) -> bool:
    return name.startswith((f"{settings.prefix}.", f"{settings.prefix}-"))


def _fields(rule: AccessRule) -> tuple[int, str, int, str, str, int, int]:
    return (
        rule.resource, rule.name, rule.pattern,
        f"User:{rule.role}", rule.host, rule.operation, ALLOW,
    )  # fmt: skip


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[AIOKafkaClient]:
    """A client that is connected; Unavailable when Kafka does not answer, now or later."""
    client = AIOKafkaClient(**connection.kafka(settings))
    try:
        await client.bootstrap()
        yield client
    except (KafkaError, OSError) as error:
        raise Unavailable(f"Kafka at {settings.bootstrap_servers}: {error}") from error
    finally:
        await client.close()


async def _present(client: AIOKafkaClient, settings: Settings) -> list[AccessRule]:
    """The rules of our roles, and what everybody may do with what is the ledger's."""
    wanted = DescribeAclsRequest(
        Resource.ANY, None, Pattern.ANY, None, None, Operation.ANY, ANY_PERMISSION
    )
    answer = await client.send(client.get_random_node(), wanted)
    _require_success(answer.error_code, answer.error_message)
    found = _read(answer.resources)
    return [each for each in found if each.role in ROLES or _reaches_ledger(settings, each)]


def _read(
    resources: list[tuple[int, str, int, list[tuple[str, str, int, int]]]],
) -> Iterator[AccessRule]:
    for resource, name, pattern, acls in resources:
        for principal, host, operation, permission in acls:
            role = principal.removeprefix("User:")
            if role in (*ROLES, EVERYBODY) and permission == ALLOW:
                yield AccessRule(role, operation, resource, name, pattern, host)


async def _send(
    client: AIOKafkaClient, request: CreateAclsRequest | DeleteAclsRequest, answers: str
) -> None:
    answer = await client.send(client.get_random_node(), request)
    for code, message, *_ in getattr(answer, answers):
        _require_success(code, message)


def _require_success(code: int, message: str | None) -> None:
    if code:
        raise LedgerError(
            f"Kafka refuses the access rules: {for_code(code).__name__}: {message}. Use a cluster "
            "with an authorizer, and a user that may change its rules."
        )
