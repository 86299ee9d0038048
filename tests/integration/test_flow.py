"""The way of a transaction as its readers see it, and the commands of the README as written."""

import asyncio
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from sqlalchemy import create_engine, text

from ledger.client import (
    Balance,
    BalanceReader,
    BlockingPublisher,
    Draft,
    Publisher,
    Receipt,
    Refused,
    credit,
    debit,
    transaction,
)
from ledger.client.drafts import microseconds
from ledger.domain.policy import MINUTE
from ledger.gl.books import TimeAxis
from ledger.gl.postgresql import PostgresJournal
from ledger.settings import Settings
from tests import builders
from tests.conftest import Finished, Stack
from tests.waiting import PATIENCE
from tests.wire import Place, Record, Wire, present

README = Path(__file__).parents[2] / "README.md"

Cli = Callable[..., Finished]
NewId = Callable[..., str]


def deposit(account: str, amount: str, name: str, **more: Any) -> Draft:
    legs = [debit("assets:flow:cash", amount, "CAD"), credit(account, amount, "CAD")]
    named = {"kind": "deposit", "effective_at": datetime.now(UTC), "created_at": "now"} | more
    return transaction(transaction_id=name, entries=legs, **named)


def place(receipt: Receipt | Refused) -> Place:
    assert isinstance(receipt, Receipt), receipt
    return Place(receipt.shard, receipt.offset)


@contextmanager
def database_held_up(settings: Settings) -> Iterator[None]:
    """Nothing can be posted within it; what was posted can be read."""
    engine = create_engine(settings.database_url)
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE transactions IN SHARE MODE"))
        yield
    engine.dispose()


def test_a_balance_is_there_before_and_after(
    stack: Stack, journal: PostgresJournal, new_id: NewId
) -> None:
    """Observe a balance, add money, see it go in and come back out reconciled."""
    account = f"liabilities:flow:{new_id()}"

    async def scenario() -> tuple[Balance, Balance]:
        async with (
            BalanceReader(stack.settings, accounts=[account]) as reader,
            Publisher(stack.settings) as publisher,
        ):
            assert reader.get(account, "CAD") is None
            place(await publisher.publish(deposit(account, "250.00", new_id())))
            before = await reader.wait_for(reconciled_at("250.00"), seconds=PATIENCE)
            place(await publisher.publish(deposit(account, "0.01", new_id())))
            return before, await reader.wait_for(reconciled_at("250.01"), seconds=PATIENCE)

    before, after = asyncio.run(scenario())
    assert before == Balance(
        account, "CAD", 2, "250.00", "0.00", "0.00", "250.00", 1, "reconciled", before.version
    )
    assert after.version > before.version
    [row] = journal.balances(accounts=[account])
    assert (row.debits, row.credits, row.entries, row.scale) == (0, 25_001, 2, 2)


def reconciled_at(posted: str) -> Callable[[Balance], bool]:
    return lambda balance: (balance.posted, balance.status) == (posted, "reconciled")


def test_what_waits_for_the_database_is_pending(stack: Stack, wire: Wire, new_id: NewId) -> None:
    """Live balances move on while the database is stuck, and say so; then they reconcile."""
    account = f"liabilities:flow:{new_id()}"
    with BlockingPublisher(stack.settings) as publisher:
        first = place(publisher.publish(deposit(account, "10.00", new_id())))
        wire.await_reconciled(first)
        with database_held_up(stack.settings):
            second = place(publisher.publish(deposit(account, "5.00", new_id())))
            seen = wire.balance(account, when=lambda balance: balance.pending != "0.00")
            assert (seen.posted, seen.pending, seen.status) == ("10.00", "5.00", "pending")
            assert wire.outcome_of(*second).accepted
            assert not wire.compared(second)
    wire.await_reconciled(second)
    done = wire.balance(account, when=reconciled_at("15.00"))
    assert (done.pending, done.entries) == ("0.00", 2)
    versions = [each.version for each in wire.known.statuses[account, "CAD"]]
    assert versions == sorted(versions)


