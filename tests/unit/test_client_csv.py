"""CSV with a mapping: the transactions that rows stand for, and where what is wrong stands."""

import asyncio
import io
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.client.bulk import Feed, Splitter
from ledger.client.checking import OfflineChecker
from ledger.client.csv_lines import csv_lines_of, ids_apart
from ledger.client.csv_mapping import CsvMapping, MappingError, read_mapping
from ledger.client.csv_rows import RowReader
from ledger.client.lines import MAX_LINE
from ledger.domain.policy import Policy
from ledger.domain.refusal import Reason, Refused
from tests.builders import NOW

NAMES = ("transaction_id", "kind", "effective_at", "account", "side", "amount", "currency")
ENTRIES = {"rows": "entries", "columns": {name: name for name in NAMES}}
HEADER = ",".join(NAMES) + "\n"
PAIRS = {
    "rows": "transactions",
    "columns": {
        "transaction_id": "Ref", "effective_at": "Day", "amount": "Amount",
        "debit_account": "To", "credit_account": "From",
    },
    "constants": {"kind": "move", "currency": "CAD"},
    "times": "%d/%m/%Y",
    "timezone": "America/Toronto",
}  # fmt: skip


def mapping(base=ENTRIES, **more):
    return CsvMapping.model_validate({**base, **more})


def leg(name, side, amount="1.00", day="2024-05-01T00:00:00Z"):
    account = "assets:cash" if side == "debit" else "liabilities:d:1"
    return f"{name},deposit,{day},{account},{side},{amount},CAD\n"


def both(name, amount="1.00"):
    return leg(name, "debit", amount) + leg(name, "credit", amount)


def read(text, by=None, encoding="utf-8"):
    by = by or mapping()

    async def scenario():
        content = io.BytesIO(text.encode(encoding) if isinstance(text, str) else text)
        apart = await ids_apart(content, by) if by.rows == "entries" else ()
        content.seek(0)
        return [each async for found in csv_lines_of(content, by, apart=apart) for each in found]

    return asyncio.run(scenario())


def outcomes(text, by=None):
    """By line: the id, and what is refused and why."""
    found = []
    made = Feed(
        OfflineChecker(Policy(), clock=lambda: NOW), created_at=NOW, on_outcome=found.append
    )
    asyncio.run(made.check(read(text, by)))
    return {
        each.line: (
            each.transaction_id,
            each.refused and (each.refused.reason.value, each.refused.sentence),
        )
        for each in found
    }


def test_rows_of_one_id_are_one_transaction():
    found = read(HEADER + both("a") + "\n\n" + both("b", "2.50"))
    assert [number for number, _ in found] == [2, 6]
    assert found[1][1].fields == {
        "transaction_id": "b", "kind": "deposit", "effective_at": "2024-05-01T00:00:00Z",
        "entries": [
            {"account": "assets:cash", "side": "debit", "amount": "2.50", "currency": "CAD"},
            {"account": "liabilities:d:1", "side": "credit", "amount": "2.50", "currency": "CAD"},
        ],
        "metadata": {},
    }  # fmt: skip
    assert outcomes(HEADER + both("a")) == {2: ("a", None)}


def test_a_row_may_be_a_transaction_of_two_entries():
    by = mapping(PAIRS, metadata={"branch": "Office"})
    text = "Ref,Day,To,From,Amount,Office,Unused\nr-1,01/07/2024,assets:a,equity:b,5,Genève,x\n"
    [(number, row)] = read(text, by)
    assert (number, row.transaction_id) == (2, "r-1")
    assert row.fields == {
        "transaction_id": "r-1", "kind": "move", "effective_at": "2024-07-01T00:00:00-04:00",
        "metadata": {"branch": "Genève"},
        "entries": [
            {"account": "assets:a", "side": "debit", "amount": "5", "currency": "CAD"},
            {"account": "equity:b", "side": "credit", "amount": "5", "currency": "CAD"},
        ],
    }  # fmt: skip
    assert outcomes(text, by) == {2: ("r-1", None)}


