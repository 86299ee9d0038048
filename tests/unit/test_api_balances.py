"""Balances over HTTP: what is answered, how complete it says it is, and for whom it waits."""

import asyncio
import contextlib
import dataclasses
import json

import httpx
import pytest

from ledger.api.access.access import Access
from ledger.api.app import build_app
from ledger.api.cursors import Cursors
from ledger.api.positions import Position, positions_of, token_of
from ledger.api.problems import Problem
from ledger.api.routes.balances import is_matched
from ledger.api.services.after import After
from ledger.api.services.balance_json import Completeness
from ledger.api.services.balances import BalanceService
from ledger.api.services.logged import LoggedDrafts
from ledger.api.services.past_answers import PastAnswers
from ledger.api.signing import Signer
from ledger.api.traffic import Traffic
from ledger.api.wiring import Services
from ledger.domain.run import Watermark
from ledger.gl.books import Accepted, BalanceRow
from ledger.gl.history.books import HistoryBalances
from tests.api_view import PlantedView, balance, change
from tests.unit.test_api_access import Kept

SIGNER = Signer(b"k" * 32)
CASH, TILL, DEPOSIT = "assets:cash", "assets:cash:till", "liabilities:deposits:1"


class Recent:
    """Ids that were accepted lately."""

    def __init__(self):
        self.known, self._moved = {}, asyncio.Event()

    def accept(self, transaction_id, position):
        self.known[transaction_id] = position
        self._moved.set()

    async def find(self, transaction_id, timeout=0):  # noqa: ASYNC109 - as Flow has it
        if transaction_id not in self.known and timeout:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._moved.wait(), timeout)
        return self.known.get(transaction_id)

    async def is_refused_here(self, transaction_id, timeout):  # noqa: ASYNC109 - as Flow has it
        return False


class NothingRefused:
    """No id was refused."""

    async def newest(self, transaction_id):
        return None

    async def is_of_old(self, transaction_id, place):
        return False


class Asking:
    """The database, in this thread: books that know some ids, and history."""

    def __init__(self):
        self.ids, self.ends, self.rows, self.asked, self.is_away = {}, {}, [], [], False

    async def ask(self, question):
        if self.is_away:
            raise Problem("DATABASE_UNAVAILABLE", "It is away.")
        return question(self)

    def accepted(self, ids):
        return {each: self.ids[each] for each in ids if each in self.ids}

    def as_of(self, **which):
        self.asked.append(which)
        wanted, prefix = which.get("accounts"), which.get("prefix")
        rows = [row for row in self.rows
                if (row.account in wanted if wanted is not None else f"{row.account}:".startswith(f"{prefix}:"))]  # fmt: skip
        return HistoryBalances(self.positions(), rows)

    def positions(self):
        return {shard: Watermark(end=end) for shard, end in self.ends.items()}


class Touched(LoggedDrafts):
    """By offset, the accounts that a record touches."""

    def __init__(self):
        self.accounts = {}

    async def at(self, shard, offset):
        return {"entries": [{"account": each} for each in self.accounts[offset]]}


class World:
    """An API process with a planted view; `get` and `post` as a client sends them."""

    def __init__(self, folder, per_second=10**6):
        self.view, self.recent, self.database, self.kept = (
            PlantedView(folder),
            Recent(),
            Asking(),
            Kept(),
        )
        self.token = self.kept.make("read")[0]
        cursors, self.drafts = Cursors(SIGNER), Touched()
        after = After(self.view, SIGNER, self.recent, self.database, self.drafts, NothingRefused())
        completeness = Completeness(self.view, SIGNER)
        past = PastAnswers(self.database, completeness, after)
        self.service = BalanceService.over(self.view, completeness, cursors, after, past)
        nothing = {each.name: None for each in dataclasses.fields(Services)}
        services = Services(**{**nothing, "access": Access(self.kept, per_second=per_second), "traffic": Traffic(100),
                               "balances": self.service})  # fmt: skip
        transport = httpx.ASGITransport(app=build_app(services))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://api/v1")

    async def ask(self, method, path, status=200, *, token=None, headers=None, **more):
        found = await self.client.request(
            method,
            path,
            headers={"Authorization": f"Bearer {token or self.token}", **(headers or {})},
            **more,
        )
        assert found.status_code == status, found.text
        return found

    async def get(self, path, status=200, **more):
        found = await self.ask("GET", path, status, **more)
        return found.json() if found.content else found


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path)
    yield made
    made.view.close()


