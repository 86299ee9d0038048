"""Checks of the topics: their settings, and whether they still hold what the ledger reached."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from operator import attrgetter

from ledger.domain.run import Watermark
from ledger.errors import InvariantBroken, LedgerError, Unavailable
from ledger.health.findings import Finding
from ledger.health.rows import spans
from ledger.settings import Settings
from ledger.streaming import progress
from ledger.streaming.log import Log
from ledger.streaming.registry import Codec, codec_of
from ledger.streaming.topic_rules import LOST_PAGE, PAGE
from ledger.streaming.topics import Topics, look, topics

ASK_SECONDS = 20.0
NAME = "topics"
SETTINGS_NAME = "topic settings"
CUT = (
    "restore the topic from a backup of the broker's directory; or, if its records are lost for "
    "good, restore the whole ledger (topics and database) to one moment. No shard continues on a "
    "guess meanwhile"
)
OLD = (
    "nothing, if a backup was restored on purpose: posting repeats them from the decision log. "
    "Afterwards `faust-ledger reconcile --full` and `faust-ledger verify`"
)
REFERENCE = f"{LOST_PAGE}, its part on reference data; {CUT}"
NO_MARK = Watermark()
DECISIONS_OFFSET, END = attrgetter("decisions_offset"), attrgetter("end")


def topic_settings(settings: Settings) -> Iterator[Finding]:
    """Whether the topics' settings are what the ledger needs; each difference by itself.

    Nothing where Kafka does not answer: another check finds that.
    """
    try:
        differences, hidden = asyncio.run(look(settings))
    except Unavailable:
        return
    except LedgerError as error:
        yield Finding(SETTINGS_NAME, False, str(error), f"see {PAGE}")
        return
    for each in differences:
        has = f"{each.topic}: {each.setting} is {each.has}, must be {each.must}: {each.why}"
        if each.ignored:
            yield Finding(SETTINGS_NAME, True, f"{has}; ignored, because of added_partitions")
        else:
            advice = each.command if PAGE in each.command else f"{each.command}; see {PAGE}"
            yield Finding(SETTINGS_NAME, False, has, advice)
    if hidden:
        detail = (
            f"cannot be seen of {', '.join(hidden)}: this user has no right to DESCRIBE_CONFIGS "
            "on them, see docs/security.md"
        )
        yield Finding(SETTINGS_NAME, True, detail)
    elif not differences:
        yield Finding(SETTINGS_NAME, True, "all as the ledger needs them")


@dataclass
class Positions:
    """How far the topics reach, and how far the ledger got, by shard.

    Of a topic: its first offset and its end.
    """

    transactions: dict[int, tuple[int, int]] = field(default_factory=dict)
    decisions: dict[int, tuple[int, int]] = field(default_factory=dict)
    compared: dict[int, Watermark] = field(default_factory=dict)
    posted: dict[int, Watermark] = field(default_factory=dict)
    reference: tuple[int, int] = (0, 0)
    decided_with: dict[int, int] = field(default_factory=dict)
    """The position in the reference data that the shard's last decision names."""

    def reached(self, shard: int, position: "attrgetter[int]") -> int:
        """The further of what is posted and what is compared."""
        return max(position(each.get(shard, NO_MARK)) for each in (self.posted, self.compared))


def topic_contents(settings: Settings) -> Iterator[Finding]:
    """Whether the topics still hold what was posted, compared and decided with.

    Nothing where Kafka, the registry or the database does not answer: other checks find that.
    """
    try:
        positions = asyncio.run(read_positions(settings))
    except (Unavailable, TimeoutError):
        return
    except LedgerError as error:
        yield Finding(NAME, False, str(error), CUT)
        return
    found = list(losses(positions, topics(settings)))
    yield from found or [Finding(NAME, True, "they hold all that was posted and compared")]


def losses(positions: Positions, names: Topics) -> Iterator[Finding]:
    """What was lost: one finding for all shards with the same loss."""
    yield from _ends_early(positions, names)
    yield from _begins_late(positions, names)
    yield from _reference(positions, names)
    yield from _old_database(positions)


