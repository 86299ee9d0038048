"""The copy of the balances on disk: its order, its sums, its positions, and what is none of ours."""

import json
import random
from itertools import pairwise
from types import SimpleNamespace

import pytest

import schemas
from ledger.api.view import keys
from ledger.api.view.copy import BalanceCopy
from ledger.api.view.figures import Figures
from ledger.api.view.kept import Change, Kept, Place
from ledger.api.view.taking import Decoding, Foreign
from ledger.domain import money
from ledger.domain.account import on_normal_side
from ledger.domain.balance import Balance
from ledger.domain.codecs import encoder
from ledger.domain.partition import partition_of
from ledger.streaming.registry import Codec

ENCODE = encoder(schemas.load("Balance"), Balance)
CODEC = Codec({"Balance": 7, "Coverage": 8})


def balance(account, currency="CAD", *, debits=0, credits=0, pending=0, version=1, scale=2,
            status="reconciled", entries=1):  # fmt: skip
    posted = on_normal_side(account, debits=debits, credits=credits)
    return Balance(account, currency, scale, *(money.show(each, scale) for each in (posted, pending, debits, credits)),
                   entries, status, version)  # fmt: skip


def change(*args, **more):
    made = balance(*args, **more)
    return Change(made.account, made.currency, made, Kept.of(made))


@pytest.fixture
def copy(tmp_path):
    made = BalanceCopy(tmp_path / "copy")
    made.begin("topic", {0: 0})
    yield made
    made.close()


def take(copy, *changes, to=1):
    return copy.take(0, changes, Place(0, to))


def test_a_path_and_all_below_it_are_one_range_by_whole_segments():
    accounts = ["assets:a", "assets:a:b", "assets:a:b:c", "assets:a:b-x", "assets:a:b.x", "assets:a:b0",
                "assets:a:bB", "assets:a:b_", "assets:ab", "assets:a:c"]  # fmt: skip
    for account in accounts:
        start, end = keys.at_and_below(account)
        inside = {each for each in accounts if start <= keys.key(keys.BALANCE, each, "CAD") < end}
        assert inside == {
            each for each in accounts if each == account or each.startswith(f"{account}:")
        }
    start, end = keys.exactly(keys.BALANCE, "assets:a")
    assert [each for each in accounts if start <= keys.key(keys.BALANCE, each, "CAD") < end] == [
        "assets:a"
    ]
    assert keys.stripe_of(keys.key(keys.BALANCE, "assets:a:b", "XBT-1")) == ("assets:a:b", "XBT-1")
    assert keys.parents("assets:a:b") == ["assets:a", "assets"]


def test_an_account_is_read_in_all_currencies_and_no_other_account_with_it(copy):
    take(copy, change("assets:cash", "USD", debits=5), change("assets:cash", debits=7),
         change("assets:cash:till", debits=9), change("assets:cash2", debits=11))  # fmt: skip
    assert copy.balances("assets:cash") == [
        balance("assets:cash", debits=7),
        balance("assets:cash", "USD", debits=5),
    ]
    assert copy.balances("assets:cas") == []


def test_pages_of_a_path_have_each_balance_once(copy):
    accounts = [f"assets:a:{each}" for each in range(30)] + ["assets:a", "assets:ab", "assets:b"]
    for account in accounts:
        take(copy, change(account, debits=1), change(account, "USD", debits=2))
    found, after = [], None
    while page := copy.under("assets:a", after, 7):
        found += page
        after = page[-1].account, page[-1].currency
    assert [(each.account, each.currency) for each in found] == [
        (account, currency)
        for account in ["assets:a", *sorted(f"assets:a:{each}" for each in range(30))]
        for currency in ("CAD", "USD")
    ]


def test_sums_are_those_of_the_balances_whatever_comes(copy):
    chance, last = random.Random(5), {}
    names = ["assets:a", "assets:a:b", "assets:a:b:c", "assets:a:b-c", "assets:ab", "income:fees"]
    for version in range(400):
        made = []
        for _ in range(chance.randint(1, 5)):
            name, currency = chance.choice(names), chance.choice(["CAD", "USD"])
            if chance.random() < 0.1:
                made.append(Change(name, currency))
                last.pop((name, currency), None)
            else:
                made.append(change(name, currency, debits=chance.randint(0, 2**70), credits=chance.randint(0, 2**70),
                                   pending=chance.randint(-5, 5), entries=chance.randint(0, 9), version=version,
                                   status=chance.choice(["reconciled", "pending", "break"])))  # fmt: skip
                last[name, currency] = made[-1].kept.figures
        take(copy, *made)
        if version % 100 == 50:
            copy._kept.clear()
            copy._sums.clear()
    for path in ["assets", "income", "assets:none", *names]:
        expected = {}
        for (name, currency), figures in last.items():
            if name == path or name.startswith(f"{path}:"):
                expected[currency] = (
                    expected[currency].plus(figures) if currency in expected else figures
                )
        assert copy.sums_under(path) == expected


