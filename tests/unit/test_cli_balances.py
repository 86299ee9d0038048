"""`balances` and `trial-balance`: which time is meant, which rows are shown, what they add up to."""

import csv
import io
import json
import zoneinfo
from datetime import UTC, date, datetime, timedelta

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from ledger.cli import completeness, read, trial_balance
from ledger.cli.moments import EPOCH, moment_of
from ledger.cli.tables import Format
from ledger.domain import account
from ledger.domain.balance import Balance
from ledger.domain.completeness import Asked, Completeness, Position
from ledger.gl import account_rows
from ledger.gl.account_rows import Sums, rolled_up, totals


def micros(text):
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def test_a_date_of_as_of_is_its_beginning_and_says_so():
    found = moment_of("2026-11-30", None, None, None)
    assert found.at == micros("2026-11-30T00:00:00+00:00")
    assert found.sentence == (
        "As of 2026-11-30 00:00:00 UTC: everything effective before 2026-11-30 began; "
        "--through 2026-11-30 counts that day."
    )
    assert found.is_date
    assert found.fields() == {}


def test_through_counts_the_day_in_its_time_zone():
    found = moment_of(None, "2026-11-30", None, "recorded")
    assert found.at == micros("2026-12-01T00:00:00+00:00")
    assert found.sentence == (
        "Through 2026-11-30: everything recorded before 2026-12-01 00:00:00 UTC."
    )
    there = moment_of(None, "2026-11-30", "America/Toronto", None)
    assert there.at == micros("2026-12-01T05:00:00+00:00")
    assert there.sentence == (
        "Through 2026-11-30: everything effective before 2026-12-01 00:00:00 America/Toronto "
        "(2026-12-01 05:00:00 UTC)."
    )
    assert there.fields() == {"through_date": "2026-11-30", "timezone": "America/Toronto"}


@pytest.mark.parametrize(
    ("zone", "day", "utc"),
    [
        # At midnight clocks went on to 1:00, so the day before ended with the last hour of it.
        ("Asia/Beirut", "2023-03-25", "2023-03-25T22:00:00+00:00"),
        # The day lasts 25 hours, and its last one is counted.
        ("Europe/Prague", "2026-10-25", "2026-10-25T23:00:00+00:00"),
        ("America/Havana", "2026-10-31", "2026-11-01T04:00:00+00:00"),
        # The 30th did not exist there.
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00+00:00"),
        ("Pacific/Apia", "2011-12-29", "2011-12-30T10:00:00+00:00"),
    ],
)
def test_a_day_ends_where_the_next_begins(zone, day, utc):
    assert moment_of(None, day, zone, None).at == micros(utc)


@given(
    st.dates(date(1950, 1, 1), date(2100, 1, 1)),
    st.sampled_from(sorted(zoneinfo.available_timezones())),
)
def test_a_day_counts_what_is_of_that_day_there_and_nothing_else(day, zone):
    at = moment_of(None, str(day), zone, None).at
    there = zoneinfo.ZoneInfo(zone)

    def local_date(instant):
        return (EPOCH + timedelta(microseconds=instant)).astimezone(there).date()

    assert local_date(at) > day
    assert local_date(at - 1) <= day


def test_a_time_is_that_instant():
    found = moment_of("2026-11-20T16:00:00-05:00", None, "America/Toronto", "recorded")
    assert found.at == micros("2026-11-20T21:00:00+00:00")
    assert found.sentence == (
        "As of 2026-11-20 16:00:00 America/Toronto (2026-11-20 21:00:00 UTC): everything recorded "
        "before that instant."
    )
    assert not found.is_date
    before = datetime.now(UTC)
    at = moment_of("now", None, None, None).at
    assert before <= EPOCH + timedelta(microseconds=at) <= datetime.now(UTC)


@pytest.mark.parametrize(
    ("options", "name", "why"),
    [
        ((None, None, None, "recorded"), "--by", "needs --as-of or --through"),
        ((None, None, "UTC", None), "--timezone", "needs --as-of or --through"),
        (("now", "2026-11-30", None, None), "--through", "not both"),
        ((None, "2026-11-30T00:00:00Z", None, None), "--through", "no date"),
        ((None, "20261130", None, None), "--through", "no date"),
        ((None, "now", None, None), "--through", "no date"),
        ((None, "2026-02-29", None, None), "--through", "no date"),
        ((None, "9999-12-31", None, None), "--through", "out of range"),
        (("0001-01-01", None, "Asia/Tokyo", None), "--as-of", "out of range"),
        (("2026-02-29", None, None, None), "--as-of", "does not exist"),
        (("2026-11-30T10:00", None, None, None), "--as-of", "RFC 3339"),
        (("2026-11-30", None, "Europe/Pragu", None), "--timezone", "Did you mean Europe/Prague?"),
        (("2026-11-30", None, "../../etc/passwd", None), "--timezone", "no time zone"),
    ],
)
def test_what_does_not_belong_together_is_refused(options, name, why):
    with pytest.raises(typer.BadParameter, match=why.replace("?", r"\?")) as refused:
        moment_of(*options)
    assert refused.value.param_hint == name


