"""camt.053 as banks send it, and as those send it who mean harm."""

import io
import tracemalloc
from datetime import date
from itertools import chain, repeat

import pytest

from ledger.statements.camt import pages_of
from ledger.statements.model import MAX_TEXT, Balance, Unproven
from ledger.statements.source import CHUNK_BYTES, MIB, Limits
from tests.statement_files import (
    CLOSE,
    IBAN,
    SCALES,
    Endless,
    Entry,
    camt,
    camt_statement,
    read,
    refusal,
)

ENTRIES = [Entry(12_34, "a"), Entry(-5_00, "b", "Rent &amp; more")]


@pytest.mark.parametrize("version", ["02", "04", "08", "13"])
def test_versions_say_the_same(version):
    [found] = read(camt(camt_statement(ENTRIES, opening=100, version=version), version=version))
    assert (found.account.identification, found.account.is_iban) == (IBAN, True)
    assert (found.number, found.currency, found.scale, found.bank_id) == (1, "EUR", 2, "S-1")
    assert found.opening == Balance(100, date(2026, 11, 27))
    assert found.closing == Balance(834, CLOSE)
    first, second = found.lines
    assert (first.number, first.amount, first.booked, first.value) == (1, 1234, CLOSE, CLOSE)
    assert (first.bank_reference, first.reference, first.references) == ("bank-a", "a", ("m-1",))
    assert (first.counterpart, first.counterpart_account) == ("Ann", "GB33BUKB20201555555555")
    assert first.kind == "PMNT/RCDT/ESCT"
    # Of what goes out the creditor is the counterpart, and this one has none.
    assert (second.amount, second.text, second.counterpart) == (-500, "Rent & more", "")
    assert second.place > first.place > 1


def test_other_identifications_and_balances():
    text = camt_statement(ENTRIES, kinds=("PRCD", "CLBD")).replace(
        f"<IBAN>{IBAN}</IBAN>", "<Othr><Id>ACC 1</Id></Othr>", 1
    )
    [found] = read(camt(text))
    assert (found.account.identification, found.account.is_iban) == ("ACC 1", False)
    assert found.id == "ACC 1 EUR 2026/1"


def test_what_is_not_booked_is_left_out_and_counted():
    pending = camt_statement([Entry(1)]).partition("<Ntry>")[2].replace("BOOK", "PDNG")
    text = camt_statement(ENTRIES).replace("</Stmt>", f"<Ntry>{pending}")
    [found] = read(camt(text))
    assert (len(found.lines), found.left_out) == (2, 1)


def test_pages_are_joined():
    one = camt_statement(ENTRIES, opening=100, kinds=("OPBD", "ITBD"))
    two = camt_statement([Entry(66)], opening=834, kinds=("ITBD", "CLBD"))
    [found] = read(camt(one, two))
    assert (found.opening.amount, found.closing.amount) == (100, 900)
    assert [each.number for each in found.lines] == [1, 2, 3]
    assert refusal(camt(one))[0] == "PAGES_MISSING"
    assert refusal(camt(two))[0] == "PAGES_MISSING"
    assert refusal(camt(one, camt_statement([])))[0] == "PAGES_MISSING"
    late = camt_statement([Entry(66)], opening=835, kinds=("ITBD", "CLBD"))
    assert refusal(camt(one, late))[0] == "BALANCE_DIFFERS"


