"""MT940 as banks send it, and with what is wrong in it."""

from datetime import date

import pytest

from ledger.statements.model import Balance
from ledger.statements.source import Limits
from tests.statement_files import CLOSE, IBAN, Entry, mt940, read, refusal

ENTRIES = [Entry(12_34, "a"), Entry(-5_00, "b", "Rent")]
GERMAN = (
    "166?00GUTSCHRIFT?10931?20EREF+E2E-7?21MREF+M-1?22SVWZ+Rechnung 5?30COBADEFF?31"
    "DE02120300000000202051?32Anna?33Schmidt"
)


def test_a_message_is_read():
    [found] = read(mt940(ENTRIES, opening=-100))
    assert (found.account.identification, found.account.is_iban) == (IBAN, True)
    assert (found.number, found.currency, found.bank_id) == (1, "EUR", "STARTUMS")
    assert found.opening == Balance(-100, date(2026, 11, 27))
    assert found.closing == Balance(634, CLOSE)
    first, second = found.lines
    assert (first.amount, first.booked, first.value, first.place) == (1234, CLOSE, CLOSE, 5)
    assert (first.reference, first.bank_reference, first.kind) == ("a", "Ba", "NTRF")
    assert (second.amount, second.text) == (-500, "Rent")


def test_structured_details_are_taken_apart():
    [found] = read(mt940([Entry(1, "", GERMAN)]))
    [line] = found.lines
    assert line.reference == "E2E-7"
    assert "M-1" in line.references
    assert line.counterpart == "AnnaSchmidt"
    assert line.counterpart_account == "DE02120300000000202051"
    assert "Rechnung 5" in line.text


def test_blocks_headers_and_many_messages():
    one = mt940(ENTRIES)
    two = mt940([Entry(1)], opening=734, number="2")
    blocks = "{1:F01BANKDEFFXXXX0}{2:O9400000}{4:\r\n" + one.replace("\r\n-\r\n", "\r\n-}\r\n")
    headed = "ABNANL2A\r\n940\r\nABNANL2A\r\n" + two
    found = read(blocks + headed)
    assert [each.number for each in found] == [1, 2]
    assert [len(each.lines) for each in found] == [2, 1]
    [plain] = read(one.replace("\r\n", "\n").rstrip("-\n"))
    assert len(plain.lines) == 2


@pytest.mark.parametrize(
    ("mark", "amount"), [("C", 1234), ("D", -1234), ("RC", -1234), ("RD", 1234), ("CR", 1234)]
)
def test_a_reversed_credit_takes_away(mark, amount):
    text = mt940([Entry(12_34, "a")], closing=amount)
    [found] = read(text.replace("C12,34NTRF", f"{mark}12,34NTRF", 1))
    assert found.lines[0].amount == amount


def test_a_booking_date_is_that_nearest_to_the_value_date():
    text = mt940([Entry(1, "a", booked=date(2026, 1, 2))], on=date(2026, 1, 5))
    [found] = read(text.replace(":61:2601020102", ":61:2601021231"))
    assert found.lines[0].booked == date(2025, 12, 31)
    [found] = read(text.replace(":61:2601020102", ":61:260102"))
    assert found.lines[0].booked == date(2026, 1, 2)
    # Interest of months of 30 days.
    [found] = read(text.replace(":61:2601020102", ":61:2602300102"))
    assert found.lines[0].value == date(2026, 2, 28)


def test_pages_are_joined():
    one = mt940(ENTRIES, number="7/1", tags=("60F", "62M"))
    two = mt940([Entry(66)], opening=734, number="7/2", tags=("60M", "62F"))
    [found] = read(one + two)
    assert (found.number, found.closing.amount, len(found.lines)) == (7, 800, 3)
    third = mt940([Entry(66)], opening=734, number="7/3", tags=("60M", "62F"))
    assert refusal(one + third)[0] == "PAGES_MISSING"
    assert refusal(one)[0] == refusal(two)[0] == "PAGES_MISSING"


