"""CSV of banks and custodians by a mapping: what columns mean, and what is wrong with them."""

from datetime import date

import pytest

from ledger.statements.csv_files import Given
from ledger.statements.mapping import parse_mapping
from ledger.statements.model import Balance, Unproven
from ledger.statements.proof import prove
from ledger.statements.source import Limits
from tests.statement_files import CLOSE, IBAN, read, refusal

MONEY = """
of = "money"
dates = "%d.%m.%Y"
decimal = ","
thousands = "."
delimiter = ";"
[columns]
booked = "Day"
amount = "Amount"
balance = "Balance"
reference = "Ref"
text = "Text"
[constants]
currency = "EUR"
account = "DE89 3704 0044 0532 0130 00"
"""
ROWS = """Day;Amount;Balance;Ref;Text
27.11.2026;1.234,50;1.334,50;a;Salary
30.11.2026;-34,50;1.300,00;b;"Rent;
and more"
"""
SECURITIES = """
of = "securities"
dates = "%Y-%m-%d"
[columns]
isin = "ISIN"
quantity = "Units"
name = "Name"
[assets]
CA9229083634 = "VFV"
"""
HOLDINGS = """ISIN,Units,Name
US0378331005,12.5,Apple
US5949181045,0,Microsoft
"""


def csv(text=ROWS, mapping=MONEY, **options):
    return read(text, mapping=parse_mapping(mapping), **options)[0]


def wrong(text=ROWS, mapping=MONEY, **options):
    return refusal(text, mapping=parse_mapping(mapping), **options)


def test_rows_with_balances_are_a_statement():
    found = csv()
    assert (found.account.identification, found.account.is_iban) == (IBAN, True)
    assert (found.currency, found.number) == ("EUR", None)
    assert found.opening == Balance(100_00, date(2026, 11, 27))
    assert found.closing == Balance(1300_00, CLOSE)
    first, second = found.lines
    assert (first.amount, first.balance, first.place, first.value) == (
        123_450, 133_450, 2, date(2026, 11, 27),
    )  # fmt: skip
    assert (second.amount, second.text, second.place) == (-3450, "Rent; and more", 3)
    assert found.id == f"{IBAN} EUR 2026-11-27..2026-11-30"
    prove(found)


def test_the_newest_may_be_first():
    head, *rows = ROWS.replace("Rent;\nand more", "Rent").splitlines()
    turned = "\n".join([head, *reversed(rows)])
    assert wrong(turned)[0] == "DATES_OUT_OF_ORDER"
    found = csv(turned, MONEY.replace('of = "money"', 'of = "money"\norder = "descending"'))
    assert [(each.number, each.amount) for each in found.lines] == [(1, 123_450), (2, -3450)]
    assert found.opening.amount == 100_00


def test_a_balance_that_does_not_follow_is_found_at_its_line():
    found = csv(ROWS.replace("1.300,00", "1.300,01"))
    with pytest.raises(Unproven) as caught:
        prove(found)
    assert (caught.value.code, caught.value.line) == ("BALANCE_DIFFERS", 3)


SIGNS = [
    ('sign = "debit"', 'amount = "Amount"', "5,00", -500),
    ('sign = "credit"', 'amount = "Amount"', "5,00", 500),
    ('sign = "credit"', 'amount = "Amount"', "5,00-", -500),
    ('sign = "credit"', 'amount = "Amount"', "+5,00", 500),
    ('sign = "credit"', 'amount = "Amount"', "\u22125,00", -500),
    ('credits = ["Haben"]\ndebits = ["Soll"]', 'amount = "Amount"\nside = "Ref"', "5,00", -500),
]


@pytest.mark.parametrize(("sign", "columns", "text", "amount"), SIGNS)
def test_signs(sign, columns, text, amount):
    mapping = f"""
of = "money"
dates = "%d.%m.%Y"
decimal = ","
delimiter = ";"
{sign}
[columns]
booked = "Day"
{columns}
[constants]
currency = "EUR"
"""
    rows = f"Day;Amount;Ref\n30.11.2026;{text};Soll\n"
    found = csv(rows, mapping, given=Given("assets:bank", "0", "1"))
    assert found.lines[0].amount == amount
    assert found.account.identification == "assets:bank"


def test_debit_and_credit_have_columns():
    mapping = MONEY.replace('amount = "Amount"', 'debit = "Out"\ncredit = "In"')
    rows = "Day;Out;In;Balance;Ref;Text\n30.11.2026;;7,00;7,00;;\n30.11.2026;2,00;;5,00;;\n"
    assert [each.amount for each in csv(rows, mapping).lines] == [700, -200]
    assert wrong(rows.replace("2,00;;5", ";;5"), mapping)[:2] == ("FIELD_MISSING", 3)


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ("1.234,50", "1,234.50", "AMOUNT_MALFORMED", 2),
        ("1.234,50", "12.34,50", "AMOUNT_MALFORMED", 2),
        ("1.234,50", "1.234,505", "TOO_MANY_DECIMALS", 2),
        ("1.234,50", "1e3", "AMOUNT_MALFORMED", 2),
        ("1.234,50", "", "FIELD_MISSING", 2),
        ("1.234,50", "--1,00", "AMOUNT_MALFORMED", 2),
        ("1.234,50", "=1+1", "AMOUNT_MALFORMED", 2),
        ("30.11.2026", "11/30/2026", "DATE_MALFORMED", 3),
        ("30.11.2026", "30.11.2569", "DATE_OUT_OF_RANGE", 3),
        ("30.11.2026", "11.30.2026", "DATE_MALFORMED", 3),
        # Day and month exchanged, which is a date too.
        ("30.11.2026", "01.02.2026", "DATES_OUT_OF_ORDER", 3),
        ("30.11.2026;", "30.11.2026;;", "UNREADABLE", 3),
        ("Amount;", "Betrag;", "MAPPING_UNFIT", 1),
        ("Ref;", "Day;", "MAPPING_UNFIT", 1),
        ('more"', "more", "UNREADABLE", 3),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(old, new, code, line):
    assert old in ROWS
    assert wrong(ROWS.replace(old, new, 1))[:2] == (code, line)