def play(story):
    return asyncio.run(asyncio.wait_for(story, 60))


def filled(world):
    world.view.put(change(CASH, debits=1250, pending=50, version=3, status="pending", entries=2),
                   change(CASH, "USD", debits=100), change(TILL, debits=7), change(DEPOSIT, credits=1357))  # fmt: skip
    world.view.cover(10, 20)


def test_an_answer_has_every_currency_and_how_complete_it_is(world):
    async def story():
        filled(world)
        found = await world.get(f"/balances/{CASH}")
        assert found["account"] == CASH
        assert found["balances"] == [
            {"account": CASH, "currency": "CAD", "posted": "12.50", "pending": "0.50", "debits": "12.50",
             "credits": "0.00", "entries": 2, "status": "pending", "version": 3},
            {"account": CASH, "currency": "USD", "posted": "1.00", "pending": "0.00", "debits": "1.00",
             "credits": "0.00", "entries": 1, "status": "reconciled", "version": 1},
        ]  # fmt: skip
        assert found["complete_to"] == {"0": 10, "1": 20}
        assert positions_of(SIGNER, found["token"]) == {0: 9, 1: 19}
        assert found["as_of"].endswith("Z")
        assert found["lag"] is None
        only = await world.get(f"/balances/{CASH}?currency=USD")
        assert only["balances"] == found["balances"][1:]
        assert (await world.get("/balances/assets:none"))["balances"] == []

    play(story())


def test_both_ways_through_the_route_answer_the_same(world):
    """What has no query goes past FastAPI's validation."""

    async def story():
        filled(world)
        quick = await world.get(f"/balances/{CASH}")
        assert await world.get(f"/balances/{CASH}?timeout=1&after={quick['token']}") == quick
        for path in (
            "/balances/cash",
            "/balances/assets",
            f"/balances/assets:{'a' * 300}",
            "/balances/assets:a%2Fb",
        ):
            one, other = await world.get(path, 400), await world.get(f"{path}?currency=CAD", 400)
            assert one == other
            assert one["code"] == "INVALID_PARAMETER"

    play(story())


def test_many_are_one_answer_in_their_order(world):
    async def story():
        filled(world)
        asked = {"accounts": [DEPOSIT, "assets:none", CASH, DEPOSIT]}
        found = (await world.ask("POST", "/balances/query", json=asked)).json()
        assert [(each["account"], each["currency"]) for each in found["balances"]] == [
            (DEPOSIT, "CAD"), (CASH, "CAD"), (CASH, "USD")]  # fmt: skip
        assert found["complete_to"] == {"0": 10, "1": 20}
        for wrong in ({}, {"accounts": []}, {"accounts": ["cash"]}, {"accounts": [CASH], "more": 1},
                      {"accounts": [f"assets:{each}" for each in range(1_001)]}, {"accounts": CASH}):  # fmt: skip
            await world.ask("POST", "/balances/query", 400, json=wrong)
        many = {"accounts": [f"assets:{each}" for each in range(1_000)]}
        assert (await world.ask("POST", "/balances/query?currency=CAD", json=many)).json()[
            "balances"
        ] == []

    play(story())