def test_a_sum_has_the_larger_number_of_decimals_and_the_worst_status():
    cents, whole = (
        Figures.of(balance("assets:a", debits=150)),
        Figures.of(balance("assets:b", debits=3, scale=0)),
    )
    both = cents.plus(whole)
    assert (both.scale, both.debits, both.accounts, both.status) == (2, 450, 2, "reconciled")
    assert both.plus(Figures.of(balance("assets:c", status="pending"))).status == "pending"
    assert Figures.read(both.text()) == both


def test_a_version_never_falls_unless_the_balance_was_removed(copy):
    assert take(copy, change("assets:a", debits=2, version=5))
    assert take(copy, change("assets:a", debits=1, version=4)) == []
    assert copy.balances("assets:a")[0].version == 5
    # A break raises no version.
    assert take(copy, change("assets:a", debits=2, version=5, status="break"))
    assert copy.balances("assets:a")[0].status == "break"
    take(copy, Change("assets:a", "CAD"), change("assets:a", debits=1, version=4))
    assert copy.balances("assets:a") == [balance("assets:a", debits=1, version=4)]
    assert copy.sums_under("assets")["CAD"].debits == 1


def test_what_changed_is_told_once_with_the_newest_of_each(copy):
    told = take(
        copy,
        change("assets:a", version=1),
        change("assets:a", version=2, debits=1),
        change("assets:b"),
    )
    assert [(each.account, each.balance.version) for each in told] == [
        ("assets:a", 2),
        ("assets:b", 1),
    ]
    assert take(copy, change("assets:b")) == []
    (removed,) = take(copy, Change("assets:a", "CAD"))
    assert removed.balance is None
    assert take(copy, Change("assets:a", "CAD")) == []


def test_balances_and_position_come_back_together(tmp_path):
    first = BalanceCopy(tmp_path / "copy")
    assert first.origin == ""
    first.begin("topic", {0: 3, 1: 0})
    first.take(0, [change("assets:a", debits=1)], Place(3, 8))
    first.note_coverage({1: [4, 5]})
    first.as_of = 77
    first.close()
    again = BalanceCopy(tmp_path / "copy")
    assert (again.origin, again.as_of) == ("topic", 77)
    assert again.places() == {0: Place(3, 8), 1: Place(0, 0)}
    assert again.coverage() == {1: [4, 5]}
    assert again.balances("assets:a") == [balance("assets:a", debits=1)]
    again.begin("another", {0: 0})
    assert (again.balances("assets:a"), again.coverage(), again.as_of) == ([], {}, None)
    again.close()


def test_a_copy_of_another_format_is_read_again(tmp_path, monkeypatch):
    first = BalanceCopy(tmp_path / "copy")
    first.begin("topic", {0: 0})
    first.take(0, [change("assets:a")], Place(0, 1))
    first.close()
    monkeypatch.setattr("ledger.api.view.copy.FORMAT", "2")
    again = BalanceCopy(tmp_path / "copy")
    assert (again.origin, again.places(), again.balances("assets:a")) == ("", {}, [])
    again.close()


def test_what_could_not_be_written_is_not_believed(copy, monkeypatch):
    take(copy, change("assets:a", debits=1, version=1))

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(copy._store, "write", full)
        with pytest.raises(OSError, match="No space"):
            take(copy, change("assets:a", debits=9, version=9))
    assert take(copy, change("assets:a", debits=2, version=2))
    assert copy.balances("assets:a")[0].version == 2
    assert copy.sums_under("assets")["CAD"].debits == 2


def record(key, value, partition):
    return SimpleNamespace(topic="t", partition=partition, offset=0, key=key, value=value)


def of(made, head=None):
    key = f"{made.account} {made.currency}".encode()
    return record(key, ENCODE(made, CODEC.head("Balance") if head is None else head),
                  partition_of(made.account.encode(), 4))  # fmt: skip


def decoding(known=()):
    async def learn(name, schema_id):
        if schema_id not in {7, 8, *known}:
            raise ValueError(f"the registry knows no schema {schema_id}")

    return Decoding(SimpleNamespace(codec=CODEC, learn=learn), 4)


