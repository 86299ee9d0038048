"""What keeps a ledger from going on: asked of its workers, its database and its topics."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from ledger.domain.run import Watermark
from ledger.errors import InvariantBroken, LedgerError, Unavailable
from ledger.hiding import shown_url
from ledger.settings import Settings
from ledger.stack import health, parts
from ledger.stack.files import Layout
from ledger.stack.parts import Part
from ledger.stack.patient import Finding
from ledger.streaming import progress
from ledger.streaming.health import State, spans
from ledger.streaming.log import Log
from ledger.streaming.registry import Codec, codec_of
from ledger.streaming.topic_rules import LOST_PAGE, PAGE
from ledger.streaming.topics import Topics, look, topics

ASK_SECONDS = 20.0
CONNECT_SECONDS = 5
RECENT_SECONDS = 3600.0
CUT = (
    "restore the topic from a backup of the broker's directory; or, if its records are lost for "
    "good, restore the whole ledger (topics and database) to one moment. Nothing is posted on a "
    "guess meanwhile"
)
OLD = (
    "nothing, if a backup was restored on purpose: posting does them again from the decision log. "
    "Afterwards `faust-ledger reconcile --full` and `faust-ledger verify`"
)


def of_worker(place: Layout, part: Part) -> Iterator[Finding]:
    """Whether its shards go on; each cause by itself."""
    if not parts.running(part):
        detail = f"has died (was {part.pid})"
        yield Finding(
            part.name, False, detail, f"read {part.log}; `faust-ledger up` starts it again"
        )
        return
    found = health.ask(place, part)
    if isinstance(found, str):
        yield Finding(part.name, False, found, f"do as it says; its log is {part.log}")
        return
    if found["ready"]:
        yield Finding(part.name, True, "every shard goes on")
    for name, application in found["applications"].items():
        yield from _of_application(f"{part.name} {name}", application)


def _of_application(name: str, said: Mapping[str, Any]) -> Iterator[Finding]:
    ended = said["last_exit"]
    if ended and ended["status"] > 0 and (not said["ready"] or ended["seconds"] < RECENT_SECONDS):
        detail = (
            f"ended with {ended['status']} {ended['seconds']:.0f} s ago, {said['restarts']} times "
            f"in all: {ended['meaning']}"
        )
        yield Finding(name, bool(said["ready"]), detail, ended["advice"])
    for why in said["why"]:
        if why in said.get("alarms", ()):
            yield Finding(name, False, why, f"do as it says; {PAGE} has it step by step")
            continue
        stopped = f": {State.STOPPED} " in why
        advice = (
            "do as it says, then `faust-ledger down` and `up`: it stops again if it is still so"
            if stopped
            else "it goes on by itself once that is there again: see what else is not well here"
        )
        yield Finding(name, False, why, advice)


def of_database(settings: Settings) -> Iterator[Finding]:
    """As the role that posts: whether it may log in, and finds and may write its tables.

    Nothing where the server itself does not answer, which is found elsewhere.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    from ledger.gl.postgresql import session
    from ledger.gl.tables import metadata

    address = settings.service_database_url.replace("+psycopg", "", 1)
    wanted = sorted(metadata.tables)
    try:
        given = {**conninfo_to_dict(address), "connect_timeout": CONNECT_SECONDS}
        given["options"] = f"-c search_path=public {given.get('options', '')}"
        with session.connected(psycopg.Connection, **given) as connection:
            session.configure_session(connection, {})
            connection.execute(f"SET statement_timeout = '{CONNECT_SECONDS}s'")
            rows = connection.execute(
                "SELECT name, to_regclass(name) IS NOT NULL, to_regclass(name) IS NOT NULL"
                " AND has_table_privilege(name, 'SELECT') FROM unnest(%s::text[]) AS name",
                [wanted],
            ).fetchall()
    except psycopg.OperationalError as error:
        yield from _of_role(str(error).strip())
        return
    except psycopg.ProgrammingError as error:
        if error.sqlstate is not None:
            raise
        # The driver's own, of an address that it cannot read; it repeats pieces of it.
        address = shown_url(settings.service_database_url)
        yield Finding("general ledger", False, f"its address {address} cannot be read",
                      "mend the setting service_database_url")  # fmt: skip
        return
    except InvariantBroken as error:
        yield Finding("general ledger", False, str(error), "do as it says")
        return
    gone = [name for name, there, _ in rows if not there]
    closed = [name for name, there, readable in rows if there and not readable]
    yield Finding(
        "general ledger",
        not gone and not closed,
        "; ".join(
            text
            for text in (
                f"tables are missing: {', '.join(gone)}" if gone else "",
                f"the posting role may not read: {', '.join(closed)}" if closed else "",
            )
            if text
        )
        or f"{len(rows)} tables, open to the role that posts",
        "restore the database from a backup: what was posted since is done again from the decision "
        "log; `faust-ledger up` makes tables and grants that are missing, but empty",
    )