def test_the_answer_is_complete_as_far_as_the_least_complete_of_its_accounts(world):
    async def story():
        filled(world)
        world.view.cover(15, 25, only=0)
        ends = {
            (await world.get(f"/balances/assets:{each}"))["complete_to"]["0"] for each in range(20)
        }
        assert ends == {10, 15}
        asked = {"accounts": [f"assets:{each}" for each in range(20)]}
        assert (await world.ask("POST", "/balances/query", json=asked)).json()["complete_to"] == {
            "0": 10,
            "1": 20,
        }
        assert (await world.get("/balances?under=assets"))["complete_to"] == {"0": 10, "1": 20}

    play(story())


def test_a_path_is_paged_and_summed_as_a_whole(world):
    async def story():
        accounts = [f"assets:cash:{each}" for each in range(25)] + [
            CASH,
            "assets:cashier",
            "assets:bank",
        ]
        for number, account in enumerate(accounts):
            world.view.put(
                change(account, debits=number, credits=1), change(account, "USD", credits=number)
            )
        world.view.cover(1)
        found, cursor, pages = [], "", 0
        while cursor is not None:
            page = await world.get(
                f"/balances?under={CASH}&limit=7{cursor and '&cursor=' + cursor}"
            )
            found += [(each["account"], each["currency"]) for each in page["balances"]]
            (cad, usd), cursor, pages = page["sums"], page["next"], pages + 1
            assert cad == {"currency": "CAD", "posted": "2.99", "pending": "0.00", "debits": "3.25",
                           "credits": "0.26", "entries": 26, "accounts": 26, "status": "reconciled"}  # fmt: skip
            assert usd["posted"] == "-3.25"
        assert pages == 8
        assert found == [
            (account, currency)
            for account in [CASH, *sorted(accounts[:25])]
            for currency in ("CAD", "USD")
        ]
        # In one currency.
        page = await world.get(f"/balances?under={CASH}&limit=20&currency=USD")
        rest = await world.get(
            f"/balances?under={CASH}&limit=20&currency=USD&cursor={page['next']}"
        )
        assert [each["account"] for each in page["balances"] + rest["balances"]] == [
            CASH,
            *sorted(accounts[:25]),
        ]
        assert [each["currency"] for each in page["sums"]] == ["USD"]
        assert rest["next"] is None
        # A cursor is good for its query alone, and under new balances.
        page = await world.get(f"/balances?under={CASH}&limit=2")
        assert (await world.get(f"/balances?under=assets&cursor={page['next']}", 400))[
            "code"
        ] == "CURSOR_INVALID"
        world.view.put(change("assets:cash:!"[:-1] + "0-first", debits=1))
        following = await world.get(f"/balances?under={CASH}&limit=1&cursor={page['next']}")
        assert following["balances"][0]["account"] == "assets:cash:0"

    play(story())


@pytest.mark.parametrize("query", ["", "under=cash", "under=assets:", "under=assets&limit=0", "under=assets&depth=1",
                                   "under=assets&limit=1001", "under=assets&under=income"])  # fmt: skip
def test_a_query_that_cannot_be_answered_is_refused(world, query):
    filled(world)
    play(world.get(f"/balances?{query}", 400))


def test_the_tag_changes_with_what_is_answered_and_with_nothing_else(world):
    async def story():
        filled(world)
        first = await world.ask("GET", f"/balances/{CASH}")
        tag = first.headers["ETag"]
        world.view.cover(11, 21)
        again = await world.ask(
            "GET", f"/balances/{CASH}", 304, headers={"If-None-Match": f'"x", {tag}'}
        )
        assert (again.headers["ETag"], again.content) == (tag, b"")
        await world.ask(
            "GET", f"/balances/{CASH}?currency=CAD", 200, headers={"If-None-Match": tag}
        )
        # A break changes a balance without raising its version.
        world.view.put(change(CASH, debits=1250, pending=50, version=3, status="break", entries=2))
        broken = await world.ask("GET", f"/balances/{CASH}", headers={"If-None-Match": tag})
        assert broken.json()["balances"][0]["status"] == "break"
        for path in ("/balances?under=assets&limit=1",):
            tag = (await world.ask("GET", path)).headers["ETag"]
            await world.ask("GET", path, 304, headers={"If-None-Match": tag})
            # It is in the sums, and not on the page.
            world.view.put(change(TILL, debits=8, version=9))
            await world.ask("GET", path, headers={"If-None-Match": tag})

    play(story())