def sums(
    account, currency="CAD", scale=2, debits=0, credits=0, entries=1, status="reconciled", pending=0
):
    more = debits - credits if account.startswith(("assets", "expenses")) else credits - debits
    return Sums(account, currency, scale, more - pending, pending, debits, credits, entries, status)


ROWS = [
    sums("assets:cash:a", debits=150_000_000, credits=50),
    sums("assets:cash:b", debits=100, status="pending", pending=30),
    sums("assets:cash:b", "JPY", 0, debits=7),
    sums("assets:closed", debits=5, credits=5),
    sums("expenses:fees", debits=10),
    sums("liabilities:deposits:1", credits=150_000_000, entries=3, status="break"),
    sums("liabilities:deposits:2", credits=60, status="pending"),
    sums("liabilities:deposits:2", "JPY", 0, credits=7),
]


def test_accounts_are_summed_by_the_beginning_of_their_path():
    found = rolled_up(ROWS, 2)
    assert [(row.account, row.currency) for row in found] == [
        ("assets:cash", "CAD"), ("assets:cash", "JPY"), ("assets:closed", "CAD"),
        ("expenses:fees", "CAD"), ("liabilities:deposits", "CAD"), ("liabilities:deposits", "JPY"),
    ]  # fmt: skip
    assert found[0].fields() == {
        "account": "assets:cash", "currency": "CAD", "posted": "1500000.20", "pending": "0.30",
        "debits": "1500001.00", "credits": "0.50", "entries": 2, "status": "pending",
    }  # fmt: skip
    assert found[4].status == "break"
    assert [row.account for row in rolled_up(ROWS, 1)][:3] == ["assets", "assets", "expenses"]
    assert rolled_up(ROWS, 9) == ROWS


def test_other_decimals_of_a_currency_are_added_exactly():
    [found] = rolled_up([sums("assets:a", debits=101), sums("assets:b", scale=4, debits=5)], 1)
    assert (found.debits, found.scale, found.fields()["posted"]) == (10_105, 4, "1.0105")


@given(st.lists(st.tuples(
    st.sampled_from(["assets", "equity", "income"]), st.sampled_from("ab"), st.sampled_from("cd"),
    st.sampled_from(["CAD", "JPY"]), st.integers(0, 10**30), st.integers(0, 10**30),
)))  # fmt: skip
def test_no_depth_changes_what_all_add_up_to(legs):
    rows = [sums(":".join(path), currency, debits=debits, credits=credits)
            for *path, currency, debits, credits in legs]  # fmt: skip
    for depth in (1, 2, 3):
        found = rolled_up(rows, depth)
        for name in ("debits", "credits", "posted", "entries"):
            for currency in ("CAD", "JPY"):
                assert sum(getattr(row, name) for row in found if row.currency == currency) == sum(
                    getattr(row, name) for row in rows if row.currency == currency
                )
        for total in totals(found):
            mine = [row for row in found if row.currency == total.currency
                    and total.type in {None, row.account.partition(":")[0]}]  # fmt: skip
            assert total[3:7] == (
                sum(row.net[0] for row in mine), sum(row.net[1] for row in mine),
                sum(row.debits for row in mine), sum(row.credits for row in mine),
            )  # fmt: skip


def test_a_live_balance_is_printed_as_it_was_published():
    for texts in (("-12.50", "0.05", "3.00", "15.45"), ("7", "-3", "0", "4")):
        scale = len(texts[0].partition(".")[2])
        one = Balance("liabilities:a", "CAD", scale, *texts, 3, "pending", 9)
        names = (
            "account",
            "currency",
            "posted",
            "pending",
            "debits",
            "credits",
            "entries",
            "status",
        )
        assert account_rows.of_balance(one).fields() == {name: getattr(one, name) for name in names}


ROWS_OF = {"rows": ROWS}
REPORT = completeness.CompletenessReport(
    Completeness(Asked(), 1_790_000_000_000_000, [Position(0, 5, 4, 5)]), []
)


