"""How many partitions a topic has, and how many of them are the ledger's."""

from collections.abc import Iterable, Mapping

from ledger.client.records import Records
from ledger.client.shards import policy_shards, require_set_right
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import connection
from ledger.streaming.topic_look import TopicAdmin
from ledger.streaming.topic_rules import PAGE
from ledger.streaming.topics import topics


async def partition_counts(settings: Settings, *names: str) -> dict[str, int]:
    """How many partitions each topic has.

    Raises LedgerError for a topic that is not there, Unavailable when Kafka does not answer.
    """
    return _asked(settings, names, *await _counted(settings, names))


async def ledger_partitions(
    settings: Settings, *names: str, reference: Records | None = None
) -> dict[str, int]:
    """The same, of topics whose number is the ledger's shards, or its partitions of balances.

    How many shards that is the ledger's policy says, where it has one. Raises LedgerError as well
    where it is not: keys would go to other partitions than the ledger's. `reference`: as
    `policy_shards` takes it.
    """
    known = topics(settings)
    families = (
        ("shards", (known.transactions, known.decisions, known.progress)),
        ("balance_partitions", (known.stripes, known.balances)),
    )
    among = {topic.name for _, family in families for topic in family}
    counts, hidden = await _counted(settings, among | {known.reference.name, *names})
    found = _asked(settings, names, counts, hidden)
    policy = None
    if known.reference.name in counts:
        policy = await policy_shards(settings, reference)
    if policy is not None:
        require_set_right(settings, policy)
    for setting, family in families:
        there = {topic.name: counts[topic.name] for topic in family if topic.name in counts}
        for name in found.keys() & there.keys():
            fixed = policy if setting == "shards" else None
            found[name] = _of_ledger(settings, setting, name, there, fixed)
    return found


def _of_ledger(
    settings: Settings,
    setting: str,
    name: str,
    there: Mapping[str, int],
    policy: int | None = None,
) -> int:
    """How many partitions of `name` are the ledger's; `there` has those that must be as many.

    `policy`: how many the ledger's policy says, which is not to be guessed from the topics then.
    """
    count, least = there[name], min(there.values())
    given = int(getattr(settings, setting)) if setting in settings.model_fields_set else None
    wanted = policy or given or least
    if count == wanted or (count > wanted and settings.added_partitions == "ignore"):
        return wanted
    others = ", ".join(f"{each} has {number}" for each, number in there.items() if each != name)
    said = f" and the setting {setting} says {given}" if given is not None else ""
    if policy is not None:
        said = f" and the ledger's policy says {policy} shards"
    raise LedgerError(
        f"{name} has {count} partitions{said}; {others}. Nothing was sent or read: keys belong to "
        "other partitions where their number changes. A partition was added to a topic, or the "
        f"setting {setting} is another ledger's. What to do: {PAGE}"
    )


async def _counted(settings: Settings, names: Iterable[str]) -> tuple[dict[str, int], list[str]]:
    try:
        async with TopicAdmin(settings) as broker:
            return await broker.partitions(names)
    except Unavailable as error:
        raise await _away(settings) from error


def _asked(
    settings: Settings, names: Iterable[str], counts: Mapping[str, int], hidden: Iterable[str]
) -> dict[str, int]:
    for topic in names:
        if topic in hidden:
            raise LedgerError(
                f"Kafka at {settings.bootstrap_servers} does not let user {settings.kafka_user} "
                f"look at {topic}: the role has no right to it, see docs/security.md."
            )
        if topic not in counts:
            raise LedgerError(
                f"Kafka at {settings.bootstrap_servers} has no topic {topic}. `faust-ledger up` "
                "makes the topics; the settings bootstrap_servers and prefix say where to look."
            )
    return {topic: counts[topic] for topic in names}


async def _away(settings: Settings) -> Unavailable:
    return Unavailable(
        f"Kafka at {settings.bootstrap_servers} does not answer: "
        f"{await connection.why_unavailable(settings)}. Is it up (`faust-ledger status`), and are "
        "the settings bootstrap_servers and kafka_... right?"
    )