def test_tags_are_compared_weakly():
    assert is_matched('W/"a"', '"a"')
    assert is_matched('W/"a"', 'W/"b", W/"a"')
    assert is_matched('W/"a"', " * ")
    assert not is_matched('W/"a"', '"b", a, "a')


def test_a_read_waits_for_its_write_at_any_process(world):
    async def story():
        filled(world)
        token = token_of(SIGNER, [Position(1, 20), Position(0, 10)])
        waiting = asyncio.create_task(world.get(f"/balances/{CASH}?after={token}&timeout=30"))
        bulk = asyncio.create_task(
            world.ask(
                "POST",
                f"/balances/query?after={token}&timeout=30",
                json={"accounts": [CASH, DEPOSIT]},
            )
        )
        under = asyncio.create_task(world.get(f"/balances?under=assets&after={token}&timeout=30"))
        await asyncio.sleep(0.05)
        world.view.cover(11, 20)
        await asyncio.sleep(0.02)
        assert not (waiting.done() or bulk.done() or under.done())
        world.view.put(change(CASH, debits=1300, version=7))
        world.view.cover(11, 21)
        found = await waiting
        assert found["balances"][0]["version"] == 7
        assert found["complete_to"] == {"0": 11, "1": 21}
        assert (await bulk).json()["complete_to"] == {"0": 11, "1": 21}
        assert (await under)["complete_to"] == {"0": 11, "1": 21}

    play(story())


def test_past_the_time_it_is_told_how_far_it_is(world):
    async def story():
        filled(world)
        token = token_of(SIGNER, [Position(1, 33)])
        found = await world.get(f"/balances/{CASH}?after={token}&timeout=0.01", 504)
        assert found["code"] == "NOT_YET"
        assert (found["complete_to"], found["wanted"]) == ({"0": 10, "1": 20}, {"1": 34})
        assert "shard 1 is there to 20 and wanted to 34" in found["detail"]
        unknown = token_of(SIGNER, [Position(7, 0)])
        assert (await world.get(f"/balances/{CASH}?after={unknown}&timeout=0", 504))[
            "code"
        ] == "NOT_YET"

    play(story())


def test_a_transaction_is_named_by_its_id_as_well(world):
    async def story():
        filled(world)
        world.recent.known["pay-1"] = Position(0, 9)
        world.database.ids["old"] = Accepted(1, 19, 0)
        for name in ("pay-1", "old"):
            assert (await world.get(f"/balances/{CASH}?after={name}&timeout=0"))["balances"]
        world.recent.known["pay-2"] = Position(0, 10)
        assert (await world.get(f"/balances/{CASH}?after=pay-2&timeout=0", 504))["wanted"] == {
            "0": 11
        }
        # One that is accepted meanwhile.
        waiting = asyncio.create_task(world.get(f"/balances/{CASH}?after=pay-3&timeout=30"))
        await asyncio.sleep(0.02)
        world.recent.accept("pay-3", Position(0, 9))
        assert (await waiting)["balances"]
        assert (
            "no-such"
            in (await world.get(f"/balances/{CASH}?after=no-such&timeout=0", 504))["detail"]
        )
        world.database.is_away = True
        await world.get(f"/balances/{CASH}?after=old&timeout=0", 504)

    play(story())


