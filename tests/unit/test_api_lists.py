"""Accounts, assets and breaks as lists: whole, in order, and stable page after page."""

import asyncio
import random
from types import SimpleNamespace

import pytest

from ledger.api.access.caller import Caller
from ledger.api.breaks import fold
from ledger.api.cursors import Cursors
from ledger.api.problems import Problem
from ledger.api.reference import ApiReference
from ledger.api.routes.accounts import visible
from ledger.api.services.accounts import (
    AccountQuery,
    AccountsService,
    State,
    is_below,
    order,
    roots_of,
)
from ledger.api.services.assets import AssetsService
from ledger.api.services.breaks import BreakQuery, BreaksService, place_of
from ledger.api.signing import Signer
from ledger.api.view.copy import BalanceCopy
from ledger.api.view.kept import Change, Kept, Place
from ledger.domain.access import Permission
from ledger.domain.account import TYPES
from ledger.domain.balance import Balance
from ledger.domain.reference import Account, Asset
from ledger.settings import Settings

NOW = 1_000_000
ALL = AccountQuery()


@pytest.fixture
def reference(tmp_path) -> ApiReference:
    made = ApiReference(Settings(data_dir=tmp_path))
    made._whole = True
    return made


@pytest.fixture
def copy(tmp_path):
    made = BalanceCopy(tmp_path / "copy")
    made.begin("topic", {0: 0})
    yield made
    made.close()


def caller_of(scope, *paths) -> Caller:
    return Caller("token:x", Permission.of([scope], paths), "127.0.0.1")


def use(copy, accounts, currencies=("CAD", "USD"), to=1) -> None:
    changes = []
    for account in accounts:
        for currency in currencies:
            made = Balance(account, currency, 2, "0.00", "0.00", "0.00", "0.00", 1, "reconciled", 1)
            changes.append(Change(account, currency, made, Kept.of(made)))
    copy.take(0, changes, Place(0, to))


def service_over(copy, reference) -> AccountsService:
    def under(root, *, after, limit):
        return copy.under(root, after, limit)

    def state():
        return SimpleNamespace(problem="They are being read.")

    view = SimpleNamespace(under=under, balances=copy.balances, is_ready=True, state=state)
    return AccountsService(reference, view)


def pages(service, roots, query=ALL, limit=3):
    after = ""
    while after is not None:
        page = asyncio.run(service.accounts(roots, query, after=after, limit=limit, at=NOW))
        assert len(page.rows) <= limit
        yield page.rows
        after = page.after


def listed(*args, **more):
    return [row["account"] for rows in pages(*args, **more) for row in rows]


@pytest.mark.parametrize("seed", range(30))
def test_every_account_is_listed_once_in_the_order_of_paths(copy, reference, seed) -> None:
    at = random.Random(seed)
    names = [
        ":".join(
            [at.choice(TYPES), *at.choices(["a", "a-b", "a.b", "b", "B", "0"], k=at.randint(1, 3))]
        )
        for _ in range(60)
    ]
    used, declared = set(names[:40]), set(names[25:])
    use(copy, sorted(used))
    reference.known.accounts.update({each: Account(each) for each in declared})
    service = service_over(copy, reference)
    roots = roots_of(at.choices([*TYPES, *names], k=at.randint(0, 4)))
    expected = sorted((each for each in used | declared if is_below(each, roots)), key=order)
    limit = at.choice([1, 2, 7, 100])
    assert listed(service, roots, limit=limit) == expected
    only = AccountQuery(declared=True)
    assert listed(service, roots, only, limit=limit) == [
        each for each in expected if each in declared
    ]
    others = AccountQuery(declared=False)
    assert listed(service, roots, others, limit=limit) == [
        each for each in expected if each not in declared
    ]


def test_a_page_goes_on_where_the_last_one_ended_whatever_came_since(copy, reference) -> None:
    service = service_over(copy, reference)
    use(copy, ["assets:b", "assets:d", "assets:f"])
    each = pages(service, ["assets"], limit=1)
    assert [row["account"] for row in next(each)] == ["assets:b"]
    use(copy, ["assets:a", "assets:c"], to=2)
    assert [row["account"] for rows in each for row in rows] == ["assets:c", "assets:d", "assets:f"]


def test_an_account_is_shown_as_it_is_declared_and_used(copy, reference) -> None:
    use(copy, ["assets:used"])
    declared = [
        Account("assets:new", "New", "CAD", NOW + 1),
        Account("assets:old", closed_at=NOW),
        Account("assets:now", opened_at=NOW),
    ]
    reference.known.accounts.update({each.code: each for each in declared})
    service = service_over(copy, reference)
    assert service.account("assets:new", at=NOW) == {
        "account": "assets:new", "type": "assets", "name": "New", "currency": "CAD",
        "opened_at": "1970-01-01T00:00:01.000001Z", "closed_at": None, "state": "planned",
        "declared": True, "in_use": False,
    }  # fmt: skip
    for state, expected in ((State.PLANNED, ["assets:new"]), (State.CLOSED, ["assets:old"]),
                            (State.OPEN, ["assets:now", "assets:used"])):  # fmt: skip
        assert listed(service, ["assets"], AccountQuery(state=state)) == expected
    assert service.account("assets:nothing", at=NOW) is None
    assert service.account("assets:used", at=NOW)["in_use"]


