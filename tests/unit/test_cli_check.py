"""`check` without a ledger, and the outcomes that `publish` and `check` write."""

import io
import json

import pytest
from typer.testing import CliRunner

from ledger.cli.main import app
from ledger.cli.outcome_lines import OutcomeLines
from ledger.client.outcomes import Outcome
from ledger.client.receipt import LineOutcome, Receipt
from ledger.domain.refusal import Reason, Refused
from ledger.domain.run import Refusal
from tests.builders import CASH, DEPOSIT

KEYS = ["line", "id", "outcome", "code", "field", "sentence", "shard", "offset"]


def line(name, amount="1.00", currency="CAD", **more):
    entries = [
        {"account": account, "side": side, "amount": amount, "currency": currency}
        for account, side in ((CASH, "debit"), (DEPOSIT, "credit"))
    ]
    fields = {"transaction_id": name, "effective_at": "2024-05-01T00:00:00Z", "kind": "deposit"}
    return json.dumps({**fields, "entries": entries, **more}) + "\n"


@pytest.fixture
def check(monkeypatch, tmp_path):
    """Runs `check` on a file with this text, where there is no ledger."""
    monkeypatch.chdir(tmp_path)

    def run(text, *words, name="lines.jsonl", **env):
        file = tmp_path / name
        file.write_text(text)
        return CliRunner().invoke(app, ["check", str(file), *words], env=env)

    return run


def test_good_lines_and_what_was_not_checked(check):
    found = check(line("a") + line("b"))
    assert found.exit_code == 0
    assert found.stdout == "2 of 2 lines are good, 0 refused. Nothing was sent.\n"
    assert "No ledger was asked: there is none here, and bootstrap_servers is not set." in (
        found.stderr
    )
    assert "Not checked: whether an id is that of an accepted transaction" in found.stderr
    report = json.loads(check(line("a"), "--json").stdout)
    assert list(report) == [
        "lines", "good", "refused", "unknown", "ledger_asked", "not_checked", "seconds"
    ]  # fmt: skip
    assert not report["ledger_asked"]
    assert len(report["not_checked"]) == 2


def test_bad_lines_are_named_and_end_with_1(check):
    found = check(line("a", "0") + "nope\n" + line("b"), "--offline")
    assert found.exit_code == 1
    assert "line 1: AMOUNT_NOT_POSITIVE: entries[0].amount: amount '0'" in found.stderr
    assert "line 2: UNREADABLE" in found.stderr
    assert "No ledger was asked: --offline was given." in found.stderr


def test_an_asset_that_only_a_ledger_knows_is_neither_good_nor_bad(check):
    found = check(line("a", "0.5", "XBTC"), "--outcomes", "-")
    assert found.exit_code == 4
    row = json.loads(found.stdout)
    assert list(row) == KEYS
    assert (row["outcome"], row["code"]) == ("unknown", None)
    assert "a ledger may have it as an asset" in row["sentence"]
    assert "0 of 1 lines are good, 0 refused, 1 not known" in found.stderr