def test_what_is_decided_and_not_posted_is_found_in_the_decision_log(
    stack: Stack, wire: Wire, cli: Cli, new_id: NewId
) -> None:
    account, name = f"liabilities:flow:{new_id()}", new_id("held")
    with BlockingPublisher(stack.settings) as publisher, database_held_up(stack.settings):
        held = place(publisher.publish(deposit(account, "5.00", name, description="Held")))
        wire.balance(account, when=lambda balance: balance.pending == "5.00")
        shown = cli("transaction", "show", name, "--json").json
        [found] = shown["transactions"]
        assert (shown["state"], found["description"]) == ("decided", "Held")
        assert (found["shard"], found["offset"]) == held
        assert (found["posted"]["done"], found["compared"]["done"]) == (False, False)
        assert cli("reverse", name).json["reverses"] == name
    wire.await_reconciled(held)
    assert cli("transaction", "show", name, "--json").json["state"] == "compared"


def test_a_reversal_takes_it_back(stack: Stack, wire: Wire, new_id: NewId) -> None:
    account = f"liabilities:flow:{new_id()}"
    wrong = deposit(account, "99.00", new_id("wrong"))
    back = builders.reversal(wrong, new_id("back"), created_at=present())
    with BlockingPublisher(stack.settings) as publisher:
        [_, again] = [place(publisher.publish(each)) for each in (wrong, back)]
        second = builders.reversal(wrong, new_id("again"), created_at=present())
        refused = place(publisher.publish(second))
    wire.await_reconciled(again, refused)
    assert wire.outcome_of(*refused).code == "REVERSED_ALREADY"
    balance = wire.balance(account, when=lambda each: each.entries == 2)
    assert (balance.posted, balance.debits, balance.credits) == ("0.00", "99.00", "99.00")


def test_a_closed_account_takes_reversals_and_nothing_else(
    stack: Stack, wire: Wire, cli: Cli, jsonl: Callable[..., str], new_id: NewId
) -> None:
    account = f"liabilities:flow:{new_id('closing')}"
    last = deposit(account, "7.00", new_id())
    with BlockingPublisher(stack.settings, check=False) as publisher:
        assert wire.outcome_of(*place(publisher.publish(last))).accepted
        closed = {"account": account, "closed_at": datetime.now(UTC).isoformat()}
        cli("accounts", "import", "-", "--close-with-balance", stdin=jsonl([closed]))
        # In force from its return on, on every shard.
        late = [deposit(account, "1.00", new_id()) for _ in range(stack.settings.shards * 2)]
        codes = {wire.outcome_of(*place(publisher.publish(each))).code for each in late}
        assert codes == {"ACCOUNT_CLOSED"}
        back = builders.reversal(last, new_id("back"), created_at=present())
        assert wire.outcome_of(*place(publisher.publish(back))).accepted
        # To reverse that would book it into the closed account once more.
        again = builders.reversal(
            back, new_id("again"), ordering_key=last["transaction_id"], created_at=present()
        )
        assert wire.outcome_of(*place(publisher.publish(again))).code == "ACCOUNT_CLOSED"


def test_as_of_by_either_time(
    stack: Stack, wire: Wire, journal: PostgresJournal, new_id: NewId
) -> None:
    """Effective last year, recorded now: each axis has its own answer, and both are half-open."""
    account = f"liabilities:flow:{new_id()}"
    then = datetime(2025, 6, 30, 12, tzinfo=UTC)
    before = present()
    with BlockingPublisher(stack.settings) as publisher:
        sent = place(publisher.publish(deposit(account, "3.00", new_id(), effective_at=then)))
    wire.await_reconciled(sent)

    def credits_(at: int, by: TimeAxis) -> list[int]:
        return [row.credits for row in journal.balances(accounts=[account], as_of=at, by=by)]

    assert credits_(microseconds(then), "effective") == []
    assert credits_(microseconds(then) + 1, "effective") == [300]
    assert credits_(before - MINUTE, "recorded") == []
    assert credits_(present() + MINUTE, "recorded") == [300]
    assert journal.watermark(sent.shard).recorded_until >= before - MINUTE


def test_a_producer_with_kafka_transactions_leaves_no_gap(
    stack: Stack, wire: Wire, new_id: NewId
) -> None:
    """Its commits take offsets that no reader ever sees; what comes after is not held up."""
    shard = 1

    async def committed() -> Place:
        async with (
            AIOKafkaProducer(
                bootstrap_servers=stack.settings.bootstrap_servers, transactional_id=new_id()
            ) as producer,
            producer.transaction(),
        ):
            record = in_shard()
            topic = f"{stack.settings.prefix}.transactions"
            sent = await producer.send_and_wait(topic, record.value, record.key, shard)
        return Place(sent.partition, sent.offset)

    def in_shard() -> Record:
        name = builders.id_in_shard(shard, stack.settings.shards, new_id())
        return wire.record(deposit("liabilities:flow:kafka-transactions", "1.00", name))

    first = wire.run(committed())
    wire.await_reconciled(first)
    wire.await_end(Place(shard, first.offset + 2))
    [second] = wire.send([in_shard()])
    assert second.offset > first.offset + 1
    wire.await_reconciled(second)
    assert all(outcome.accepted for outcome in wire.outcomes_of([first, second]))


