"""API processes while what they rest on is away, and killed while they take transactions."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from typing import Any

import httpx
import psutil
import pytest

from ledger.client.drafts import rfc3339
from tests.faults.conftest import Ledger, times
from tests.faults.world import kill
from tests.waiting import until

pytestmark = pytest.mark.faults


class Apis:
    """Two API processes of a ledger, and a client with all rights."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.urls: list[str] = json.loads(ledger.world.run("up", "--api", "2", "--json"))["api"]
        token = json.loads(ledger.world.run("tokens", "create", "--scope", "admin", "--json"))[
            "token"
        ]
        self.client = httpx.Client(
            headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
        )
        for url in self.urls:
            until(
                lambda url=url: self.get("/v1/status", url).status_code == 200, "the token is known"
            )

    def get(self, path: str, url: str = "", **params: str) -> httpx.Response:
        return self.client.get((url or self.urls[0]) + path, params=params)

    def post(self, made: dict[str, Any], url: str, **headers: str) -> httpx.Response:
        sent = {
            **made,
            "effective_at": rfc3339(made["effective_at"]),
            "created_at": rfc3339(made["created_at"]),
        }
        given = {name: value for name, value in sent.items() if value not in (None, "", {})}
        return self.client.post(f"{url}/v1/transactions", json=given, headers=headers)

    def acknowledged(self, made: dict[str, Any], urls: Iterator[str]) -> None:
        """Send one until a process has said that the ledger has it, as a careful backend does."""
        until(lambda: self._taken(made, next(urls)), f"{made['transaction_id']} is acknowledged")

    def _taken(self, made: dict[str, Any], url: str) -> bool:
        try:
            found = self.post(made, url)
        except httpx.TransportError:
            return False
        assert found.status_code in (200, 201, 202, 429, 503), found.text
        return found.status_code < 300

    def accepted(self, *made: dict[str, Any]) -> None:
        """Wait until the ledger has decided them, and tell the flow where they are."""
        ledger, names = self.ledger, {each["transaction_id"] for each in made}
        ledger.watch.until(
            lambda seen: all(seen.accepted.get(name) for name in names), "all that was acknowledged"
        )
        for name in names:
            ledger.flow.published[name] = ledger.watch.seen.accepted[name][0]

    def last_of_each_shard(self) -> list[str]:
        """Publish one transaction in each shard: all that came before is complete with them."""
        places = set(self.ledger.flow.probe())
        published = self.ledger.flow.published
        return [name for name, place in published.items() if place in places]

    def processes(self) -> list[psutil.Process]:
        """Those that answer, in the order of the addresses."""
        supervisors = [psutil.Process(each["pid"]) for each in self.ledger.world.record()["api"]]
        return [child for each in supervisors for child in each.children()]

    def ready(self) -> None:
        for url in self.urls:
            until(lambda url=url: self.get("/ready", url).status_code == 200, f"{url} is ready")


@pytest.fixture
def apis(ledger: Ledger) -> Iterator[Apis]:
    ledger.both_work()
    yield Apis(ledger)
    ledger.world.run("up", "--api", "0", "--json")


def hot(ledger: Ledger) -> str:
    return f"assets:{ledger.flow.name}:cash"


def problem(found: httpx.Response) -> str:
    assert found.headers["content-type"] == "application/problem+json"
    assert int(found.headers["retry-after"]) >= 1
    assert found.status_code == 503, found.text
    return str(found.json()["code"])


