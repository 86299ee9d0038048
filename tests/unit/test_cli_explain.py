"""`explain`: what is printed of a figure taken apart, and where an answer about the past is from."""

import asyncio
import json

import pytest
import typer

from ledger.cli import books, explain
from ledger.cli.completeness import CompletenessReport
from ledger.cli.tables import Format
from ledger.client.pending import PendingEntry, ShardProgress
from ledger.client.why_rows import Checks, figure_row, flat_rows
from ledger.domain.completeness import Asked, Completeness, Position
from ledger.domain.run import Watermark
from ledger.gl.history.memory import MemoryHistory
from ledger.gl.history.why import WhyQuery
from ledger.gl.history.writing import HistoryFold
from ledger.gl.memory import MemoryJournal
from ledger.settings import Settings
from tests.decision_log import DecisionLog
from tests.integration.gl_runs import NOW, moved

CASH, FEES = "assets:cash", "income:fees"
DAY = 86_400_000_000
NOON = NOW + DAY // 2


def folded(*transactions):
    """History of one shard."""
    log, made = DecisionLog(0), MemoryHistory()
    for each in transactions:
        log.run(each, end=each.offset + 1)
    made.fold([HistoryFold(0, Watermark(), log.runs)])
    return made


def fee(offset, amount, recorded_at, **fields):
    usual = {"kind": "fee", "metadata": '{"producer":"core"}', "effective_at": recorded_at}
    return moved(offset, amount, debit=CASH, credit=FEES, recorded_at=recorded_at, **usual | fields)


@pytest.fixture
def history():
    return folded(fee(1, 500, NOON), fee(2, 20, NOON + DAY), fee(3, 7, NOON + DAY, metadata=""))


def pending(offset, amount, change=1):
    return PendingEntry(0, offset, f"t-{offset}", "fee", "CAD", 2, amount, change, NOON, NOON + 9)


def checked(history, *entries):
    """Compared to position 6, posted to 8."""
    progress = ShardProgress(Watermark(5, 6, b"d", NOON), NOON + 5, 12, list(entries))
    return Checks(history.positions(), {0: Watermark(6, 8)}, {0: NOON + 3}, {0: progress})


def test_a_figure_in_json_has_its_parts_and_how_they_were_checked(history):
    [why] = history.why(WhyQuery(CASH)).found
    row = figure_row(why, checked(history))
    json.dumps(row)
    assert (row["posted"], row["debits"], row["credits"], row["entries"]) == (
        "5.27", "5.27", "0.00", 3,
    )  # fmt: skip
    assert row["before"] == {
        "posted": "5.00", "debits": "5.00", "credits": "0.00", "entries": 1,
        "recorded_before": "2026-01-02T00:00:00Z", "is_whole_day": True,
    }  # fmt: skip
    assert [(each["debit"], each["balance"], each["producer"]) for each in row["lines"]] == [
        ("0.20", "5.20", "core"), ("0.07", "5.27", None),
    ]  # fmt: skip
    assert [(each["producer"], each["posted"]) for each in row["by_producer"]] == [
        ("", "0.07"), ("core", "0.20"),
    ]  # fmt: skip
    [shard] = row["by_shard"]
    assert (shard["position"], shard["compared_to"], shard["posted_to"]) == (4, 6, 8)
    assert (shard["compared_at"], shard["posted_at"]) == (
        "2026-01-01T12:00:00.000005Z", "2026-01-01T12:00:00.000003Z",
    )  # fmt: skip
    assert row["adds_up"] is True


def test_income_is_on_the_credit_side(history):
    [why] = history.why(WhyQuery(FEES)).found
    row = figure_row(why, checked(history))
    assert row["posted"] == "5.27"
    assert [(each["credit"], each["balance"]) for each in row["lines"]] == [
        ("0.20", "5.20"), ("0.07", "5.27"),
    ]  # fmt: skip


def test_what_is_pending_states_on_what_it_waits(history):
    [why] = history.why(WhyQuery(CASH)).found
    row = figure_row(why, checked(history, pending(5, 1), pending(7, -2), pending(8, 3, -1)))
    shown = [(each["debit"], each["credit"], each["waits_for"]) for each in row["pending"]]
    assert shown == [
        ("0.01", None, "history"), (None, "0.02", "comparison"), ("-0.03", None, "posting"),
    ]  # fmt: skip


def test_without_kafka_what_is_compared_is_not_known(history):
    [why] = history.why(WhyQuery(CASH)).found
    row = figure_row(why, Checks(history.positions(), {}, {}, {}))
    [shard] = row["by_shard"]
    assert shard["compared_to"] is shard["compared_at"] is shard["posted_at"] is None
    assert row["pending"] == []


def test_a_list_has_a_row_for_each_part(history):
    [why] = history.why(WhyQuery(CASH)).found
    rows = list(flat_rows(CASH, figure_row(why, checked(history, pending(7, 2)))))
    assert [row["part"] for row in rows] == [
        "figure", "before", "later", "line", "line", "kind", "producer", "producer", "shard",
        "pending",
    ]  # fmt: skip
    assert len({tuple(row) for row in rows}) == 1
    assert rows[0]["lines"] == 2


