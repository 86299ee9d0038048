"""Live updates over real connections: who may, what breaks the protocol, and who is too slow."""

import asyncio
import gc
import json
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from starlette.requests import Request
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ledger.api.access.caller import Caller
from ledger.api.live.events import KEPT, NO_PLACE
from ledger.api.live.messages import Subscribe
from ledger.api.live.tickets import SECONDS, ticket_of
from ledger.api.live.websocket import _Socket
from ledger.clock import now
from ledger.domain.access import Permission
from tests.live_api import LiveApi, live_api
from tests.live_client import SIGNER, State
from tests.live_source import balance, shown

Test = Callable[[LiveApi], Coroutine[Any, Any, None]]


def run(folder: Path, test: Test, **given: Any) -> None:
    async def main() -> None:
        async with live_api(folder, **given) as api, asyncio.timeout(60):
            await test(api)

    asyncio.run(main())


def opened(api: LiveApi, headers: dict[str, str] | None = None) -> connect:
    return connect(api.ws, additional_headers=headers, compression=None, proxy=None, max_queue=None)


async def send(client: ClientConnection, **message: Any) -> None:
    await client.send(json.dumps(message))


async def answered(client: ClientConnection) -> dict[str, Any]:
    """The next message that is no frame."""
    while (message := json.loads(await client.recv()))["type"] in ("changes", "heartbeat"):
        pass
    return dict(message)


async def until(client: ClientConnection, state: State, done: Callable[[], bool]) -> None:
    while not done():
        state.take(await client.recv())


async def closed(client: ClientConnection) -> tuple[int | None, str]:
    with pytest.raises(ConnectionClosed):
        while True:
            await client.recv()
    return client.close_code, client.close_reason or ""


def test_a_snapshot_then_changes_and_a_reconnect_goes_on_without_a_gap(tmp_path: Path) -> None:
    async def test(api: LiveApi) -> None:
        api.source.put(
            balance("assets:a", 100, 1), balance("assets:b", 7, 2), balance("assets:b", 8, 3, "USD")
        )
        state, headers = State(), api.bearer()
        async with opened(api, headers) as client:
            await send(client, type="subscribe", id="x", accounts=["assets:a", "assets:b"])
            await until(client, state, lambda: bool(state.tokens))
            assert len(state.balances["x"]) == 3
            api.source.put(balance("assets:a", 250, 4))
            await until(
                client, state, lambda: state.balances["x"]["assets:a", "CAD"]["posted"] == "2.50"
            )
        api.source.put(balance("assets:b", 9, 5), balance("assets:other", 1, 6))
        async with opened(api, headers) as client:
            await send(
                client,
                type="subscribe",
                id="x",
                accounts=["assets:a", "assets:b"],
                after=state.tokens["x"],
            )
            await until(client, state, lambda: state.kinds[-2:] == ["resumed", "changes"])
        assert state.balances["x"] == {
            key: shown(row) for key, row in api.source.rows.items() if key[0] != "assets:other"
        }

    run(tmp_path, test)


def test_the_part_of_a_list_that_is_seen_moves_and_only_what_is_new_is_sent(tmp_path: Path) -> None:
    async def test(api: LiveApi) -> None:
        api.source.put(
            *(balance(f"assets:{number:02}", number, number + 1) for number in range(20))
        )
        state = State()
        async with opened(api, api.bearer()) as client:
            seen = {
                "under": "assets",
                "sort": "posted",
                "currency": "CAD",
                "order": "desc",
                "count": 5,
            }
            await send(client, type="subscribe", id="l", list=seen)
            await until(client, state, lambda: "l" in state.rows)
            assert [row["account"] for row in state.rows["l"]] == [
                f"assets:{each}" for each in (19, 18, 17, 16, 15)
            ]
            api.source.put(balance("assets:03", 1_850, 30))
            frame = await frame_of(client)
            assert frame["changes"]["l"]["rows"] == [
                shown(api.source.rows["assets:03", "CAD"]),
                0,
                1,
                2,
                3,
            ]
            state.take(json.dumps(frame))
            await send(client, type="window", id="l", offset=3, count=4)
            frame = await frame_of(client)
            assert [each if isinstance(each, int) else each["account"] for each in frame["changes"]["l"]["rows"]] == [
                3, 4, "assets:15", "assets:14"]  # fmt: skip
            await send(client, type="unsubscribe", id="l")
            while (message := json.loads(await client.recv()))["type"] != "unsubscribed":
                pass
            assert message == {"type": "unsubscribed", "id": "l"}

    run(tmp_path, test)


