"""Stripes and balances: exact sums, blind to repetition, order and loss."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.balance import NOTHING, StripeState, Totals, balance_of, newer, totals_after
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


@st.composite
def told(draw: Callable[..., Any]) -> list[StripeState]:
    """What a shard says of one stripe as it goes: live ahead, posted following, never back."""
    live = posted = NOTHING
    states, ahead = [], [NOTHING]
    for _ in range(draw(st.integers(1, 8))):
        if draw(st.booleans()) or live == posted:
            live = Totals(
                live.debits + draw(st.integers(0, 2**64)),
                live.credits + draw(st.integers(0, 2**64)),
                live.entries + 1,
                live.offset + draw(st.integers(1, 3)),
            )
            ahead.append(live)
        else:
            posted = draw(st.sampled_from([each for each in ahead if each.offset > posted.offset]))
        states.append(StripeState(posted, None if live == posted else live, draw(st.just(False))))
    return states


def known_from(messages: list[StripeState]) -> StripeState | None:
    known = None
    for each in messages:
        known = newer(known, each)
    return known


@given(told(), st.data())
def test_a_reader_ends_where_the_shard_ended(states: list[StripeState], data: Any) -> None:
    """Whatever is lost, repeated or out of order, as long as the last one comes at some time."""
    lossy = data.draw(st.lists(st.sampled_from(states), max_size=12))
    messages = data.draw(st.permutations([*lossy, states[-1]]))
    assert known_from(messages) == states[-1]


@given(told(), st.data())
def test_order_and_repetition_make_no_difference(states: list[StripeState], data: Any) -> None:
    some = data.draw(st.lists(st.sampled_from(states), min_size=1))
    assert known_from(some) == known_from(data.draw(st.permutations(some)))
    assert known_from(some + some) == known_from(some)
    first, second = some[0], some[-1]
    assert newer(first, second) == newer(second, first)
    assert newer(first, first) == first


@given(st.lists(told(), min_size=1, max_size=3), st.data())
def test_the_version_strictly_rises_with_each_change(
    shards: list[list[StripeState]], data: Any
) -> None:
    known: dict[int, StripeState] = {}
    before = None
    for shard in data.draw(st.lists(st.integers(0, len(shards) - 1), min_size=1, max_size=20)):
        message = data.draw(st.sampled_from(shards[shard]))
        was = dict(known)
        known[shard] = newer(known.get(shard), message)
        after = balance_of("assets:a", "CAD", 2, known.values())
        if before is not None and known != was:
            assert after.version > before.version
        if before is not None and known == was:
            assert after == before
        before = after


@given(st.lists(told(), max_size=4), st.randoms(use_true_random=False))
def test_a_balance_is_the_sum_of_its_stripes_in_any_order(
    shards: list[list[StripeState]], chance: Any
) -> None:
    states = [each[-1] for each in shards]
    balance = balance_of("liabilities:a", "CAD", 0, states)
    assert int(balance.debits) == sum(each.posted.debits for each in states)
    assert int(balance.credits) == sum(each.posted.credits for each in states)
    assert int(balance.posted) == int(balance.credits) - int(balance.debits)
    live = [each.live or each.posted for each in states]
    total = sum(each.credits - each.debits for each in live)
    assert int(balance.posted) + int(balance.pending) == total
    assert balance.status == ("pending" if any(each.live for each in states) else "reconciled")
    chance.shuffle(states)
    assert balance_of("liabilities:a", "CAD", 0, states) == balance
