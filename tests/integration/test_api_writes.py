"""Writes through an API process of the shared ledger: what is acknowledged is there, whatever ends.

The rules are tried without a ledger, in tests/unit/test_api_writes.py and test_api_corpus.py.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from ledger.client.rejects import line_of
from ledger.health.server import read_address
from tests import builders
from tests.commands import interpreted
from tests.conftest import Finished, Stack
from tests.waiting import until
from tests.wire import Place, Wire, present

Body = dict[str, Any]
WAIT = {"Prefer": "wait=reconciled"}
SECONDS = 60.0
CASH = "assets:api:cash"


class Process:
    """An API process of the ledger, and a client of it."""

    def __init__(self, stack: Stack, name: str, key: Path, token: str) -> None:
        self.folder = stack.data_dir / "api" / name
        self.log = key.parent / f"{name}.log"
        with self.log.open("ab") as out:
            self.child = subprocess.Popen(
                # The process itself, and not one that it asks for another: it is killed here.
                interpreted("api", "--data-dir", stack.data_dir, "--name", name),
                env={**os.environ, "FAUST_LEDGER_API_KEY_FILE": str(key)},
                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            )  # fmt: skip
        self.client = httpx.Client(
            headers={"Authorization": f"Bearer {token}"}, timeout=SECONDS, trust_env=False
        )

    def started(self) -> "Process":
        """Itself, once it is ready. Whoever ends it has it before, and so ends what never is."""
        pid = self.child.pid
        url = until(
            lambda: read_address(self.folder, pid),
            f"an address below {self.folder}",
            lost=self.why_lost,
        )
        self.client.base_url = f"{url}/v1"
        until(lambda: self.client.get(f"{url}/ready").status_code == 200, "it is ready")
        return self

    def why_lost(self) -> str:
        return "" if self.child.poll() is None else f"it has ended: {self.log.read_text()}"

    def post(self, body: Any, path: str = "", **more: Any) -> httpx.Response:
        return self.client.post(f"/transactions{path}", json=body, **more)

    def end(self, how: int = signal.SIGTERM) -> None:
        self.client.close()
        if self.child.poll() is None:
            self.child.send_signal(how)
        self.child.wait()


@pytest.fixture(scope="module")
def start(
    stack: Stack, cli: Callable[..., Finished], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Process]]:
    """Starts API processes with one signing key, for one token that may do everything."""
    key = tmp_path_factory.mktemp("api-writes") / "key"
    key.write_text("k" * 44)
    token = cli("tokens", "create", "--scope", "admin", "--json").json["token"]
    started: list[Process] = []

    def one(name: str) -> Process:
        started.append(Process(stack, name, key, token))
        return started[-1].started()

    yield one
    for each in started:
        each.end()


@pytest.fixture(scope="module")
def api(start: Callable[[str], Process]) -> Process:
    """The one that most tests share."""
    return start("writes-1")


@pytest.fixture
def body(new_id: Callable[..., str]) -> Callable[..., Body]:
    """A good transaction, as JSON."""

    def made(**changes: Any) -> Body:
        given = {"at": present(), "debit": CASH, "credit": "liabilities:api:2378", **changes}
        return line_of(builders.draft(given.pop("transaction_id", new_id("api")), **given))

    return made


def place(answer: Any) -> Place:
    return Place(answer["shard"], answer["offset"])


@contextmanager
def stopped(*pids: int) -> Iterator[None]:
    """Processes paused, and let go."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def pids(stack: Stack, part: str) -> list[int]:
    """Of a service, and of all that it started."""
    record = json.loads((stack.data_dir / "stack.json").read_text())
    top = psutil.Process(record["parts"][part]["pid"])
    return [top.pid, *(each.pid for each in top.children(recursive=True))]


def test_a_write_is_waited_for_taken_back_and_shown(
    api: Process, wire: Wire, body: Callable[..., Body]
) -> None:
    made = body()
    name = made["transaction_id"]
    first = api.post(made, headers=WAIT)
    assert (first.status_code, first.json()["status"]) == (201, "reconciled"), first.text
    assert first.headers["Preference-Applied"] == "wait=reconciled"
    assert first.headers["Location"] == f"/v1/transactions/{name}"
    assert wire.outcome_of(*place(first.json())).accepted
    again = api.post(made, headers=WAIT)
    assert (again.status_code, again.json()["status"]) == (200, "duplicate")
    assert Place(**again.json()["first"]) == place(first.json())
    back = api.post({"reason": "typo"}, f"/{name}/reverse", headers=WAIT)
    assert (back.status_code, back.json()["status"]) == (201, "reconciled"), back.text
    shown = api.client.get(f"/transactions/{name}").json()
    assert (shown["state"], shown["complete"]) == ("compared", True)
    [row] = shown["transactions"]
    assert row["token"] == first.json()["token"]
    assert [each["transaction_id"] for each in row["reversed_by"]] == [f"reversal-of/{name}"]