@pytest.mark.parametrize(
    ("text", "more", "amount"),
    [
        ("1234.50", {}, "1234.50"),
        ("1,234.50", {"thousands": ","}, "1234.50"),
        ("1.234.567,5", {"thousands": ".", "decimal": ","}, "1234567.5"),
        ("12,34", {"decimal": ","}, "12.34"),
        ("1\u202f234,50", {"thousands": "\u202f", "decimal": ","}, "1234.50"),
        ("0.1", {}, "0.1"),
        ("-1", {}, "-1"),
    ],
)
def test_amounts_stay_text(text, more, amount):
    assert mapping(**more).amount(text) == amount


@pytest.mark.parametrize(
    ("text", "more", "says"),
    [
        ("12,34", {}, "does not say what ',' is"),
        ("1,234.50", {}, "give decimal = ',' or thousands = ','"),
        ("12.34", {"decimal": ","}, "does not say what '.' is"),
        ("12,34", {"thousands": ","}, "not in groups of three"),
        ("1,2345", {"thousands": ","}, "not in groups of three"),
        ("12.34", {"thousands": ".", "decimal": ","}, "not in groups of three"),
        ("1,2,3", {"decimal": ","}, "does not say what ',' is"),
    ],
)
def test_an_amount_that_could_be_two_is_refused(text, more, says):
    with pytest.raises(ValueError, match=says):
        mapping(**more).amount(text)


def test_times_are_those_of_the_zone_and_never_two():
    by = mapping(PAIRS, times="%Y-%m-%d %H:%M")
    assert by.time("2024-01-15 12:00") == "2024-01-15T12:00:00-05:00"
    with pytest.raises(ValueError, match="clocks of America/Toronto are changed"):
        by.time("2024-11-03 01:30")
    with pytest.raises(ValueError, match="clocks of America/Toronto are changed"):
        by.time("2024-03-10 02:30")
    with pytest.raises(ValueError, match="not of the form"):
        by.time("15.01.2024 12:00")


def test_a_refusal_has_the_line_and_the_column():
    by = mapping(columns={**ENTRIES["columns"], "amount": "Value"})
    header = HEADER.replace("amount", "Value")
    text = header + leg("a", "debit") + leg("a", "credit", '"1,0"') + both("b", "x") + both("c")
    found = outcomes(text, by)
    name, (code, sentence) = found[2]
    assert (name, code) == ("a", "AMOUNT_MALFORMED")
    assert sentence == (
        "line 3, column 'Value': entries[1].amount is '1,0', and the mapping does not say what ',' "
        "is in it: give decimal = ',' or thousands = ','."
    )
    name, (code, sentence) = found[4]
    assert (name, code) == ("b", "AMOUNT_MALFORMED")
    assert sentence.startswith("column 'Value': amount 'x': ")
    assert found[6] == ("c", None)


def test_a_row_that_cannot_be_read_is_not_left_out_of_its_transaction():
    """What is left of it may balance: neither neighbour of such a row is published."""
    text = HEADER + both("a") + "b,deposit\n" + both("b") + both("c")
    found = outcomes(text)
    lost = "line 4 cannot be read, and may belong to this transaction."
    assert found == {
        2: ("a", ("UNREADABLE", lost)),
        4: (None, ("UNREADABLE", "The row has 2 cells, and the file 7 columns.")),
        5: ("b", ("UNREADABLE", lost)),
        7: ("c", None),
    }
    for bad in (leg("", "debit"), '"x"y,deposit\n', "\x00,,,,,,\n"):
        assert [each[1] is None for each in outcomes(HEADER + both("a") + bad + both("b")).values()
                ] in ([False, False, False], [True, False, True])  # fmt: skip


def test_rows_of_one_transaction_that_stand_apart_are_refused():
    """Each part may balance, and the first would be published without the second."""
    found = outcomes(HEADER + both("a") + both("b") + both("a"))
    assert [each and each[0] for _, each in found.values()] == [
        "FIELD_MALFORMED", None, "FIELD_MALFORMED"
    ]  # fmt: skip
    assert "elsewhere in the file" in found[2][1][1]
    # Also where one of the parts is refused for something else.
    found = outcomes(HEADER + both("a") + "x\n" + both("b") + both("c") + both("a"))
    assert found[9][1][0] == "FIELD_MALFORMED"