TAKEN = "every connection is taken: end some (pg_stat_activity), or raise the limit"
ROLE = {
    "password authentication failed": "the password is wrong: `faust-ledger up` sets the embedded "
    "stack's again; else mend service_database_url",
    "too many connections for role": TAKEN,
    "too many clients": TAKEN,
    "remaining connection slots": TAKEN,
    "is not permitted to log in": "ALTER ROLE … LOGIN",
    "does not exist": "the database or the role is gone: restore it from a backup",
    "permission denied": "grant the role CONNECT on the database again",
}
"""What to do, by what PostgreSQL says to a role that it does not let in."""


def _of_role(said: str) -> Iterator[Finding]:
    for words, advice in ROLE.items():
        if words in said:
            yield Finding("posting's database role", False, said.splitlines()[0], advice)
            return


def of_topic_settings(settings: Settings) -> Iterator[Finding]:
    """Whether the topics' settings are what the ledger rests on, each difference by itself.

    Nothing where Kafka does not answer, which is found elsewhere.
    """
    try:
        found, hidden = asyncio.run(look(settings))
    except Unavailable:
        return
    except LedgerError as error:
        yield Finding("topic settings", False, str(error), f"see {PAGE}")
        return
    for each in found:
        has = f"{each.topic}: {each.setting} is {each.has}, must be {each.must}: {each.why}"
        if each.ignored:
            yield Finding("topic settings", True, f"{has}; ignored, as added_partitions says")
        else:
            advice = each.command if PAGE in each.command else f"{each.command}; see {PAGE}"
            yield Finding("topic settings", False, has, advice)
    if hidden:
        yield Finding(
            "topic settings", True, f"cannot be seen of {', '.join(hidden)}: this user has no "
            "right to DESCRIBE_CONFIGS on them, see docs/security.md",
        )  # fmt: skip
    elif not found:
        yield Finding("topic settings", True, "all as the ledger needs them")


@dataclass
class Known:
    """Of the shards: what Kafka holds and what was made of it."""

    transactions: dict[int, tuple[int, int]] = field(default_factory=dict)
    decisions: dict[int, tuple[int, int]] = field(default_factory=dict)
    compared: dict[int, Watermark] = field(default_factory=dict)
    posted: dict[int, Watermark] = field(default_factory=dict)
    reference: tuple[int, int] = (0, 0)
    decided_with: dict[int, int] = field(default_factory=dict)
    """Position in the reference data that the shard's last decision names."""


def of_topics(settings: Settings) -> Iterator[Finding]:
    """Whether the topics still hold what the database, reconciliation and decisions had reached.

    Nothing where Kafka, the registry or the database does not answer: that is found elsewhere.
    """
    try:
        known = asyncio.run(_known(settings))
    except (Unavailable, TimeoutError):
        return
    except LedgerError as error:
        yield Finding("topics", False, str(error), CUT)
        return
    found = list(judged(known, topics(settings)))
    yield from found or [Finding("topics", True, "they hold all that was posted and compared")]


