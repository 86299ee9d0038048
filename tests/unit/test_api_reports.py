"""Reports over HTTP: made from history and the journal, as JSON and as files."""

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest

from ledger.api.breaks import Break, Side
from ledger.api.problems import Problem
from ledger.api.routes.reports import _rates, _require_fitting
from ledger.api.services.reports import ReportQuery, ReportsService, rendered
from ledger.api.services.wanted import Moment, Wanted
from ledger.client.outcomes import OpenBreak
from ledger.gl.memory import MemoryJournal
from ledger.reports.rates import Rate
from ledger.reports.report import Report
from tests.decision_log import DecisionLog
from tests.integration.gl_runs import NOW, Chain, moved
from tests.integration.history_openers import in_memory
from tests.integration.history_world import World

BREAK = Break(OpenBreak(3, "assets:cash", "CAD"), 0, 9, Side(500, 0, 1, 8), None, NOW)


class Parts:
    """History and journal in memory with the same transactions, and one open break."""

    def __init__(self) -> None:
        world = World(random.Random(1), shards=1)
        log = world.logs.setdefault(0, DecisionLog(0))
        self.journal, chain = MemoryJournal(), Chain()
        some = [moved(offset, 100, credit="income:fees", recorded_at=NOW + offset,
                      effective_at=NOW + offset) for offset in range(1, 8)]  # fmt: skip
        for each in some:
            log.run(each, end=each.offset + 1)
        self.journal.post(0, self.journal.watermark(0), [chain.run(*some)])
        self.history = in_memory(world)

    def service(self) -> ReportsService:
        past: Any = SimpleNamespace(ask=self._past)
        database: Any = SimpleNamespace(ask=self._ask)
        breaks: Any = SimpleNamespace(require=lambda: None, found={BREAK.stripe: BREAK})
        known = SimpleNamespace(scales={"CAD": 2})
        reference: Any = SimpleNamespace(require=lambda: None, known=known)
        return ReportsService(past, database, breaks, reference)

    async def _past(self, wanted: Wanted, question: Any) -> Any:
        return question(self.history)

    async def _ask(self, question: Any) -> Any:
        return question(self.journal)


def report(name: str, moment: Moment | None = None, **asked: Any) -> Report:
    query = ReportQuery(name, **asked)
    return asyncio.run(Parts().service().report(query, Wanted(moment=moment)))


def shown(found: Report) -> list[list[str]]:
    return [["" if cell is None else str(cell) for cell in row.cells] for row in found.all_rows()]


def test_a_balance_sheet_of_a_time_beside_another() -> None:
    found = report("balance-sheet", Moment(NOW + 5), compare=NOW + 3)
    assert ["Total assets", "CAD", "4.00", "2.00", "2.00"] in shown(found)
    assert found.positions == {0: 8}
    assert found.differences == []
    assert [each.name for each in found.conditions][:3] == ["made at", "of", "beside"]


def test_a_time_beside_a_recorded_one_is_recorded_too() -> None:
    found = report("trial-balance", Moment(None, NOW + 5), compare=NOW + 3)
    assert ["assets:cash", "CAD", "4.00", "0.00", "2.00", "0.00", "2.00", "4"] in shown(found)


def test_a_presentation_currency_needs_a_rate_of_each() -> None:
    rate = Rate("CAD", "JPY", "110.5", "a test", "2026-01-01")
    found = report("trial-balance", presentation="JPY", rates=[rate])
    assert ["assets:cash", "JPY", "774", "0", "7"] in shown(found)
    with pytest.raises(Problem, match="no rate from CAD to JPY"):
        report("trial-balance", presentation="JPY", rates=[])


def test_a_statement_of_an_account() -> None:
    found = report("statement", account="assets:cash", start=NOW + 3)
    assert shown(found)[1][:1] == ["Opening balance"]
    assert shown(found)[-1][3:6] == ["5.00", "0.00", "7.00"]
    with pytest.raises(Problem, match="needs an account"):
        report("statement")
    with pytest.raises(Problem, match="one time as their end"):
        report("statement", Moment(NOW, NOW), account="assets:cash")


def test_breaks_by_age() -> None:
    found = report("breaks")
    assert shown(found)[0][:3] == ["assets:cash", "CAD", "3"]
    assert shown(found)[0][6:] == ["5.00", "0.00", "5.00", "1"]
    assert shown(report("breaks", currencies=("JPY",))) == []


def test_files_have_their_media_types() -> None:
    made = report("balance-sheet")
    for form, media in (("csv", "text/csv; charset=utf-8"), ("pdf", "application/pdf")):
        answer = asyncio.run(rendered(made, form))  # type: ignore[arg-type]
        assert isinstance(answer, tuple)
        assert answer[1] == media
    as_json = asyncio.run(rendered(made, "json"))
    assert isinstance(as_json, dict)
    assert as_json["complete_to"] == {"0": 8}


def test_a_form_whose_library_is_missing_is_not_acceptable(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(Problem) as caught:
        asyncio.run(rendered(report("balance-sheet"), "pdf"))
    assert (caught.value.code, caught.value.kind.status) == ("NOT_ACCEPTABLE", 406)


@pytest.mark.parametrize(
    ("name", "field", "given"),
    [
        ("statement", "compare", {"compare": 1}),
        ("movements", "depth", {"depth": 1}),
        ("register", "no_zero", {"no_zero": True}),
        ("statement", "presentation", {"presentation": "CAD"}),
        ("balance-sheet", "from", {"start": 1}),
        ("breaks", "under", {"account": "assets:cash"}),
    ],
)
def test_parameters_of_another_report_are_refused(name: str, field: str, given: Any) -> None:
    with pytest.raises(Problem) as caught:
        _require_fitting(ReportQuery(name, **given), is_later=False, is_past=False)
    assert caught.value.field == field


def test_what_cannot_be_waited_for_or_be_of_a_time_is_refused() -> None:
    with pytest.raises(Problem, match="after"):
        _require_fitting(ReportQuery("statement"), is_later=True, is_past=False)
    with pytest.raises(Problem, match="as_of"):
        _require_fitting(ReportQuery("breaks"), is_later=False, is_past=True)


def test_rates_are_read_from_parameters() -> None:
    assert _rates("CAD", ["USD,1.3650,Bank of Canada,2026-11-30"]) == [
        Rate("USD", "CAD", "1.3650", "Bank of Canada", "2026-11-30")
    ]
    assert _rates(None, []) == []
    for given in ([], ["USD,1.3"], ["USD,x,ECB,2026-11-30"], ["a\rb,1,2,3"], ['"'], [""]):
        with pytest.raises(Problem):
            _rates("CAD", given)
    with pytest.raises(Problem, match="together"):
        _rates(None, ["USD,1.3650,Bank of Canada,2026-11-30"])