@pytest.mark.fault(
    "`kill -9` of the processes of an API that take transactions",
    "nothing that was acknowledged is lost, and nothing is there twice",
)
def test_processes_killed_while_they_take_transactions(ledger: Ledger, apis: Apis) -> None:
    made = [ledger.flow.transaction() for _ in range(times(120, 2_000))]
    urls = cycle(apis.urls)
    with ThreadPoolExecutor(8) as threads:
        sent = [threads.submit(apis.acknowledged, each, urls) for each in made]
        for number in range(times(3, 20)):
            ledger.moment(0.5)
            # The one that was killed before may not be there again yet.
            until(lambda: len(apis.processes()) == len(apis.urls), "all API processes")
            kill(apis.processes()[number % 2].pid)
        for each in sent:
            each.result()
    apis.accepted(*made)
    ledger.recovered("kill -9 of an API process", time.monotonic())
    ledger.settled()


@pytest.mark.fault(
    "`kill -9` of Kafka under an API, then `up`",
    "balances are answered, with how old they are; the rest is 503; no process restarts",
)
def test_kafka_away(ledger: Ledger, apis: Apis) -> None:
    last = apis.last_of_each_shard()
    path = f"/v1/balances/{hot(ledger)}"

    def whole(url: str) -> Any:
        """What this process has after everything that was published; None before it is checked."""
        answers = [apis.get(path, url, after=each, timeout="30") for each in last]
        assert all(each.status_code in (200, 504) for each in answers), answers[-1].text
        found = answers[-1].json().get("balances", [])
        return found if found and all(each["status"] == "reconciled" for each in found) else None

    def at_rest() -> Any:
        """What both have when nothing is under way any more."""
        found = [whole(url) for url in apis.urls]
        return found[0] if found[0] and found == [found[0]] * len(found) else None

    known = until(at_rest, "a balance")
    before, made = apis.processes(), ledger.flow.transaction()
    kill(ledger.world.service("kafka"))
    for url in apis.urls:
        found = apis.get(f"/v1/balances/{hot(ledger)}", url)
        assert found.status_code == 200, found.text
        assert found.json()["balances"] == known
        until(
            lambda url=url: apis.get(f"/v1/balances/{hot(ledger)}", url).json()["lag"],
            "the answer says how old it may be",
        )
        assert problem(apis.post(made, url, Prefer="wait=decided")) in (
            "KAFKA_UNAVAILABLE",
            "OUTCOME_UNKNOWN",
        )
        assert apis.get("/live", url).status_code == 200
        until(lambda url=url: apis.get("/ready", url).status_code == 503, "it says so")
    ledger.world.up()
    apis.ready()
    apis.acknowledged(made, cycle(apis.urls))
    apis.accepted(made)
    assert apis.processes() == before, "a process restarted, and need not have"
    ledger.recovered("kill -9 of Kafka under an API", time.monotonic())
    ledger.settled()


@pytest.mark.fault(
    "`kill -9` of the PostgreSQL postmaster under an API, then `up`",
    "balances and writes go on; history is 503; no process restarts",
)
def test_database_away(ledger: Ledger, apis: Apis) -> None:
    assert apis.get("/v1/trial-balance").status_code == 200
    before, made = apis.processes(), ledger.flow.transaction()
    # The registry is away with its database: all have looked up what they need when they started.
    kill(ledger.world.service("postgres"))
    for url in apis.urls:
        assert problem(apis.get("/v1/trial-balance", url)) == "DATABASE_UNAVAILABLE"
        assert apis.get(f"/v1/balances/{hot(ledger)}", url).status_code == 200
        # An answer of before is given again for a second.
        until(lambda url=url: apis.get("/v1/status", url).json()["why"], "what does not answer")
        shards = apis.get("/v1/status", url).json()["shards"]
        assert all(shard["history"] is None for shard in shards)
    taken = apis.post(made, apis.urls[0], Prefer="wait=decided")
    assert (taken.status_code, taken.json()["status"]) == (201, "decided"), taken.text
    apis.accepted(made)
    ledger.world.up()
    until(lambda: apis.get("/v1/trial-balance").status_code == 200, "history answers again")
    apis.ready()
    assert apis.processes() == before, "a process restarted, and need not have"
    ledger.recovered("kill -9 postgres under an API", time.monotonic())
    ledger.settled()
