"""Stripes and balances: exact sums, blind to repetition, order and loss."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.balance import NOTHING, AccountStripes, Totals, totals_after
from ledger.domain.run import Stripe
from tests.builders import content, stripe

STRIPES = [stripe(f"assets:{name}", code) for name in "abc" for code in ("CAD", "USD")]
AMOUNTS = st.sampled_from([1, 2, 2**63 - 1]) | st.integers(1, 2**63 - 1)
Leg = tuple[str, str, int]


@st.composite
def histories(draw: Callable[..., Any]) -> list[tuple[int, list[Leg]]]:
    """Transactions with rising offsets over few stripes; several legs may meet in one."""
    offset, made = -1, []
    for _ in range(draw(st.integers(0, 8))):
        offset += draw(st.integers(1, 3))
        legs: list[Leg] = []
        for _ in range(draw(st.integers(1, 3))):
            debit, credit = draw(st.sampled_from(STRIPES)), draw(st.sampled_from(STRIPES))
            amount = draw(AMOUNTS)
            legs += [(*debit, amount), (*credit, -amount)]
        made.append((offset, legs))
    return made


def added_up(history: list[tuple[int, list[Leg]]]) -> dict[Stripe, Totals]:
    """The same by going through it once for each stripe."""
    found = {}
    for name in STRIPES:
        mine = [(at, leg[2]) for at, legs in history for leg in legs if leg[:2] == name]
        if mine:
            found[name] = Totals(
                sum(amount for _, amount in mine if amount > 0),
                -sum(amount for _, amount in mine if amount < 0),
                len(mine),
                mine[-1][0],
            )
    return found


@given(
    histories(),
    st.lists(st.integers(0, 8), max_size=4),
    st.lists(st.booleans(), min_size=9, max_size=9),
)
def test_totals_are_the_sum_however_runs_are_cut_and_repeated(
    history: list[tuple[int, list[Leg]]], cuts: list[int], repeated: list[bool]
) -> None:
    table: dict[Stripe, Totals] = {}
    places = sorted({0, *(cut for cut in cuts if cut < len(history)), len(history)})
    for number, (start, end) in enumerate(zip(places, places[1:], strict=False)):
        run = content(*history[start:end])
        changed = totals_after(run, table)
        assert set(changed) == set(run.stripes())
        table |= changed
        if repeated[number]:
            # Again, and once more together with everything before.
            assert totals_after(run, table) == changed
            assert totals_after(content(*history[:end]), table) == table
    assert table == added_up(history)


@given(histories(), st.dictionaries(st.sampled_from(STRIPES), st.integers(0, 8)))
def test_each_row_goes_on_from_its_own_offset(
    history: list[tuple[int, list[Leg]]], written: dict[Stripe, int]
) -> None:
    """A table that died half-way through writing has rows of different ages."""
    table = {}
    for name, until in written.items():
        if name in (known := added_up(history[:until])):
            table[name] = known[name]
    assert table | totals_after(content(*history), table) == added_up(history)


Said = tuple[str, Totals]


@st.composite
def told(draw: Callable[..., Any]) -> list[Said]:
    """What is said of one shard's stripe as it goes: live ahead, settled following, never back."""
    live, settled = NOTHING, -1
    said: list[Said] = []
    ahead: list[Totals] = []
    for _ in range(draw(st.integers(1, 8))):
        if draw(st.booleans()) or settled == live.offset:
            live = Totals(
                live.debits + draw(st.integers(0, 2**64)),
                live.credits + draw(st.integers(0, 2**64)),
                live.entries + 1,
                live.offset + draw(st.integers(1, 3)),
            )
            ahead.append(live)
            said.append(("live", live))
        else:
            totals = draw(st.sampled_from([each for each in ahead if each.offset > settled]))
            settled = totals.offset
            said.append(("settled", totals))
    return said


def take(holding: AccountStripes, shard: int, said: Said) -> bool:
    how, totals = said
    return holding.decide(shard, totals) if how == "live" else holding.reconcile(shard, totals)


def last(messages: list[Said], how: str) -> Totals:
    return max(
        (totals for each, totals in messages if each == how),
        key=lambda totals: totals.offset,
        default=NOTHING,
    )


def balance_from(shards: list[list[Said]]) -> Any:
    holding = AccountStripes(2)
    for shard, messages in enumerate(shards):
        for each in messages:
            take(holding, shard, each)
    return holding.balance("assets:a", "CAD")


@given(told(), st.data())
def test_a_reader_ends_where_the_shard_ended(said: list[Said], data: Any) -> None:
    """Whatever is lost, repeated or out of order, as long as the last ones come at some time."""
    ends = [(how, last(said, how)) for how in ("live", "settled")]
    lossy = data.draw(st.lists(st.sampled_from(said), max_size=12))
    messages = data.draw(st.permutations([*lossy, *ends]))
    assert balance_from([messages]) == balance_from([said]) == balance_from([ends])


@given(told(), st.data())
def test_order_and_repetition_make_no_difference(said: list[Said], data: Any) -> None:
    some = data.draw(st.lists(st.sampled_from(said), min_size=1))
    assert balance_from([some]) == balance_from([data.draw(st.permutations(some))])
    assert balance_from([some + some]) == balance_from([some])


@given(st.lists(told(), min_size=1, max_size=3), st.data())
def test_the_version_strictly_rises_with_each_change(shards: list[list[Said]], data: Any) -> None:
    holding = AccountStripes(2)
    before = holding.balance("assets:a", "CAD")
    for shard in data.draw(st.lists(st.integers(0, len(shards) - 1), min_size=1, max_size=20)):
        news = take(holding, shard, data.draw(st.sampled_from(shards[shard])))
        after = holding.balance("assets:a", "CAD")
        if news:
            assert after.version > before.version
        else:
            assert after == before
        before = after


@given(st.lists(told(), max_size=4))
def test_a_balance_is_the_sum_of_its_stripes(shards: list[list[Said]]) -> None:
    """However often it was put away and taken out again in between."""
    holding = AccountStripes(0)
    for shard, messages in enumerate(shards):
        for each in messages:
            take(holding, shard, each)
    ahead = holding.ahead
    holding = AccountStripes.decode(holding.encode())
    holding.ahead = ahead
    balance = holding.balance("liabilities:a", "CAD")
    settled = [last(each, "settled") for each in shards]
    live = [max(last(each, "live"), last(each, "settled"), key=lambda t: t.offset)
            for each in shards]  # fmt: skip
    assert int(balance.debits) == sum(each.debits for each in settled)
    assert int(balance.credits) == sum(each.credits for each in settled)
    assert balance.entries == sum(each.entries for each in settled)
    assert int(balance.posted) == int(balance.credits) - int(balance.debits)
    total = sum(each.credits - each.debits for each in live)
    assert int(balance.posted) + int(balance.pending) == total
    assert balance.status == ("reconciled" if live == settled else "pending")
