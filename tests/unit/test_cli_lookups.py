"""An unknown name is a usage error that lists the known names, the nearest first."""

import pytest
from typer.testing import CliRunner

from ledger.cli.main import app
from ledger.client.rejects import Rejected, RejectReader
from ledger.domain.account import TYPES
from ledger.domain.refusal import Reason

WRONG = [
    (["rejects", "list", "--code", "NOT_BALENCED"], "'NOT_BALENCED' is no refusal code. Did you mean NOT_BALANCED?"),
    (["rejects", "list", "--code", "not_balanced"], "Did you mean NOT_BALANCED?"),
    (["rejects", "list", "--code", ""], "'' is no refusal code."),
    (["rejects", "replay", "--code", "TOO_LATE", "--code", "TO_LATE"], "'TO_LATE' is no refusal code. Did you mean TOO_LATE?"),
    (["balances", "--prefix", "assetz"], "'assetz' is no type of account. Did you mean assets?"),
    (["balances", "--prefix", "Assets:cash"], "'Assets' is no type of account. Did you mean assets?"),
    (["balances", "--prefix", ""], "'' is no type of account."),
    (["balances", "assets:cash", "liabilties:deposits"], "'liabilties' is no type of account. Did you mean liabilities?"),
    (["balances", "--source", "leger"], "'leger' is not one of 'stream', 'ledger'"),
    (["rejects", "replay", "--from", "2024-05-02", "--to", "2024-05-01"], "nothing is between"),
    (["replay", "--from", "2024-05-02", "--to", "2024-05-02", "--into", "x"], "nothing is between"),
    (["bench", "--rates", "500,many"], "whole numbers of transactions a second"),
    (["bench", "--rates", "0"], "whole numbers of transactions a second"),
]  # fmt: skip
TIMES = ["0000-01-01", "0000-12-31T23:59:59.999999Z", "0001-01-01T00:00:00+00:01",
         "9999-12-31T23:59:59-23:00", "2024-02-30", "soon", "", "\udcff"]  # fmt: skip


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    """Usage errors are found before anything is connected to."""
    monkeypatch.setenv("FAUST_LEDGER_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("FAUST_LEDGER_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")


@pytest.mark.parametrize(("words", "said"), WRONG)
def test_an_unknown_name_is_a_usage_error(words, said):
    found = CliRunner().invoke(app, words)
    assert (found.exit_code, found.stdout) == (2, "")
    assert said in found.stderr


def test_the_known_names_are_listed():
    codes = CliRunner().invoke(app, ["rejects", "list", "--code", "x"]).stderr
    assert all(code in codes for code in Reason)
    types = CliRunner().invoke(app, ["balances", "--prefix", "x"]).stderr
    assert all(each in types for each in TYPES)


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize(
    "words",
    [["trial-balance", "--as-of"], ["balances", "--as-of"], ["rejects", "replay", "--from"],
     ["replay", "--into", "x", "--from"], ["publish", "-", "--created-at"]],
)  # fmt: skip
def test_a_time_outside_the_years_of_a_ledger_is_a_usage_error(words, time):
    found = CliRunner().invoke(app, [*words, time])
    assert (found.exit_code, found.stdout) == (2, "")
    assert "Error: Invalid value for" in found.stderr


def test_unknown_ids_are_named(monkeypatch):
    async def found(self, wanted):
        row = {"recorded_at": 0, "shard": 0, "offset": 1, "code": "TOO_LATE", "reason": "",
               "field": "", "transaction_id": "known", "key": b"k", "value": b"v"}  # fmt: skip
        yield Rejected(row, None)

    monkeypatch.setattr(RejectReader, "read", found)
    words = ["rejects", "replay", "--dry-run", "--id", "known", "--id", "unknown\x1b[2J"]
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 0
    assert ended.stderr == "No refusal of this selection has the id unknown\\x1b[2J.\n"
    assert "1 refusals match" in ended.stdout


def test_an_unknown_worker_is_a_usage_error(tmp_path):
    (tmp_path / "workers" / "worker-1").mkdir(parents=True)
    words = ["rebuild", "tables", "--worker", "wroker-1", "--data-dir", str(tmp_path)]
    found = CliRunner().invoke(app, words)
    assert (found.exit_code, found.stdout) == (2, "")
    assert "'wroker-1' is no worker of this data directory. Did you mean worker-1?" in found.stderr
