"""The demo's stream: the domain makes of each transaction what the generator says it will."""

from collections import Counter
from decimal import Decimal

import pytest

from ledger.demo import market
from ledger.demo.book import rounded
from ledger.demo.generate import FEWEST, Made, generate
from ledger.domain import account as accounts
from ledger.domain.decide import Received, decide
from ledger.domain.memory import Memory
from ledger.domain.partition import partition_of
from ledger.domain.policy import Policy
from ledger.domain.reference import Reference
from ledger.domain.refusal import Reason
from ledger.domain.run import Watermark
from ledger.domain.transaction import ordering_key
from tests.builders import NOW

SHARDS = 4


def stream(
    count: int = 1_500, *, seed: int = 7, label: str = "demo-1", at: int = NOW
) -> list[Made]:
    return list(generate(count, seed=seed, label=label, at=at))


def reference() -> Reference:
    known = Reference()
    known.add(market.assets())
    return known


def key_of(made: Made) -> bytes:
    return ordering_key(made.draft).encode()


def decided(made: list[Made]) -> dict[int, str]:
    """What intake makes of each, by its number in the stream: shard by shard, as one run."""
    found = {}
    for shard in range(SHARDS):
        numbers = [n for n, each in enumerate(made) if partition_of(key_of(each), SHARDS) == shard]
        records = [Received(n, NOW, key_of(made[n]), b"", made[n].draft) for n in numbers]
        settled = decide(
            records, shard=shard, shards=SHARDS, end=len(made), watermark=Watermark(),
            memory=Memory(lambda name: None, lambda name: None), reference=reference(),
            policy=Policy(),
        )  # fmt: skip
        outcomes = settled.outcomes
        found |= dict.fromkeys(settled.content.offsets, "accepted")
        found |= dict.fromkeys(outcomes.duplicates, "duplicate")
        found |= {refusal.offset: refusal.code for refusal in outcomes.refused}
    return found


def signed(made: list[Made]) -> dict[tuple[str, str], Decimal]:
    """Balances on the debit side, of what is accepted."""
    sums: dict[tuple[str, str], Decimal] = {}
    for each in made:
        for entry in each.draft["entries"] if each.expected == "accepted" else ():
            key = entry["account"], entry["currency"]
            amount = Decimal(entry["amount"])
            sums[key] = sums.get(key, Decimal()) + (amount if entry["side"] == "debit" else -amount)
    return sums


@pytest.mark.parametrize("count", [FEWEST, 501, 1_500])
@pytest.mark.parametrize("seed", [1, 2, 1993])
def test_intake_makes_of_each_what_was_meant(count, seed):
    made = stream(count, seed=seed)
    assert decided(made) == {number: str(each.expected) for number, each in enumerate(made)}


def test_every_kind_of_mistake_is_there_once():
    found = Counter(made.expected for made in stream(FEWEST))
    assert found == {
        "accepted": FEWEST - 6, "duplicate": 1, Reason.NOT_BALANCED: 1, Reason.TOO_MANY_DECIMALS: 1,
        Reason.UNKNOWN_CURRENCY: 1, Reason.REVERSED_ALREADY: 1, Reason.ID_REUSED: 1,
    }  # fmt: skip


def test_every_kind_of_business_is_there():
    kinds = {made.draft["kind"] for made in stream()}
    assert kinds == {
        "capital", "deposit", "order_fill", "fee", "exchange", "transfer", "dividend", "settlement",
        "reversal",
    }  # fmt: skip


def test_order_fills_in_every_security_and_currency():
    traded = {
        entry["currency"]
        for made in stream(5_000)
        for entry in made.draft["entries"]
        if made.draft["kind"] == "order_fill" and made.expected == "accepted"
    }
    assert traded == {each.code for each in market.SECURITIES} | set(market.RATES)


def test_the_same_again_from_the_same_seed_and_label():
    assert stream() == stream()


@pytest.mark.parametrize("other", [{"label": "demo-2"}, {"at": NOW + 1}])
def test_a_second_run_shares_no_transaction_with_the_first(other):
    first, second = stream(), stream(**other)
    if "label" in other:
        ids = {made.draft["transaction_id"] for made in first}
        assert not ids & {made.draft["transaction_id"] for made in second}
    assert first != second


def test_ids_are_used_once_but_for_the_two_that_show_what_happens_otherwise():
    twice = Counter(made.draft["transaction_id"] for made in stream())
    assert sum(count - 1 for count in twice.values()) == 2


def test_nobody_spends_what_is_not_there():
    for (account, _), balance in signed(stream(5_000)).items():
        assert balance * (1 if accounts.normal_side(account) == "debit" else -1) >= 0


def test_after_the_last_settlement_nothing_is_left_on_the_trading_accounts():
    sums = signed(stream())
    trading = [sum_ for (account, _), sum_ in sums.items() if account.startswith(market.TRADING)]
    assert trading
    assert not any(trading)


def test_the_street_holds_what_the_clients_own():
    sums = signed(stream())
    for security in market.SECURITIES:
        clients = [
            sum_ for (account, currency), sum_ in sums.items()
            if currency == security.code and account.startswith("liabilities:")
        ]  # fmt: skip
        assert sums.get((market.CUSTODY, security.code), Decimal()) == -sum(clients, Decimal())


def test_amounts_have_the_decimals_of_their_currency():
    scales = reference().scales
    for made in stream():
        for entry in made.draft["entries"] if made.expected == "accepted" else ():
            assert len(entry["amount"].partition(".")[2]) == scales[entry["currency"]]


def test_one_ordering_key_moves_a_clients_balance():
    keys: dict[tuple[str, str], set[str | None]] = {}
    for made in stream():
        for key in made.clients:
            keys.setdefault(key, set()).add(made.draft["ordering_key"])
    assert keys
    assert all(len(each) == 1 for each in keys.values())


def test_every_entry_of_a_clients_balance_is_told_of():
    made = [each for each in stream() if each.expected == "accepted"]
    told = Counter(key for each in made for key in each.clients)
    entries = Counter((e["account"], e["currency"]) for each in made for e in each.draft["entries"])
    assert told == {
        key: count for key, count in entries.items() if key[0].startswith("liabilities")
    }


def test_too_short_a_stream_is_an_error():
    with pytest.raises(ValueError, match="at least 100"):
        stream(FEWEST - 1)


@pytest.mark.parametrize(
    ("product", "scale", "wanted"),
    [(14_999, 4, 1), (15_000, 4, 2), (5, 1, 1), (4, 1, 0), (7, 0, 7)],
)
def test_costs_are_rounded_half_up(product, scale, wanted):
    assert rounded(product, scale) == wanted