def judged(known: Known, names: Topics) -> Iterator[Finding]:
    """The causes, those of the same kind together."""
    decisions, transactions = names.decisions.name, names.transactions.name

    def reached(shard: int, mark: Callable[[Watermark], int]) -> int:
        both = (each.get(shard, Watermark()) for each in (known.posted, known.compared))
        return max(map(mark, both))

    yield from _alike(
        f"{decisions}: it ends before what was posted or compared: it was truncated or made anew",
        CUT,
        {
            shard: f"ends at {end}, {reached(shard, _offset)} was reached"
            for shard, (_, end) in known.decisions.items()
            if end < reached(shard, _offset)
        },
    )
    yield from _alike(
        f"{transactions}: it ends before what was decided: it was truncated or made anew",
        CUT,
        {
            shard: f"ends at {end}, {reached(shard, _end)} was reached"
            for shard, (_, end) in known.transactions.items()
            if end < reached(shard, _end)
        },
    )
    yield from _alike(
        f"{decisions}: it begins after what the database needs next: retention has cut it",
        "set retention.ms and retention.bytes of the topic to -1; " + CUT,
        {
            shard: f"begins at {first}, {known.posted[shard].decisions_offset} is needed"
            for shard, (first, _) in known.decisions.items()
            if shard in known.posted and first > known.posted[shard].decisions_offset
        },
    )
    yield from _of_reference(known, names)
    yield from _of_backup(known)


def _of_reference(known: Known, names: Topics) -> Iterator[Finding]:
    name, (first, end) = names.reference.name, known.reference
    yield from _alike(
        f"{name}: it ends before what was decided with: reference data was lost, or the topic was "
        "made anew",
        f"{LOST_PAGE}, its part on reference data; " + CUT,
        {
            shard: f"the topic ends at {end}, {position} was decided with"
            for shard, position in known.decided_with.items()
            if end < position
        },
    )
    if first:
        detail = f"{name}: it begins at {first}: the records before that were deleted"
        yield Finding("topics", False, detail, f"{LOST_PAGE}, its part on reference data; " + CUT)


def _of_backup(known: Known) -> Iterator[Finding]:
    behind, other = {}, {}
    for shard, compared in known.compared.items():
        posted = known.posted.get(shard)
        if posted is None:
            continue
        if posted.decisions_offset < compared.decisions_offset:
            behind[shard] = f"at {posted.decisions_offset} of {compared.decisions_offset}"
        elif posted.decisions_offset == compared.decisions_offset and posted != compared:
            other[shard] = f"at {posted.decisions_offset}"
    what = "the database is behind what it had posted: it is from an older backup"
    yield from _alike(what, OLD, behind)
    what = "the database followed another chain of runs than was compared"
    yield from _alike(what, "`faust-ledger verify` says where they part; " + CUT, other)


def _offset(mark: Watermark) -> int:
    return mark.decisions_offset


def _end(mark: Watermark) -> int:
    return mark.end


def _alike(what: str, advice: str, shards: Mapping[int, str]) -> Iterator[Finding]:
    if shards:
        first = min(shards)
        detail = f"{what}; shards {spans(shards)}, as {first}: {shards[first]}"
        yield Finding("topics", False, detail, advice)


async def _known(settings: Settings) -> Known:
    names, log, known = topics(settings), Log(settings), Known()
    try:
        async with asyncio.timeout(ASK_SECONDS):
            for shard in range(names.transactions.partitions):
                known.transactions[shard] = await log.bounds(names.transactions.name, shard)
                known.decisions[shard] = await log.bounds(names.decisions.name, shard)
            known.reference = await log.bounds(names.reference.name, 0)
            codec = await asyncio.to_thread(codec_of, settings)
            known.compared = await progress.compared(
                log, codec, names.progress.name, range(names.progress.partitions)
            )
            known.decided_with = await _decided_with(log, codec, names)
            known.posted = await asyncio.to_thread(_posted, settings, list(known.decisions))
    finally:
        await log.close()
    return known


async def _decided_with(log: Log, codec: Codec, names: Topics) -> dict[int, int]:
    shards = range(names.decisions.partitions)
    found = {}
    for record in await log.last_of(names.decisions.name, shards):
        # What none of ours wrote is told of by whoever reads on there.
        with suppress(ValueError):
            decision = codec.decode("Decision", record.value or b"")
            found[record.partition] = int(decision["reference_offset"])
    return found


def _posted(settings: Settings, shards: Sequence[int]) -> dict[int, Watermark]:
    from ledger.gl.postgresql import PostgresJournal

    journal = PostgresJournal(settings.service_database_url)
    try:
        known = journal.watermarks()
        return {shard: known.get(shard, Watermark()) for shard in shards}
    except InvariantBroken as error:
        # What the tables are like is found elsewhere.
        raise Unavailable(str(error)) from error
    finally:
        journal.close()
