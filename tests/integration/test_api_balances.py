"""Balances at API processes: a write is read at any of them, whatever happens to it or to Kafka."""

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Finished, Stack
from tests.integration.test_api_access import bearer, process
from tests.waiting import until
from tests.wire import present

Api = httpx.Client


def line(transaction_id: str, account: str, amount: str) -> dict[str, Any]:
    return {
        "transaction_id": transaction_id,
        "entries": [
            {"account": "assets:cash", "side": "debit", "amount": amount, "currency": "CAD"},
            {"account": account, "side": "credit", "amount": amount, "currency": "CAD"},
        ],
    }


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("balances") / "key"
    made.write_text("k" * 44)
    return made


@pytest.fixture(scope="module")
def token(cli: Callable[..., Finished]) -> str:
    return cli("tokens", "create", "--scope", "publish", "--scope", "read", "--json").json["token"]


@contextmanager
def api(stack: Stack, name: str, key: Path, token: str) -> Iterator[Api]:
    """A client of an API process of its own."""
    with process(stack, name, key, key.with_name(f"{name}.log")) as url:
        client = httpx.Client(
            base_url=f"{url}/v1", trust_env=False, headers=bearer(token), timeout=90
        )
        with client:
            until(
                lambda: client.get(f"{url}/ready").json()["parts"]["view"]["ready"],
                "the view is ready",
            )
            until(
                lambda: client.get("/balances/assets:cash").status_code == 200, "the token is known"
            )
            yield client


@pytest.fixture(scope="module")
def two(stack: Stack, key: Path, token: str) -> Iterator[tuple[Api, Api]]:
    with ExitStack() as running:
        yield tuple(
            running.enter_context(api(stack, f"balances-{each}", key, token)) for each in (1, 2)
        )  # type: ignore[misc]


def write(at: Api, transaction_id: str, account: str, amount: str = "1.00") -> dict[str, Any]:
    answer = at.post("/transactions", json=line(transaction_id, account, amount))
    assert answer.status_code in (200, 201, 202), answer.text
    return answer.json()


def read(at: Api, account: str, status: int = 200, **params: Any) -> Any:
    answer = at.get(f"/balances/{account}", params=params)
    assert answer.status_code == status, answer.text
    return answer.json()


def posted(answer: Any) -> str:
    return answer["balances"][0]["posted"] if answer["balances"] else "0.00"


def test_a_write_at_one_is_read_at_the_other(
    two: tuple[Api, Api], new_id: Callable[..., str]
) -> None:
    account = f"liabilities:api:{new_id()}"
    for number in range(1, 21):
        name = new_id()
        token = write(two[number % 2], name, account)["token"]
        for at, after in ((two[0], token), (two[1], token), (two[1], name), (two[0], name)):
            found = read(at, account, after=after, timeout=60)
            assert posted(found) == f"{number}.00"
            assert found["lag"] is None
        cash = read(two[number % 2], "assets:cash", after=token, timeout=60)
        assert cash["complete_to"].keys() == found["complete_to"].keys()
    under = two[0].get("/balances", params={"under": account, "after": token, "timeout": 60}).json()
    assert under["sums"][0]["posted"] == "20.00"
    bulk = (
        two[1].post("/balances/query", params={"after": token}, json={"accounts": [account]}).json()
    )
    assert bulk["balances"] == found["balances"]
    # What was answered is itself something to be no older than.
    assert posted(read(two[1], account, after=under["token"], timeout=60)) == "20.00"


def test_another_time_is_asked_of_history(two: tuple[Api, Api], new_id: Callable[..., str]) -> None:
    from ledger.client.drafts import rfc3339

    account = f"liabilities:api:{new_id()}"
    first = write(two[0], new_id(), account, "2.50")["token"]
    read(two[0], account, after=first, timeout=60)
    between = present()
    second = write(two[1], new_id(), account, "4.00")["token"]
    found = read(two[0], account, as_of=rfc3339(between), by="recorded", after=second, timeout=60)
    assert posted(found) == "2.50"
    assert posted(read(two[1], account, after=second, timeout=60)) == "6.50"


def test_one_that_is_killed_under_load_goes_on_where_it_was(
    stack: Stack, two: tuple[Api, Api], key: Path, token: str, new_id: Callable[..., str]
) -> None:
    account, ends, tokens = f"liabilities:api:{new_id()}", threading.Event(), list[str]()

    def load() -> None:
        while not ends.is_set():
            tokens.append(write(two[0], new_id(), account)["token"])

    writing = threading.Thread(target=load)
    writing.start()
    try:
        for _ in range(2):
            with api(stack, "balances-killed", key, token) as third:
                until(lambda: len(tokens) > 5, "something is written")
                before = len(tokens)
                found = read(third, account, after=tokens[-1], timeout=60)
                assert int(posted(found).removesuffix(".00")) >= before
                os.kill(pid_of(stack, "balances-killed"), signal.SIGKILL)
    finally:
        ends.set()
        writing.join()
    with api(stack, "balances-killed", key, token) as third:
        last = tokens[-1]
        assert (
            read(third, account, after=last, timeout=60)["balances"]
            == read(two[0], account, after=last, timeout=60)["balances"]
        )
        assert posted(read(third, account)) == f"{len(tokens)}.00"


def pid_of(stack: Stack, name: str) -> int:
    """Of the process that has the view's folder."""
    return int((stack.data_dir / "api" / name / "view" / "lock").read_text())


def test_without_kafka_it_answers_says_how_old_that_is_and_goes_on(
    stack: Stack, two: tuple[Api, Api], new_id: Callable[..., str]
) -> None:
    account = f"liabilities:api:{new_id()}"
    token = write(two[0], new_id(), account)["token"]
    read(two[1], account, after=token, timeout=60)
    kafka = json.loads((stack.data_dir / "stack.json").read_text())["parts"]["kafka"]["pid"]
    os.kill(kafka, signal.SIGSTOP)
    try:
        lag = until(lambda: read(two[1], account)["lag"], "it says that it lags", 60)
        assert lag["seconds"] >= 5
        assert lag["why"]
        assert posted(read(two[1], account)) == "1.00"
        ready = two[1].get(str(two[1].base_url).replace("/v1/", "/ready")).json()
        assert not ready["parts"]["view"]["ready"]
    finally:
        os.kill(kafka, signal.SIGCONT)
    until(lambda: read(two[1], account)["lag"] is None, "it goes on")
    token = write(two[0], new_id(), account)["token"]
    assert posted(read(two[1], account, after=token, timeout=60)) == "2.00"
