"""Writes through the API's services: waits, repetitions, reversals, bulk, dry runs, and limits."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from ledger.api.access.caller import Caller
from ledger.api.flow.fate import Level
from ledger.api.flow.runs import RecentRuns
from ledger.api.positions import Position
from ledger.api.problems import Problem
from ledger.api.services import publishing
from ledger.api.services.bulk import MOST
from ledger.api.services.publishing import Examined
from ledger.api.services.requests import Wait, asked, wait_of
from ledger.api.services.write_measures import measure_writes
from ledger.client.log_search import LogFindings, LoggedRecord
from ledger.client.outcomes import OpenBreak
from ledger.client.receipt import PublishFailed, Receipt
from ledger.client.rejects import line_of
from ledger.domain.access import Permission
from ledger.domain.balance import Balance
from ledger.domain.policy import DAY
from ledger.domain.reference import Account
from ledger.domain.refusal import Reason, Refused
from ledger.gl.books import Accepted
from tests.builders import CASH, DEPOSIT, draft
from tests.unit.api_ledger import ApiLedger
from tests.wire import present

AT = present()
RECONCILED = Wait(Level.RECONCILED, 5)


def on_ledger(test: Callable[[ApiLedger], Awaitable[None]]) -> Callable[[], None]:
    """A test of a ledger in memory."""

    async def run() -> None:
        ledger = ApiLedger()
        try:
            await test(ledger)
        finally:
            ledger.close()

    def started() -> None:
        asyncio.run(run())

    started.__name__, started.__doc__ = test.__name__, test.__doc__
    return started


def body(name: str = "t-1", **changes: Any) -> dict[str, Any]:
    return line_of(draft(name, at=AT, **changes))


async def problem_of(work: Awaitable[Any]) -> Problem:
    with pytest.raises(Problem) as raised:
        await work
    return raised.value


@on_ledger
async def test_without_a_wait_it_is_published(ledger: ApiLedger) -> None:
    found = await ledger.services.writes.publish(ledger.caller(), body())
    assert (found.status, found.reached, found.is_new) == ("published", None, False)
    assert [each.name for each in ledger.audit.actions] == ["transactions.publish"]
    assert (ledger.audit.actions[0].outcome, list(ledger.audit.actions[0].targets)) == (
        "published", ["t-1"],
    )  # fmt: skip


@on_ledger
async def test_with_a_wait_it_is_as_far_as_was_asked(ledger: ApiLedger) -> None:
    found = await ledger.services.writes.publish(ledger.caller(), body(), wait=RECONCILED)
    assert (found.status, found.applied, found.is_new) == ("reconciled", Level.RECONCILED, True)
    assert all(found.times.values())


@on_ledger
async def test_past_the_time_it_says_how_far_it_is(ledger: ApiLedger) -> None:
    ledger.shard.posts = False
    found = await ledger.services.writes.publish(
        ledger.caller(), body(), wait=Wait(Level.RECONCILED, 0.01)
    )
    assert (found.status, found.reached, found.applied) == ("decided", Level.DECIDED, None)
    assert not found.is_new


@on_ledger
async def test_a_retry_is_a_duplicate_and_names_the_first(ledger: ApiLedger) -> None:
    writes, caller = ledger.services.writes, ledger.caller()
    first = await writes.publish(caller, body(), wait=RECONCILED)
    again = await writes.publish(caller, body(), wait=RECONCILED)
    assert (again.status, again.first) == ("duplicate", first.position)
    assert again.position.offset == first.position.offset + 1
    assert again.applied is Level.RECONCILED


@on_ledger
async def test_a_retry_of_what_has_a_break_is_not_reconciled(ledger: ApiLedger) -> None:
    found = OpenBreak(0, CASH, "CAD")
    ledger.shard.flow.take_break(found, is_open=True)
    writes = ledger.services.writes
    first = await writes.publish(ledger.caller(), body(), wait=RECONCILED)
    again = await writes.publish(ledger.caller(), body(), wait=RECONCILED)
    assert (first.status, first.breaks) == ("posted", (found,))
    assert (again.status, again.reached, again.breaks) == ("duplicate", "posted", (found,))
    assert again.applied is None


@on_ledger
async def test_a_retry_that_the_rules_now_refuse_is_a_duplicate_all_the_same(
    ledger: ApiLedger,
) -> None:
    writes, caller = ledger.services.writes, ledger.caller()
    first = await writes.publish(caller, body())
    ledger.shard.reference.add([Account(DEPOSIT, None, None, closed_at=present() - DAY)])
    refused = await problem_of(writes.publish(caller, body("t-2")))
    assert refused.code == Reason.ACCOUNT_CLOSED
    again = await writes.publish(caller, body())
    assert (again.status, again.first) == ("duplicate", first.position)
    assert len(ledger.shard.sent) == 1, "nothing is published for it"


def forgetful(ledger: ApiLedger, *, folds: bool = True) -> None:
    """From now on the flow keeps no run, as if each were longer ago than what it keeps."""
    put = ledger.shard.put

    async def forgotten(key: bytes, value: bytes) -> asyncio.Future[Receipt]:
        future = await put(key, value)
        ledger.flow._recent = ledger.shard.flow.recent = RecentRuns()
        if folds:
            ledger.fold()
        return future

    ledger.shard.put = forgotten  # type: ignore[method-assign]


@on_ledger
async def test_what_the_flow_has_not_kept_is_answered_from_the_database(ledger: ApiLedger) -> None:
    forgetful(ledger)
    writes, caller = ledger.services.writes, ledger.caller()
    first = await writes.publish(caller, body(), wait=RECONCILED)
    assert (first.status, first.reached, first.first) == ("reconciled", Level.RECONCILED, None)
    assert first.times["decided_at"]
    again = await writes.publish(caller, body(), wait=RECONCILED)
    assert (again.status, again.first) == ("duplicate", first.position)
    found = await problem_of(writes.publish(caller, body(kind="fee"), wait=RECONCILED))
    assert (found.code, found.field) == ("ID_REUSED", "transaction_id")
    assert found.more["offset"] == 2


@on_ledger
async def test_what_nothing_can_tell_of_is_published_and_no_more(ledger: ApiLedger) -> None:
    """It is decided by then, and may have been refused."""
    forgetful(ledger, folds=False)
    writes, caller = ledger.services.writes, ledger.caller()
    await writes.publish(caller, body())
    found = await writes.publish(caller, body(kind="fee"), wait=RECONCILED)
    assert (found.status, found.reached, found.applied) == ("published", None, None)
    ledger.database_away()
    found = await writes.publish(caller, body("t-2"), wait=RECONCILED)
    assert (found.status, found.reached, found.is_new) == ("published", None, False)


@on_ledger
async def test_a_repetition_of_long_ago_has_its_times(ledger: ApiLedger) -> None:
    forgetful(ledger)
    writes, caller = ledger.services.writes, ledger.caller()
    first = await writes.publish(caller, body())
    ledger.shard.reference.add([Account(DEPOSIT, None, None, closed_at=present() - DAY)])
    again = await writes.publish(caller, body())
    assert (again.status, again.reached, again.first) == (
        "duplicate", Level.RECONCILED, first.position,
    )  # fmt: skip
    assert again.times["decided_at"]
    assert again.times["posted_at"]


@on_ledger
async def test_where_nothing_can_tell_whether_it_is_a_retry_it_is_not_refused(
    ledger: ApiLedger,
) -> None:
    ledger.database_away()
    found = await problem_of(ledger.services.writes.publish(ledger.caller(), body(amount="0")))
    assert (found.code, found.status) == ("DATABASE_UNAVAILABLE", 503)


@on_ledger
async def test_a_refusal_of_the_log_is_answered_as_such(ledger: ApiLedger) -> None:
    writes, caller = ledger.services.writes, ledger.caller()
    await writes.publish(caller, body())
    found = await problem_of(writes.publish(caller, body(kind="fee"), wait=RECONCILED))
    assert (found.code, found.field, found.status) == ("ID_REUSED", "transaction_id", 422)
    assert found.more["offset"] == 1


@on_ledger
async def test_a_restricted_caller_writes_to_his_accounts_alone(ledger: ApiLedger) -> None:
    writes = ledger.services.writes
    found = await problem_of(writes.publish(ledger.caller("liabilities"), body()))
    assert (found.code, found.status) == ("FORBIDDEN", 403)
    both = ledger.caller("liabilities:deposits", "assets:cash")
    assert (await writes.publish(both, body())).status == "published"
    found = await problem_of(writes.publish(ledger.caller(scopes=["read"]), body()))
    assert found.status == 403
    assert len(ledger.shard.sent) == 1


def test_whose_transaction_it_is_not_is_not_said() -> None:
    caller = Caller("token:a", Permission.of(["read"], ["liabilities:deposits"]), "")
    caller.require_whole("a", ["liabilities:deposits:1"])
    with pytest.raises(Problem) as raised:
        caller.require_whole("a", ["liabilities:deposits:1", "assets:secret"])
    assert raised.value.code == "FORBIDDEN"
    assert "secret" not in raised.value.detail


@on_ledger
async def test_without_created_at_its_id_is_looked_up(ledger: ApiLedger) -> None:
    writes, caller = ledger.services.writes, ledger.caller()
    undated = {name: each for name, each in body("old").items() if name != "created_at"}
    assert ledger.ids.known is not None
    ledger.ids.known["old"] = Accepted(0, 3, present() - 40 * DAY)
    found = await problem_of(writes.publish(caller, undated))
    assert found.code == "TOO_LATE"
    assert "was not sent again" in found.detail
    ledger.ids.known["old"] = Accepted(0, 3, present() - DAY)
    assert (await writes.publish(caller, undated)).status == "published"
    ledger.ids.known = None
    found = await problem_of(writes.publish(caller, undated))
    assert (found.status, found.field) == (503, "created_at")
    assert len(ledger.shard.sent) == 1


@on_ledger
async def test_ids_that_wait_together_are_asked_together(ledger: ApiLedger) -> None:
    questions = []
    find = ledger.ids.find

    async def counted(ids: Any) -> Any:
        questions.append(list(ids))
        await asyncio.sleep(0)
        return await find(ids)

    ledger.ids.find = counted  # type: ignore[method-assign]
    undated = [{**body(f"t-{each}"), "created_at": None} for each in range(20)]
    writes, caller = ledger.services.writes, ledger.caller()
    await asyncio.gather(*(writes.publish(caller, each) for each in undated))
    assert sum(map(len, questions)) == 20
    assert len(questions) <= 2


# Keys and preferences.


@pytest.mark.parametrize("key", ["k-1", '"k-1"'])
def test_the_key_is_the_id_where_the_body_has_none(key: str) -> None:
    given = body()
    del given["transaction_id"]
    found = asked(given, key)
    assert not isinstance(found, Refused)
    assert found.draft["transaction_id"] == "k-1"


@pytest.mark.parametrize(
    ("key", "code"),
    [("t-2", "IDEMPOTENCY_KEY_MISMATCH"), ("", "INVALID_PARAMETER"), ("é", "INVALID_PARAMETER"),
     ("x" * 129, "INVALID_PARAMETER")],
)  # fmt: skip
def test_a_key_that_is_another_or_none_is_refused(key: str, code: str) -> None:
    with pytest.raises(Problem) as raised:
        asked(body(), key)
    assert (raised.value.code, raised.value.field) == (code, "Idempotency-Key")


@pytest.mark.parametrize(
    ("prefer", "level"),
    [
        ("wait=reconciled", Level.RECONCILED), ('wait="posted"', Level.POSTED),
        ("respond-async, wait=decided; x=y", Level.DECIDED), ("WAIT=Reconciled", Level.RECONCILED),
        ("wait=posted, wait=10", Level.POSTED), ("wait=5, wait=decided", Level.DECIDED),
        ("respond-async, wait=10", Level.RECONCILED), ("wait=decided, wait=posted", Level.DECIDED),
        ("return=minimal", None), ("", None), (None, None), ("waiting=posted", None),
    ],
)  # fmt: skip
def test_preferences_as_rfc_7240_has_them(prefer: str | None, level: Level | None) -> None:
    found = wait_of(prefer, None)
    assert (found and found.level) == level


@pytest.mark.parametrize(
    ("prefer", "timeout", "seconds"),
    [("wait=posted", None, 10), ("wait=posted", 3.0, 3), ("wait=posted, wait=7", None, 7),
     ("wait=7", 3.0, 3), ("wait=2, wait=posted", 30.0, 2), ("wait=600", None, 60), ("wait=0", None, 0)],
)  # fmt: skip
def test_the_shortest_time_counts(prefer: str, timeout: float | None, seconds: float) -> None:
    found = wait_of(prefer, timeout)
    assert found is not None
    assert found.seconds == seconds


@pytest.mark.parametrize(
    ("prefer", "seconds", "field"),
    [("wait=now", None, "Prefer"), ("wait", None, "Prefer"), ("wait=1.5", 3.0, "Prefer"),
     ("wait=-1", None, "Prefer"), ("wait=posted, wait=soon", None, "Prefer"), ("handling=strict", 3.0, "timeout"),
     (None, 3.0, "timeout"), ("x" * 1_001, None, "Prefer")],
)  # fmt: skip
def test_a_wait_that_there_is_not_is_no_silent_one(
    prefer: str | None, seconds: float | None, field: str
) -> None:
    with pytest.raises(Problem) as raised:
        wait_of(prefer, seconds)
    assert (raised.value.status, raised.value.field) == (400, field)


# Many.


@on_ledger
async def test_each_of_a_bulk_has_its_own_result_in_order(ledger: ApiLedger) -> None:
    bodies = [body("a"), body("b", amount="0"), body("a"), 5, body("c")]
    found = await ledger.services.bulk.publish(
        ledger.caller(), {"transactions": bodies}, RECONCILED
    )
    results = found["results"]
    assert [each["status"] for each in results] == [
        "reconciled", "refused", "duplicate", "refused", "reconciled",
    ]  # fmt: skip
    assert [each["index"] for each in results] == list(range(5))
    assert (results[1]["code"], results[1]["field"]) == (
        "AMOUNT_NOT_POSITIVE", "entries[0].amount",
    )  # fmt: skip
    assert (results[1]["transaction_id"], results[3]["transaction_id"]) == ("b", None)
    assert results[2]["first"] == {"shard": 0, "offset": 0}
    assert found["token"]
    assert [list(each.targets) for each in ledger.audit.actions] == [["a", "a", "c"]]


@on_ledger
async def test_a_bulk_keeps_the_order_of_its_transactions(ledger: ApiLedger) -> None:
    bodies = [body(f"t-{each:03}") for each in range(300)]
    found = await ledger.services.bulk.publish(ledger.caller(), bodies, None)
    assert [each["offset"] for each in found["results"]] == list(range(300))


@on_ledger
async def test_a_bulk_of_which_one_may_be_in_the_log_is_not_said_to_be_unsent(
    ledger: ApiLedger,
) -> None:
    problems = iter(["KAFKA_UNAVAILABLE", "OUTCOME_UNKNOWN"])

    async def append(record: Examined) -> Receipt:
        raise Problem(next(problems), "It does not answer.")

    ledger.publishing.append = append  # type: ignore[method-assign]
    found = await problem_of(
        ledger.services.bulk.publish(ledger.caller(), [body("a"), body("b")], None)
    )
    assert found.code == "OUTCOME_UNKNOWN"
    [action] = ledger.audit.actions
    assert (action.outcome, action.detail) == ("unknown", "0 of 2; 1 not known")


@pytest.mark.parametrize(
    "given",
    [{}, [], {"transactions": []}, {"transactions": "x"}, "x", None, [{}] * (MOST + 1),
     {"transactions": [{}], "atomic": True}],
    ids=str,
)  # fmt: skip
def test_what_is_no_bulk_is_refused(given: Any) -> None:
    @on_ledger
    async def run(ledger: ApiLedger) -> None:
        found = await problem_of(ledger.services.bulk.publish(ledger.caller(), given, None))
        assert (found.status, found.field) == (400, "transactions")

    run()


# Back, and what would be.


@on_ledger
async def test_a_reversal_takes_it_back_once(ledger: ApiLedger) -> None:
    services, caller = ledger.services, ledger.caller()
    await services.writes.publish(caller, body(), wait=RECONCILED)

    async def back(**given: Any) -> Any:
        return await services.reversals.publish(caller, "t-1", given, key=None, wait=RECONCILED)

    made = await back(reason="typo")
    assert (made.transaction_id, made.status) == ("reversal-of/t-1", "reconciled")
    assert (await back(reason="typo")).status == "duplicate"
    again = await problem_of(back(reason="another"))
    assert again.code == "ID_REUSED"
    assert "'t-1' was reversed already, by 'reversal-of/t-1'" in again.detail
    assert "Nothing more is to be done" in again.detail
    assert (await problem_of(back(transaction_id="mine"))).code == "NOT_REVERSIBLE"
    assert (await problem_of(back(why="x"))).code == "FIELD_MALFORMED"
    assert [each.name for each in ledger.audit.actions][1] == "transactions.reverse"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"effective_at": ""}, "FIELD_MALFORMED"),
        ({"created_at": 0}, "FIELD_MALFORMED"),
        ({"transaction_id": ""}, "FIELD_MISSING"),
    ],
)
def test_what_is_empty_in_a_reversal_is_not_left_out(given: dict[str, Any], code: str) -> None:
    @on_ledger
    async def run(ledger: ApiLedger) -> None:
        services, caller = ledger.services, ledger.caller()
        await services.writes.publish(caller, body(), wait=RECONCILED)
        back = services.reversals.publish(caller, "t-1", given, key=None, wait=None)
        assert (await problem_of(back)).code == code
        assert len(ledger.shard.sent) == 1

    run()


@on_ledger
async def test_what_is_not_decided_yet_is_not_said_to_be_unknown(ledger: ApiLedger) -> None:
    services = ledger.services

    async def search(name: str, books: Any) -> LogFindings:
        return LogFindings(records=[LoggedRecord(0, 5, AT)], decided_to={0: 5})

    services.transactions._search = search  # type: ignore[method-assign]
    back = services.reversals.publish(ledger.caller(), "t-1", {}, key=None, wait=None)
    assert (await problem_of(back)).code == "NOT_YET"


@on_ledger
async def test_what_can_be_no_id_is_not_looked_up(ledger: ApiLedger) -> None:
    judge = ledger.services.writes._parts.judge
    ledger.database_away()
    for name in ("", "a\0", "x" * 129):
        assert await judge.accepted(name, 0) is None


@on_ledger
async def test_a_reversal_by_an_id_of_its_own_can_be_sent_again(ledger: ApiLedger) -> None:
    services, caller = ledger.services, ledger.caller()
    await services.writes.publish(caller, body(), wait=RECONCILED)
    statuses = [
        (await services.reversals.publish(caller, "t-1", {}, key="mine", wait=RECONCILED)).status
        for _ in range(2)
    ]
    assert statuses == ["reconciled", "duplicate"]


@on_ledger
async def test_a_reversal_needs_the_accounts_of_what_it_takes_back(ledger: ApiLedger) -> None:
    services = ledger.services
    await services.writes.publish(ledger.caller(), body(), wait=RECONCILED)
    found = await problem_of(
        services.reversals.publish(ledger.caller(CASH), "t-1", {}, key=None, wait=None)
    )
    assert found.status == 403


@on_ledger
async def test_a_dry_run_says_what_becomes_of_it_and_writes_nothing(ledger: ApiLedger) -> None:
    services, caller = ledger.services, ledger.caller()
    ledger.view.known[CASH] = [
        Balance(CASH, "CAD", 2, "-5.00", "1.25", "0.00", "5.00", 1, "pending", 3)
    ]
    found = await services.trial.run(caller, body(amount="10.00"))
    assert (found["outcome"], found["dry_run"]) == ("accepted", True)
    assert [(each["account"], each["before"], each["after"]) for each in found["balances"]] == [
        (CASH, "-3.75", "6.25"),
        (DEPOSIT, "0.00", "10.00"),
    ]
    assert (ledger.shard.sent, ledger.audit.actions) == ([], [])
    await services.writes.publish(caller, body())
    found = await services.trial.run(caller, body())
    assert (found["outcome"], found["first"]) == ("duplicate", {"shard": 0, "offset": 0})
    reused = await problem_of(services.trial.run(caller, body(kind="fee")))
    assert (reused.code, reused.more["dry_run"]) == ("ID_REUSED", True)
    back = await services.reversals.dry_run(caller, "t-1", {}, key=None)
    assert back["outcome"] == "accepted"
    assert len(ledger.shard.sent) == 1


@on_ledger
async def test_before_the_balances_are_read_a_dry_run_shows_none(ledger: ApiLedger) -> None:
    ledger.view.is_ready = False
    found = await problem_of(ledger.services.trial.run(ledger.caller(), body()))
    assert found.code == "VIEW_NOT_READY"


@on_ledger
async def test_a_dry_run_knows_what_was_accepted_long_ago(ledger: ApiLedger) -> None:
    """By the general ledger and the decision log, where the runs that are kept no longer have it."""
    services, caller = ledger.services, ledger.caller()
    await services.writes.publish(caller, body())
    ledger.flow._recent._runs.clear()
    ledger.flow._recent._order.clear()
    assert (await services.trial.run(caller, body()))["outcome"] == "duplicate"
    again = await problem_of(services.trial.run(caller, body(amount="10.0")))
    assert again.code == "ID_REUSED", "amounts count as they were written"


@on_ledger
async def test_a_dry_run_that_cannot_know_says_so(ledger: ApiLedger) -> None:
    ledger.shard.posts = False
    services, caller = ledger.services, ledger.caller()
    await services.writes.publish(caller, body("a"))
    ledger.flow._recent._runs.clear()
    ledger.flow._recent._order.clear()
    found = await problem_of(services.trial.run(caller, body("b")))
    assert found.status == 503


@on_ledger
async def test_a_transaction_shows_its_whole_way(ledger: ApiLedger) -> None:
    services, caller = ledger.services, ledger.caller()
    await services.writes.publish(caller, body(), wait=RECONCILED)
    await services.reversals.publish(caller, "t-1", {}, key=None, wait=RECONCILED)
    shown = await services.transactions.show(caller, "t-1")
    [row] = shown["transactions"]
    assert (shown["state"], row["state"]) == ("compared", "compared")
    assert row["decided"]["at"]
    assert row["posted"]["done"]
    assert row["compared"]["at"]
    assert [each["transaction_id"] for each in row["reversed_by"]] == ["reversal-of/t-1"]
    assert shown["reversed_by"] == row["reversed_by"]
    assert row["token"]
    found = await problem_of(services.transactions.show(ledger.caller(CASH), "t-1"))
    assert found.status == 403


@on_ledger
async def test_what_is_decided_and_not_posted_shows_without_the_database(
    ledger: ApiLedger,
) -> None:
    ledger.shard.posts = False
    services, caller = ledger.services, ledger.caller()
    await services.writes.publish(caller, body())
    ledger.database_away()
    shown = await services.transactions.show(caller, "t-1")
    assert (shown["state"], shown["complete"]) == ("decided", False)
    assert shown["transactions"][0]["posted"]["done"] is None


# What Kafka does not take.


class Held:
    """An appender that acknowledges when it is told to."""

    def __init__(self) -> None:
        self.futures: list[asyncio.Future[Receipt]] = []
        self.asked = asyncio.Event()

    async def put(self, key: bytes, value: bytes) -> asyncio.Future[Receipt]:
        future: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        self.futures.append(future)
        self.asked.set()
        return future


RECORD = Examined(b"key", b"x" * 200_000, 0)


def holding(ledger: ApiLedger) -> Held:
    held = Held()
    ledger.publishing.publisher._appenders = [held]  # type: ignore[list-item]
    return held


async def started(ledger: ApiLedger, count: int = 1) -> list[asyncio.Task[Receipt]]:
    tasks = [asyncio.create_task(ledger.publishing.append(RECORD)) for _ in range(count)]
    await asyncio.sleep(0)
    return tasks


@on_ledger
async def test_a_send_that_failed_is_unknown_and_not_done(ledger: ApiLedger) -> None:
    held = holding(ledger)
    [task] = await started(ledger)
    held.futures[0].set_exception(PublishFailed("No acknowledgement. Publish it again."))
    found = await problem_of(task)
    assert (found.code, found.status) == ("OUTCOME_UNKNOWN", 503)
    assert "Retry-After" in found.headers
    assert (ledger.publishing.pending, ledger.publishing.pending_bytes) == (0, 0)


@on_ledger
async def test_the_audit_log_calls_it_unknown_too(ledger: ApiLedger) -> None:
    held = holding(ledger)
    task = asyncio.create_task(ledger.services.writes.publish(ledger.caller(), body()))
    await held.asked.wait()
    held.futures[0].set_exception(PublishFailed("No acknowledgement. Publish it again."))
    assert (await problem_of(task)).code == "OUTCOME_UNKNOWN"
    assert [each.outcome for each in ledger.audit.actions] == ["unknown"]


@on_ledger
async def test_more_than_may_be_pending_is_not_taken(ledger: ApiLedger) -> None:
    held = holding(ledger)
    most = publishing.PENDING_BYTES // RECORD.weight
    tasks = await started(ledger, most)
    assert len(held.futures) == most
    found = await problem_of(ledger.publishing.append(RECORD))
    assert (found.code, found.status) == ("TOO_MANY_REQUESTS", 429)
    assert len(held.futures) == most, "nothing was sent"
    for number, future in enumerate(held.futures):
        future.set_result(Receipt(0, number))
    assert [each.offset for each in await asyncio.gather(*tasks)] == list(range(most))
    assert ledger.publishing.pending == 0
    assert not ledger.publishing.problem()


@on_ledger
async def test_a_shard_that_has_stalled_takes_no_more(ledger: ApiLedger) -> None:
    held = holding(ledger)
    [task] = await started(ledger)
    ledger.publishing._shards[0].since -= publishing.STALLED_SECONDS + 1
    found = await problem_of(ledger.publishing.append(RECORD))
    assert (found.code, found.status, len(held.futures)) == ("KAFKA_UNAVAILABLE", 503, 1)
    assert "shard 0" in (ledger.publishing.problem() or "")
    held.futures[0].set_result(Receipt(0, 0))
    await task
    assert ledger.publishing.problem() is None
    again = await started(ledger)
    held.futures[1].set_result(Receipt(0, 1))
    assert (await again[0]).offset == 1


@on_ledger
async def test_without_a_publisher_nothing_is_sent(ledger: ApiLedger) -> None:
    ledger.publishing._publisher, ledger.publishing._why = None, "Kafka does not answer."
    found = await problem_of(ledger.services.writes.publish(ledger.caller(), body()))
    assert (found.code, found.status) == ("KAFKA_UNAVAILABLE", 503)
    assert "Nothing was sent" in found.detail


@on_ledger
async def test_what_history_has_refused_shows_without_a_search(ledger: ApiLedger) -> None:
    services, caller = ledger.services, ledger.caller()
    await services.writes.publish(caller, body())
    await problem_of(services.writes.publish(caller, body(kind="fee"), wait=RECONCILED))
    ledger.fold()
    shown = await services.transactions.show(caller, "t-1")
    assert [each["code"] for each in shown["refusals"]] == ["ID_REUSED"]
    assert shown["refusals"][0]["token"]
    assert shown["transactions"][0]["state"] == "compared"
    paths = ledger.caller(CASH, DEPOSIT)
    shown = await services.transactions.show(paths, "t-1")
    assert shown["refusals"][0]["reason"] is None, "it may name accounts of others"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "back"]),
        st.sampled_from(["10.00", "10.0", "0", "1.234"]),
        st.sampled_from([None, "a", "b", "back"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=8,
)


async def outcome_of(work: Awaitable[Any]) -> str:
    """A refusal's code, or whether it is accepted or repeats what was."""
    try:
        found = await work
    except Problem as problem:
        return problem.code
    if isinstance(found, dict):
        return str(found["outcome"])
    return "duplicate" if found.status == "duplicate" else "accepted"


