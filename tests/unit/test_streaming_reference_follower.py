"""The follower of the reference data: what a shard was decided with is there, and is the same."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.domain.policy import Policy
from ledger.domain.reference import Account, Asset, Item, PolicyChange, Reference
from ledger.errors import InvariantBroken, LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming import reference_follower as module
from ledger.streaming.founding import missing
from ledger.streaming.reference import contradictions, key_and_row, policy_of, take
from ledger.streaming.reference_follower import ReferenceFollower
from ledger.streaming.registry import Codec

CODEC = Codec({"Reference": 1})
FIRST = PolicyChange(Policy(), 8)


class Topic:
    """A log of one partition, in memory."""

    def __init__(self, *items: Item) -> None:
        self.records: list[Any] = []
        self.add(*items)

    def add(self, *items: Item) -> None:
        for item in items:
            key, row = key_and_row(item)
            self.records.append(
                SimpleNamespace(
                    offset=len(self.records), key=key, value=CODEC.encode("Reference", row)
                )
            )

    async def bounds(self, topic: str, partition: int) -> tuple[int, int]:
        return 0, len(self.records)

    async def read(self, topic: str, partition: int, start: int, until: int | None = None) -> Any:
        found = self.records[start:until]
        for at in range(0, len(found), 3):
            yield found[at : at + 3]


def follower(topic: Topic, **settings: Any) -> ReferenceFollower:
    log: Any = topic
    return ReferenceFollower(log, CODEC, "ledger.reference", Settings(**settings))


def read(topic: Topic, **settings: Any) -> ReferenceFollower:
    made = follower(topic, **settings)
    asyncio.run(made._read_on())
    return made


def assets(count: int) -> list[Item]:
    return [Asset(f"A{number}", 2) for number in range(count)]


def test_nothing_is_ready_without_a_policy() -> None:
    with pytest.raises(Unavailable, match="policy init"):
        read(Topic(*assets(3)))


def test_settings_that_contradict_the_policy_are_refused_and_those_nobody_set_are_not() -> None:
    topic = Topic(PolicyChange(Policy(window=90 * 24 * 3_600_000_000), 16))
    read(topic)._require_settings()
    read(topic, window_days=90, shards=16)._require_settings()
    with pytest.raises(LedgerError, match="window_days is set to 30, and this ledger has 90"):
        read(topic, window_days=30)._require_settings()
    with pytest.raises(LedgerError, match="shards is set to 8, and this ledger has 16"):
        read(topic, shards=8)._require_settings()


@pytest.mark.parametrize("marked", [1, 4, 1_000])
@pytest.mark.parametrize("offset", [1, 4, 9, 11])
def test_the_digest_at_any_position_is_that_of_the_records_before_it(
    offset: int, marked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MARKED_EACH", marked)
    topic, wanted = Topic(FIRST, *assets(10)), Reference()
    for record in topic.records[:offset]:
        take(wanted, record, CODEC.decode("Reference", record.value))
    made = read(topic)
    asyncio.run(made.require_digest(offset, wanted.digest, 3))
    with pytest.raises(InvariantBroken, match=r"Shard 3 was decided with other reference data"):
        asyncio.run(made.require_digest(offset, b"x" * 32, 3))


def test_a_topic_that_ends_before_what_a_shard_was_decided_with_is_an_alarm() -> None:
    made = read(Topic(FIRST, *assets(3)))
    asyncio.run(made.reached(4, 3))
    with pytest.raises(InvariantBroken, match=r"more reference data than there is.*topic-lost"):
        asyncio.run(made.reached(5, 3))


def test_whoever_is_behind_waits_until_it_has_read_on() -> None:
    topic = Topic(FIRST)
    made = read(topic)
    topic.add(*assets(2))

    async def scenario() -> None:
        waiting = asyncio.create_task(made.reached(3, 0))
        await asyncio.sleep(0)
        assert not waiting.done()
        await made._read_on()
        await asyncio.wait_for(waiting, 5)

    asyncio.run(scenario())


def test_a_topic_made_anew_or_changed_is_found_while_it_is_followed() -> None:
    made = read(topic := Topic(FIRST, *assets(3)))
    asyncio.run(made._require_same())
    topic.add(Asset("MORE", 2))
    asyncio.run(made._require_same())
    topic.records[2].value = topic.records[1].value
    with pytest.raises(InvariantBroken, match="no longer has what was read of it"):
        asyncio.run(made._require_same())
    del topic.records[1:]
    with pytest.raises(InvariantBroken, match="ends at 1, but 4 had been reached"):
        asyncio.run(made._require_same())


def test_once_it_is_broken_every_shard_hears_so() -> None:
    made, told = read(Topic(FIRST)), []
    made.on_move(lambda: told.append(1))
    made._break(InvariantBroken("gone"))
    assert told
    with pytest.raises(InvariantBroken, match="gone"):
        made.require_whole()
    with pytest.raises(InvariantBroken, match="gone"):
        asyncio.run(made.reached(1, 0))


# What a topic's records come to


def fold(*items: Item) -> tuple[Reference, list[str | None]]:
    known, topic = Reference(scales={}), Topic(*items)
    why = [take(known, each, CODEC.decode("Reference", each.value)) for each in topic.records]
    return known, why


def test_the_first_asset_the_last_account_and_the_policy_that_follows_count() -> None:
    short, long_ = Policy(window=1), Policy(window=24 * 3_600_000_000 * 90)
    short = policy_of(Settings(window_days=1))
    known, why = fold(
        FIRST, Asset("BTC", 8), Asset("BTC", 6), Account("assets:a", closed_at=5),
        Account("assets:a"), PolicyChange(short, 8, follows=0), PolicyChange(long_, 8, follows=0),
        PolicyChange(long_, 9, follows=5), Asset("X", 19),
    )  # fmt: skip
    assert known.scales == {"BTC": 8}
    assert known.accounts["assets:a"].closed_at is None
    assert (known.policy, known.shards) == (short, 8)
    assert [index for index, each in enumerate(why) if each] == [2, 6, 7, 8]
    assert known.offset == 9


def test_a_policy_counts_from_the_record_after_it() -> None:
    short = policy_of(Settings(window_days=1))
    known, _ = fold(FIRST, Asset("BTC", 8), PolicyChange(short, 8, follows=0))
    assert [known.policy_at(position) for position in (0, 1, 2, 3)] == [
        Policy(), Policy(), Policy(), short,
    ]  # fmt: skip


def test_what_is_missing_of_a_ledger_keeps_what_was_posted_and_what_was_registered() -> None:
    settings = Settings(shards=4)
    items = missing(settings, Reference(scales={}), {"XCG": 4, "BGN": 2, "OLD": 7})
    assert items[0] == PolicyChange(policy_of(settings), 4, reason="the first one")
    scales = {each.code: each.scale for each in items if isinstance(each, Asset)}
    assert (scales["XCG"], scales["OLD"], scales["CAD"], scales["JPY"]) == (4, 7, 2, 0)
    known, why = fold(Asset("CAD", 3), *items)
    assert known.scales["CAD"] == 3
    assert sum(each is not None for each in why) == 1
    assert missing(settings, fold(*items)[0], {"XCG": 4}) == []


def test_contradictions_are_of_what_somebody_has_set() -> None:
    known, _ = fold(PolicyChange(policy_of(Settings(early_minutes=7)), 8))
    assert contradictions(Settings(), known) == []
    assert contradictions(Settings(early_minutes=5), known) == [
        "early_minutes is set to 5, and this ledger has 7"
    ]