async def frame_of(client: ClientConnection) -> Any:
    while not (message := json.loads(await client.recv())).get("changes"):
        pass
    return message


def test_the_bearer_token_comes_in_a_header_or_in_the_first_message(tmp_path: Path) -> None:
    async def test(api: LiveApi) -> None:
        for headers, status in (
            ({"Authorization": "Bearer flt_nothing"}, 401),
            (api.bearer("publish"), 403),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await opened(api, headers)
            assert refused.value.response.status_code == status
            assert json.loads(refused.value.response.body or b"")["status"] == status
        token = api.bearer()["Authorization"].removeprefix("Bearer ")
        async with opened(api) as client:
            await send(client, type="authenticate", token=token)
            await send(client, type="subscribe", id="x", accounts=["assets:a"])
            assert json.loads(await client.recv())["type"] == "snapshot"
        for message, code in (
            ({"type": "authenticate", "token": token[:-1]}, 4401),
            ({"type": "subscribe", "id": "x", "accounts": ["assets:a"]}, 4401),
            ({"type": "authenticate", "token": api.bearer("publish")["Authorization"][7:]}, 4403),
        ):
            async with opened(api) as client:
                await send(client, **message)
                found, why = await closed(client)
                assert found == code and why

    run(tmp_path, test)


BROKEN: list[str | bytes] = [
    "", "{", "[]", "7", '"x"', "{}", '{"type": "subscribe"}', '{"type": "dance", "id": "x"}',
    '{"type": "subscribe", "id": "x y", "under": "assets"}', '{"type": "subscribe", "id": 7, "under": "assets"}',
    '{"type": "subscribe", "id": "x", "id": "x", "under": "assets"}', '{"type": "unsubscribe", "id": "x", "more": 1}',
    '{"type": "authenticate", "token": "x"}', "[" * 10_000, '{"type": "ack", "n": NaN}', b"\0\1",
]  # fmt: skip
UNFIT: list[tuple[dict[str, Any], str]] = [
    ({"accounts": []}, "accounts: it has fewer than 1."),
    ({"accounts": ["assets:a", "nothing:a"]}, "accounts.1: it is no account such as"),
    ({"accounts": ["assets:a"], "under": "assets"}, "give one of accounts, under and list."),
    ({"under": "assets:"}, "under: it is no path of accounts such as"),
    ({"under": "assets", "more": 1}, "more: there is no such field."),
    ({"list": {"under": "assets", "sort": "posted"}}, "a list sorted by posted needs its currency."),
    ({"list": {"under": "assets", "sort": "size"}}, "list.sort: it is none of 'account' or 'posted'."),
    ({"list": {"under": "assets", "count": 201}}, "list.count: it is more than 200."),
    ({"list": {"under": "assets", "count": True}}, "list.count: it is no whole number."),
    ({"type": "window", "offset": 0, "count": 201}, "count: it is more than 200."),
    ({"type": "window", "id": "none", "offset": 0, "count": 5}, "none is no sorted list."),
]  # fmt: skip


def test_a_message_that_breaks_the_protocol_ends_the_connection(tmp_path: Path) -> None:
    async def test(api: LiveApi) -> None:
        headers = api.bearer()
        for message in BROKEN:
            async with opened(api, headers) as client:
                await client.send(message)
                code, why = await closed(client)
                assert code == 4400 and why, message

    run(tmp_path, test)


def test_a_subscription_that_cannot_be_is_refused_and_the_others_go_on(tmp_path: Path) -> None:
    async def test(api: LiveApi) -> None:
        async with opened(api, api.bearer()) as client:
            await send(client, type="subscribe", id="good", accounts=["assets:a"])
            assert json.loads(await client.recv())["type"] == "snapshot"
            for what, why in UNFIT:
                await send(client, **{"type": "subscribe", "id": "bad", **what})
                message = await answered(client)
                assert (message["type"], message["id"]) == ("refused", what.get("id", "bad"))
                assert message["problem"]["code"] == "INVALID_BODY"
                assert why in message["problem"]["detail"]
            await send(client, type="unsubscribe", id="good")
            assert await answered(client) == {"type": "unsubscribed", "id": "good"}

    run(tmp_path, test)


def test_what_a_client_may_not_have_is_refused_and_the_rest_goes_on(tmp_path: Path) -> None:
    async def test(api: LiveApi) -> None:
        async with opened(api, api.bearer(accounts=("assets:mine",))) as client:
            asked = [
                ({"accounts": ["assets:mine:a", "assets:other"]}, "FORBIDDEN"), ({"under": "assets"}, "FORBIDDEN"),
                ({"list": {"under": "assets:minefield"}}, "FORBIDDEN"), ({"under": "assets:mine", "after": "AAAA"}, "TOKEN_INVALID"),
            ]  # fmt: skip
            for what, code in asked:
                await send(client, type="subscribe", id="x", **what)
                message = json.loads(await client.recv())
                assert (message["type"], message["id"], message["problem"]["code"]) == (
                    "refused",
                    "x",
                    code,
                )
            await send(client, type="subscribe", id="x", under="assets:mine")
            assert json.loads(await client.recv())["type"] == "snapshot"
            for number in range(49):
                await send(client, type="subscribe", id=f"x{number}", under="assets:mine")
            await send(client, type="subscribe", id="more", under="assets:mine")
            while (message := json.loads(await client.recv()))["type"] != "refused":
                pass
            assert message["problem"]["code"] == "TOO_MANY_SUBSCRIPTIONS"
            assert not api.live.index.lists

    run(tmp_path, test)


def test_a_bearer_token_has_so_many_connections(tmp_path: Path) -> None:
    async def test(api: LiveApi) -> None:
        headers = api.bearer()
        async with opened(api, headers), opened(api, headers) as second:
            with pytest.raises(InvalidStatus) as refused:
                await opened(api, headers)
            assert refused.value.response.status_code == 429
            async with httpx.AsyncClient(base_url=api.url, trust_env=False) as client:
                answer = await client.get("/v1/live?under=assets", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (429, "TOO_MANY_CONNECTIONS")
            assert answer.headers["retry-after"]
            async with opened(api, api.bearer()):
                await second.close()
            async with opened(api, headers):
                pass

    run(tmp_path, test, of_token=2)


class Events:
    """The events of a stream."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self) -> dict[str, str]:
        found: dict[str, str] = {}
        async for line in self._lines:
            if line:
                name, _, value = line.partition(": ")
                found[name] = value
            elif "data" in found:
                return found
        raise AssertionError("the stream has ended")


def test_events_have_ids_from_which_a_browser_goes_on(tmp_path: Path) -> None:
    async def test(api: LiveApi) -> None:
        api.source.put(balance("assets:a", 100, 1))
        state = State()
        async with httpx.AsyncClient(
            base_url=api.url, headers=api.bearer(), trust_env=False
        ) as client:
            async with client.stream("GET", "/v1/live?under=assets") as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                assert response.headers["cache-control"] == "no-store"
                events = Events(response)
                first, second = await events.next(), await events.next()
                assert (first["event"], second["event"]) == ("snapshot", "changes")
                assert first["id"] == NO_PLACE
                state.take(first["data"])
                state.take(second["data"])
                assert second["id"] == state.token
            api.source.put(balance("assets:a", 300, 2))
            again = {"Last-Event-ID": state.token}
            async with client.stream(
                "GET", "/v1/live?under=assets&after=ignored", headers=again
            ) as response:
                events = Events(response)
                found = json.loads((await events.next())["data"])
                assert (found["type"], found["balances"][0]["posted"]) == ("resumed", "3.00")
                # Nothing is left of the first stream, which its client has closed.
                assert api.live.connections == 1

    run(tmp_path, test)


class EventSource:
    """A browser's: https://html.spec.whatwg.org/multipage/server-sent-events.html.

    It interprets lines as 9.2.6 has it, and sends its last event ID when it connects again (9.2.3).
    """

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client, self._url = client, url
        self.last_event_id = ""
        self.reconnection_ms: int | None = None

    async def events(self) -> AsyncIterator[dict[str, str]]:
        """The events of one connection, with the `lastEventId` that a page sees."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.last_event_id:
            headers["Last-Event-ID"] = self.last_event_id
        async with self._client.stream("GET", self._url, headers=headers) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].partition(";")[0] == "text/event-stream"
            data, kind, id_ = list[str](), "", self.last_event_id
            async for line in response.aiter_lines():
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if not line:
                    self.last_event_id = id_
                    if data:
                        yield {"type": kind, "data": "\n".join(data), "lastEventId": id_}
                    data, kind = [], ""
                elif name == "data":
                    data.append(value)
                elif name == "event":
                    kind = value
                elif name == "id" and "\0" not in value:
                    id_ = value
                elif name == "retry" and value.isdecimal():
                    self.reconnection_ms = int(value)
                else:
                    assert not name, f"a field that no browser knows: {line}"


@pytest.mark.parametrize("query", ["", "&after="])
def test_a_browser_that_breaks_off_within_a_snapshot_gets_a_whole_one(
    tmp_path: Path, query: str
) -> None:
    """It has cleared what it had, so what changed since its last token would not be enough."""

    async def test(api: LiveApi) -> None:
        api.source.put(*(balance(f"assets:{each}", each, each + 1) for each in range(450)))
        async with httpx.AsyncClient(
            base_url=api.url, headers=api.bearer(), trust_env=False
        ) as client:
            state = State()
            first = EventSource(client, "/v1/live?under=assets")
            async for event in first.events():
                state.take(event["data"])
                if event["type"] == "changes":
                    break
            assert len(state.balances["live"]) == 450
            assert event["lastEventId"] == first.last_event_id == state.token
            assert first.reconnection_ms == 1_000
            # A browser keeps the address, with the token that the page had when it opened it.
            source = EventSource(client, f"/v1/live?under=assets{query and query + state.token}")
            source.last_event_id = state.token
            async for event in source.events():
                state.take(event["data"])
                if event["type"] == "changes":
                    assert state.kinds[-2:] == ["resumed", "changes"]
                    for one in api.live.index.everything():
                        one.restart("behind")
                elif state.kinds[-1] == "snapshot behind":
                    assert json.loads(event["data"])["more"]
                    assert event["lastEventId"] == NO_PLACE
                    break
            assert len(state.balances["live"]) < 450
            async for event in source.events():
                state.take(event["data"])
                if event["type"] == "changes":
                    break
            assert len(state.balances["live"]) == 450
            # A page that opens a new stream with it begins in the same way.
            async for event in EventSource(
                client, f"/v1/live?under=assets&after={NO_PLACE}"
            ).events():
                assert json.loads(event["data"])["type"] == "snapshot"
                break

    run(tmp_path, test)


def test_an_open_stream_keeps_nothing_of_its_request(tmp_path: Path) -> None:
    """A thousand of them would keep some megabytes of what the frameworks made for them."""

    async def test(api: LiveApi) -> None:
        streams, reading = 20, list[Events]()
        watched = "&".join(f"accounts=assets:a:{each}" for each in range(90))
        async with (
            httpx.AsyncClient(base_url=api.url, headers=api.bearer(), trust_env=False) as client,
            AsyncExitStack() as stack,
        ):
            for _ in range(streams):
                response = await stack.enter_async_context(
                    client.stream("GET", f"/v1/live?{watched}")
                )
                # Where nobody has it any more, the client ends the stream.
                reading.append(Events(response))
                assert (await reading[-1].next())["event"] == "snapshot"
            assert api.live.connections == streams
            gc.collect()
            left = Counter(type(each) for each in gc.get_objects())
            assert left[Request] == left[Subscribe] == 0
            headers = [each for each in gc.get_objects() if type(each) is RequestResponseCycle]
            assert len(headers) == streams
            assert all(not each.scope.keys() - set(KEPT) for each in headers)

    run(tmp_path, test)


def test_a_ticket_opens_events_for_half_a_minute(tmp_path: Path) -> None:
    async def test(api: LiveApi) -> None:
        async with httpx.AsyncClient(base_url=api.url, trust_env=False) as client:
            assert (await client.post("/v1/live/tickets")).status_code == 401
            made = await client.post(
                "/v1/live/tickets", headers=api.bearer(accounts=("assets:mine",))
            )
            assert made.status_code == 201
            ticket = made.json()["ticket"]
            async with client.stream(
                "GET", "/v1/live", params={"under": "assets:mine", "ticket": ticket}
            ) as response:
                assert (await Events(response).next())["event"] == "snapshot"
            refused = await client.get("/v1/live", params={"under": "assets", "ticket": ticket})
            assert (refused.status_code, refused.json()["code"]) == (403, "FORBIDDEN")
            caller = Caller("token:x", Permission.of(["read"], []), "")
            old = ticket_of(SIGNER, caller, now() - SECONDS * 1_000_000).text
            altered = ticket[:-2] + ("AA" if ticket[-2:] != "AA" else "BB")
            for wrong in (old, altered, "x"):
                refused = await client.get("/v1/live", params={"under": "assets", "ticket": wrong})
                assert (refused.status_code, refused.json()["code"]) == (401, "UNAUTHENTICATED")
            publish = ticket_of(
                SIGNER, Caller("token:x", Permission.of(["publish"], []), ""), now()
            ).text
            refused = await client.get("/v1/live", params={"under": "assets", "ticket": publish})
            assert refused.status_code == 403

    run(tmp_path, test)


def test_a_ticket_is_worth_nothing_once_its_token_is_revoked(tmp_path: Path) -> None:
    async def test(api: LiveApi) -> None:
        async with httpx.AsyncClient(base_url=api.url, trust_env=False) as client:
            token, known = api.tokens.make("read")
            headers = {"Authorization": f"Bearer {token}"}
            ticket = (await client.post("/v1/live/tickets", headers=headers)).json()["ticket"]
            assert api.tokens.known is not None
            api.tokens.known[known.id] = replace(known, revoked_at=1)
            asked = {"under": "assets", "ticket": ticket}
            refused = await client.get("/v1/live", params=asked)
            assert (refused.status_code, refused.json()["code"]) == (401, "UNAUTHENTICATED")

    run(tmp_path, test)


def test_who_sends_no_token_makes_room_for_who_does(tmp_path: Path) -> None:
    async def test(api: LiveApi) -> None:
        async with AsyncExitStack() as stack:
            silent = [await stack.enter_async_context(opened(api)) for _ in range(3)]
            with pytest.raises(ConnectionClosed):
                await silent[0].recv()
            token = api.bearer()["Authorization"].removeprefix("Bearer ")
            await send(silent[2], type="authenticate", token=token)
            await send(silent[2], type="subscribe", id="a", accounts=["assets:a"])
            assert (await answered(silent[2]))["type"] == "snapshot"

    run(tmp_path, test, unknown=2)


def test_no_connection_inherits_what_another_has_sent() -> None:
    """The objects of connections that have ended make room for those of others."""

    async def never(*_: Any) -> Any:
        raise AssertionError

    assert len({_Socket({}, never, never).number for _ in range(100)}) == 100


WRONG = [
    "", "?accounts=assets:a&under=assets", "?accounts=x", "?under=assets&sort=posted", "?under=assets&offset=1",
    "?accounts=assets:a&sort=account", "?under=assets&more=1", "?under=assets&sort=account&count=201", "?under=assets&after=x",
]  # fmt: skip


def test_an_address_that_asks_for_nothing_known_is_refused(tmp_path: Path) -> None:
    async def test(api: LiveApi) -> None:
        async with httpx.AsyncClient(
            base_url=api.url, headers=api.bearer(), trust_env=False
        ) as client:
            for query in WRONG:
                answer = await client.get(f"/v1/live{query}")
                assert answer.status_code in (400, 422), query

    run(tmp_path, test)


def test_a_stopping_process_says_goodbye(tmp_path: Path) -> None:
    async def test(api: LiveApi) -> None:
        async with opened(api, api.bearer()) as client:
            await send(client, type="subscribe", id="x", under="assets")
            await client.recv()
            api.live.stop()
            assert (await closed(client))[0] == 1001

    run(tmp_path, test)


DEAD = 1_000
BUSY = 150


def test_who_reads_nothing_is_dropped_and_delays_nobody(tmp_path: Path) -> None:
    """A thousand clients that read nothing, one that reads a byte a second, and one that reads."""

    async def test(api: LiveApi) -> None:
        names = [f"assets:p:{number}" for number in range(BUSY)]
        version = iter(range(1, 10**9))
        api.source.put(*(balance(name, 1, next(version)) for name in names))
        header = api.bearer()["Authorization"]
        async with opened(api, {"Authorization": header}) as client:
            await send(client, type="subscribe", id="x", accounts=["assets:now"])
            await frame_or_snapshot(client)
            memory = psutil.Process().memory_info().rss
            dead = [await dead_client(api, header) for _ in range(DEAD)]
            while api.live.connections < DEAD + 1:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            byte = asyncio.create_task(byte_a_second(dead[0]))
            delays, most = [], 0
            end = time.monotonic() + 30
            while api.live.connections > 1 and time.monotonic() < end:
                api.source.put(*(balance(name, 1, next(version)) for name in names))
                began = time.monotonic()
                api.source.put(balance("assets:now", 1, next(version)))
                await frame_or_snapshot(client)
                delays.append(time.monotonic() - began)
                most = max(most, psutil.Process().memory_info().rss)
            byte.cancel()
            assert api.live.connections == 1, "who reads nothing is still there"
            # Their state is bounded: what waits is a mark, not the changes.
            assert (most - memory) / DEAD < 200_000, (most - memory) / DEAD
            # One event loop has all clients of this test, too.
            assert sorted(delays)[len(delays) // 2] < 1
            for each in dead:
                each.close()

    run(tmp_path, test, api_request_seconds=1)


async def dead_client(api: LiveApi, header: str) -> socket.socket:
    """A client that subscribes to what changes most and reads nothing."""
    loop = asyncio.get_running_loop()
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    made.setblocking(False)
    await loop.sock_connect(made, ("127.0.0.1", api.port))
    message = json.dumps({"type": "subscribe", "id": "x", "under": "assets:p"}).encode()
    await loop.sock_sendall(
        made,
        f"GET /v1/live HTTP/1.1\r\nHost: x\r\nAuthorization: {header}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode(),
    )  # fmt: skip
    assert (await loop.sock_recv(made, 1_024)).startswith(b"HTTP/1.1 101")
    await loop.sock_sendall(made, bytes([0x81, 0x80 | len(message)]) + bytes(4) + message)
    return made


async def byte_a_second(client: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while await loop.sock_recv(client, 1):  # noqa: ASYNC110
        await asyncio.sleep(1)


async def frame_or_snapshot(client: ClientConnection) -> None:
    while json.loads(await client.recv())["type"] != "changes":
        pass