@pytest.mark.parametrize("tag", ["20", "25", "28C", "60F", "62F"])
def test_a_missing_tag_is_named(tag):
    lines = mt940(ENTRIES).split("\r\n")
    text = "\r\n".join(each for each in lines if not each.startswith(f":{tag}:"))
    code, line, sentence = refusal(text)
    assert code == "FIELD_MISSING"
    assert line == 1
    assert f":{tag}: is missing" in sentence


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ("C12,34NTRF", "C12.34NTRF", "FIELD_MALFORMED", 5),
        ("C12,34NTRF", "C1234NTRF", "AMOUNT_MALFORMED", 5),
        ("C12,34NTRF", "C1,2,3NTRF", "AMOUNT_MALFORMED", 5),
        ("C12,34NTRF", "C12,345NTRF", "TOO_MANY_DECIMALS", 5),
        # Longer than the field: the rest must not become a reference.
        ("C12,34NTRF", "C1234567890123456,78NTRF", "FIELD_MALFORMED", 5),
        ("C12,34NTRF", "C1234567890123,4567NTRF", "FIELD_MALFORMED", 5),
        ("C12,34NTRF", "X12,34NTRF", "FIELD_MALFORMED", 5),
        (":61:261130", ":61:261131", "DATE_MALFORMED", 5),
        (":61:2611301130", ":61:2611301332", "DATE_MALFORMED", 5),
        (":61:2611301130", ":61:١٢1130", "DATE_MALFORMED", 5),
        (":28C:1/1", ":28C:one", "FIELD_MALFORMED", 3),
        (":28C:1/1", ":28C:123456789012", "FIELD_MALFORMED", 3),
        (":62F:C261130EUR7,34", ":62F:C261130EUR7,34x", "FIELD_MALFORMED", 9),
        (":62F:C261130EUR7,34", ":62F:C261130USD7,34", "UNKNOWN_CURRENCY", 9),
        (":62F:C261130EUR7,34", ":62F:C261130CAD7,34", "CURRENCY_DIFFERS", 9),
        (":62F:C261130EUR7,34", ":62F:C261130EUR7,34\r\n:62F:C261130EUR7,34", "FIELD_MALFORMED", 10),
        (":25:", ":25:\r\n:99:", "FIELD_MALFORMED", 3),
        (":20:STARTUMS", "dear Sir,\r\n:20:STARTUMS", "UNKNOWN_FORMAT", 0),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_line(old, new, code, line):
    text = mt940(ENTRIES)
    assert old in text
    assert refusal(text.replace(old, new, 1))[:2] == (code, line)


def test_encodings():
    content = mt940([Entry(1, "a", "Müller")]).encode("latin-1")
    code, line, sentence = refusal(content)
    assert (code, "--encoding" in sentence, line > 0) == ("WRONG_ENCODING", True, True)
    [found] = read(content, encoding="latin-1")
    assert found.lines[0].text == "Müller"
    [found] = read(b"\xef\xbb\xbf" + mt940(ENTRIES).encode())
    assert len(found.lines) == 2


def test_a_text_that_looks_like_a_tag_is_a_text():
    [found] = read(mt940([Entry(1, "a", "one\r\n:99:two")]))
    assert found.lines[0].text == "one :99:two"


def test_what_is_too_large_is_refused():
    assert refusal(mt940([Entry(1, "a", "x" * 5_000)]))[0] == "FIELD_TOO_LONG"
    assert refusal(mt940([Entry(1, "a", "x" * 600_000)]))[0] == "TOO_LARGE"
    assert refusal(mt940([Entry(1, "a", "x\r\n" * 70_000)]))[0] == "TOO_LARGE"
    assert refusal(mt940([Entry(1)] * 20), limits=Limits(lines=19))[0] == "TOO_LARGE"
    assert refusal(mt940([Entry(1)] * 20), limits=Limits(file_bytes=100))[0] == "TOO_LARGE"
