"""Balances at API processes: a write is read at any of them, whatever happens to it or to Kafka."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest

from ledger.client.drafts import rfc3339
from ledger.stack import files
from ledger.stack.record import Record, load_record
from tests.conftest import Stack
from tests.integration.api_ledger import ApiLedger
from tests.waiting import until
from tests.wire import present

Api = httpx.Client


@pytest.fixture(scope="module")
def two(api_ledger: ApiLedger) -> Iterator[list[Api]]:
    """Clients of two processes, which may publish and read."""
    clients = [api_ledger.client("publish", "read", process=each) for each in range(2)]
    for client in clients:
        until(
            lambda client=client: client.get("/v1/balances/assets:cash").status_code == 200,
            "the view is ready",
        )
    yield clients
    for client in clients:
        client.close()


def write(at: Api, transaction_id: str, account: str, amount: str = "1.00") -> str:
    """The token of a transfer to the account."""
    entries = [{"account": each, "side": side, "amount": amount, "currency": "CAD"}
               for each, side in (("assets:cash", "debit"), (account, "credit"))]  # fmt: skip
    transaction = {"transaction_id": transaction_id, "kind": "test", "effective_at": "2026-01-01T00:00:00Z",
                   "entries": entries}  # fmt: skip
    answer = at.post("/v1/transactions", json=transaction)
    assert answer.status_code in (200, 201, 202), answer.text
    token: str = answer.json()["token"]
    return token


def read(at: Api, account: str, **params: Any) -> Any:
    answer = at.get(f"/v1/balances/{account}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def posted(answer: Any) -> str:
    return str(answer["balances"][0]["posted"]) if answer["balances"] else "0.00"


def record_of(stack: Stack) -> Record:
    found = load_record(files.layout(stack.data_dir))
    assert found is not None
    return found


def test_a_write_at_one_is_read_at_the_other(two: list[Api], new_id: Callable[..., str]) -> None:
    account = f"liabilities:api:{new_id()}"
    for number in range(1, 11):
        name = new_id()
        token = write(two[number % 2], name, account)
        for at, after in ((two[0], token), (two[1], token), (two[1], name), (two[0], name)):
            found = read(at, account, after=after, timeout=30)
            assert posted(found) == f"{number}.00"
        assert read(two[number % 2], "assets:cash", after=token, timeout=30)["balances"]
    under = (
        two[0].get("/v1/balances", params={"under": account, "after": token, "timeout": 30}).json()
    )
    assert under["sums"][0]["posted"] == "10.00"
    bulk = (
        two[1]
        .post("/v1/balances/query", params={"after": token}, json={"accounts": [account]})
        .json()
    )
    assert bulk["balances"] == found["balances"]
    # What was answered is itself something to be no older than.
    assert posted(read(two[1], account, after=under["token"], timeout=30)) == "10.00"


def test_another_time_is_asked_of_history(two: list[Api], new_id: Callable[..., str]) -> None:
    account = f"liabilities:api:{new_id()}"
    first = write(two[0], new_id(), account, "2.50")
    read(two[0], account, after=first, timeout=30)
    between = rfc3339(present())
    second = write(two[1], new_id(), account, "4.00")
    # The two may be in different shards, and history has each shard in its own time.
    for after in (second, first):
        found = read(two[0], account, as_of=between, by="recorded", after=after, timeout=30)
    assert posted(found) == "2.50"
    assert posted(read(two[1], account, after=second, timeout=30)) == "6.50"


def test_one_that_is_killed_under_load_goes_on_where_it_was(
    stack: Stack, two: list[Api], new_id: Callable[..., str]
) -> None:
    account, ends, tokens = f"liabilities:api:{new_id()}", threading.Event(), list[str]()

    def load() -> None:
        while not ends.is_set():
            tokens.append(write(two[0], new_id(), account))

    writing = threading.Thread(target=load)
    writing.start()
    try:
        for _ in range(2):
            before = len(tokens)
            until(lambda before=before: len(tokens) > before + 5, "something is written")
            psutil.Process(record_of(stack).api[1].pid).children()[0].send_signal(signal.SIGKILL)
            last, count = tokens[-1], len(tokens)
            found = until(lambda last=last: answered(two[1], account, last), "it is there again")
            assert int(posted(found).removesuffix(".00")) >= count - 1
    finally:
        ends.set()
        writing.join()
    at_both = [read(each, account, after=tokens[-1], timeout=30) for each in two]
    assert at_both[0]["balances"] == at_both[1]["balances"]
    assert posted(at_both[1]) == f"{len(tokens)}.00"


def answered(at: Api, account: str, token: str) -> Any:
    """The answer; None where the process ended meanwhile, or does not know bearer tokens yet."""
    try:
        answer = at.get(f"/v1/balances/{account}", params={"after": token, "timeout": 30})
    except httpx.TransportError:
        return None
    return answer.json() if answer.status_code == 200 else None


def test_without_kafka_it_answers_says_how_old_that_is_and_goes_on(
    stack: Stack, two: list[Api], new_id: Callable[..., str]
) -> None:
    account = f"liabilities:api:{new_id()}"
    token = write(two[0], new_id(), account)
    read(two[1], account, after=token, timeout=30)
    kafka = record_of(stack).part("kafka")
    assert kafka is not None
    os.kill(kafka.pid, signal.SIGSTOP)
    try:
        lag = until(lambda: read(two[1], account)["lag"], "it says that it lags", 60)
        assert lag["seconds"] >= 5
        assert lag["why"]
        assert posted(read(two[1], account)) == "1.00"
        assert not two[1].get("/ready").json()["parts"]["view"]["ready"]
    finally:
        os.kill(kafka.pid, signal.SIGCONT)
    until(lambda: read(two[1], account)["lag"] is None, "it goes on")
    token = write(two[0], new_id(), account)
    assert posted(read(two[1], account, after=token, timeout=60)) == "2.00"
