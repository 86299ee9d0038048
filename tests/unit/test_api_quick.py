"""The short way to many balances answers as the route does, and leaves to it what is unusual."""

import json

import pytest

from ledger.api.quick import accounts_in
from tests.api_view import change
from tests.unit.test_api_balances import CASH, DEPOSIT, TILL, World, filled, play

QUERY = "/v1/balances/query"


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    filled(made)
    yield made
    made.view.close()


@pytest.fixture
def routed(world, monkeypatch):
    """How many requests have come to FastAPI."""
    edge = world.client._transport.app
    seen, inner = [], edge.app

    async def counting(scope, receive, send):
        seen.append(scope["path"])
        await inner(scope, receive, send)

    monkeypatch.setattr(edge, "app", counting)
    return seen


async def post(world, content, status=200, path="/balances/query", **headers):
    found = await world.client.post(
        path, content=content,
        headers={"Authorization": f"Bearer {world.token}", "Content-Type": "application/json", **headers},
    )  # fmt: skip
    assert found.status_code == status, found.text
    return found


ASKED = json.dumps({"accounts": [DEPOSIT, "assets:none", CASH, DEPOSIT]})


@pytest.mark.parametrize("path", ["/balances/query", "/balances/query?currency=USD"])
def test_both_ways_answer_the_same(world, routed, path):
    async def story():
        quick = await post(world, ASKED, path=path)
        assert not routed
        # The route takes what has an escape.
        slow = await post(world, ASKED.replace("deposits", "d\\u0065posits"), path=path)
        assert routed == [QUERY]
        assert (quick.json(), quick.headers) == (slow.json(), slow.headers)
        assert [each["account"] for each in quick.json()["balances"]] == (
            [CASH] if "USD" in path else [DEPOSIT, CASH, CASH]
        )
        tag = quick.headers["ETag"]
        same = await post(world, ASKED, 304, path=path, **{"If-None-Match": tag})
        assert (same.content, same.headers["ETag"]) == (b"", tag)
        world.view.put(change(CASH, "USD", debits=101, version=9))
        changed = await post(world, ASKED, path=path, **{"If-None-Match": tag})
        assert "1.01" in changed.text

    play(story())


def test_a_body_may_come_in_pieces_on_either_way(world, routed):
    async def pieces(text):
        for at in range(0, len(text), 7):
            yield text[at : at + 7].encode()

    async def story():
        whole = (await post(world, ASKED)).json()
        length = {"Content-Length": str(len(ASKED))}
        assert (await post(world, pieces(ASKED), **length)).json() == whole
        assert not routed
        # Without its length, and with something wrong in it that the route finds.
        assert (await post(world, pieces(ASKED))).json() == whole
        wrong = ASKED.replace(CASH, "cash")
        found = await post(world, pieces(wrong), 400, **{"Content-Length": str(len(wrong))})
        assert (found.json()["code"], found.json()["field"]) == ("INVALID_BODY", "accounts[2]")
        assert len(routed) == 2

    play(story())


def test_who_may_not_gets_nothing_on_the_short_way(world):
    async def story():
        world.token = world.kept.make("publish")[0]
        assert (await post(world, ASKED, 403)).json()["code"] == "FORBIDDEN"
        world.token = world.kept.make("read", accounts=("assets",))[0]
        assert DEPOSIT in (await post(world, ASKED, 403)).json()["detail"]
        assert (await post(world, json.dumps({"accounts": [CASH, TILL]}))).json()["balances"]
        world.token = "flt_nothing"
        assert (await post(world, ASKED, 401)).json()["code"] == "UNAUTHENTICATED"

    play(story())


def test_a_request_counts_once_for_its_tokens_rate_on_either_way(tmp_path):
    world = World(tmp_path, per_second=1)
    filled(world)
    for body, status in (
        (ASKED, 200),
        (ASKED.replace("deposits", "d\\u0065posits"), 200),
        ("{", 400),
    ):
        # A token of its own for each, with the one request that it has at once.
        world.token = world.kept.make("read")[0]
        play(post(world, body, status))
    world.view.close()


USUAL = [
    (b'{"accounts":["assets:a"]}', ["assets:a"]),
    (b' {\n"accounts" : [ "assets:a" , "income:b:c", "assets:a"] } ', ["assets:a", "income:b:c"]),
]
UNUSUAL = [
    b"", b"{", b"[]", b"null", b'"accounts"', b"{}", b'{"accounts":[]}', b'{"accounts":"assets:a"}',
    b'{"accounts":["assets"]}', b'{"accounts":[7]}', b'{"accounts":[["assets:a"]]}', b'{"accounts":[null]}',
    b'{"accounts":["assets:a"],"more":1}', b'{"accounts":["assets:a"],"accounts":["assets:b"]}',
    b'{"accounts":["assets:a"],"\\u0061ccounts":["assets:b"]}', b'{"accounts":["assets:a\\n"]}', b'{"accounts":["assets:\xff"]}',
    b'{"accounts":["assets:%b"]}' % (b"a" * 300), b'{"accounts":["assets:a"]}x', b'{"accounts":[NaN]}',
    json.dumps({"accounts": [f"assets:{each}" for each in range(1_001)]}).encode(),
]  # fmt: skip


@pytest.mark.parametrize(("body", "accounts"), [*USUAL, *((each, None) for each in UNUSUAL)])
def test_what_is_unusual_is_left_to_the_route(body, accounts):
    assert accounts_in(body) == accounts


@pytest.mark.parametrize("body", UNUSUAL)
def test_the_route_refuses_all_of_that(world, body):
    play(post(world, body, 400))


def test_other_requests_of_the_path_are_for_the_routes(world, routed):
    async def story():
        headers = {"Authorization": f"Bearer {world.token}"}
        with_length = {**headers, "Content-Type": "text/plain"}
        assert (
            await world.client.post(QUERY[3:], content=ASKED, headers=with_length)
        ).status_code == 415
        assert (await world.client.get(QUERY[3:], headers=headers)).status_code == 400
        assert (await world.client.put(QUERY[3:], headers=headers)).status_code == 405
        assert (await post(world, ASKED, 400, path="/balances/query?more=1")).json()[
            "code"
        ] == "UNKNOWN_PARAMETER"
        large = {"Content-Length": "99999999"}
        assert (await post(world, iter_of(ASKED), 413, **large)).json()["code"] == "BODY_TOO_LARGE"
        assert len(routed) == 5

    play(story())


async def iter_of(text):
    yield text.encode()