def _ends_early(positions: Positions, names: Topics) -> Iterator[Finding]:
    for topic, bounds, position, what in (
        (names.decisions, positions.decisions, DECISIONS_OFFSET, "posted or compared"),
        (names.transactions, positions.transactions, END, "decided"),
    ):
        yield from _finding(
            f"{topic.name}: it ends before what was {what}: it was truncated or recreated",
            CUT,
            {
                shard: f"ends at {end}, {reached} was reached"
                for shard, (_, end) in bounds.items()
                if end < (reached := positions.reached(shard, position))
            },
        )


def _begins_late(positions: Positions, names: Topics) -> Iterator[Finding]:
    yield from _finding(
        f"{names.decisions.name}: it begins after what the database needs next: retention has "
        "cut it",
        f"set retention.ms and retention.bytes of the topic to -1; {CUT}",
        {
            shard: f"begins at {first}, {posted.decisions_offset} is needed"
            for shard, (first, _) in positions.decisions.items()
            if (posted := positions.posted.get(shard)) and first > posted.decisions_offset
        },
    )


def _reference(positions: Positions, names: Topics) -> Iterator[Finding]:
    name, (first, end) = names.reference.name, positions.reference
    yield from _finding(
        f"{name}: it ends before what was decided with: reference data was lost, or the topic was "
        "recreated",
        REFERENCE,
        {
            shard: f"the topic ends at {end}, {position} was decided with"
            for shard, position in positions.decided_with.items()
            if end < position
        },
    )
    if first:
        detail = f"{name}: it begins at {first}: the records before that were deleted"
        yield Finding(NAME, False, detail, REFERENCE)


def _old_database(positions: Positions) -> Iterator[Finding]:
    behind, other = {}, {}
    for shard, compared in positions.compared.items():
        posted = positions.posted.get(shard)
        if posted is None:
            continue
        if posted.decisions_offset < compared.decisions_offset:
            behind[shard] = f"at {posted.decisions_offset} of {compared.decisions_offset}"
        elif posted.decisions_offset == compared.decisions_offset and posted != compared:
            other[shard] = f"at {posted.decisions_offset}"
    what = "the database is behind what it had posted: it is from an older backup"
    yield from _finding(what, OLD, behind)
    what = "the database followed another chain of runs than was compared"
    yield from _finding(what, f"`faust-ledger verify` shows where they differ first; {CUT}", other)


def _finding(what: str, advice: str, shards: Mapping[int, str]) -> Iterator[Finding]:
    if shards:
        first = min(shards)
        detail = f"{what}; shards {spans(shards)}, as {first}: {shards[first]}"
        yield Finding(NAME, False, detail, advice)


async def read_positions(settings: Settings) -> Positions:
    """Raises Unavailable or TimeoutError where Kafka, the registry or the database is."""
    names, log, found = topics(settings), Log(settings), Positions()
    try:
        async with asyncio.timeout(ASK_SECONDS):
            for shard in range(names.transactions.partitions):
                found.transactions[shard] = await log.bounds(names.transactions.name, shard)
                found.decisions[shard] = await log.bounds(names.decisions.name, shard)
            found.reference = await log.bounds(names.reference.name, 0)
            codec = await asyncio.to_thread(codec_of, settings)
            found.compared = await progress.compared(
                log, codec, names.progress.name, range(names.progress.partitions)
            )
            found.decided_with = await _decided_with(log, codec, names)
            found.posted = await asyncio.to_thread(_posted, settings, list(found.decisions))
    finally:
        await log.close()
    return found


async def _decided_with(log: Log, codec: Codec, names: Topics) -> dict[int, int]:
    shards = range(names.decisions.partitions)
    found = {}
    for record in await log.last_of(names.decisions.name, shards):
        # A record that is not ours is reported by whoever reads on from there.
        with suppress(ValueError):
            decision = codec.decode("Decision", record.value or b"")
            found[record.partition] = int(decision["reference_offset"])
    return found


def _posted(settings: Settings, shards: Sequence[int]) -> dict[int, Watermark]:
    from ledger.gl.databases import open_journal

    journal = open_journal(settings.service_database_url)
    try:
        known = journal.watermarks()
        return {shard: known.get(shard, NO_MARK) for shard in shards}
    except InvariantBroken as error:
        # The check of the database finds what is wrong with its tables.
        raise Unavailable(str(error)) from error
    finally:
        journal.close()
