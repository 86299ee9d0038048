"""What `faust-ledger statements` prints, and what it refuses as wrong usage."""

import json

import pytest
import typer

from ledger.cli.statement_import import Imported, Result
from ledger.cli.statement_mappings import opened
from ledger.cli.statement_output import print_head, print_import
from ledger.cli.statement_rows import TieAnswer, head_fields, line_fields
from ledger.cli.statements import _day, _encoding, _zone
from ledger.domain.reference import Reference
from ledger.statements.book import Book
from ledger.statements.changes import changes
from ledger.statements.formats import Found
from ledger.statements.importing import Origin, Wanted, plan
from ledger.statements.model import Fault, Unproven
from ledger.statements.proof import ties
from tests.statement_files import CLOSE, IBAN, Entry, camt, camt_statement, read

ORIGIN = Origin("camt.053", "s.xml", "", "command:ann")


def planned(entries):
    [statement] = read(camt(camt_statement(entries)))
    wanted = Wanted("assets:bank:main")
    [made] = plan([Found(statement, 2)], Book(), Reference(), wanted, ORIGIN).statements
    return made


def result(held=None, why=""):
    before, after = planned([Entry(5, "a")]), planned([Entry(7, "a", "\u202ered"), Entry(1, "b")])
    tie = TieAnswer(ties(after.statement, {} if held is None else {"EUR": (held, 2)}), why)
    return Result(after, changes(before.statement, after.statement), tie)


def printed(capsys, found):
    print_import(found)
    return capsys.readouterr()


def test_an_import_is_a_line_and_what_changed(capsys):
    out, err = printed(capsys, Imported([result()]))
    assert err == ""
    assert out.splitlines() == [
        f"{IBAN} EUR 2026/1: imported, 2 lines, statement of assets:bank:main",
        "  closing: 0.08 on 2026-11-30, and was 0.05 on 2026-11-30",
        "  changed: line 1: amount is 0.07, and was 0.05, text is \\u202ered, and was ",
        "  added: line 2: 2026-11-30, 0.01",
        "EUR: the statement has 0.08, the ledger 0.00: 0.08 differs.",
    ]


def test_what_the_ledger_has_is_said(capsys):
    assert "The ledger has the same." in printed(capsys, Imported([result(held=8)])).out
    assert "is not known: no database" in printed(capsys, Imported([result(why="no database")])).out


def test_a_refusal_has_its_code_line_and_sentence(capsys):
    found = Imported(refused=Unproven(Fault.SUM_DIFFERS, "It does not add up.", 9))
    out, err = printed(capsys, found)
    assert (out, err) == ("", "line 9: SUM_DIFFERS: It does not add up.\nNothing was imported.\n")
    assert found.fields()["refused"] == {
        "code": "SUM_DIFFERS", "line": 9, "reason": "It does not add up.",
    }  # fmt: skip


def test_json_has_amounts_as_text_and_no_float():
    def no_float(text):
        raise AssertionError(text)

    for held, why, tied in ((8, "", True), (7, "", False), (8, "away", None)):
        text = json.dumps(Imported([result(held, why)]).fields())
        [row] = json.loads(text, parse_float=no_float)["statements"]
        assert row["tied"] is tied
        assert (row["closing"], row["currency"], row["verdict"]) == ("0.08", "EUR", "imported")
        assert row["unknown"] == (why or None)


def test_a_statement_is_known_where_all_its_ties_are():
    assert Imported([result(7)]).is_tie_known
    assert not Imported([result(7), result(7, "away")]).is_tie_known


def test_lines_for_json(capsys):
    made = planned([Entry(-5, "a", "Rent")])
    [row] = line_fields(made.statement)
    assert (row["amount"], row["booked"], row["references"]) == ("-0.05", "2026-11-30", ["m-1"])
    assert head_fields(made.head)["imported_at"] is None
    print_head(made.head)
    assert "closing -0.05 on 2026-11-30, EUR" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["utf-16", "nowhere", "base64", "utf-32", "a\0b"])
def test_an_encoding_that_mt940_cannot_have_is_wrong_usage(name):
    with pytest.raises(typer.BadParameter, match="is no encoding"):
        _encoding(name)


def test_options_are_checked(tmp_path):
    assert [_encoding(each) for each in ("utf-8", "latin-1")] == ["utf-8", "latin-1"]
    assert (_day(None), _day("2026-11-30"), _zone(None)) == (None, CLOSE, None)
    for call in (lambda: _day("30.11.2026"), lambda: _zone("Mars/Base")):
        with pytest.raises(typer.BadParameter):
            call()
    for name in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(typer.BadParameter), opened(str(name)):
            pass
