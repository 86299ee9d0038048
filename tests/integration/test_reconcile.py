"""`faust-ledger reconcile` on a running ledger: clean, and whatever its owner alters is named."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import IntegrityError

from tests.builders import draft, entry
from tests.conftest import Finished, Stack
from tests.wire import Record, Wire, present

pytestmark = pytest.mark.integration

TRANSACTIONS = 300


@pytest.fixture(scope="module")
def account(wire: Wire, new_id: Callable[..., str]) -> str:
    """An account that some hundred reconciled transactions touch, with some bad ones between."""
    name, at = f"assets:{new_id('cash')}", present()
    records = []
    for number in range(TRANSACTIONS):
        made = draft(
            new_id(), debit=name, credit=f"liabilities:{name[7:]}:{number % 7}", at=at,
            amount=f"{number + 1}.25", ordering_key=f"key-{number % 20}" if number % 3 else None,
            metadata={"b": "2", "a": "ä"} if number % 5 == 0 else {},
        )  # fmt: skip
        records.append(wire.record(made))
        if number % 50 == 0:
            records += [records[-1], Record(b"\x00garbage"), wire.record(_unbalanced(new_id()))]
    wire.await_reconciled(*wire.send(records))
    return name


def _unbalanced(transaction_id: str) -> Any:
    entries = [entry("assets:cash", "debit"), entry("assets:cash", "credit", "9.00")]
    return draft(transaction_id, entries=entries, at=present())


@pytest.fixture
def full(cli: Callable[..., Finished], account: str) -> Callable[..., Mapping[str, Any]]:
    """What `reconcile --full --json` prints."""
    return lambda code: cli("reconcile", "--full", "--json", code=code).json


@contextmanager
def altered(
    owner: Callable[..., list[Any]], do: str, undo: str, **values: object
) -> Iterator[None]:
    """Between `do` and `undo`."""
    owner(do, **values)
    try:
        yield
    finally:
        owner(undo, **values)


def test_everything_that_was_done_to_this_ledger_agrees(
    cli: Callable[..., Finished], full: Callable[..., Mapping[str, Any]]
) -> None:
    report = full(code=0)
    assert report["breaks"] == []
    assert report["pending"] == 0
    assert report["reconciled"] == report["accounts"] > 0
    assert report["stripes"] >= report["accounts"]
    quick = cli("reconcile", "--json", code=0).json
    assert quick == dict(report)
    assert "0 breaks" in cli("reconcile", code=0).out


def test_an_entry_that_the_owner_altered(
    owner: Callable[..., list[Any]], full: Callable[..., Mapping[str, Any]], account: str
) -> None:
    [(shard, offset)] = owner(
        "SELECT shard, log_offset FROM entries WHERE account = :account LIMIT 1", account=account
    )
    where = "WHERE shard = :shard AND log_offset = :offset AND account = :account"
    with altered(
        owner, f"UPDATE entries SET amount = amount + 1 {where}",
        f"UPDATE entries SET amount = amount - 1 {where}",
        shard=shard, offset=offset, account=account,
    ):  # fmt: skip
        [found] = full(code=1)["breaks"]
    assert (found["account"], found["shard"], found["kind"]) == (account, shard, "differs")
    assert found["between"] == ["decisions", "journal"]
    assert f"at offset {offset}" in found["sentence"]


def test_a_refusal_of_history_that_the_owner_altered(
    owner: Callable[..., list[Any]], full: Callable[..., Mapping[str, Any]]
) -> None:
    [(shard, offset, reason)] = owner(
        "SELECT shard, log_offset, reason FROM ledger_history.refusals"
        " WHERE code = 'NOT_BALANCED' LIMIT 1"
    )
    update = "UPDATE ledger_history.refusals SET reason = {}, producer = {}"
    update += " WHERE shard = :shard AND log_offset = :offset"
    with altered(
        owner, update.format("'Not so.'", "'theirs'"), update.format(":reason", "NULL"),
        shard=shard, offset=offset, reason=reason,
    ):  # fmt: skip
        [found] = full(code=1)["breaks"]
    assert (found["shard"], found["kind"]) == (shard, "differs")
    assert found["between"] == ["decisions", "history"]
    assert found["stream"] == {"reason": reason, "producer": ""}
    assert found["ledger"] == {"reason": "Not so.", "producer": "theirs"}


def test_a_stripe_that_the_owner_altered(
    owner: Callable[..., list[Any]],
    full: Callable[..., Mapping[str, Any]],
    cli: Callable[..., Finished],
    account: str,
) -> None:
    [(shard,)] = owner(
        "SELECT shard FROM stripes WHERE account = :account LIMIT 1", account=account
    )
    where = "WHERE shard = :shard AND account = :account"
    with altered(
        owner, f"UPDATE stripes SET debits = debits + 1 {where}",
        f"UPDATE stripes SET debits = debits - 1 {where}", shard=shard, account=account,
    ):  # fmt: skip
        report = full(code=1)
        quick = cli("reconcile", "--json", code=1).json
        shown = cli("reconcile", code=1).out
    [found] = report["breaks"]
    assert (found["account"], found["shard"], found["kind"]) == (account, shard, "differs")
    assert found["between"] == ["decisions", "database stripes"]
    assert report["reconciled"] == report["accounts"] - 1
    [found] = quick["breaks"]
    assert found["account"] == account
    assert found["between"] == ["balances topic", "database stripes"]
    assert "1 breaks" in shown
    assert cli("reconcile", "--json", code=0).json["breaks"] == []


def test_a_stripe_and_a_transaction_that_the_owner_removed(
    owner: Callable[..., list[Any]],
    full: Callable[..., Mapping[str, Any]],
    cli: Callable[..., Finished],
    account: str,
) -> None:
    [(shard, offset)] = owner(
        "SELECT shard, log_offset FROM entries WHERE account = :account LIMIT 1", account=account
    )
    stripe = {"shard": shard, "account": account}
    place = {"shard": shard, "offset": offset}
    owner("CREATE TABLE kept_stripes AS SELECT * FROM stripes"
          " WHERE shard = :shard AND account = :account", **stripe)  # fmt: skip
    owner("CREATE TABLE kept_transactions AS SELECT * FROM transactions"
          " WHERE shard = :shard AND log_offset = :offset", **place)  # fmt: skip
    try:
        owner("DELETE FROM stripes WHERE shard = :shard AND account = :account", **stripe)
        owner("DELETE FROM transactions WHERE shard = :shard AND log_offset = :offset", **place)
        breaks = full(code=1)["breaks"]
        assert {(each["kind"], each["between"][1]) for each in breaks} == {
            ("missing", "journal"), ("missing", "database stripes")
        }  # fmt: skip
        run, found = cli("reconcile", "--json", code=1).json["breaks"]
        assert (run["table"], run["shard"]) == ("runs", shard)
        assert found["account"] == account
    finally:
        owner("INSERT INTO stripes SELECT * FROM kept_stripes")
        owner("INSERT INTO transactions SELECT * FROM kept_transactions")
        owner("DROP TABLE kept_stripes")
        owner("DROP TABLE kept_transactions")
    assert full(code=0)["breaks"] == []


PLACES = ((99, 0), (3, 10**9))
"""Of a shard that the log does not have, and after all that is posted of one."""


@pytest.fixture
def forged(stack: Stack, owner: Callable[..., list[Any]]) -> Iterator[None]:
    """Transactions that balance, put into the journal with the posting service's own password."""
    engine = create_engine(stack.settings.service_database_url)
    try:
        for shard, offset in PLACES:
            with engine.begin() as connection:
                _forge(connection, shard, offset)
        with (
            pytest.raises(IntegrityError, match="transactions_position"),
            engine.begin() as connection,
        ):
            _forge(connection, 3, -1)
        yield
    finally:
        engine.dispose()
        for table in ("transactions", "entries"):
            owner(f"DELETE FROM {table} WHERE shard = 99 OR log_offset = 1000000000")