@pytest.fixture
def books(monkeypatch, tmp_path):
    """Both commands answer with ROWS."""
    monkeypatch.setenv("FAUST_LEDGER_BOOTSTRAP_SERVERS", "127.0.0.1:1")

    async def answer(*given):
        return list(ROWS_OF["rows"]), REPORT

    for module in (read, trial_balance):
        monkeypatch.setattr(module, "from_ledger", answer)

    def run(command, **options):
        with pytest.raises(typer.Exit) as ended:
            command(data_dir=tmp_path, **options)
        return ended.value.exit_code

    return run


def balances(books, capsys, **options):
    assert books(read.print_balances, source="ledger", **options) == 0
    return capsys.readouterr()


def test_balances_of_a_currency_without_zeros(books, capsys):
    printed = balances(books, capsys, currency=["CAD"], no_zero=True, fmt=Format.JSON)
    found = json.loads(printed.out)
    assert [row["account"] for row in found] == [
        row.account for row in ROWS if row.currency == "CAD" and row.account != "assets:closed"
    ]
    assert found[0]["complete"] is True
    assert printed.err == ""


def test_a_currency_that_nobody_has_is_named(books, capsys):
    printed = balances(books, capsys, currency=["cad", "JPY"], fmt=Format.CSV)
    assert len(printed.out.splitlines()) == 3
    assert printed.err == "No account has a balance in cad. Did you mean CAD?\n"


def test_csv_has_plain_amounts(books, capsys):
    printed = balances(books, capsys, depth=2, fmt=Format.CSV)
    rows = list(csv.DictReader(io.StringIO(printed.out)))
    assert list(rows[0]) == ["account", "currency", "posted", "pending", "debits", "credits",
                             "entries", "status"]  # fmt: skip
    assert rows[0]["posted"] == "1500000.20"


def test_what_a_date_means_is_printed(books, capsys):
    printed = balances(books, capsys, as_of="2026-11-30")
    assert printed.out.startswith("As of 2026-11-30 00:00:00 UTC: everything effective before")
    printed = balances(books, capsys, as_of="2026-11-30", fmt=Format.CSV)
    assert "--through 2026-11-30 counts that day" in printed.err
    assert balances(books, capsys, as_of="2026-11-30", as_json=True).err == ""
    printed = balances(books, capsys, through="2026-11-30", as_json=True)
    assert json.loads(printed.out.splitlines()[0])["through_date"] == "2026-11-30"
    assert printed.err == ""


def trial(books, capsys, code=0, **options):
    assert books(trial_balance.print_trial_balance, **options) == code
    return capsys.readouterr().out


def test_a_trial_balance_has_nets_and_totals_by_type_and_currency(books, capsys):
    found = json.loads(trial(books, capsys, as_json=True))
    assert found["currencies"]["CAD"] == {"debits": "1500001.15", "credits": "1500001.15"}
    assert [(row["net_debit"], row["net_credit"]) for row in found["accounts"]][:4] == [
        ("1499999.50", "0.00"), ("1.00", "0.00"), ("7", "0"), ("0.00", "0.00"),
    ]  # fmt: skip
    assert [(row["currency"], row["type"]) for row in found["totals"]] == [
        ("CAD", "assets"), ("CAD", "liabilities"), ("CAD", "expenses"), ("CAD", None),
        ("JPY", "assets"), ("JPY", "liabilities"), ("JPY", None),
    ]  # fmt: skip


def test_the_table_of_a_trial_balance_adds_up(books, capsys):
    lines = trial(books, capsys, no_zero=True, currency=["JPY"]).splitlines()
    assert [each.split() for each in lines[:-1]] == [
        ["account", "currency", "net", "debit", "net", "credit", "debits", "credits", "entries"],
        ["assets:cash:b", "JPY", "7", "7", "0", "1"],
        ["liabilities:deposits:2", "JPY", "7", "0", "7", "1"],
        [],
        ["total", "currency", "net", "debit", "net", "credit", "debits", "credits", "entries"],
        ["assets", "JPY", "7", "7", "0", "1"],
        ["liabilities", "JPY", "7", "0", "7", "1"],
        ["all", "types", "JPY", "7", "7", "7", "7", "2"],
    ]


def test_every_type_has_its_place():
    assert set(account_rows.TYPES) == set(account.TYPES)


def test_what_does_not_balance_is_a_finding(books, capsys, monkeypatch):
    monkeypatch.setitem(ROWS_OF, "rows", [*ROWS, sums("equity:a", debits=1)])
    trial(books, capsys, code=1)
    trial(books, capsys, currency=["JPY"])
