"""What a bearer token restricted to account paths sees of transactions that touch other accounts."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest

from ledger.api.cursors import Cursors
from ledger.api.database import Database
from ledger.api.flow.fate import Level
from ledger.api.flow.runs import RecentRuns
from ledger.api.positions import Position
from ledger.api.problems import Problem
from ledger.api.services.after import After
from ledger.api.services.history import HistoryService
from ledger.api.services.redaction import shown_why
from ledger.api.services.refused import RefusedIds
from ledger.api.services.requests import Wait
from ledger.api.services.wanted import Wanted
from ledger.client.log_search import LogFindings
from ledger.client.rejects import line_of
from ledger.domain.access import Permission
from ledger.domain.policy import DAY
from ledger.domain.refusal import Reason
from ledger.gl.history.books import History, LinesQuery
from ledger.gl.history.why import WhyQuery
from tests.builders import CASH, DEPOSIT, draft, wire
from tests.unit.api_ledger import ApiLedger
from tests.unit.test_api_writes import on_ledger
from tests.wire import present

AT = present()
RECONCILED = Wait(Level.RECONCILED, 5)
SECRET = "Zebulon"
"""In every text of a transaction that has an account of others."""
OTHERS = f"income:{SECRET}"
MINE = Permission.of(["admin"], ["assets"])


def told(name: str, **changes: Any) -> dict[str, Any]:
    """A transaction with the secret in its texts, and its producer and a customer in metadata."""
    about = {"producer": f"{SECRET}-desk", "customer": SECRET}
    made = {"description": f"for {SECRET}", "metadata": about, "at": AT} | changes
    return line_of(draft(name, **made))


async def problem_of(work: Awaitable[Any]) -> Problem:
    with pytest.raises(Problem) as raised:
        await work
    return raised.value


class Asking:
    """History, asked in this thread."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def ask(self, wanted: Wanted, question: Any) -> Any:
        return question(self._history)

    def counted(self, found: Any) -> dict[str, Any]:
        return {}


async def filled(ledger: ApiLedger) -> HistoryService:
    """Transactions between my accounts, between mine and others', and between others'."""
    writes, everybody = ledger.services.writes, ledger.caller()
    for made in (
        told("mixed", debit=CASH, credit=OTHERS),
        told("mine", debit=CASH, credit="assets:till"),
        told("theirs", debit=OTHERS, credit=DEPOSIT),
    ):
        await writes.publish(everybody, made, wait=RECONCILED)
    ledger.fold()
    past: Any = Asking(ledger.kept)
    return HistoryService(past, Cursors(ledger.signer), None)  # type: ignore[arg-type]


@on_ledger
async def test_lines_have_their_texts_where_all_accounts_may_be_seen(ledger: ApiLedger) -> None:
    service = await filled(ledger)
    query = LinesQuery(CASH)
    mixed, mine = (await service.lines(query, None, Wanted(permission=MINE)))["lines"]
    assert (mixed["transaction_id"], mixed["redacted"]) == ("mixed", True)
    assert SECRET not in json.dumps(mixed)
    assert (mixed["description"], mixed["metadata"], mixed["counterparts"]) == (None, {}, [])
    assert mine["redacted"] is False
    assert mine["description"] == f"for {SECRET}"
    assert mine["metadata"]["customer"] == SECRET
    whole = (await service.lines(query, None, Wanted()))["lines"]
    assert [each["redacted"] for each in whole] == [False, False]
    assert whole[0]["counterparts"] == [OTHERS]


@on_ledger
async def test_a_filter_by_metadata_tells_nothing_of_what_is_not_shown(ledger: ApiLedger) -> None:
    service = await filled(ledger)
    for value, found in ((SECRET, ["mine"]), ("somebody", [])):
        query = LinesQuery(CASH, metadata=("customer", value), limit=1)
        seen: list[str] = []
        cursor, pages = None, 0
        while pages == 0 or cursor is not None:
            page = await service.lines(query, cursor, Wanted(permission=MINE))
            seen += [each["transaction_id"] for each in page["lines"]]
            cursor, pages = page["next"], pages + 1
        assert (seen, pages) == (found, 2), "as many pages, whether something matches or not"


@on_ledger
async def test_why_names_no_producer_of_what_is_not_shown(ledger: ApiLedger) -> None:
    await filled(ledger)
    [why] = ledger.kept.why(WhyQuery(CASH, None, None, None, 100)).found
    shown = shown_why(why, MINE)
    assert [line.description for line in shown.lines] == ["", f"for {SECRET}"]
    assert [(each.name, each.lines) for each in shown.by_producer] == [
        ("", 1), (f"{SECRET}-desk", 1),
    ]  # fmt: skip
    assert list(shown.differences()) == []


@on_ledger
async def test_a_transaction_of_others_is_not_there(ledger: ApiLedger) -> None:
    """The same answer as for an id that there is not, whatever is asked of it."""
    await filled(ledger)
    services, me = ledger.services, ledger.caller("assets")
    services.transactions._search = nowhere  # type: ignore[method-assign]
    shown = await services.transactions.show(me, "mine")
    assert shown["transactions"][0]["metadata"]["customer"] == SECRET
    for name in ("theirs", "nobodys"):
        for work in (
            services.transactions.show(me, name),
            services.reversals.publish(me, name, {}, key=None, wait=None),
            services.reversals.dry_run(me, name, {}, key=None),
        ):
            found = await problem_of(work)
            assert (found.code, SECRET in found.detail) == ("NOT_FOUND", False)
    for work in (
        services.transactions.show(me, "mixed"),
        services.reversals.publish(me, "mixed", {}, key=None, wait=None),
    ):
        found = await problem_of(work)
        assert (found.code, SECRET in found.detail) == ("FORBIDDEN", False)