def test_a_balance_is_taken_with_what_it_was_decoded_from():
    made = balance("liabilities:deposits:1", credits=1250, version=3)
    found = decoding().change_in(of(made))
    assert found == Change(made.account, "CAD", made, Kept.of(made))
    removed = of(made)
    removed.value = None
    assert decoding().change_in(removed) == Change(made.account, "CAD")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda r: setattr(r, "key", None), "no account"),
        (lambda r: setattr(r, "key", b"\xff"), "utf-8"),
        (lambda r: setattr(r, "key", b"assets CAD"), "no account"),
        (lambda r: setattr(r, "key", b"assets:a"), "no account"),
        (lambda r: setattr(r, "key", b"assets:a C\0D"), "no account"),
        (lambda r: setattr(r, "key", r.key + b"X"), "its value"),
        (lambda r: setattr(r, "partition", (r.partition + 1) % 4), "another partition"),
        (lambda r: setattr(r, "value", b""), "not framed"),
        (lambda r: setattr(r, "value", r.value[:-1]), "not Avro"),
        (lambda r: setattr(r, "value", r.value + b"x"), "after the record"),
    ],
)  # fmt: skip
def test_what_no_worker_wrote_is_left_out(spoil, why):
    spoiled = of(balance("assets:a", debits=5))
    spoil(spoiled)
    found = decoding().change_in(spoiled)
    assert isinstance(found, Foreign)
    assert why in found.why


@pytest.mark.parametrize("more", [{"debits": "1.5"}, {"debits": "x"}, {"pending": "-0.00"}, {"status": "fine"},
                                  {"scale": 40}, {"entries": -1}, {"credits": "1e3"}, {"debits": "01.00"},
                                  {"posted": '0.05","x":"'}, {"posted": "-0.00"}, {"pending": "0"}])  # fmt: skip
def test_amounts_that_are_none_are_no_balance(more):
    found = decoding().change_in(of(balance("assets:a", debits=5)._replace(**more)))
    assert isinstance(found, Foreign)


def test_keys_sort_as_paths_do():
    chance = random.Random(3)
    segments = ["a", "a-", "a.b", "A", "0", "z_", "a0"]
    paths = sorted(
        {
            ":".join(["assets", *chance.choices(segments, k=chance.randint(1, 4))])
            for _ in range(300)
        },
        key=lambda path: keys.key(keys.BALANCE, path, "CAD"),
    )
    assert all(one.split(":") < other.split(":") for one, other in pairwise(paths))


def test_what_was_read_is_kept_up_to_date_and_read_once(copy, monkeypatch):
    names = ["assets:a", "assets:b", "assets:none"]
    take(
        copy, change("assets:a", debits=1), change("assets:a", "EUR", debits=2), change("assets:b")
    )
    first = copy.shown(names)
    assert first[0].json() is copy.shown(names)[0].json()
    monkeypatch.setattr(copy._store, "values", lambda ranges: 1 / 0)
    before = copy.balances("assets:a")
    take(copy, change("assets:a", "USD", debits=3), change("assets:a", debits=9, version=2),
         change("assets:none", debits=4), Change("assets:b", "CAD"))  # fmt: skip
    assert [each.posted for each in before] == ["0.01", "0.02"], "whoever has it has what was there"
    found = dict(zip(names, copy.shown(names), strict=True))
    assert [(each.currency, each.posted) for each in found["assets:a"].balances] == [
        ("CAD", "0.09"), ("EUR", "0.02"), ("USD", "0.03")]  # fmt: skip
    assert json.loads(b"[%b]" % found["assets:none"].json())[0]["posted"] == "0.04"
    assert (found["assets:b"].balances, found["assets:b"].json()) == ([], b"")
    assert json.loads(found["assets:a"].json("EUR"))["posted"] == "0.02"
    assert found["assets:a"].json("XXX") == b""


def test_many_accounts_are_read_in_their_order_each_in_its_own_range(copy):
    names = [f"assets:{each}" for each in "cabxz"]
    take(copy, *(change(name, currency, debits=ord(name[-1])) for name in [*names, "assets:a:b", "assets:ab"]
                 for currency in ("USD", "CAD")))  # fmt: skip
    found = copy.shown([*names, "assets:q"])
    assert [[(each.account, each.currency) for each in shown.balances] for shown in found] == [
        *([(name, "CAD"), (name, "USD")] for name in names), []]  # fmt: skip
