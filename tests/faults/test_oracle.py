"""A running ledger whose general ledger is in Oracle, for which H2 stands in: docs/oracle.md."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.another import WORKER
from tests.faults.conftest import Ledger, times
from tests.faults.on_h2 import OnH2, on_h2
from tests.faults.test_health import says
from tests.faults.world import World, kill
from tests.integration import berka
from tests.integration.berka import DEPOSITS
from tests.waiting import PATIENCE, until

pytestmark = pytest.mark.faults

ROWS = times(2_000, 28_205)
"""Of the bank's transactions; by `make faults` the whole year."""
REFUSED = (
    ("replay", "--from", "2026-01-01", "--into", "again"),
    ("rebuild", "ledger", "--into", "again"),
    ("rebuild", "ledger", "--into", "again", "--switch"),
    ("shadows", "list"),
    ("dump", "a-file"),
    ("psql",),
)
"""What switches schemas, or is a program of PostgreSQL's."""
LOOKED_AT = ("kafka", "registry", "general ledger", "migrations", "rights", "topics",
             "topic settings", WORKER)  # fmt: skip
"""What `doctor` finds well."""
OF_HISTORY = (("rebuild", "history"), ("explain", "assets:cash"))


@pytest.fixture(scope="module")
def one(world: World) -> Iterator[OnH2]:
    """Beside the one that the faults share."""
    pytest.importorskip("jpype", reason="no JPype: H2 stands in for Oracle")
    with on_h2(world) as made:
        yield made


@pytest.mark.fault(
    "the general ledger in Oracle (H2 stands in): a bank's transactions, and `kill -9` of posting "
    "meanwhile",
    "every account has the exact sum; `reconcile --full` and `verify` find nothing",
)
def test_a_bank(ledger: Ledger, one: OnH2, tmp_path: Path) -> None:
    found = berka.find()
    if found is None:
        pytest.skip(f"no {berka.FILE} beside the project or in FAUST_LEDGER_SHARED")
    rows, file = berka.read(found)[:ROWS], tmp_path / "berka.jsonl"
    file.write_text("".join(json.dumps(berka.transaction(row)) + "\n" for row in rows))
    child = one.commands.start("publish", file, "--wait", "--timeout", PATIENCE, "--json")
    until(one.posted, "a first posting")
    kill(one.world.agent(WORKER, "posting"))
    report = json.loads(one.commands.finish(child))
    assert (report["accepted"], report["reconciled"]) == (len(rows), len(rows))
    assert one.posted() == len(rows)

    wanted = berka.balances(rows)
    for source in ("stream", "ledger"):
        balances = one.rows("balances", "--prefix", DEPOSITS, "--source", source)
        assert {row["account"]: Decimal(row["posted"]) for row in balances} == wanted
        assert sum(row["entries"] for row in balances) == len(rows)
    sides = one.answer("trial-balance")["currencies"][berka.CURRENCY]
    turnover = sum(Decimal(row.amount) for row in rows)
    assert {Decimal(sides["debits"]), Decimal(sides["credits"])} == {turnover}
    audited(one)
    ledger.entry.times += 1


def audited(one: OnH2) -> None:
    """By every audit that there is."""
    full, verified = one.answer("reconcile", "--full"), one.answer("verify")
    assert (full["breaks"], full["pending"], full["undecided"]) == ([], 0, 0)
    assert verified["findings"] == []
    assert verified["transactions"] == one.posted()


def test_commands(one: OnH2) -> None:
    """Each does its work on a ledger of one's own servers, or says in a sentence what to do."""
    one.publish()
    status = one.commands.status()
    assert status["ok"], status
    assert list(status["workers"]) == [WORKER]
    assert status["addresses"]["database_url"].startswith("oracle://ledger_owner@")
    (found,) = one.rows("doctor", code=None)
    well = {each["name"]: each["well"] for each in found["findings"]}
    for name in LOOKED_AT:
        assert well[name], name
    assert one.answer("rebuild", "balances")["left"] == []
    audited(one)


def test_answers_about_the_past(one: OnH2) -> None:
    """From the journal, for there is no history."""
    one.publish()
    rows = one.rows("balances", "--as-of", "2100-01-01", code=None)
    now = one.rows("balances", "--source", "ledger")
    assert {row["read_from"] for row in rows} == {"journal"}
    assert [(row["account"], row["posted"]) for row in rows] == [
        (row["account"], row["posted"]) for row in now
    ]


@pytest.mark.parametrize("words", REFUSED, ids=" ".join)
def test_what_oracle_has_not_is_refused(one: OnH2, words: tuple[str, ...]) -> None:
    said = one.refusal(*words)
    assert "This works on PostgreSQL alone" in said
    assert "docs/oracle.md" in said


@pytest.mark.parametrize("words", OF_HISTORY, ids=" ".join)
def test_history_is_refused(one: OnH2, words: tuple[str, ...]) -> None:
    said = one.refusal(*words)
    assert "History is kept in PostgreSQL alone" in said
    assert "`faust-ledger register" in said


@pytest.mark.fault(
    "the user that posts loses a right in Oracle (H2 stands in), then the database goes away",
    "posting waits and says what to do, public balances go on as pending; mended, all reconciles",
)
def test_the_database_fails(ledger: Ledger, one: OnH2) -> None:
    one.publish()
    agents = one.world.agents()
    table = "ON entries {} ledger_service"
    one.database.run(f"REVOKE INSERT {table.format('FROM')}")
    one.flow.probe()
    says(one.world, WORKER, "A right is missing: run `faust-ledger setup` as the owner")
    until(lambda: pending(one), "public balances that go on")
    one.database.run(f"GRANT INSERT {table.format('TO')}")
    one.publish()

    one.database.hang_up()
    one.flow.probe()
    says(one.world, WORKER, "does not answer at the moment")
    until(lambda: pending(one), "public balances that go on")
    one.database.listen()
    one.publish()
    one.world.ready(WORKER)
    assert one.world.agents() == agents
    audited(one)
    ledger.entry.times += 1


def pending(one: OnH2) -> list[dict[str, Any]]:
    """What is published of what is not posted."""
    rows = one.rows("balances", "--prefix", f"assets:{one.flow.name}", code=None)
    return [row for row in rows if row["status"] == "pending"]