def test_encodings_are_the_mappings():
    text = ROWS.replace("Salary", "Löhne")
    assert wrong(text.encode("latin-1"))[:2] == ("WRONG_ENCODING", 2)
    latin = MONEY.replace('of = "money"', 'of = "money"\nencoding = "latin-1"')
    assert csv(text.encode("latin-1"), latin).lines[0].text == "Löhne"
    assert wrong(b"\xef\xbb\xbf" + text.encode(), latin)[0] == "MAPPING_UNFIT"
    assert csv(b"\xef\xbb\xbf" + text.encode()).lines[0].text == "Löhne"


def test_lines_before_the_columns_names_are_skipped():
    skipping = MONEY.replace('of = "money"', 'of = "money"\nskip = 2')
    found = csv(f"Bank of X\n\n{ROWS}", skipping)
    assert found.lines[0].place == 4


def test_without_a_column_of_balances_the_ends_are_given():
    mapping = MONEY.replace('balance = "Balance"\n', "")
    assert wrong(mapping=mapping)[0] == "FIELD_MISSING"
    found = csv(mapping=mapping, given=Given("", "-100.00", "1100"))
    assert (found.opening.amount, found.closing.amount) == (-100_00, 1100_00)
    prove(found)
    assert wrong(mapping=mapping, given=Given("", "1,5", "1"))[0] == "AMOUNT_MALFORMED"


def test_a_file_without_rows_or_with_too_many_is_refused():
    assert wrong("")[0] == "UNREADABLE"
    assert wrong(ROWS.splitlines()[0])[0] == "UNREADABLE"
    assert wrong(limits=Limits(lines=1))[0] == "TOO_LARGE"
    head = ROWS.splitlines()[0]
    assert wrong(f"{head}\n27.11.2026;1;1;a;{'x' * 2_000_000}")[:2] == ("UNREADABLE", 2)


def test_positions_are_a_statement_of_securities():
    given = Given("Custody 1", on=CLOSE)
    text = HOLDINGS.replace("US5949181045,0,Microsoft", "CA9229083634,-3.25,An ETF")
    found = csv(text, SECURITIES, given=given)
    assert found.of_securities
    assert found.id == "Custody 1 securities 2026-11-30"
    first, second = found.positions
    assert (first.isin, first.code, first.quantity, first.scale) == (
        "US0378331005", "US0378331005", 125_000, 4,
    )  # fmt: skip
    assert (second.code, second.quantity, second.name) == ("VFV", -3_250_000, "An ETF")
    prove(found)


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ("US0378331005", "US0378331006", "ISIN_MALFORMED", 2),
        ("US0378331005", "APPLE", "ISIN_MALFORMED", 2),
        ("US5949181045", "US0378331005", "ISIN_TWICE", 3),
        ("12.5", "12.50001", "TOO_MANY_DECIMALS", 2),
        ("12.5", "12,5", "UNREADABLE", 2),
        ("Apple", "Apple", "UNKNOWN_CURRENCY", 3),
    ],
)
def test_what_is_wrong_with_positions(old, new, code, line):
    given = Given("Custody 1", on=CLOSE)
    assert wrong(HOLDINGS.replace(old, new, 1), SECURITIES, given=given)[:2] == (code, line)


def test_positions_need_a_date():
    text = HOLDINGS.splitlines()[:2]
    assert wrong("\n".join(text), SECURITIES, given=Given("C"))[0] == "FIELD_MISSING"
    dated = SECURITIES.replace('name = "Name"', 'on = "Name"')
    found = csv("\n".join(text).replace("Apple", "2026-11-30"), dated, given=Given("C"))
    assert found.closing.on == CLOSE


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('of = "money"', 'of = "coins"', "of: it is none of"),
        ('booked = "Day"', "", "booked is missing"),
        ('amount = "Amount"', "", "give a column amount"),
        ('amount = "Amount"', 'debit = "Amount"', "one is missing"),
        ('amount = "Amount"', 'amount = "Amount"\nside = "Ref"', "belong together"),
        ('reference = "Ref"', 'refrence = "Ref"', "refrence is not a field"),
        ('currency = "EUR"', 'country = "DE"', "country is no constant"),
        ('thousands = "."', 'thousands = ","', "are the same character"),
        ('delimiter = ";"', "delimiter = '\"'", "delimiter is a quote"),
        ('dates = "%d.%m.%Y"', 'dates = "%d.%m"', "no day, month or year"),
        ('dates = "%d.%m.%Y"', 'dates = "%d.%m.%Y"\nencoding = "utf-16"', "cannot be read by lines"),
        ('dates = "%d.%m.%Y"', 'dates = "%d.%m.%Y"\nencoding = "x"', "no encoding"),
        ('dates = "%d.%m.%Y"', 'dates = "%d.%m.%Y"\nsheet = 1', "there is no such field"),
        ("[columns]", "[columns", "is not TOML"),
        ('text = "Text"', f'text = "{"x" * 70_000}"', "more than 65536 characters"),
    ],
)  # fmt: skip
def test_a_mapping_that_is_wrong_is_refused(old, new, why):
    assert old in MONEY
    with pytest.raises(Unproven) as caught:
        parse_mapping(MONEY.replace(old, new, 1))
    assert caught.value.code == "MAPPING_UNFIT"
    assert why in caught.value.sentence
