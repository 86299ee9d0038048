"""A real bank's year goes through the running system; its own balances are the answer.

Nobody here computed them: they are in the data, which is read where it lies and is not ours to
keep. Where the folder is missing the tests say that they were skipped.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger.gl.databases import open_history
from ledger.gl.history.books import History
from ledger.gl.history.why import WhyQuery
from ledger.gl.postgresql import PostgresJournal
from tests.conftest import Finished, Stack
from tests.integration import berka
from tests.integration.berka import CURRENCY, DEPOSITS, TOLERANCE, Row
from tests.waiting import PATIENCE, until

# Twenty times what all other tests publish, and every sum and audit after it takes as much longer.
pytestmark = pytest.mark.traces(many=True)
ROWS, ACCOUNTS, ACCOUNT_DAYS = 28_205, 1_139, 23_440
UNEXPLAINED = 4
"""Account-days on which the file disagrees with itself; all of them one account's."""

Cli = Callable[..., Finished]


@dataclass(frozen=True)
class Published:
    """The file's rows, what publishing them reported, and how to publish them again."""

    rows: list[Row]
    report: dict[str, int]
    file: Path
    fresh: bool


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    file = berka.find()
    if file is None:
        pytest.skip(f"no {berka.FILE} beside the project or in FAUST_LEDGER_SHARED")
    return berka.read(file)


@pytest.fixture(scope="module")
def published(
    rows: list[Row], cli: Cli, jsonl: Callable[..., str], tmp_path_factory: pytest.TempPathFactory
) -> Published:
    """All of it, by the command line, reconciled."""
    file = tmp_path_factory.mktemp("berka") / "berka.jsonl"
    file.write_text(jsonl(map(berka.transaction, rows)))
    fresh = not deposits(cli)
    return Published(rows, publish(cli, file), file, fresh)


def deposits(cli: Cli, *words: str) -> list[dict[str, Any]]:
    """What the clients have in the bank's currency; other tests keep dollars."""
    rows = cli("balances", "--prefix", DEPOSITS, "--json", *words).rows
    return [row for row in rows if row["currency"] == CURRENCY]


def publish(cli: Cli, file: Path) -> dict[str, int]:
    words = ("publish", file, "--wait", "--timeout", PATIENCE, "--json")
    report: dict[str, int] = cli(*words).json
    return report


def test_the_file_is_the_one_that_is_described(rows: list[Row]) -> None:
    assert len(rows) == ROWS
    assert len({row.trans_id for row in rows}) == ROWS
    assert len({row.account for row in rows}) == ACCOUNTS
    assert len(berka.stated(rows)) == ACCOUNT_DAYS


def test_every_transaction_is_accepted_and_reconciled(published: Published) -> None:
    counts = {name: number for name, number in published.report.items() if name != "seconds"}
    taken = ROWS if published.fresh else 0
    assert counts == {
        "lines": ROWS, "published": ROWS, "accepted": taken, "rejected": 0,
        "duplicates": ROWS - taken, "reconciled": taken, "voided": 0,
        "not_sent": 0, "refused_by_ledger": 0, "undecided": 0,
    }  # fmt: skip


@pytest.mark.parametrize("source", ["stream", "ledger"])
def test_every_balance_is_the_exact_sum(published: Published, cli: Cli, source: str) -> None:
    found = deposits(cli, "--source", source)
    assert {row["pending"] for row in found} == {"0.00"}
    assert {row["account"]: Decimal(row["posted"]) for row in found} == (
        berka.balances(published.rows)
    )
    assert sum(row["entries"] for row in found) == ROWS