def test_what_is_said_of_a_transaction_is_the_same_in_each_row():
    text = HEADER + leg("a", "debit") + leg("a", "credit", day="2024-05-02T00:00:00Z")
    [(name, (code, sentence))] = outcomes(text).values()
    assert (name, code) == ("a", "FIELD_MALFORMED")
    assert sentence.startswith("line 3, column 'effective_at': effective_at is '2024-05-02T00")
    assert sentence.endswith("and not that of the transaction's line 2.")
    blank = HEADER + leg("a", "debit") + leg("a", "credit", day="")
    assert outcomes(blank) == {2: ("a", None)}


def test_values_stand_for_others_and_none_is_guessed():
    by = mapping(values={"side": {"S": "debit", "H": "credit"}})
    good = HEADER + leg("a", "S").replace("liabilities:d:1", "assets:cash") + leg("a", "H")
    assert outcomes(good, by) == {2: ("a", None)}
    [(_, (code, sentence))] = outcomes(HEADER + both("a"), by).values()
    assert code == "FIELD_MALFORMED"
    assert "'debit', which the mapping's [values.side] lacks" in sentence


def test_too_many_entries_are_refused_and_not_kept():
    [(_, row)] = read(HEADER + leg("a", "debit") * 3_000)
    assert len(row.fields["entries"]) == 1_001


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"rows": "lines"}, "rows: it is none of 'entries' or 'transactions'"),
        ({"colums": {}}, "colums: there is no such field"),
        ({"constants": {"kind": "x"}}, "kind has a column and a constant"),
        ({"columns": {"amount": "x"}}, "account has neither a column"),
        ({"columns": {**ENTRIES["columns"], "debit_account": "x"}}, "debit_account is not a field"),
        (
            {"constants": {"description": 5}},
            "constants.description: it is no text",
        ),
        ({"decimal": ",", "thousands": ","}, "are the same character"),
        ({"times": "%d.%m.%Y"}, "timezone is missing"),
        ({"timezone": "America/Toronto"}, "timezone is for times without an offset"),
        ({"times": "%d", "timezone": "Mars/Base"}, "no time zone"),
        ({"encoding": "utf-16"}, "save the file as UTF-8"),
        ({"encoding": "klingon"}, "no encoding that Python knows"),
        ({"delimiter": '"'}, "delimiter is a quote"),
    ],
)
def test_a_mapping_that_is_none_says_what_is_wrong(more, says, tmp_path):
    def text(table):
        plain = [f"{k} = {v!r}" for k, v in table.items() if not isinstance(v, dict)]
        tables = [f"[{k}]\n{text(v)}" for k, v in table.items() if isinstance(v, dict)]
        return "\n".join(plain + tables)

    file = tmp_path / "mapping.toml"
    file.write_text(text({**ENTRIES, **more}))
    with pytest.raises(MappingError, match=r"mapping\.toml") as error:
        read_mapping(file)
    assert says in str(error.value)


def test_a_mapping_of_another_file_names_the_columns_that_are_there(tmp_path):
    with pytest.raises(MappingError, match=r"no column 'currency'.*'transaction_id', 'kind'"):
        read(HEADER.replace(",currency", ""))
    with pytest.raises(MappingError, match="more than one column 'side'"):
        read(HEADER.replace("account", "side,account"))
    with pytest.raises(MappingError, match="empty"):
        read("\n\n")
    with pytest.raises(MappingError, match="No such file"):
        read_mapping(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("rows = ")
    with pytest.raises(MappingError, match="is not TOML"):
        read_mapping(tmp_path / "bad.toml")


def test_the_encoding_is_the_one_that_is_stated():
    by = mapping(PAIRS, encoding="cp1252", metadata={"city": "Ville"})
    text = "Ref,Day,To,From,Amount,Ville\nr,01/07/2024,assets:a,equity:b,5,Genève\n"
    [(_, row)] = read(text, by, "cp1252")
    assert row.fields["metadata"] == {"city": "Genève"}
    found = read(text.encode("cp1252"), mapping(PAIRS, metadata={"city": "Ville"}))
    assert found[0][1].fields == Refused(Reason.UNREADABLE, "Byte 37 of the line is not utf-8.")
    marked = read(b"\xef\xbb\xbf" + (HEADER + both("a")).encode())
    assert len(marked) == 1


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=6)