async def nowhere(name: str, books: Any) -> LogFindings:
    """A search of the topics that finds nothing."""
    return LogFindings()


@on_ledger
async def test_records_of_others_with_an_id_are_not_there(ledger: ApiLedger) -> None:
    await filled(ledger)
    services, me = ledger.services, ledger.caller("assets")
    services.transactions._search = nowhere  # type: ignore[method-assign]
    for name, account in (("a", OTHERS), ("b", "assets:till")):
        late = draft(name, debit=CASH, credit=account, at=AT, created_at=AT - 40 * DAY)
        ledger.shard.append(name.encode(), wire(late))
    ledger.fold()
    assert (await problem_of(services.transactions.show(me, "a"))).code == "NOT_FOUND"
    shown = await services.transactions.show(me, "b")
    assert [each["code"] for each in shown["refusals"]] == ["TOO_LATE"]
    assert shown["refusals"][0]["reason"] is None


@on_ledger
async def test_what_names_an_original_of_others_learns_nothing_of_it(ledger: ApiLedger) -> None:
    await filled(ledger)
    me = ledger.caller("assets")
    sent = len(ledger.shard.sent)
    details = set()
    for original in ("theirs", "mixed", "nobodys"):
        made = told(
            "back", debit="assets:till", credit=CASH, reverses=original, ordering_key=original
        )
        for work in (
            ledger.services.writes.publish(me, made, wait=RECONCILED),
            ledger.services.trial.run(me, made),
        ):
            found = await problem_of(work)
            assert found.code == Reason.REVERSAL_UNKNOWN
            details.add(found.detail.replace(original, "?"))
    assert len(details) == 1
    assert len(ledger.shard.sent) == sent + 1, "only what there is not was sent"


def after_over(ledger: ApiLedger) -> After:
    view: Any = None
    refused = RefusedIds(ledger.flow, ledger.history)
    return After(view, ledger.signer, ledger.flow, ledger.database, ledger.drafts, refused)


@on_ledger
async def test_after_is_told_at_once_that_it_was_refused(ledger: ApiLedger) -> None:
    await filled(ledger)
    writes, everybody = ledger.services.writes, ledger.caller()
    for name, account in (("bad", DEPOSIT), ("bad-mine", "assets:bank")):
        made = told(name, reverses="nothing", debit=CASH, credit=account)
        await problem_of(writes.publish(everybody, made, wait=RECONCILED))
    after, clock = after_over(ledger), asyncio.get_running_loop().time
    for lately in (True, False):
        if not lately:
            ledger.flow._published.clear()
        found = await problem_of(after.positions(Wanted(after="bad"), clock() + 60))
        assert (found.status, found.code, found.field) == (422, "REVERSAL_UNKNOWN", "after")
        assert "'bad' was refused at offset" in found.detail
        assert "No accepted transaction 'nothing'" in found.detail
        assert "give the token of that write" in found.detail
    found = await problem_of(after.positions(Wanted(after="bad", permission=MINE), clock()))
    assert found.code == "NOT_YET", "a restricted token learns of no record of others"
    found = await problem_of(after.positions(Wanted(after="bad-mine", permission=MINE), clock()))
    assert (found.code, "'nothing'" in found.detail) == ("REVERSAL_UNKNOWN", False)


@on_ledger
async def test_after_is_told_of_a_refusal_that_the_flow_has_forgotten(ledger: ApiLedger) -> None:
    """Of what this process has published it remembers the place longer than the outcome."""
    made = told("bad", reverses="nothing")
    await problem_of(ledger.services.writes.publish(ledger.caller(), made, wait=RECONCILED))
    await ledger.services.writes.publish(ledger.caller(), told("good"), wait=RECONCILED)
    ledger.fold()
    ledger.flow._recent = ledger.shard.flow.recent = RecentRuns()
    after, until = after_over(ledger), asyncio.get_running_loop().time()
    found = await problem_of(after.positions(Wanted(after="bad"), until))
    assert found.code == "REVERSAL_UNKNOWN"
    assert await after.positions(Wanted(after="good"), until) == {0: 1}


@on_ledger
async def test_after_is_told_of_a_refusal_that_comes_while_it_waits(ledger: ApiLedger) -> None:
    after, clock = after_over(ledger), asyncio.get_running_loop().time
    waiting = asyncio.create_task(problem_of(after.positions(Wanted(after="bad"), clock() + 60)))
    await asyncio.sleep(0)
    made = told("bad", reverses="nothing")
    await problem_of(ledger.services.writes.publish(ledger.caller(), made, wait=RECONCILED))
    assert (await waiting).code == "REVERSAL_UNKNOWN"


@on_ledger
async def test_after_waits_for_no_transaction_of_others(ledger: ApiLedger) -> None:
    await filled(ledger)
    after = after_over(ledger)
    until = asyncio.get_running_loop().time()
    details = set()
    for name in ("theirs", "nobodys"):
        wanted = Wanted(after=name, permission=MINE)
        found = await problem_of(after.positions(wanted, until))
        assert found.code == "NOT_YET"
        details.add(found.detail.replace(name, "?"))
    assert len(details) == 1
    for name, offset in (("mixed", 0), ("mine", 1)):
        assert await after.positions(Wanted(after=name, permission=MINE), until) == {0: offset}
    assert await after.positions(Wanted(after="theirs"), until) == {0: 2}
    assert isinstance(ledger.database, Database)
    assert Position(0, 2) == await ledger.flow.find("theirs")
