"""The commands that publish and read, as a person or a script runs them on a running ledger."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from ledger.client.import_checks import Line
from ledger.client.imports import Importer
from ledger.domain.reference import Asset
from tests.commands import faust_ledger, interpreted
from tests.waiting import PATIENCE

CASH = "assets:cash:command-tests"
NO_DATABASE = "postgresql+psycopg://nobody@127.0.0.1:1/none"
COUNTS = ("lines", "published", "accepted", "rejected", "duplicates", "reconciled")


def line(name, account, amount="12.34", currency="CAD", **more):
    legs = [(CASH, "debit"), (account, "credit")]
    return {
        "transaction_id": name,
        "effective_at": "2024-05-01T14:00:00Z",
        "kind": "deposit",
        "entries": [
            {"account": code, "side": side, "amount": amount, "currency": currency}
            for code, side in legs
        ],
        **more,
    }


def counts(report):
    return tuple(report[name] for name in COUNTS)


@pytest.fixture
def publish(cli, jsonl, tmp_path):
    """Rows (or text) published from a file; the finished command."""

    def run(rows, *words, code=0, age=0.0):
        file = tmp_path / "lines.jsonl"
        if not file.exists() or rows is not None:
            file.write_text(rows if isinstance(rows, str) else jsonl(rows))
            made = time.time() - age
            os.utime(file, (made, made))
        return cli("publish", file, "--json", *words, code=code)

    return run


def test_published_twice_is_published_once(publish, new_id, cli):
    account = f"liabilities:{new_id('twice')}"
    rows = [line(new_id(), account) for _ in range(50)]
    first = publish(rows, "--wait", "--timeout", PATIENCE).json
    assert counts(first) == (50, 50, 50, 0, 0, 50)
    again = publish(None, "--wait", "--timeout", PATIENCE).json
    assert counts(again) == (50, 50, 0, 0, 50, 0)
    [row] = cli("balances", account, "--json").rows
    assert row == {
        "account": account, "currency": "CAD", "posted": "617.00", "pending": "0.00",
        "debits": "0.00", "credits": "617.00", "entries": 50, "status": "reconciled",
        "complete": True, "as_of": None, "missing": [],
    }  # fmt: skip
    [stored] = cli("balances", account, "--source", "ledger", "--json").rows
    assert stored == row | {"status": "posted"}


def test_a_bad_line_is_sent_to_nobody_and_told_with_its_number(publish, new_id, jsonl):
    account = f"liabilities:{new_id('bad')}"
    good = jsonl([line(new_id(), account)])
    unbalanced = line(new_id(), account)
    unbalanced["entries"][0]["amount"] = "12.35"
    text = good + "\n" + "nope\n" + jsonl([unbalanced]) + jsonl([line(new_id(), account)])
    found = publish(text, "--wait", "--timeout", PATIENCE, code=1)
    assert counts(found.json) == (4, 2, 2, 2, 0, 2)
    assert "line 3: UNREADABLE" in found.err
    assert "line 4: NOT_BALANCED" in found.err
    strict = publish(text, "--strict", code=1)
    assert counts(strict.json) == (4, 0, None, 2, None, None)
    assert "line 3: UNREADABLE" in strict.err


def test_without_checking_the_service_refuses(publish, new_id, cli):
    name = new_id()
    rows = [line(new_id(), "liabilities:served"), line(name, "cash")]
    words = ("--no-check", "--wait", "--timeout", PATIENCE)
    found = publish(rows, *words, code=1)
    assert counts(found.json) == (2, 2, 1, 1, 0, 1)
    assert (found.json["not_sent"], found.json["refused_by_ledger"]) == (0, 1)
    assert f"line 2: {name}: ACCOUNT_MALFORMED" in found.err
    assert publish(None, *words, "--allow-rejects").json["rejected"] == 1
    rows = cli("rejects", "list", "--code", "ACCOUNT_MALFORMED", "--json").rows
    row, again = [each for each in rows if each["transaction_id"] == name]
    assert again["offset"] > row["offset"]
    assert (row["code"], row["field"]) == ("ACCOUNT_MALFORMED", "entries[1].account")
    assert row["key"] == name
    assert row["value"] is None
    assert row["value_base64"]
    assert {"reason", "shard", "offset"} <= row.keys()


def test_each_line_has_one_outcome(publish, new_id, jsonl, tmp_path):
    account, old, bad = f"liabilities:{new_id('outcomes')}", new_id(), new_id()
    publish([line(old, account)], "--wait", "--timeout", PATIENCE)
    rows = [line(new_id(), account), line(old, account), line(bad, account, closed=1),
            line(old, account, "9.99")]  # fmt: skip
    file = tmp_path / "outcomes.jsonl"
    words = ("--wait", "--timeout", PATIENCE, "--outcomes", file)
    found = publish(rows, *words, code=1)
    assert counts(found.json) == (4, 3, 1, 2, 1, 1)
    told = {row["line"]: row for row in map(json.loads, file.read_text().splitlines())}
    assert [told[number]["outcome"] for number in (1, 2, 3, 4)] == [
        "accepted", "duplicate", "refused", "refused"
    ]  # fmt: skip
    assert (told[3]["id"], told[3]["code"], told[3]["shard"]) == (bad, "FIELD_MALFORMED", None)
    assert (told[4]["id"], told[4]["code"]) == (old, "ID_REUSED")
    assert told[4]["offset"] > told[2]["offset"]
    assert f"line 4: {old}: ID_REUSED" in found.err


def test_check_uses_the_ledgers_reference_data_and_sends_nothing(cli, jsonl, new_id):
    code, account = new_id("A").upper(), f"liabilities:{new_id('checked')}"
    cli("assets", "import", "-", stdin=jsonl([{"code": code, "scale": 6}]))
    closed = f"liabilities:{new_id('closed')}"
    row = {"account": closed, "closed_at": "2024-01-01T00:00:00Z"}
    cli("accounts", "import", "-", stdin=jsonl([row]))
    rows = [line(new_id(), account, "0.000001", code), line(new_id(), closed)]
    found = cli("check", "-", "--json", stdin=jsonl(rows), code=1)
    assert (found.json["good"], found.json["refused"], found.json["unknown"]) == (1, 1, 0)
    assert found.json["ledger_asked"]
    assert "line 2: ACCOUNT_CLOSED" in found.err
    offline = cli("check", "-", "--json", "--offline", stdin=jsonl(rows), code=4)
    assert (offline.json["good"], offline.json["unknown"]) == (1, 1)
    assert cli("balances", account, "--json").rows == []


def test_csv_is_published_as_json_lines_are(cli, new_id, tmp_path):
    name, account = new_id(), f"liabilities:{new_id('csv')}"
    mapping, file = tmp_path / "mapping.toml", tmp_path / "day.csv"
    columns = ("transaction_id", "effective_at", "account", "side", "amount")
    mapping.write_text(
        'rows = "entries"\ndecimal = ","\nthousands = "."\ndelimiter = ";"\n[columns]\n'
        + "".join(f'{each} = "{each}"\n' for each in columns)
        + '[constants]\nkind = "import"\ncurrency = "CAD"\n'
    )
    at = "2024-05-01T14:00:00Z"
    legs = ((CASH, "debit", "1.234,50"), (account, "credit", "1.234,5"))
    rows = [columns, *((name, at, *leg) for leg in legs), ("x", at, account, "debit", "1,0,0")]
    file.write_text("".join(";".join(row) + "\n" for row in rows))
    words = ("publish", file, "--csv", mapping, "--wait", "--timeout", PATIENCE, "--json")
    found = cli(*words, code=1)
    assert counts(found.json) == (2, 1, 1, 1, 0, 1)
    assert "line 4: AMOUNT_MALFORMED: column 'amount': entries[0].amount is '1,0,0'" in found.err
    assert [row["posted"] for row in cli("balances", account, "--json").rows] == ["1234.50"]
    again = cli(*words, "--allow-rejects")
    assert counts(again.json) == (2, 1, 0, 1, 1, 0)


def test_refusals_are_listed_with_the_transaction_and_whether_it_was_accepted_since(
    publish, cli, new_id, jsonl
):
    account, mended, left = f"liabilities:{new_id('rejects')}", new_id(), new_id()
    metadata = {"producer": new_id("team")}
    wrong = [line(name, account, "1.234", metadata=metadata) for name in (mended, left)]
    words = ("--wait", "--timeout", PATIENCE)
    publish(wrong, "--no-check", *words, code=1)
    publish([line(mended, account, "1.23")], *words)
    listed = ("rejects", "list", "--producer", metadata["producer"])
    # In the order of the log's times, which may be the same in two shards.
    found = {row["transaction_id"]: row for row in cli(*listed, "--json").rows}
    assert found.keys() == {mended, left}
    first, second = found[mended], found[left]
    assert (first["accepted_since"], second["accepted_since"]) == (True, False)
    assert first["accepted"]["offset"] > first["offset"]
    assert second["accepted"] is None
    assert second["transaction"]["entries"] == wrong[1]["entries"]
    assert second["transaction"]["metadata"] == metadata
    assert second["value_base64"], "as before"
    # What is listed can be corrected and published.
    corrected = json.dumps(second["transaction"]).replace("1.234", "1.23")
    sent = cli("publish", "-", "--json", *words, stdin=corrected)
    assert sent.json["accepted"] == 1
    by_log = cli(*listed, "--json", FAUST_LEDGER_DATABASE_URL=NO_DATABASE).rows
    assert [row["accepted_since"] for row in by_log] == [True, True], "the decision log has it"
    table = cli(*listed, "--account", "liabilities", "--id", left).out
    assert left in table
    assert mended not in table
    assert "yes" in table
    header, row = cli(*listed, "--id", left, "--format", "csv").out.splitlines()
    assert header.startswith("recorded_at,shard,offset,transaction_id,key,code,field,since,reason")
    assert f",{left},{left},TOO_MANY_DECIMALS,entries[0].amount,yes," in row
    nothing = cli(*listed, "--code", "TOO_LATE")
    assert nothing.err == "No refusal matches what was asked for.\n"
    assert cli(*listed, "--account", "liabilities:nobody", "--json").rows == []


def test_an_old_file_is_refused_with_advice(publish, new_id):
    account = f"liabilities:{new_id('old')}"
    found = publish([line(new_id(), account)], age=40 * 86_400, code=1)
    assert counts(found.json) == (0, 0, None, 0, None, None)
    assert "--created-at now" in found.err
    assert publish(None, "--created-at", "now").json["published"] == 1
    own = line(new_id(), account, created_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
    assert publish([own], age=40 * 86_400).json["published"] == 1


def test_standard_input(cli, jsonl, new_id):
    rows = [line(new_id(), "liabilities:stdin"), {"kind": "bad"}]
    found = cli("publish", "-", "--json", stdin=jsonl(rows), code=1)
    assert counts(found.json) == (2, 1, None, 1, None, None)
    strict = cli("publish", "-", "--json", "--strict", stdin=jsonl(rows), code=1)
    assert counts(strict.json) == (2, 0, None, 1, None, None)
    nothing = cli("publish", "-", "--json", "--wait", stdin="\n \n")
    assert counts(nothing.json) == (0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize("program", [interpreted, faust_ledger])
def test_interrupted_while_standard_input_is_silent(stack, jsonl, new_id, program):
    words = program("publish", "-")
    place = {"FAUST_LEDGER_DATA_DIR": str(stack.data_dir)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, stdin=pipe, stderr=pipe, stdout=pipe, env=os.environ | place
    ) as child:
        child.stdin.write(jsonl([line(new_id(), "liabilities:pipe"), {"kind": "bad"}]).encode())
        child.stdin.flush()
        assert child.stderr.readline().startswith(b"line 2: "), "it does not wait for more"
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=PATIENCE) == 130
        assert b"Traceback" not in child.stderr.read()


@pytest.mark.parametrize("program", [interpreted, faust_ledger])
def test_interrupted_while_standard_input_is_copied_first(stack, program):
    words = program("publish", "-", "--strict")
    place = {"FAUST_LEDGER_DATA_DIR": str(stack.data_dir)}
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stderr=pipe, env=os.environ | place) as child:
        time.sleep(2)
        child.send_signal(signal.SIGINT)
        assert child.wait(timeout=PATIENCE) == 130


def test_as_of_is_half_open(publish, cli, new_id):
    account = f"liabilities:{new_id('asof')}"
    days = ("2024-05-01T23:59:59.999999Z", "2024-05-02T00:00:00Z", "2024-05-02T02:00:00+02:00")
    rows = [line(new_id(), account, effective_at=day) for day in days]
    publish(rows, "--wait", "--timeout", PATIENCE)

    def posted(*words):
        return [row["posted"] for row in cli("balances", account, "--json", *words).rows]

    assert posted("--as-of", "2024-05-02") == ["12.34"]
    assert posted("--as-of", "2024-05-02T00:00:00.000001Z") == ["37.02"]
    assert posted("--as-of", "2024-05-01") == []
    assert posted("--as-of", "2024-05-02", "--by", "recorded") == []
    later = cli("balances", account, "--as-of", "2100-01-01", "--by", "recorded", "--json", code=4)
    assert [row["posted"] for row in later.rows] == ["37.02"]
    assert "had not passed" in later.err


def test_prefix_is_whole_segments_and_rows_are_sorted(publish, cli, new_id):
    top = new_id("p")
    accounts = [f"liabilities:{top}:{each}" for each in ("b", "a", "ab")]
    publish([line(new_id(), account) for account in accounts], "--wait", "--timeout", PATIENCE)
    for source in ("stream", "ledger"):

        def found(prefix, source=source):
            rows = cli("balances", "--prefix", prefix, "--source", source, "--json").rows
            return [row["account"] for row in rows]

        assert found(f"liabilities:{top}") == sorted(accounts)
        assert found(f"liabilities:{top}:a") == [f"liabilities:{top}:a"]


def test_trial_balance(publish, cli, new_id):
    publish([line(new_id(), "liabilities:trial")], "--wait", "--timeout", PATIENCE)
    found = cli("trial-balance", "--json").json
    assert found["currencies"]["CAD"]["debits"] == found["currencies"]["CAD"]["credits"]
    assert "liabilities:trial" in [row["account"] for row in found["accounts"]]
    empty = cli("trial-balance", "--as-of", "1990-01-01", "--json").json
    assert (empty["currencies"], empty["accounts"], empty["complete"]) == ({}, [], True)
    assert (empty["as_of"], empty["by"]) == ("1990-01-01T00:00:00Z", "effective")


def test_an_imported_asset_is_known_at_once(publish, cli, jsonl, new_id):
    code = new_id("A").upper()
    rows = [line(new_id(), "liabilities:assets", "0.000001", code)]
    assert publish(rows, code=1).json["rejected"] == 1
    found = cli("assets", "import", "-", "--json", stdin=jsonl([{"code": code, "scale": 6}]))
    assert found.json["imported"] == 1
    assert publish(rows, "--no-check", "--wait", "--timeout", PATIENCE).json["accepted"] == 1
    bad = jsonl([{"code": code, "scale": 7}, {"code": new_id("B"), "scale": 1}])
    found = cli("assets", "import", "-", "--json", stdin=bad, code=1)
    assert found.json["imported"] == 0
    assert [each["line"] for each in found.json["refused"]] == [1]
    assert found.err.startswith("line 1: ")


def test_the_largest_amount_of_an_entry_is_said_when_an_asset_is_registered(cli, jsonl, new_id):
    few, many, most = (new_id(each).upper() for each in ("F", "M", "T"))
    rows = [{"code": few, "scale": 2}, {"code": many, "scale": 9}, {"code": most, "scale": 18}]
    found = cli("assets", "import", "-", stdin=jsonl(rows))
    assert found.out == f"3 imported\n{many}: one entry takes 9223372036.854775807 at most\n"
    assert f"{most} has 18 decimals, so one entry takes 9.223372036854775807 at most" in found.err
    told = {each["code"]: each for each in cli(
        "assets", "import", "-", "--json", stdin=jsonl(rows)
    ).json["assets"]}  # fmt: skip
    assert told[few]["largest_amount"] == "92233720368547758.07"
    assert "12 decimals or fewer" in told[most]["advice"]
    assert told[many]["advice"] is None


def test_of_two_imports_at_once_the_first_counts_and_the_other_is_told(stack, cli, jsonl, new_id):
    code, other = new_id("A").upper(), new_id("B").upper()

    async def at_once():
        async with Importer(stack.settings) as importer:
            lines = [Line(1, Asset(other, 4)), Line(2, Asset(code, 6))]
            assert importer.check(lines) == ([], [])
            # It has looked already, and has not written yet.
            first = await asyncio.to_thread(
                cli, "assets", "import", "-", "--json", stdin=jsonl([{"code": code, "scale": 2}])
            )
            assert first.json["imported"] == 1
            return await importer.add(lines, 60)

    found = asyncio.run(at_once())
    assert (found.count, found.notes, found.behind) == (1, [], [])
    [(number, sentence)] = found.lost
    assert number == 2
    assert f"{code} has 2 decimals, and not the 6 of this line" in sentence


def test_an_account_with_a_balance_is_closed_only_by_saying_so(publish, cli, jsonl, new_id):
    account = f"liabilities:{new_id('closing')}"
    publish([line(new_id(), account)], "--wait", "--timeout", PATIENCE)
    closed = jsonl([{"account": account, "closed_at": "2024-06-01T00:00:00Z"}])
    found = cli("accounts", "import", "-", "--json", stdin=closed, code=1)
    assert found.json["imported"] == 0
    assert f"{account} would be closed with a balance: 12.34 CAD posted" in found.err
    words = ("accounts", "import", "-", "--json")
    assert cli(*words, "--close-with-balance", stdin=closed).json["imported"] == 1
    # The same again closes nothing.
    assert cli(*words, stdin=closed).json["imported"] == 1
    silent = cli(*words, stdin=jsonl([{"account": account}]), code=1)
    assert "would open it again" in silent.err
    reopened = jsonl([{"account": account, "closed_at": None}])
    assert cli(*words, stdin=reopened).json["imported"] == 1
    assert publish([line(new_id(), account)], "--wait", "--timeout", PATIENCE).json["accepted"] == 1


def test_a_closed_account_is_closed_at_once(publish, cli, jsonl, new_id):
    account = f"liabilities:{new_id('closed')}"
    row = {"account": account, "currency": "CAD", "closed_at": "2024-01-01T00:00:00Z"}
    assert cli("accounts", "import", "-", "--json", stdin=jsonl([row])).json["imported"] == 1
    words = ("--no-check", "--wait", "--timeout", PATIENCE)
    found = publish([line(new_id(), account)], *words, code=1)
    assert counts(found.json) == (1, 1, 0, 1, 0, 0)
    assert "ACCOUNT_CLOSED" in found.err
    assert "ACCOUNT_CLOSED" in publish([line(new_id(), account)], code=1).err


def test_time_up(publish, new_id):
    rows = [line(new_id(), "liabilities:slow")]
    found = publish(rows, "--wait", "--timeout", 0, code=2).json
    assert (found["published"], found["reconciled"]) == (1, 0)


def test_verify(publish, cli, new_id):
    publish([line(new_id(), "liabilities:verified")], "--wait", "--timeout", PATIENCE)
    found = cli("verify", "--json").json
    names = ["transactions", "runs", "shards", "currencies", "findings", "voided"]
    assert list(found) == names
    assert found["findings"] == []
    assert found["transactions"] > 0


def test_where_nobody_listens_it_is_a_fault_with_advice(cli):
    found = cli("balances", code=3, FAUST_LEDGER_BOOTSTRAP_SERVERS="127.0.0.1:1")
    assert "bootstrap_servers" in found.err
    assert "Traceback" not in found.err


def test_with_closed_streams_all_is_done(stack, jsonl, new_id, tmp_path, cli):
    """As from cron or a supervisor that gives a process none: a socket must not get their numbers."""
    place = os.environ | {"FAUST_LEDGER_DATA_DIR": str(stack.data_dir)}
    program = [sys.executable, "-m", "ledger.cli.main"]
    account = f"liabilities:{new_id('closed')}"
    for closed in ("<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
        file = tmp_path / "lines.jsonl"
        file.write_text(jsonl([line(new_id(), account)]))
        for words in (["publish", str(file), "--wait", "--timeout", str(PATIENCE)], ["reconcile"]):
            found = subprocess.run(
                ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *program, *words], env=place,
                capture_output=True, check=False, timeout=PATIENCE,
            )  # fmt: skip
            assert found.returncode == 0, (closed, found)
            assert (found.stdout == b"") == (" >&-" in f" {closed}")
    [row] = cli("balances", account, "--json").rows
    assert (row["entries"], row["posted"]) == (7, "86.38")


def test_ids_of_any_kind_are_printed_in_any_encoding(publish, new_id, cli):
    name = f"{new_id()}-Žluťoučký-\x1b[2J-[red]"
    publish([line(name, "cash")], "--no-check", "--wait", "--timeout", PATIENCE, code=1)
    words = ("rejects", "list")
    told = cli(*words, PYTHONIOENCODING="ascii", FORCE_COLOR="1", COLUMNS="40")
    spelt = name.replace("\x1b", r"\x1b").encode("ascii", "backslashreplace").decode()
    [row] = [each for each in told.out.splitlines() if spelt in each]
    assert row.startswith("20"), "the time first: a row is a line"
    assert "Traceback" not in told.err
    rows = cli(*words, "--json", PYTHONIOENCODING="ascii").rows
    assert name in [each["transaction_id"] for each in rows]
    assert name in [each["transaction_id"] for each in cli(*words, "--json").rows]


def test_amounts_are_whole_whatever_the_environment_says(publish, new_id, cli):
    account = f"liabilities:{new_id('wide')}"
    publish([line(new_id(), account, "11111111.10")], "--wait", "--timeout", PATIENCE)
    for extra in (
        {},
        {"FORCE_COLOR": "1"},
        {"COLUMNS": "20"},
        {"FORCE_COLOR": "1", "COLUMNS": "40"},
    ):
        for words in (["balances", account], ["trial-balance"]):
            rows = cli(*words, **extra).out.splitlines()
            [row] = [each for each in rows if account in each]
            assert row.split()[:3] == [account, "CAD", "11111111.10"]


def test_a_reader_that_goes_is_no_finding(stack, cli):
    """`trial-balance --json | head -c 1`."""
    place = os.environ | {"FAUST_LEDGER_DATA_DIR": str(stack.data_dir)}
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write) as gone:
        found = subprocess.run(
            [sys.executable, "-m", "ledger.cli.main", "trial-balance", "--json"], env=place,
            stdout=gone, stderr=subprocess.PIPE, check=False, timeout=PATIENCE,
        )  # fmt: skip
    assert (found.returncode, found.stderr) == (141, b"")


def test_a_transaction_is_shown_from_the_log_to_the_books_and_reversed_once(publish, cli, new_id):
    account, name = f"liabilities:{new_id('shown')}", new_id("shown")
    rows = [line(name, account, description="Rent", ordering_key=account)]
    publish(rows, "--wait", "--timeout", PATIENCE)
    publish(None, "--wait", "--timeout", PATIENCE)
    shown = cli("transaction", "show", name, "--json").json
    [found] = shown["transactions"]
    assert (shown["state"], shown["complete"], shown["refusals"]) == ("compared", True, [])
    assert (found["description"], found["ordering_key"]) == ("Rent", account)
    assert found["entries"] == rows[0]["entries"]
    assert found["decided"]["at"] <= found["posted"]["at"]
    assert len(shown["repetitions"]) == 1
    printed = cli("reverse", name).json
    assert printed["entries"] == [
        {**each, "side": "credit" if each["side"] == "debit" else "debit"}
        for each in rows[0]["entries"]
    ]  # fmt: skip
    words = ("reverse", name, "--publish", "--timeout", PATIENCE, "--json")
    first, again = cli(*words).json, cli(*words).json
    assert (first["accepted"], first["reconciled"], again["duplicates"]) == (1, 1, 1)
    refused = cli(*words, "--reason", "another", code=1)
    assert "was reversed already" in refused.err and "another reason" in refused.err
    [found] = cli("transaction", "show", name, "--json").json["transactions"]
    assert [each["transaction_id"] for each in found["reversed_by"]] == [printed["transaction_id"]]
    [row] = cli("balances", account, "--json").rows
    assert (row["posted"], row["debits"], row["credits"]) == ("0.00", "12.34", "12.34")
    lines = cli("register", account, "--json").rows
    assert [(each["debit"], each["credit"], each["balance"]) for each in lines] == [
        (None, "12.34", "12.34"), ("12.34", None, "0.00"),
    ]  # fmt: skip
    assert {each["other_side"] for each in lines} == {CASH}
    [last] = cli("register", CASH, "--limit", 1, "--json").rows[-1:]
    [cash] = [
        row
        for row in cli("balances", CASH, "--source", "ledger", "--json").rows
        if row["currency"] == last["currency"]
    ]
    assert (last["balance"], last["complete"]) == (cash["posted"], True)
    cli("reverse", printed["transaction_id"], "--publish", "--timeout", PATIENCE)
    told = cli(*words, code=1)
    assert f"reverse reversal-of/{printed['transaction_id']}" in told.err, "it counts again"


@pytest.mark.parametrize("words", [("transaction", "show"), ("reverse",)])
def test_an_id_that_is_no_text_is_wrong_usage(cli, words):
    assert "is not UTF-8" in cli(*words, os.fsdecode(b"\xff"), code=2).err


def test_what_was_refused_and_what_never_was_is_told(publish, cli, new_id):
    name = new_id("refused")
    publish([line(name, "cash")], "--no-check", "--wait", "--timeout", PATIENCE, code=1)
    shown = cli("transaction", "show", name, "--json").json
    assert (shown["state"], shown["transactions"], shown["waiting"]) == ("refused", [], [])
    [refusal] = shown["refusals"]
    assert (refusal["code"], refusal["field"]) == ("ACCOUNT_MALFORMED", "entries[1].account")
    assert "No accepted transaction" in cli("reverse", name, code=1).err
    nobody = cli("transaction", "show", new_id("nobody"), "--json", code=1).json
    assert nobody["state"] == "not found"
    assert {each["topic"].rpartition(".")[2] for each in nobody["looked_at"]} == {
        "decisions", "rejects", "transactions",
    }  # fmt: skip
    told = cli("transaction", "show", new_id("nobody"), code=1)
    assert "What to do" in told.out


def test_accounts_and_assets_are_listed(publish, cli, jsonl, new_id):
    top, code = f"liabilities:{new_id('listed')}", new_id("L").upper()
    declared = {"account": f"{top}:a", "name": "A", "currency": "CAD"}
    assert cli("accounts", "import", "-", stdin=jsonl([declared])).out
    asset = {"code": code, "scale": 3, "name": "A share"}
    assert cli("assets", "import", "-", stdin=jsonl([asset])).out
    publish([line(new_id(), f"{top}:b")], "--wait", "--timeout", PATIENCE)
    rows = cli("accounts", "list", "--under", top, "--format", "jsonl").rows
    assert [(row["account"], row["declared"], row["currency"]) for row in rows] == [
        (f"{top}:a", True, "CAD"), (f"{top}:b", False, None),
    ]  # fmt: skip
    found = cli("accounts", "show", f"{top}:b", "--json").json
    assert [(each["currency"], each["posted"]) for each in found["balances"]] == [("CAD", "12.34")]
    assert "neither declared nor in use" in cli("accounts", "show", f"{top}:c", code=1).err
    assets = {row["code"]: row for row in cli("assets", "list", "--json").rows}
    assert assets[code] == {"code": code, "scale": 3, "name": "A share", "source": "imported"}
    assert (assets["CAD"]["scale"], assets["CAD"]["source"]) == (2, "ISO 4217")
    case = jsonl([{"code": code.lower(), "scale": 3}])
    assert "only in upper and lower case" in cli("assets", "import", "-", stdin=case, code=1).err