def test_a_ledger_that_does_not_answer_is_said_and_ends_with_4(check):
    found = check(line("a"), FAUST_LEDGER_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert found.exit_code == 4
    assert "No ledger was asked: Kafka at 127.0.0.1:1 does not answer" in found.stderr
    assert check(line("a", "0"), FAUST_LEDGER_BOOTSTRAP_SERVERS="127.0.0.1:1").exit_code == 1


def test_csv(check, tmp_path):
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(
        'rows = "transactions"\n[columns]\ntransaction_id = "id"\neffective_at = "at"\n'
        'debit_account = "to"\ncredit_account = "from"\namount = "amount"\n'
        '[constants]\nkind = "move"\ncurrency = "CAD"\n'
    )
    text = f"id,at,to,from,amount\na,2024-05-01T00:00:00Z,{CASH},{DEPOSIT},1\nb,x,{CASH},y,2\n"
    found = check(text, "--csv", str(mapping), "--outcomes", "-", name="day.csv")
    assert found.exit_code == 1
    good, bad = map(json.loads, found.stdout.splitlines())
    assert (good["line"], good["id"], good["outcome"]) == (2, "a", "valid")
    assert (bad["line"], bad["id"], bad["field"]) == (3, "b", "effective_at")
    assert bad["sentence"].startswith("column 'at': effective_at is not an RFC 3339 time")
    for words, says in (
        ((), "is CSV by its name: give --csv MAPPING.toml"),
        (("--csv", str(tmp_path / "no.toml")), "No such file"),
        (("--csv", str(mapping)), "The file has no column 'id'"),
    ):
        found = check("x,y\n" if len(words) else text, *words, name="day.csv")
        assert found.exit_code == 2
        assert says in found.stderr


def test_outcomes_that_cannot_be_written_are_wrong_usage(check, tmp_path):
    for words, says in (
        (("--outcomes", "-", "--json"), "would both print to stdout"),
        (("--outcomes", str(tmp_path / "lines.jsonl")), "is the input itself"),
        (("--outcomes", str(tmp_path / "none" / "x")), "No such file"),
    ):
        found = check(line("a"), *words)
        assert found.exit_code == 2
        assert says in found.stderr
    assert (tmp_path / "lines.jsonl").read_text() == line("a"), "the input is untouched"


class Watch:
    """Knows these outcomes by offset."""

    def __init__(self, known):
        self.known = known

    def outcome_of(self, receipt):
        return self.known.get(receipt.offset, Outcome.UNDECIDED)


def written(watch, use):
    stream = io.StringIO()
    stream.close = lambda: None
    with OutcomeLines(stream, watch) as lines:
        use(lines)
    return [json.loads(text) for text in stream.getvalue().splitlines()]


def test_what_is_published_gets_the_ledgers_outcome():
    known = {5: Outcome.ACCEPTED, 6: Outcome.DUPLICATE, 7: Outcome.REFUSED, 8: Outcome.VOIDED}
    refusal = Refusal(7, 0, "c", "ID_REUSED", "transaction_id", "It is taken.", b"", b"")

    def use(lines):
        for number, offset in enumerate((5, 6, 7, 8, 9), 1):
            lines.add(LineOutcome(number, "abcde"[number - 1], receipt=Receipt(2, offset)))
        lines.add(LineOutcome(6, None, refused=Refused(Reason.UNREADABLE, "No.")))
        lines.add(LineOutcome(7, "g", failure="Kafka is away."))
        lines.refused_by_ledger(Receipt(2, 7), refusal)

    rows = written(Watch(known), use)
    assert all(list(row) == KEYS for row in rows)
    assert {row["line"]: row["outcome"] for row in rows} == {
        1: "accepted", 2: "duplicate", 3: "refused", 4: "voided", 5: "published", 6: "refused",
        7: "unknown",
    }  # fmt: skip
    [third] = [row for row in rows if row["line"] == 3]
    assert list(third.values()) == [
        3, "c", "refused", "ID_REUSED", "transaction_id", "It is taken.", 2, 7
    ]  # fmt: skip
    plain = written(None, lambda lines: lines.add(LineOutcome(1, "a", receipt=Receipt(0, 3))))
    assert [list(row.values()) for row in plain] == [[1, "a", "published", None, None, None, 0, 3]]


def test_lines_that_were_only_checked_count_unless_they_are_published():
    def strict(lines):
        lines.hold(LineOutcome(1, "a"))
        lines.hold(LineOutcome(2, None, refused=Refused(Reason.UNREADABLE, "No.")))

    def then_published(lines):
        lines.hold(LineOutcome(1, "a"))
        lines.drop_held()
        lines.add(LineOutcome(1, "a", receipt=Receipt(0, 5)))

    assert [row["outcome"] for row in written(Watch({}), strict)] == ["valid", "refused"]
    assert [row["outcome"] for row in written(Watch({}), then_published)] == ["published"]
