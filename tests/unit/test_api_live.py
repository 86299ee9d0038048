"""Live updates without a network: paces, limits, what is remembered, and what resumes."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from itertools import pairwise
from typing import Any

import pytest

from ledger.api.live.lists import Order, Rows, TooLong
from ledger.api.live.live import CATCH_UP_SECONDS, Live
from ledger.api.live.places import Places
from ledger.api.live.recent import Recent
from ledger.api.live.session import (
    EMPTY_SECONDS,
    QUIET_SECONDS,
    REPLIES,
    SEND_SECONDS,
    TIMED_OUT,
    TOO_MANY,
)
from ledger.api.live.subscriptions import PATH_BALANCES, Path
from ledger.api.live.tokens import place_of, token_of, topic_name
from ledger.api.problems import Problem
from ledger.api.signing import Signer
from ledger.api.view.copy import Change
from ledger.api.view.shown import json_of
from ledger.domain.balance import Balance
from ledger.domain.partition import partition_of
from tests.live_client import SIGNER, Client
from tests.live_source import PARTITIONS, MemorySource, balance, shown
from tests.virtual_time import run_virtually

Test = Callable[[MemorySource, Live, Client], Coroutine[Any, Any, None]]


def run(test: Test, **given: Any) -> None:
    async def main() -> None:
        source = MemorySource()
        async with Live(source, SIGNER, **given) as live:
            client = Client()
            client.connect(live)
            await test(source, live, client)

    run_virtually(main())


def changes(
    source: MemorySource, client: Client, count: int, every: float
) -> Coroutine[Any, Any, None]:
    async def change() -> None:
        for version in range(1, count + 1):
            source.put(balance("assets:a", version, version))
            await asyncio.sleep(every)

    return change()


def test_a_connection_has_at_most_ten_frames_a_second_and_the_newest_value() -> None:
    async def test(source: MemorySource, live: Live, client: Client) -> None:
        client.subscribe("x", "accounts", ["assets:a"])
        await asyncio.sleep(1)
        del client.wire.sent_at[:]
        await changes(source, client, 5_000, 0.001)
        await asyncio.sleep(1)
        sent = client.wire.sent_at
        assert 45 <= len(sent) <= 51
        assert all(after - before > 0.0999 for before, after in pairwise(sent))
        assert client.state.balances["x"]["assets:a", "CAD"]["posted"] == "50.00"

    run(test)


def test_a_quiet_connection_gets_its_frame_at_once() -> None:
    async def test(source: MemorySource, live: Live, client: Client) -> None:
        client.subscribe("x", "under", "assets")
        await asyncio.sleep(1)
        for version in range(1, 10):
            began = asyncio.get_running_loop().time()
            source.put(balance("assets:a", 1, version))
            await asyncio.sleep(0.5)
            assert client.wire.sent_at[-1] - began < 0.021

    run(test)


def test_nothing_ticks_without_need_and_a_client_of_another_process_resumes() -> None:
    async def test(source: MemorySource, live: Live, client: Client) -> None:
        client.state.tokens["x"] = token_of(SIGNER, source.origin, source.positions())
        await client.drop()
        source.put(balance("assets:a", 5, 1))
        await asyncio.sleep(1_000)
        assert live.frames._timer is None
        client.subscribe("x", "accounts", ["assets:a"])
        client.connect(live)
        await asyncio.sleep(1)
        assert client.state.kinds[-2:] == ["resumed", "changes"]
        assert client.state.balances["x"]["assets:a", "CAD"]["posted"] == "0.05"
        assert live.frames._timer is None

    run(test)


def test_a_client_that_reads_nothing_keeps_a_mark_a_balance_and_is_ended() -> None:
    async def test(source: MemorySource, live: Live, client: Client) -> None:
        client.subscribe("x", "accounts", ["assets:a", "assets:b"])
        await asyncio.sleep(1)
        client.wire.open.clear()
        await changes(source, client, 2_000, 0.01)
        assert client.session is not None
        [one] = client.session.subscriptions.values()
        assert len(one.waiting) == 1  # type: ignore[attr-defined]
        await asyncio.sleep(SEND_SECONDS)
        assert client.session.ending == (TIMED_OUT, "what was sent is not read")
        assert client.wire.is_cut
        await client.task
        assert live.connections == 0

    run(test)


def test_an_acknowledging_client_gets_a_frame_for_each_ack() -> None:
    async def test(source: MemorySource, live: Live, client: Client) -> None:
        client.subscribe("x", "accounts", ["assets:a"])
        await asyncio.sleep(1)
        assert client.session is not None
        client.session.acknowledge()
        before = client.state.kinds.count("changes")
        await changes(source, client, 100, 0.05)
        assert client.state.kinds.count("changes") == before + 1
        client.session.acknowledge()
        await asyncio.sleep(0.2)
        assert client.state.kinds.count("changes") == before + 2
        assert client.state.balances["x"]["assets:a", "CAD"]["posted"] == "1.00"
        await asyncio.sleep(SEND_SECONDS + 2)
        assert client.session.ending is not None
        assert client.session.ending[0] == TIMED_OUT

    run(test)


def test_a_quiet_connection_has_heartbeats_with_a_newer_token() -> None:
    async def test(source: MemorySource, live: Live, client: Client) -> None:
        client.subscribe("x", "accounts", ["assets:a"])
        await asyncio.sleep(1)
        before = client.state.token
        source.put(balance("assets:other", 1, 1))
        await asyncio.sleep(QUIET_SECONDS + 3)
        assert client.state.kinds[-1] == "heartbeat"
        assert client.state.token != before

    run(test)


def test_who_asks_much_and_reads_nothing_is_ended() -> None:
    async def test(source: MemorySource, live: Live, client: Client) -> None:
        assert client.session is not None
        await asyncio.sleep(1)
        client.wire.open.clear()
        for _ in range(REPLIES + 3):
            client.session.reply("unsubscribed", '{"type":"unsubscribed","id":"x"}')
        assert client.session.ending is not None
        assert client.session.ending[0] == TOO_MANY

    run(test)


def test_a_bearer_token_that_is_revoked_ends_the_connection() -> None:
    async def test(source: MemorySource, live: Live, client: Client) -> None:
        async def revoked() -> None:
            raise Problem("UNAUTHENTICATED", "This bearer token is revoked.")

        client.subscribe("x", "accounts", ["assets:a"])
        assert client.session is not None
        client.session._check = revoked
        await asyncio.sleep(100)
        assert client.session.ending == (4401, "This bearer token is revoked.")

    run(test)


def test_a_connection_without_subscriptions_is_ended() -> None:
    async def test(source: MemorySource, live: Live, client: Client) -> None:
        client.subscribe("x", "accounts", ["assets:a"])
        await asyncio.sleep(200)
        assert client.session is not None
        assert client.session.ending is None
        client.session.remove("x")
        await asyncio.sleep(EMPTY_SECONDS + 3)
        assert client.session.ending == (TIMED_OUT, "nothing is subscribed to")

    run(test)


def test_a_list_has_the_room_that_others_leave() -> None:
    async def test(source: MemorySource, live: Live, client: Client) -> None:
        source.put(*(balance(f"assets:{number}", number, 1) for number in range(30)))
        first, second = (
            Rows(Order("assets", "account", "", False)),
            Rows(Order("assets", "posted", "CAD", True)),
        )
        await first.fill(source, 30)
        assert len(first) == 30
        with pytest.raises(TooLong, match="more than 29"):
            await second.fill(source, 29)

    run(test)


def test_a_token_that_is_ahead_is_waited_for_and_then_gets_a_snapshot() -> None:
    async def test(source: MemorySource, live: Live, client: Client) -> None:
        source.put(balance("assets:a", 1, 1))
        ahead = token_of(SIGNER, source.origin, [each + 1 for each in source.positions()])
        client.state.tokens["x"] = ahead
        client.subscribe("x", "accounts", ["assets:a"])
        await asyncio.sleep(CATCH_UP_SECONDS - 1)
        assert client.state.kinds == []
        source.put(*(balance(f"assets:{number}", 1, 2) for number in range(50)))
        await asyncio.sleep(0.2)
        assert client.state.kinds[0] == "resumed"
        client.state.kinds.clear()
        client.state.tokens["y"] = token_of(SIGNER, source.origin, [10**6] * PARTITIONS)
        client.subscribe("y", "accounts", ["assets:a"])
        await asyncio.sleep(CATCH_UP_SECONDS + 1)
        assert client.state.kinds[:2] == ["snapshot ahead", "changes"]

    run(test)


class Many(MemorySource):
    """More balances than a path may have."""

    def under(self, path: str, *, after: Any = None, limit: int) -> Sequence[Balance]:
        start = 0 if after is None else int(after[0].rpartition(":")[2]) + 1
        return [balance(f"assets:{number}", 1, 1) for number in range(start, start + limit)]


def test_a_path_with_too_many_balances_is_refused() -> None:
    async def main() -> None:
        async with Live(Many(), SIGNER) as live:
            client = Client()
            client.connect(live)
            client.subscribe("x", "under", "assets")
            client.subscribe("y", "accounts", ["assets:a"])
            await asyncio.sleep(5)
            assert "refused" in client.state.kinds
            assert client.session is not None
            assert [*client.session.subscriptions] == ["y"]
            assert not live.index.paths
            assert client.state.kinds[-1] == "changes"

    run_virtually(main())


def test_a_path_remembers_so_many_changes_and_says_what_it_forgot() -> None:
    path, recent = Path("assets", most=3), Recent([0])
    for number in range(6):
        name = f"assets:{number % 5}"
        [entry] = recent.note(0, number + 1, [Change(name, "CAD", balance(name, number, 1))])
        path.note(entry)
    assert [each.account for each in path.since(3) or ()] == ["assets:0", "assets:4", "assets:3"]
    assert path.since(2) is None
    assert PATH_BALANCES == 10_000


def test_what_is_sent_to_many_is_encoded_once() -> None:
    recent = Recent([0])
    [entry] = recent.note(0, 1, [Change("assets:a", "CAD", balance("assets:a", 1, 1))])
    assert entry.text is entry.text
    assert entry.text == json_of(balance("assets:a", 1, 1))
    [again] = recent.note(0, 2, [Change("assets:a", "CAD", balance("assets:a", 2, 2))])
    assert again is entry and '"0.02"' in entry.text


def test_recent_changes_are_kept_by_partition_up_to_their_number() -> None:
    names = [f"assets:{number}" for number in range(200)]
    recent = Recent([0] * PARTITIONS, most=40)
    ends = [0] * PARTITIONS
    for name in names:
        partition = partition_of(name.encode(), PARTITIONS)
        ends[partition] += 1
        recent.note(partition, ends[partition], [Change(name, "CAD", balance(name, 1, 1))])
    assert not recent.knows([0] * PARTITIONS)
    assert recent.knows(ends)
    assert not recent.knows([*ends, 1])
    here = [end - 10 for end in ends]
    assert recent.knows(here)
    found = {each.account for each in recent.since(here)}
    assert len(found) == 40
    assert list(recent.since(ends)) == []
    assert [each.account for each in recent.of_account(names[-1], here)] == [names[-1]]


def test_a_resume_token_is_of_one_ledger_and_one_topic() -> None:
    token = token_of(SIGNER, "topic", [1, 2**40, 3])
    place = place_of(SIGNER, token)
    assert place == (topic_name("topic"), (1, 2**40, 3))
    for wrong in (token[:-2] + "AA", token[1:], "", "é", token + "A"):
        with pytest.raises(ValueError):
            place_of(SIGNER, wrong)
    with pytest.raises(ValueError):
        place_of(Signer(b"o" * 32), token)


def test_places_are_counted_by_process_and_by_token() -> None:
    places = Places(3, 2)
    with places.process(), places.of("a"), places.process(), places.of("a"), places.process():
        with pytest.raises(Problem, match="takes no more"), places.process():
            pass
        with pytest.raises(Problem, match="may have no more"), places.of("a"):
            pass
        with places.of("b"):
            pass
    assert not places._of and not places._taken


def test_an_account_s_own_balances_are_shown_as_the_view_has_them() -> None:
    async def test(source: MemorySource, live: Live, client: Client) -> None:
        source.put(
            balance("assets:a", 1, 1), balance("assets:a", 2, 2, "USD"), balance("assets:a:b", 3, 3)
        )
        client.subscribe("x", "accounts", ["assets:a"])
        client.subscribe("p", "under", "assets:a")
        await asyncio.sleep(1)
        assert client.state.balances["x"] == {
            key: shown(row) for key, row in source.rows.items() if key[0] == "assets:a"
        }
        assert len(client.state.balances["p"]) == 3

    run(test)