def test_an_altered_token_is_refused_and_an_id_is_none(world):
    async def story():
        filled(world)
        token = token_of(SIGNER, [Position(0, 3), Position(1, 4)])
        start = len("pos.")
        for at in range(start, len(token)):
            altered = token[:at] + ("B" if token[at] != "B" else "C") + token[at + 1 :]
            assert (await world.get(f"/balances/{CASH}?after={altered}", 400))[
                "code"
            ] == "TOKEN_INVALID"
        other = token_of(Signer(b"o" * 32), [Position(0, 3)])
        assert (await world.get(f"/balances/{CASH}?after={other}", 400))["code"] == "TOKEN_INVALID"

    play(story())


def test_a_timeout_without_anything_to_wait_for_is_refused(world):
    filled(world)
    assert play(world.get(f"/balances/{CASH}?timeout=1", 400))["field"] == "timeout"


def test_a_view_that_is_old_says_so_in_every_answer_and_is_never_not_modified(world):
    async def story():
        filled(world)
        tag = (await world.ask("GET", f"/balances/{CASH}")).headers["ETag"]
        world.view.fail("Kafka at here:1 does not answer")
        for method, path, body in (("GET", f"/balances/{CASH}", None), ("GET", f"/balances/{CASH}?currency=CAD", None),
                                   ("GET", "/balances?under=assets", None), ("POST", "/balances/query", {"accounts": [CASH]})):  # fmt: skip
            found = await world.ask(method, path, headers={"If-None-Match": tag}, json=body)
            assert found.json()["lag"]["why"] == "Kafka at here:1 does not answer"
            assert found.json()["lag"]["seconds"] >= 0
            assert "ETag" not in found.headers
        world.view.look()
        await world.ask("GET", f"/balances/{CASH}", 304, headers={"If-None-Match": tag})

    play(story())


def test_a_view_that_begins_anew_answers_nothing_until_it_is_whole(world):
    async def story():
        filled(world)
        waiting = asyncio.create_task(
            world.get(
                f"/balances/{CASH}?after={token_of(SIGNER, [Position(0, 10)])}&timeout=30", 503
            )
        )
        await asyncio.sleep(0.02)
        world.view.lose("ledger.balances was made again.")
        for path in (
            f"/balances/{CASH}",
            f"/balances/{CASH}?currency=CAD",
            "/balances?under=assets",
        ):
            found = await world.ask("GET", path, 503)
            assert found.json()["code"] == "VIEW_NOT_READY"
            assert "was made again" in found.json()["detail"]
            assert found.headers["Retry-After"]
        await world.ask("POST", "/balances/query", 503, json={"accounts": [CASH]})
        waiting.cancel()

    play(story())


def test_a_restricted_token_sees_its_accounts_alone(world):
    async def story():
        filled(world)
        token, _ = world.kept.make("read", accounts=(CASH,))
        for path in (
            f"/balances/{CASH}",
            f"/balances/{TILL}",
            f"/balances?under={CASH}",
            f"/balances?under={TILL}",
        ):
            await world.get(path, token=token)
        for path in (f"/balances/{DEPOSIT}", f"/balances/{DEPOSIT}?currency=CAD", "/balances?under=assets",
                     "/balances/assets:cashier"):  # fmt: skip
            assert (await world.get(path, 403, token=token))["code"] == "FORBIDDEN"
        asked = {"accounts": [CASH, DEPOSIT]}
        await world.ask("POST", "/balances/query", 403, json=asked, token=token)

    play(story())