def test_what_the_log_refuses_is_answered_and_listed(
    api: Process, wire: Wire, body: Callable[..., Body]
) -> None:
    made = body(metadata={"producer": "api-test"})
    assert api.post(made).status_code == 202
    refused = api.post({**made, "kind": "fee"}, headers={"Prefer": "wait=decided"})
    assert refused.status_code == 422
    problem = refused.json()
    outcome = wire.outcome_of(*place(problem))
    assert (problem["code"], problem["field"], problem["detail"]) == (
        outcome.code, outcome.field, outcome.reason,
    )  # fmt: skip
    query = {"producer": "api-test", "code": "ID_REUSED", "account": "assets:api"}
    listed = until(lambda: pages(api, query), "the refusal is listed")
    assert [place(each) for each in listed] == [place(problem)]
    assert listed[0]["transaction"]["kind"] == "fee"
    assert pages(api, {**query, "order": "asc"}) == listed, "history and the topic tell the same"
    newest = api.client.get("/rejects", params={"after": listed[0]["token"], "limit": 5}).json()
    assert listed[0] in newest["rejects"]
    assert newest["complete_to"][str(problem["shard"])] > problem["offset"]
    assert pages(api, {**query, "code": "TOO_LATE"}) == []
    shown = api.client.get(f"/transactions/{made['transaction_id']}")
    assert shown.json()["transactions"][0]["kind"] == "deposit"


def pages(api: Process, query: Body) -> list[Any]:
    """All pages of the refusals."""
    rows: list[Any] = []
    cursor: Body = {}
    while True:
        found = api.client.get("/rejects", params={**query, **cursor, "limit": 1}).json()
        rows += found["rejects"]
        if found["next"] is None:
            return rows
        cursor = {"cursor": found["next"]}


def test_a_thousand_in_one_request(
    api: Process, wire: Wire, body: Callable[..., Body], new_id: Callable[..., str]
) -> None:
    name = new_id("bulk")
    bodies = [body(transaction_id=f"{name}-{each}", ordering_key=name) for each in range(1_000)]
    bodies[7] = {**bodies[7], "entries": []}
    found = api.post({"transactions": bodies}, "/bulk", headers=WAIT)
    assert found.status_code == 200, found.text
    results = found.json()["results"]
    assert [each["transaction_id"] for each in results] == [
        each["transaction_id"] for each in bodies
    ]
    assert results[7]["code"] == "TOO_FEW_ENTRIES"
    written = [each for each in results if each["index"] != 7]
    assert {each["status"] for each in written} == {"reconciled"}
    offsets = [each["offset"] for each in written]
    assert offsets == sorted(offsets), "one ordering key: in their order"
    assert wire.outcome_of(*place(written[-1])).accepted


def test_what_was_acknowledged_outlives_the_process(
    start: Callable[[str], Process], wire: Wire, body: Callable[..., Body]
) -> None:
    """`kill -9` under load; then a new process waits for what the old one has published."""
    process = start("writes-2")
    bodies = [body() for _ in range(400)]
    acknowledged: list[Body] = []

    def send(made: Body) -> None:
        try:
            answer = process.post(made)
        except httpx.HTTPError:
            return
        if answer.status_code == 202:
            acknowledged.append(answer.json())
        if len(acknowledged) == 100:
            process.child.kill()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(send, bodies))
    process.end()
    assert 100 <= len(acknowledged) < len(bodies)
    outcomes = wire.outcomes_of([place(each) for each in acknowledged])
    assert all(each.accepted for each in outcomes)
    process = start("writes-2")
    again = process.post(bodies, "/bulk", headers=WAIT).json()["results"]
    assert {each["status"] for each in again} <= {"reconciled", "duplicate"}
    firsts = {each["transaction_id"]: each["first"] for each in again}
    for each in acknowledged:
        assert Place(**firsts[each["transaction_id"]]) == place(each)


def test_without_kafka_nothing_is_half_done(
    api: Process, stack: Stack, wire: Wire, body: Callable[..., Body]
) -> None:
    bodies = [body() for _ in range(20)]
    with stopped(*pids(stack, "kafka")), ThreadPoolExecutor(20) as pool:
        began = time.monotonic()
        answers = list(pool.map(api.post, bodies))
        assert time.monotonic() - began < 20
        assert httpx.get(str(api.client.base_url.join("/live")), trust_env=False).status_code == 200
    for answer in answers:
        assert answer.status_code == 503, answer.text
        assert answer.json()["code"] in ("KAFKA_UNAVAILABLE", "OUTCOME_UNKNOWN")
        assert int(answer.headers["Retry-After"]) > 0
    again = until(lambda: written(api, bodies), "they are taken again, without a restart")
    known = [Place(**(each["first"] or {"shard": each["shard"], "offset": each["offset"]}))
             for each in again]  # fmt: skip
    assert len(set(known)) == len(bodies)
    assert all(each.accepted for each in wire.outcomes_of(known))


def written(api: Process, bodies: list[Body]) -> list[Body] | None:
    """The answers, once all are in the ledger."""
    answers = [api.post(each, headers=WAIT) for each in bodies]
    done = all(each.status_code in (200, 201) for each in answers)
    return [each.json() for each in answers] if done else None


def test_without_the_database_what_needs_none_is_written(
    api: Process, stack: Stack, body: Callable[..., Body]
) -> None:
    dated = body()
    with stopped(*pids(stack, "postgres")):
        found = api.post(dated, headers={"Prefer": "wait=decided"})
        assert (found.status_code, found.json()["status"]) == (201, "decided"), found.text
        waited = api.post(body(), headers=WAIT, params={"timeout": 0.5})
        assert (waited.status_code, waited.json()["status"]) == (202, "decided")
        assert "Preference-Applied" not in waited.headers
        undated = {name: each for name, each in body().items() if name != "created_at"}
        refused = api.post(undated)
        assert (refused.status_code, refused.json()["field"]) == (503, "created_at")
    again = until(lambda: written(api, [dated, undated]), "both are posted, without a restart")
    assert again[0]["status"] == "duplicate", "it was decided meanwhile"
    assert again[1]["status"] in ("reconciled", "duplicate")