REPORT = CompletenessReport(Completeness(Asked(), NOW, [Position(0, 4, 4, 4)]), [])


@pytest.fixture
def explained(history, monkeypatch, tmp_path):
    """Runs the command on an account of `history`."""
    monkeypatch.setenv("FAUST_LEDGER_BOOTSTRAP_SERVERS", "127.0.0.1:1")

    async def read(_settings, query, _moment):
        checks = checked(history, pending(7, 2))
        return explain.Explanation(history.why(query), REPORT, checks)

    monkeypatch.setattr(explain, "_read", read)

    def run(account, **options):
        with pytest.raises(typer.Exit) as ended:
            explain.explain_balance(account, data_dir=tmp_path, **options)
        return ended.value.exit_code

    return run


def test_the_table_shows_parts_lines_groups_shards_and_what_is_pending(explained, capsys):
    assert explained(CASH) == 0
    out = capsys.readouterr().out
    assert "recorded before 2026-01-02" in out
    assert "recorded since, 2 lines" in out
    assert "(none)" in out
    assert "the comparison of stream and general ledger" in out
    assert "Complete: " in out


def test_json_is_one_object_with_the_completeness(explained, capsys):
    assert explained(CASH, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["account"], found["complete"]) == (CASH, True)
    assert [each["currency"] for each in found["figures"]] == ["CAD"]


@pytest.mark.parametrize("fmt", [Format.CSV, Format.JSON, Format.JSONL])
def test_lists_have_every_part(explained, capsys, fmt):
    assert explained(CASH, fmt=fmt) == 0
    assert len(capsys.readouterr().out.strip().splitlines()) >= 10


def test_an_account_without_a_balance_is_named(explained, capsys):
    assert explained("assets:none") == 0
    assert "assets:none has no balance, for what was asked." in capsys.readouterr().err


def test_known_at_belongs_to_an_effective_time(explained):
    with pytest.raises(typer.BadParameter, match="leave out --by recorded"):
        explain.explain_balance(
            CASH, as_of="2026-01-02", by="recorded", known_at="2026-01-03", data_dir=None
        )


# Where an answer about the past is from.


def posted(*transactions):
    """A journal and a history of the same runs."""
    log, journal, history = DecisionLog(0), MemoryJournal(), MemoryHistory()
    from ledger.gl.journal import PostingRun

    for each in transactions:
        log.run(each, end=each.offset + 1)
    runs = [PostingRun(run.decision, run.decisions_offset, run.content) for run in log.runs]
    journal.post(0, Watermark(), runs)
    return log, journal, history


@pytest.fixture
def answered(monkeypatch):
    """Asks `of_books` with Kafka away."""

    async def away(*_given):
        return None, ["Kafka is away."]

    def ask(journal, history, asked, from_history):
        monkeypatch.setattr("ledger.gl.databases.open_history", lambda _url: history)
        monkeypatch.setattr(books, "log_ends", away)
        monkeypatch.setattr("ledger.cli.completeness.log_ends", away)
        settings = Settings(bootstrap_servers="127.0.0.1:1", shards=1)
        read = lambda: journal.balance_snapshot(as_of=NOON, by="recorded")  # noqa: E731
        found, report = asyncio.run(books.of_books(settings, journal, asked, read, from_history))
        return found.rows, report.fields()["read_from"], report.sentences()[-1]

    return ask


def recorded(history):
    from ledger.gl.books import BalanceSnapshot

    return BalanceSnapshot(*history.as_of(recorded_before=NOON))


def test_history_answers_where_it_has_as_much_as_the_journal(answered):
    log, journal, history = posted(fee(1, 500, NOON - 9), fee(2, 20, NOON + DAY))
    asked = Asked(NOON, "recorded")
    rows, read_from, sentence = answered(journal, history, asked, recorded)
    assert (read_from, sentence) == (
        "journal",
        "Added up from the journal's entries: there is no history in this database.",
    )
    history.fold([HistoryFold(0, Watermark(), log.runs)])
    assert answered(journal, history, asked, recorded) == (rows, "history", "Read from history.")


def test_where_history_is_behind_the_journal_answers(answered):
    log, journal, history = posted(fee(1, 500, NOON - 9), fee(2, 20, NOON + DAY))
    history.fold([HistoryFold(0, Watermark(), log.runs[:1])])
    _, read_from, sentence = answered(journal, history, Asked(NOON, "recorded"), recorded)
    assert read_from == "journal"
    assert sentence == (
        "Added up from the journal's entries: history has shard 0 up to position 2 of 3."
    )
    passed = Asked(NOON - 9, "recorded")
    assert answered(journal, history, passed, recorded)[1] == "history"


def test_what_only_the_journal_knows_it_answers(answered):
    log, journal, history = posted(fee(1, 500, NOON - 9))
    history.fold([HistoryFold(0, Watermark(), log.runs)])
    _, read_from, sentence = answered(journal, history, Asked(), lambda _history: None)
    assert (read_from, sentence) == (
        "journal", "Added up from the journal's entries: history has no such answer.",
    )  # fmt: skip