@settings(max_examples=40, deadline=None)
@given(STEPS, st.booleans())
def test_a_dry_run_is_what_then_comes(steps: list[Any], forgets: bool) -> None:
    """Whatever was written before, and whether the flow still keeps it."""

    @on_ledger
    async def run(ledger: ApiLedger) -> None:
        services, caller = ledger.services, ledger.caller()
        for name, amount, reverses, mirrored in steps:
            debit, credit = (DEPOSIT, CASH) if mirrored else (CASH, DEPOSIT)
            made = body(name, amount=amount, debit=debit, credit=credit,
                        ordering_key="one", reverses=reverses)  # fmt: skip
            if forgets:
                ledger.flow._recent._runs.clear()
                ledger.flow._recent._order.clear()
            before = len(ledger.shard.sent)
            said = await outcome_of(services.trial.run(caller, made))
            assert len(ledger.shard.sent) == before
            assert said == await outcome_of(services.writes.publish(caller, made, wait=RECONCILED))

    run()


@on_ledger
async def test_what_is_pending_is_measured(ledger: ApiLedger) -> None:
    registry = CollectorRegistry()
    measure_writes(registry, ledger.flow, ledger.publishing)
    held = holding(ledger)
    [task] = await started(ledger)
    waiting = asyncio.create_task(ledger.flow.wait(Position(0, 9), Level.DECIDED, 5))
    await asyncio.sleep(0)
    value = lambda name: registry.get_sample_value(f"faust_ledger_api_writes_{name}")  # noqa: E731
    assert (value("pending"), value("pending_bytes"), value("waiting")) == (1, RECORD.weight, 1)
    held.futures[0].set_result(Receipt(0, 0))
    await task
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert (value("pending"), value("pending_bytes"), value("waiting")) == (0, 0, 0)