def test_a_restricted_token_lists_what_it_covers() -> None:
    everything = caller_of("read")
    assert visible(everything, None) == sorted(TYPES)
    assert visible(everything, "assets") == ["assets"]
    some = caller_of("read", "liabilities:deposits", "assets:cash", "assets:cash:till")
    assert visible(some, None) == ["assets:cash", "liabilities:deposits"]
    assert visible(some, "assets") == ["assets:cash"]
    assert visible(some, "liabilities:deposits:7") == ["liabilities:deposits:7"]
    with pytest.raises(Problem) as caught:
        visible(some, "income")
    assert caught.value.code == "FORBIDDEN"


def test_assets_are_listed_by_code(reference) -> None:
    reference.assets = {"CAD": Asset("CAD", 2), "ZZBTC": Asset("ZZBTC", 8, "Coin")}
    service = AssetsService(reference)
    assert [each.code for each in service.assets(imported=True, after="", limit=10)] == ["ZZBTC"]
    first = service.assets(imported=None, after="", limit=100)
    rest = service.assets(imported=None, after=first[-1].code, limit=1_000)
    codes = [each.code for each in first + rest]
    assert codes == sorted(codes)
    assert {"CAD", "USD", "ZZBTC"} <= set(codes)
    reference._whole = False
    with pytest.raises(Problem, match="not read yet"):
        service.assets(imported=None, after="", limit=1)


def row(account, shard=0, currency="CAD", state="open"):
    totals = {"debits": "1234", "credits": "0", "entries": 3, "offset": 9}
    return {"shard": shard, "account": account, "currency": currency, "start": 5, "end": 10, "state": state,
            "stream": totals, "ledger": None, "detected_at": NOW}  # fmt: skip


def test_open_breaks_are_those_whose_last_record_is_open(reference) -> None:
    found = {}
    for each in (row("assets:b"), row("assets:a", 2), row("assets:a", 1), row("assets:b", state="closed"),
                 row("assets:a:c"), row("income:x", currency="USD")):  # fmt: skip
        fold(found, each)
    breaks = BreaksService(SimpleNamespace(found=found, require=lambda: None), reference)
    every = breaks.breaks(TYPES, BreakQuery(), after=None, limit=10)
    assert [(each["account"], each["shard"]) for each in every] == [
        ("assets:a", 1), ("assets:a", 2), ("assets:a:c", 0), ("income:x", 0),
    ]  # fmt: skip
    assert every[0]["stream"] == {"debits": "12.34", "credits": "0.00", "entries": 3, "offset": 9}
    assert every[0]["ledger"] is None
    place = place_of(next(each for each in found.values() if each.stripe.shard == 1))
    assert len(breaks.breaks(TYPES, BreakQuery(), after=place, limit=2)) == 2
    for query, count in ((BreakQuery(currency="USD"), 1), (BreakQuery(shard=2), 1)):
        assert len(breaks.breaks(TYPES, query, after=None, limit=10)) == count
    assert len(breaks.breaks(["assets"], BreakQuery(), after=None, limit=10)) == 3
    assert not breaks.breaks(["assets:c"], BreakQuery(), after=None, limit=10)


def test_a_cursor_of_one_list_is_none_of_another() -> None:
    cursors = Cursors(Signer(b"k" * 32))
    cursor = cursors.write({"of": "assets", "imported": None}, ["CAD"])
    with pytest.raises(Problem, match="other parameters"):
        cursors.read({"of": "accounts"}, cursor)


def test_a_page_remembers_nothing_that_the_event_loop_changes(copy, reference) -> None:
    """It is read in a thread: what it remembered of an account could be older than its balance."""
    use(copy, ["assets:a:b"])
    reference.known.accounts.update({each: Account(each) for each in ("assets:a", "assets:a:b")})
    service = service_over(copy, reference)
    [rows] = pages(service, ["assets"], AccountQuery(declared=True))
    assert [(each["account"], each["in_use"]) for each in rows] == [
        ("assets:a", False),
        ("assets:a:b", True),
    ]
    assert not copy._shown


def test_before_the_balances_are_read_no_account_is_said_not_to_be(copy, reference) -> None:
    service = service_over(copy, reference)
    service._view.is_ready = False
    with pytest.raises(Problem) as caught:
        listed(service, ["assets"])
    assert caught.value.code == "VIEW_NOT_READY"
    with pytest.raises(Problem) as caught:
        service.account("assets:a", at=NOW)
    assert caught.value.code == "VIEW_NOT_READY"