def test_the_days_end_as_the_bank_says(published: Published, journal: PostgresJournal) -> None:
    """Asked as of each day's end, of the general ledger."""
    stated = berka.stated(published.rows)
    unexplained = []
    for day in sorted({row.day for row in published.rows}):
        found = {
            row.account: Decimal(row.credits - row.debits).scaleb(-row.scale)
            for row in journal.balances(prefix=DEPOSITS, as_of=berka.end_of(day), by="effective")
            if row.currency == CURRENCY
        }
        unexplained += [
            account
            for (account, on), balances in stated.items()
            if on == day
            and not any(abs(found[account] - balance) <= TOLERANCE for balance in balances)
        ]
    assert len(unexplained) == UNEXPLAINED
    assert len(set(unexplained)) == 1


@pytest.fixture(scope="module")
def history(published: Published, journal: PostgresJournal, stack: Stack) -> Iterator[History]:
    """With everything that is posted."""
    opened = open_history(stack.settings.database_url)
    posted = journal.watermarks()

    def is_level() -> bool:
        folded = opened.positions()
        return all(shard in folded and folded[shard].end >= mark.end
                   for shard, mark in posted.items())  # fmt: skip

    until(is_level, "history with all that is posted")
    yield opened
    opened.close()


def test_the_parts_of_every_figure_add_up_to_it(published: Published, history: History) -> None:
    """Of every account that the bank's transactions touch."""
    sums = berka.balances(published.rows)
    others = {leg["account"] for row in published.rows for leg in berka.transaction(row)["entries"]}
    for account in sorted(others):
        found = history.why(WhyQuery(account, CURRENCY)).found
        assert len(found) == 1
        assert list(found[0].differences()) == []
        if account in sums:
            debits, credits, _ = found[0].figures
            assert Decimal(credits - debits).scaleb(-found[0].scale) == sums[account]


def test_history_has_the_days_as_the_journal_has_them(
    published: Published, history: History, journal: PostgresJournal
) -> None:
    for day in sorted({row.day for row in published.rows})[::30]:
        end = berka.end_of(day)
        wanted = journal.balances(prefix=DEPOSITS, as_of=end, by="effective")
        assert history.as_of(prefix=DEPOSITS, effective_before=end).rows == wanted


def test_a_figure_is_explained_on_the_command_line(published: Published, cli: Cli) -> None:
    account, balance = next(iter(berka.balances(published.rows).items()))
    found = cli("explain", account, "--currency", CURRENCY, "--json").json
    [figure] = found["figures"]
    assert (Decimal(figure["posted"]), figure["adds_up"]) == (balance, True)
    assert all(each["compared_at"] and each["posted_at"] for each in figure["by_shard"])
    assert (found["complete"], figure["pending"], found["not_read"]) == (True, [], [])
    day = published.rows[len(published.rows) // 2].day
    words = ("explain", account, "--currency", CURRENCY, "--through", str(day), "--json")
    past = cli(*words).json["figures"]
    assert all(each["adds_up"] for each in past)


def test_the_trial_balance_is_zero(published: Published, cli: Cli) -> None:
    found = cli("trial-balance", "--json").json["currencies"]
    assert all(sides["debits"] == sides["credits"] for sides in found.values())
    turnover = sum(Decimal(row.amount) for row in published.rows)
    assert Decimal(found[CURRENCY]["debits"]) == turnover


def test_nothing_breaks(published: Published, cli: Cli) -> None:
    found = cli("reconcile", "--json").json
    assert found["breaks"] == []
    assert found["pending"] == 0
    assert found["accounts"] >= ACCOUNTS
    assert found["reconciled"] > 0


def test_publishing_it_again_changes_nothing(
    published: Published, cli: Cli, tmp_path: Path
) -> None:
    """Every fourth of them, of all days."""
    before, file = deposits(cli), tmp_path / "again.jsonl"
    lines = published.file.read_text().splitlines(keepends=True)[::4]
    file.write_text("".join(lines))
    again = publish(cli, file)
    assert (again["published"], again["duplicates"]) == (len(lines), len(lines))
    assert (again["accepted"], again["rejected"], again["reconciled"]) == (0, 0, 0)
    assert deposits(cli) == before
    assert deposits(cli, "--source", "ledger") == [row | {"status": "posted"} for row in before]