@given(st.lists(st.lists(CELL, min_size=2, max_size=2), max_size=8), st.data())
def test_cells_are_whole_wherever_the_chunks_end(rows, data):
    lines = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    text = "\r\n".join(lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    splitter, reader, found = Splitter(keep_blank=True), RowReader("utf-8", ","), []
    for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        found += reader.rows(splitter.feed(text[start:end]))
    found += reader.rows(splitter.end(), final=True)
    assert [cells for _, cells in found] == [
        row for row in rows if any(cell.strip() for cell in row)
    ]


def test_a_quote_without_an_end_takes_little_memory():
    splitter, reader, found = Splitter(keep_blank=True), RowReader("utf-8", ","), []
    found += reader.rows(splitter.feed(b'a,"b\n'))
    for _ in range(10):
        found += reader.rows(splitter.feed((b"x" * 99 + b"\n") * 10_000))
        assert sum(len(line) for _, line in reader._waiting) <= MAX_LINE
    assert (found[0][0], found[0][1].reason) == (1, Reason.UNREADABLE)
    too_long = Splitter(keep_blank=True)
    lines = [line for _ in range(6) for line in too_long.feed(b"y" * 1_000_000)] + too_long.end()
    [(_, refused)] = RowReader("utf-8", ",").rows(lines)
    assert refused.reason is Reason.TOO_LARGE


def test_rows_arrive_as_they_are_written():
    async def scenario():
        read_, write = os.pipe()
        with os.fdopen(read_, "rb") as source, os.fdopen(write, "wb", buffering=0) as sink:
            text = "Ref,Day,To,From,Amount\nr-1,01/07/2024,assets:a,equity:b,5\n"
            sink.write(text.encode())
            feed = csv_lines_of(source, mapping(PAIRS))
            found = await anext(feed)
            await feed.aclose()
            return [row.transaction_id for _, row in found]

    assert asyncio.run(scenario()) == ["r-1"]


@pytest.mark.parametrize("rows_between", [0, 1, 3])
def test_quotes_of_two_rows_do_not_swallow_what_is_between(rows_between):
    """RFC 4180 makes one text of `"5 inch` and a later `12"`, and of all rows between them."""
    columns = {**PAIRS["columns"], "description": "Text"}
    by = mapping(PAIRS, columns=columns)
    head = "Ref,Day,To,Text,From,Amount\n"
    between = "".join(
        f"t{index},01/05/2024,assets:a,x,assets:b,1.00\n" for index in range(2, 2 + rows_between)
    )
    swallowed = f't1,01/05/2024,assets:a,"5 inch,assets:b,1.00\n{between}'
    swallowed += 't9,01/05/2024,assets:a,12",assets:b,1.00\n'
    [(_, found), (_, after)] = read(
        f"{head}{swallowed}t10,01/05/2024,assets:a,,assets:b,1.00\n", by
    )
    assert isinstance(found.fields, Refused)
    assert f"goes on for {rows_between + 2} lines" in found.fields.sentence
    assert not isinstance(after.fields, Refused)
    lines = 't1,01/05/2024,assets:a,"two, or\nthree, or more,\nlines",assets:b,1.00\n'
    [(_, found)] = read(head + lines, by)
    assert found.fields["description"] == "two, or\nthree, or more,\nlines"


def test_a_file_that_says_it_is_utf_8_is_not_read_as_anything_else():
    content = b"\xef\xbb\xbf" + (HEADER + both("t-\u00fc")).encode()
    [(_, found)] = read(content)
    assert found.transaction_id == "t-\u00fc"
    with pytest.raises(MappingError, match="the mapping says cp1252"):
        read(content, mapping(encoding="cp1252"))
