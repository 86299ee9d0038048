"""Statements on a running ledger: imported by commands, kept in their topic, beside the books."""

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from tests.conftest import Finished
from tests.statement_files import Entry, camt, camt_statement
from tests.unit.test_statements_csv import MONEY, ROWS
from tests.waiting import PATIENCE

LATE = date(2024, 5, 31)


def iban(new_id: Callable[..., str]) -> str:
    """An identification that no other test has; it is no IBAN, and a bank's own."""
    return new_id("acc")


@pytest.fixture
def pay(cli: Callable[..., Finished], jsonl: Callable[..., str], tmp_path: Any) -> Any:
    """Publish a payment into an account, and wait for it."""

    def run(name: str, account: str, amount: str) -> None:
        file = tmp_path / "pay.jsonl"
        legs = [(account, "debit"), ("income:statement-tests", "credit")]
        file.write_text(jsonl([{
            "transaction_id": name, "kind": "deposit", "effective_at": "2024-05-30T12:00:00Z",
            "entries": [
                {"account": code, "side": side, "amount": amount, "currency": "EUR"}
                for code, side in legs
            ],
        }]))  # fmt: skip
        cli("publish", file, "--wait", "--timeout", PATIENCE)

    return run


def statement(entries: list[Entry], identification: str, number: int, opening: int) -> bytes:
    text = camt_statement(
        [each._replace(booked=LATE) for each in entries], account=identification, number=number,
        opening=opening, on=LATE,
    )  # fmt: skip
    return camt(text)


def test_a_statement_is_imported_corrected_and_shown(
    cli: Callable[..., Finished], new_id: Callable[..., str], pay: Any, tmp_path: Any
) -> None:
    identification, account = iban(new_id), f"assets:bank:{new_id('stmt')}"
    file = tmp_path / "statement.xml"
    file.write_bytes(statement([Entry(12_34, "a")], identification, 1, 0))
    refused = cli("statements", "import", file, "--json", code=1).json
    assert refused["statements"] == []
    assert refused["refused"]["code"] == "ACCOUNT_NOT_LINKED"

    # The ledger has nothing yet: that is said, and refuses nothing but with --tied.
    tied = cli("statements", "import", file, "--account", account, "--tied", "--json", code=1).json
    assert tied["refused"]["code"] == "LEDGER_DIFFERS"
    [found] = cli("statements", "import", file, "--account", account, "--json").json["statements"]
    assert (found["verdict"], found["tied"], found["lines"]) == ("imported", False, 1)
    assert found["ties"] == [
        {"code": "EUR", "stated": "12.34", "ledger": "0.00", "difference": "12.34"}
    ]
    pay(new_id(), account, "12.34")
    shown = cli("statements", "show", found["id"], "--json").json
    assert shown["tied"] is True
    assert [(row["amount"], row["reference"]) for row in shown["rows"]] == [("12.34", "a")]

    [again] = cli("statements", "import", file, "--json").json["statements"]
    assert (again["verdict"], again["tied"]) == ("unchanged", True)
    file.write_bytes(statement([Entry(12_34, "a"), Entry(-1, "fee")], identification, 1, 0))
    [corrected] = cli("statements", "import", file, "--json").json["statements"]
    assert corrected["verdict"] == "corrected"
    assert corrected["supersedes"] == found["digest"]
    assert [each["what"] for each in corrected["changes"]] == ["closing", "added"]
    file.write_bytes(statement([], identification, 3, 1233))
    assert cli("statements", "import", file, "--json", code=1).json["refused"]["code"] == (
        "NUMBER_MISSING"
    )
    [listed] = cli("statements", "list", "--account", account, "--json").rows
    assert (listed["closing"], listed["superseded"], listed["broken"]) == ("12.33", 1, None)
    assert "12.33" in cli("statements", "show", found["id"], code=1).out


def test_csv_is_read_by_a_mapping_that_was_saved(
    cli: Callable[..., Finished], new_id: Callable[..., str], tmp_path: Any
) -> None:
    name, identification = new_id("map"), iban(new_id)
    mapping, file = tmp_path / "bank.toml", tmp_path / "rows.csv"
    mapping.write_text(MONEY.replace("DE89 3704 0044 0532 0130 00", identification))
    file.write_text(ROWS)
    words = ("statements", "import", file, "--account", "assets:bank:csv", "--mapping", name)
    assert cli(*words, "--json", code=1).json["refused"]["code"] == "MAPPING_UNKNOWN"
    for version in (1, 1):
        saved = cli("statements", "save-mapping", name, mapping, "--json").json
        assert saved == {"name": name, "version": version}
    [found] = cli(*words, "--json").json["statements"]
    assert (found["mapping"], found["closing"]) == (f"{name}/1", "1300.00")
    mapping.write_text("of = 'money'")
    cli("statements", "save-mapping", name, mapping, code=1)
    rows = {row["name"]: row for row in cli("statements", "mappings", "--json").rows}
    assert rows[name]["version"] == 1
    assert json.dumps(rows[name]["of"]) == '"money"'