def test_another_time_is_asked_of_history(world):
    async def story():
        filled(world)
        world.database.rows = [BalanceRow(CASH, "CAD", 2, 1000, 250, 3), BalanceRow(DEPOSIT, "CAD", 2, 0, 500, 1),
                               BalanceRow(TILL, "JPY", 0, 12, 0, 1), BalanceRow(TILL, "CAD", 2, 5, 0, 1)]  # fmt: skip
        world.database.ends = {0: 8, 1: 9}
        at = "2026-11-30T00:00:00Z"
        found = await world.get(f"/balances/{CASH}?as_of={at}")
        micros = world.database.asked[-1]["effective_before"]
        assert world.database.asked[-1] == {
            "accounts": [CASH],
            "effective_before": micros,
            "recorded_before": None,
        }
        assert found["account"] == CASH
        assert found["balances"] == [
            {"account": CASH, "currency": "CAD", "posted": "7.50", "pending": "0.00", "debits": "10.00",
             "credits": "2.50", "entries": 3, "status": "reconciled", "version": None}
        ]  # fmt: skip
        assert (found["effective_before"], found["recorded_before"]) == (at, None)
        assert found["complete_to"] == {"0": 8, "1": 9}
        assert positions_of(SIGNER, found["token"]) == {0: 7, 1: 8}
        await world.get(f"/balances/{CASH}?as_of={at}&by=recorded")
        assert world.database.asked[-1]["recorded_before"] == micros
        await world.get(
            f"/balances/{CASH}?effective_before={at}&recorded_before=2026-12-03T00:00:00%2B01:00"
        )
        assert (
            world.database.asked[-1]["recorded_before"] - micros
            == 3 * 86_400 * 10**6 - 3600 * 10**6
        )
        many = await world.ask(
            "POST", f"/balances/query?as_of={at}", json={"accounts": [DEPOSIT, CASH]}
        )
        assert [each["account"] for each in many.json()["balances"]] == [DEPOSIT, CASH]
        page = await world.get(f"/balances?under=assets&as_of={at}&limit=2")
        rest = await world.get(f"/balances?under=assets&as_of={at}&limit=2&cursor={page['next']}")
        assert [(each["account"], each["currency"]) for each in page["balances"] + rest["balances"]] == [
            (CASH, "CAD"), (TILL, "CAD"), (TILL, "JPY")]  # fmt: skip
        assert [(each["currency"], each["posted"], each["accounts"]) for each in page["sums"]] == [
            ("CAD", "7.55", 2), ("JPY", "12", 1)]  # fmt: skip
        for wrong in ("as_of=now", "by=recorded", f"as_of={at}&by=x", f"as_of={at}&recorded_before={at}",
                      f"as_of={at}&effective_before={at}", "as_of=2026-11-30"):  # fmt: skip
            await world.get(f"/balances/{CASH}?{wrong}", 400)
        world.database.is_away = True
        assert (await world.get(f"/balances/{CASH}?as_of={at}", 503))[
            "code"
        ] == "DATABASE_UNAVAILABLE"

    play(story())


def test_history_is_waited_for_as_well(world):
    async def story():
        filled(world)
        world.database.ends = {0: 8}
        token = token_of(SIGNER, [Position(0, 8)])
        path = f"/balances/{CASH}?as_of=2026-11-30T00:00:00Z&after={token}"
        found = await world.get(f"{path}&timeout=0", 504)
        assert (found["complete_to"], found["wanted"]) == ({"0": 8}, {"0": 9})
        waiting = asyncio.create_task(world.get(f"{path}&timeout=30"))
        await asyncio.sleep(0.02)
        world.database.ends = {0: 9}
        assert (await waiting)["complete_to"] == {"0": 9}

    play(story())


def test_answers_are_json_whatever_a_currency_is_called(world):
    async def story():
        world.view.put(change(CASH, 'A"\\é', debits=1))
        world.view.cover(1)
        (found,) = (await world.get(f"/balances/{CASH}"))["balances"]
        assert found["currency"] == 'A"\\é'
        assert (
            json.loads((await world.ask("GET", "/balances?under=assets")).text)["sums"][0][
                "currency"
            ]
            == 'A"\\é'
        )

    play(story())


def test_the_figures_are_those_of_the_copy():
    assert balance(CASH, debits=5).posted == "0.05"
    assert balance(DEPOSIT, debits=5).posted == "-0.05"