def changed(old, new):
    text = camt(camt_statement(ENTRIES))
    assert old.encode() in text
    return text.replace(old.encode(), new.encode(), 1)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('<Amt Ccy="EUR">12.34', '<Amt Ccy="USD">12.34', "CURRENCY_DIFFERS"),
        ('<Amt Ccy="EUR">12.34', "<Amt>12.34", "FIELD_MISSING"),
        ("12.34", "12,34", "AMOUNT_MALFORMED"),
        ("12.34", "1e3", "AMOUNT_MALFORMED"),
        ("12.34", "-12.34", "AMOUNT_MALFORMED"),
        ("12.34", "NaN", "AMOUNT_MALFORMED"),
        ("12.34", "١٢", "AMOUNT_MALFORMED"),
        ("12.34", "12.345", "TOO_MANY_DECIMALS"),
        ("12.34", "9" * 19, "AMOUNT_TOO_LARGE"),
        ("12.34", "9" * 5000, "AMOUNT_MALFORMED"),
        ('<Amt Ccy="EUR">12.34</Amt>', "", "FIELD_MISSING"),
        ("<Ccy>EUR</Ccy>", "<Ccy>XXE</Ccy>", "UNKNOWN_CURRENCY"),
        ("<CdtDbtInd>CRDT</CdtDbtInd><Sts>", "<CdtDbtInd>BOTH</CdtDbtInd><Sts>", "FIELD_MALFORMED"),
        ("<Cd>BOOK</Cd>", "", "FIELD_MISSING"),
        ("<Cd>BOOK</Cd>", "<Cd>BOOK</Cd><Cd>PDNG</Cd>", "FIELD_MALFORMED"),
        ('<Amt Ccy="EUR">12.34', '<Amt Ccy="EUR">12.34</Amt><Amt Ccy="EUR">1', "FIELD_MALFORMED"),
        ("<BookgDt><Dt>2026-11-30", "<BookgDt><Dt>2026-11-31", "DATE_MALFORMED"),
        ("<BookgDt><Dt>2026-11-30", "<BookgDt><Dt>30.11.2026", "DATE_MALFORMED"),
        # Buddhist, Hijri, Persian.
        ("<BookgDt><Dt>2026-11-30", "<BookgDt><Dt>2569-11-30", "DATE_OUT_OF_RANGE"),
        ("<BookgDt><Dt>2026-11-30", "<BookgDt><Dt>1448-06-20", "DATE_OUT_OF_RANGE"),
        ("<BookgDt><Dt>2026-11-30", "<BookgDt><Dt>1405-09-09", "DATE_OUT_OF_RANGE"),
        ("<Cd>OPBD</Cd>", "<Cd>OPAV</Cd>", "FIELD_MISSING"),
        ("<Cd>CLBD</Cd>", "<Cd>CLAV</Cd>", "FIELD_MISSING"),
        (f"<IBAN>{IBAN}</IBAN>", "", "FIELD_MISSING"),
        (f"<IBAN>{IBAN}</IBAN>", "<IBAN>a\u202eb</IBAN>", "FIELD_MALFORMED"),
        ("<ElctrncSeqNb>1<", "<ElctrncSeqNb>one<", "FIELD_MALFORMED"),
        ("Rent &amp; more", "x" * (MAX_TEXT + 1), "FIELD_TOO_LONG"),
        ("Rent &amp; more", "&bomb;", "UNREADABLE"),
        ("</BkToCstmrStmt>", "", "UNREADABLE"),
        ("camt.053.001.08", "camt.052.001.08", "UNKNOWN_FORMAT"),
        ("camt.053.001.08", "camt.053.001.99", "UNKNOWN_FORMAT"),
        ("<Document ", "<Dokument ", "UNKNOWN_FORMAT"),
        ('encoding="UTF-8"', 'encoding="nowhere"', "WRONG_ENCODING"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_line(old, new, code):
    found, line, sentence = refusal(changed(old, new))
    assert (found, bool(line), sentence[-1] in ".?") == (code, True, True)


def test_the_line_is_that_of_the_entry():
    text = changed("12.34", "12,34")
    _, line, sentence = refusal(text)
    assert "12,34" in text.decode().split("<Ntry>")[1]
    assert text.decode().splitlines()[line - 1].endswith("</Ntry>")
    assert sentence == "Entry 1 is '12,34', which is no decimal number."


BILLION = """<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;">]>"""


@pytest.mark.parametrize(
    "head",
    [
        BILLION,
        '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE d SYSTEM "http://127.0.0.1:1/x.dtd">',
        '<!DOCTYPE d [<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p;]>',
        '<!DOCTYPE d [<!ATTLIST Amt Ccy CDATA "USD">]>',
        "<!DOCTYPE Document>",
    ],
)
@pytest.mark.parametrize("text", ["&d;", "&x;", "plain"])
def test_a_document_type_is_refused_before_anything_of_it_is_read(head, text, tmp_path):
    content = camt(camt_statement([Entry(1, "r", text)]), head=head)
    tracemalloc.start()
    try:
        assert refusal(content)[0] == "DOCTYPE_FORBIDDEN"
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["utf-16", "iso-8859-1", "windows-1252"])
def test_encodings_that_the_file_names_are_read(encoding):
    text = camt(camt_statement([Entry(1, "r", "Müller")])).decode()
    content = text.replace("UTF-8", encoding).encode(encoding)
    [found] = read(content)
    assert found.lines[0].text == "Müller"


def test_bytes_of_another_encoding_than_named_are_refused():
    content = camt(camt_statement([Entry(1, "r", "Müller")])).decode().encode("latin-1")
    assert refusal(content)[0] == "UNREADABLE"


def test_nesting_has_an_end():
    deep = camt(camt_statement([], more="<x>" * 100))
    assert refusal(deep)[0] == "UNREADABLE"


def entries_of(count):
    whole = camt(camt_statement([Entry(1, "r", "t" * 140)], opening=0, closing=count)).decode()
    before, _, rest = whole.partition(" <Ntry>")
    entry, _, after = rest.partition("</Ntry>")
    one = f" <Ntry>{entry}</Ntry>\n".encode()
    return chain([before.encode()], repeat(one, count), [after.encode()])


def test_what_is_skipped_costs_no_memory():
    junk = (b"<Unknown><More>" + b"x" * 900 + b"</More></Unknown>\n") * 1_000
    head, _, tail = camt(camt_statement(ENTRIES, more="@")).decode().partition("@")
    stream = Endless(chain([head.encode()], repeat(junk, 40), [tail.encode()]))
    tracemalloc.start()
    try:
        [page] = pages_of(stream, SCALES, Limits())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(page.statement.lines) == 2
    assert stream.taken > 30 * MIB
    assert peak < 8 * MIB


def test_a_file_without_end_is_refused_at_its_limits():
    stream = Endless(entries_of(10_000_000))
    with pytest.raises(Unproven) as caught:
        list(pages_of(stream, SCALES, Limits(lines=1_000)))
    assert caught.value.code == "TOO_LARGE"
    # No more was read than the lines, and a part.
    assert stream.taken < 1_100 * 1_000 + 2 * CHUNK_BYTES
    with pytest.raises(Unproven) as caught:
        list(pages_of(Endless(entries_of(10_000_000)), SCALES, Limits(file_bytes=MIB)))
    assert caught.value.code == "TOO_LARGE"
    text = camt(camt_statement([Entry(1, "r", "x" * 3 * MIB)]))
    with pytest.raises(Unproven) as caught:
        list(pages_of(io.BytesIO(text), SCALES, Limits(entry_bytes=MIB)))
    assert caught.value.code == "TOO_LARGE"


def test_a_file_that_is_nothing_of_all_that_is_refused():
    for content in (b"", b"\0" * 100, b"%PDF-1.7", b"hello", b"\xff" * 10):
        assert refusal(content)[0] == "UNKNOWN_FORMAT"
    assert refusal(b"<")[0] == "UNREADABLE"
    assert refusal(camt())[0] == "UNREADABLE"