def test_a_files_own_time_makes_publishing_it_again_a_repetition(
    cli: Cli, jsonl: Callable[..., str], new_id: NewId, tmp_path: Path
) -> None:
    """The window is counted from when the file was written, not from when it is published."""
    day, file = 86_400, tmp_path / "day.jsonl"
    row = {
        "transaction_id": new_id(), "kind": "deposit", "effective_at": "2024-05-01T14:00:00-04:00",
        "entries": [
            {"account": "assets:flow:cash", "side": "debit", "amount": "1.5", "currency": "CAD"},
            {"account": "income:flow", "side": "credit", "amount": "1.50", "currency": "CAD"},
        ],
    }  # fmt: skip
    file.write_text(jsonl([row]))

    def publish(*words: str, age: float, code: int = 0) -> Finished:
        written = time.time() - age
        os.utime(file, (written, written))
        return cli("publish", file, "--wait", "--timeout", PATIENCE, "--json", *words, code=code)

    assert publish(age=29 * day).json["accepted"] == 1
    assert publish(age=0).json["duplicates"] == 1
    refused = publish(age=31 * day, code=1)
    assert refused.json["published"] == 0
    assert "--created-at now" in refused.err
    # Without the check here, the service says the same.
    unchecked = publish("--no-check", age=31 * day, code=1)
    assert (unchecked.json["published"], unchecked.json["rejected"]) == (1, 1)
    assert "TOO_LATE" in unchecked.err


def commands() -> list[str]:
    """Every `faust-ledger` line in the README's blocks that needs a running ledger."""
    blocks = re.findall(r"^```\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)
    lines = [line for block in blocks for line in block.splitlines()]
    return [
        line for line in lines
        if line.startswith("faust-ledger ") and not line.startswith("faust-ledger up")
    ]  # fmt: skip


@pytest.fixture(scope="module")
def readme_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the file that the README writes, as it writes it."""
    directory = tmp_path_factory.mktemp("readme")
    [example] = re.findall(
        r"^cat > (\S+) <<'END'\n(.*?)^END$", README.read_text(), re.DOTALL | re.MULTILINE
    )
    name, lines = example
    directory.joinpath(name).write_text(lines)
    return directory


@pytest.mark.traces
@pytest.mark.parametrize("command", commands())
def test_the_readme_does_what_it_says(
    cli: Cli, readme_directory: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(readme_directory)
    words = shlex.split(command, comments=True)[1:]
    finished = cli(*words)
    assert "Traceback" not in finished.err
    assert finished.out or finished.err, "it says nothing"
    if words[0] == "publish":
        assert "1 of 1 lines published" in finished.out


def test_the_shapes_that_are_relied_on(cli: Cli) -> None:
    """After everything above; the numbers are other tests' business."""
    [*rows] = cli("rejects", "list", "--json").rows
    assert all({"code", "reason", "field", "shard", "offset"} <= row.keys() for row in rows)
    rows = cli("balances", "--json").rows
    assert {tuple(row) for row in rows} == {
        ("account", "currency", "posted", "pending", "debits", "credits", "entries", "status",
         "complete", "as_of", "missing")
    }  # fmt: skip
    trial = cli("trial-balance", "--json").json
    assert list(trial) == [
        "currencies", "accounts", "totals", "complete", "as_of", "missing", "by", "complete_through",
        "through", "unknown",
    ]  # fmt: skip
    assert all(set(sides) == {"debits", "credits"} for sides in trial["currencies"].values())
    assert all(sides["debits"] == sides["credits"] for sides in trial["currencies"].values())
    found = cli("reconcile", "--json").json
    assert {"accounts", "stripes", "reconciled", "pending", "breaks", "voided"} <= found.keys()
    assert found["breaks"] == []
    assert cli("verify", "--json").json["findings"] == []
