"""A decision that cannot be posted, on a running ledger: it is said, voided, and all goes on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from ledger.domain.transaction import shown_time
from ledger.streaming.access import Operation, role_rules
from tests.builders import draft, reversal, void_of
from tests.conftest import Finished, Stack
from tests.waiting import until
from tests.wire import Place, Wire, present

pytestmark = pytest.mark.integration

Cli = Callable[..., Finished]


@dataclass
class Stuck:
    """A shard with two decisions that cannot be posted, and one behind them that can.

    The second reverses the first. `until`: when all that was decided, RFC 3339.
    """

    code: str
    account: str
    other: str
    made: list[Any]
    places: list[Place]
    behind: Place
    status: Mapping[str, Any]
    listed: Finished
    until: str

    @property
    def shard(self) -> int:
        return self.places[0].shard


@pytest.fixture(scope="module")
def stuck(
    wire: Wire, cli: Cli, owner: Callable[..., list[Any]], new_id: Callable[..., str],
    jsonl: Callable[[Any], str],
) -> Stuck:  # fmt: skip
    """Somebody has put a currency into the database; it is registered with other decimals."""
    code = "P" + uuid4().hex[:8].upper()
    owner("INSERT INTO currencies VALUES (:code, 2)", code=code)
    cli("assets", "import", "-", stdin=jsonl([{"code": code, "scale": 6}]))
    account, other, key = f"assets:{new_id('cash')}", f"liabilities:{new_id('d')}", new_id("key")
    odd = {"currency": code, "debit": account, "credit": other, "at": present()}
    first = draft(new_id(), amount="1.000001", ordering_key=key, **odd)
    second = reversal(first, new_id("r"), at=present())
    places = [wire.publish(each) for each in (first, second)]
    good = draft(new_id(), debit=account, credit=other, ordering_key=key, at=present())
    behind = wire.publish(good)
    assert all(wire.outcome_of(*each).accepted for each in (*places, behind))
    status = until(
        lambda: said if not (said := cli("status", "--json", code=None).json)["ok"] else None,
        "the shard is said to be stopped",
    )
    return Stuck(
        code, account, other, [first, second], places, behind, status,
        cli("void", "list", code=1), shown_time(present()),
    )  # fmt: skip


def at(place: Place) -> str:
    return str(place.offset)


def test_the_shard_is_said_to_be_stopped_with_what_to_do(stuck: Stuck) -> None:
    assert "docs/runbooks/not-postable.md" in str(stuck.status)
    assert "2 cannot be posted, 0 void" in stuck.listed.out
    assert stuck.made[0]["transaction_id"] in stuck.listed.out


def test_what_is_waiting_as_json(stuck: Stuck, cli: Cli) -> None:
    found = cli("void", "list", "--json", code=1).json
    mine = [each for each in found["waiting"] if each["shard"] == stuck.shard]
    assert [each["offset"] for each in mine] == [place.offset for place in stuck.places]
    assert f"{stuck.code} was decided with 6 decimals" in mine[0]["why"]
    assert "has it with 2" in mine[0]["why"]


def test_what_may_not_be_voided_is_refused_and_changes_nothing(stuck: Stuck, cli: Cli) -> None:
    never = cli("void", "add", stuck.shard, 10**12, "--reason", "x", code=3)
    assert "No transaction was accepted at offset" in never.err
    assert "Nothing was changed" in never.err
    # All or nothing: one of the two is not waiting.
    both = cli("void", "add", stuck.shard, at(stuck.places[0]), 10**12, "--reason", "x", code=3)
    assert "Nothing was changed" in both.err
    assert len(cli("void", "list", "--json", code=1).json["waiting"]) == 2
    cli("void", "add", stuck.shard, at(stuck.places[0]), code=2)
    long = cli("void", "add", stuck.shard, at(stuck.places[0]), "--reason", "x" * 1_001, code=3)
    assert "shorten it to at most 1000. Nothing was changed." in long.err


def test_a_record_that_asks_without_leave_is_refused(
    stuck: Stuck, wire: Wire, new_id: Callable[..., str]
) -> None:
    asked = wire.publish(void_of(stuck.made[0], new_id("ledger.void"), at=present()))
    assert asked.shard == stuck.shard
    outcome = wire.outcome_of(*asked)
    assert (outcome.code, outcome.field) == ("VOID_WITHOUT_LEAVE", "reverses")


def test_only_who_may_change_the_policy_gives_leave(stack: Stack) -> None:
    writers = {
        each.role
        for each in role_rules(stack.settings)
        if each.operation == Operation.WRITE and each.name == "ledger.reference"
    }
    assert writers == {"finance"}


@pytest.fixture(scope="module")
def voided(stuck: Stuck, cli: Cli) -> Finished:
    """Both are, by one command."""
    offsets = map(at, stuck.places)
    words = ("--reason", "ticket 4711", "--json")
    made = cli("void", "add", stuck.shard, *offsets, *words)
    until(lambda: cli("reconcile", "--json", code=None).code == 0, "everything reconciles")
    return made


def test_voiding_them_lets_the_shard_go_on(
    stuck: Stuck, voided: Finished, wire: Wire, cli: Cli, owner: Callable[..., list[Any]]
) -> None:
    assert voided.json == {"voided": 2, "refused": [], "behind": []}
    wire.await_reconciled(stuck.behind)
    assert cli("status", "--json").json["ok"]
    rows = owner("SELECT count(*) FROM entries WHERE currency = :code", code=stuck.code)
    assert rows == [(0,)]
    left = owner("SELECT sum(debits), sum(entries) FROM stripes WHERE currency = :c", c=stuck.code)
    assert left == [(0, 0)]
    rows = cli("balances", stuck.account, "--json").rows
    (balance,) = [each for each in rows if each["currency"] == stuck.code]
    assert (balance["posted"], balance["entries"], balance["status"]) == (
        "0.000000",
        0,
        "reconciled",
    )


@pytest.mark.parametrize("words", [("reconcile",), ("reconcile", "--full"), ("verify",)], ids=str)
def test_every_audit_is_clean_and_shows_them(
    stuck: Stuck, voided: Finished, cli: Cli, words: tuple[str, ...]
) -> None:
    report = cli(*words, "--json").json
    assert report.get("breaks", report.get("findings")) == []
    mine = [each for each in report["voided"] if each["shard"] == stuck.shard]
    assert [each["offset"] for each in mine] == [place.offset for place in stuck.places]
    for each, made in zip(mine, stuck.made, strict=True):
        assert each["transaction"] == made["transaction_id"]
        assert "ticket 4711" in each["reason"]
        assert each["was_posted"] is False
    shown = cli(*words).out
    assert "void by authority, counted nowhere" in shown
    assert "ticket 4711" in shown


def test_nothing_waits_any_more(stuck: Stuck, voided: Finished, cli: Cli) -> None:
    listed = cli("void", "list", "--json").json
    assert listed["waiting"] == []
    assert len(listed["voided"]) == 2


def test_voiding_again_is_done_already_and_what_is_posted_is_not_voided(
    stuck: Stuck, voided: Finished, cli: Cli
) -> None:
    again = cli("void", "add", stuck.shard, at(stuck.places[0]), "--reason", "x", "--json")
    assert again.json == {"voided": 1, "refused": [], "behind": []}
    refused = cli("void", "add", stuck.shard, at(stuck.behind), "--reason", "x", code=3)
    assert "publish a reversal" in refused.err


def test_its_id_is_not_free_again(
    stuck: Stuck, voided: Finished, wire: Wire, new_id: Callable[..., str]
) -> None:
    first = stuck.made[0]
    back = reversal(first, new_id("r"), at=present())
    for made in (first, back):
        assert wire.outcome_of(*wire.publish(made)).code == "VOIDED"
    asked = wire.publish(void_of(first, new_id("ledger.void"), at=present()))
    assert wire.outcome_of(*asked).verdict == "duplicate"


@pytest.mark.traces
def test_a_replay_and_a_ledger_made_anew_have_no_difference(
    stuck: Stuck, voided: Finished, cli: Cli, owner: Callable[..., list[Any]], tmp_path: Path
) -> None:
    name = "void_" + uuid4().hex[:8]
    # With what is void and what voids it, with the second of them alone, and with neither.
    for start in ("1970-01-01", stuck.until, shown_time(present())):
        words = ("replay", "--from", start, "--into", name, "--json")
        try:
            report = cli(*words, code=None)
            assert (report.code, report.json["differences"]) == (0, []), start
            otherwise = [each["transaction_id"] for each in report.json["decided_otherwise"]]
            assert not {each["transaction_id"] for each in stuck.made} & set(otherwise)
        finally:
            cli("shadows", "drop", name, code=None)
    report = cli("rebuild", "ledger", "--into", name, "--switch", "--json", code=None)
    try:
        assert (report.code, report.json["differences"]) == (0, [])
    finally:
        cli("shadows", "drop", f"{name}_before", code=None)
    until(lambda: cli("reconcile", "--json", code=None).code == 0, "everything reconciles")
    assert cli("verify", "--json").json["findings"] == []
    found = cli("reconcile", "--full", "--json").json["voided"]
    void = {each["transaction"] for each in found}
    assert {each["transaction_id"] for each in stuck.made} <= void
    may = "SELECT has_table_privilege('ledger_service', 'voids', :right)"
    rights = {
        right: owner(may, right=right) == [(True,)] for right in ("INSERT", "UPDATE", "DELETE")
    }
    assert rights == {"INSERT": True, "UPDATE": False, "DELETE": False}