def _forge(connection: Connection, shard: int, offset: int) -> None:
    place = {"shard": shard, "offset": offset}
    connection.execute(text(
        "INSERT INTO transactions (shard, log_offset, transaction_id, kind, effective_at,"
        " recorded_at, created_at) VALUES (:shard, :offset, 'forged', 'gift', now(), now(), now())"
    ), place)  # fmt: skip
    connection.execute(text(
        "INSERT INTO entries VALUES (:shard, :offset, 0, 'assets:cash', 'CAD', 'D', 100),"
        " (:shard, :offset, 1, 'liabilities:deposits:1', 'CAD', 'C', 100)"
    ), place)  # fmt: skip


def test_rows_that_the_posting_service_s_role_forged(
    cli: Callable[..., Finished],
    full: Callable[..., Mapping[str, Any]],
    account: str,
    forged: None,
) -> None:
    wanted = [
        (table, {"shard": shard, "log_offset": offset})
        for table in ("entries", "transactions")
        for shard, offset in sorted(PLACES)
    ]
    verified = cli("verify", "--json", code=1).json["findings"]
    for found in (
        verified,
        full(code=1)["breaks"],
        cli("reconcile", "--json", code=1).json["breaks"],
    ):
        rows = sorted([(each["table"], each["key"]) for each in found], key=str)
        assert rows == sorted(wanted, key=str)
    assert {each["kind"] for each in full(code=1)["breaks"]} == {"extra"}
    assert "the log has 8 shards" in cli("reconcile", code=1).out
    shown = cli("verify", code=1).out
    assert "entries (shard 99, log_offset 0), entry 0, 1, belongs to no run" in shown


def test_without_the_forged_rows_all_is_well_again(
    cli: Callable[..., Finished], full: Callable[..., Mapping[str, Any]]
) -> None:
    assert cli("verify", "--json", code=0).json["findings"] == []
    assert cli("reconcile", "--json", code=0).json["breaks"] == full(code=0)["breaks"] == []
