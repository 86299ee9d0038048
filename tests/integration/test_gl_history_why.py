"""A figure taken apart: the parts add up to it, whatever is asked."""

import random

import pytest

from ledger.domain.history import ZERO, Figures
from ledger.gl.history.why import Group, Share, WhyQuery
from tests.decision_log import DecisionLog
from tests.integration.gl_runs import NOW, moved
from tests.integration.history_openers import Ledger, Opener, in_memory, ledger, opener
from tests.integration.history_world import ACCOUNTS, DAY, World

pytest_plugins = ["tests.integration.gl_database"]
__all__ = ["ledger", "opener"]

NOON = NOW + DAY // 2


@pytest.mark.parametrize("most", [3, 1_000])
def test_the_parts_of_a_figure_add_up_to_it(ledger: Ledger, most: int) -> None:
    dice = random.Random(most)
    world = ledger.world
    instants = [None, *world.instants()]
    for _ in range(20):
        account = dice.choice(ACCOUNTS)
        effective, recorded = dice.choice(instants), dice.choice(instants)
        found = ledger.history.why(WhyQuery(account, None, effective, recorded, most))
        assert found.positions == world.positions()
        wanted = [row for row in world.sums(effective, recorded) if row.account == account]
        assert [(each.currency, *each.figures) for each in found.found] == [
            (row.currency, *row[3:]) for row in wanted
        ]
        for each in found.found:
            assert list(each.differences()) == []
            assert len(each.lines) <= most
            for line in each.lines:
                assert each.start is not None
                assert each.start <= line.key.recorded_at
                assert effective is None or line.effective_at < effective
                assert recorded is None or line.key.recorded_at < recorded
            for share in each.by_shard:
                plain = [
                    line.change
                    for line in world.counted(effective, recorded)
                    if (line.account, line.currency, line.shard) == (account, *share[:2])
                ]
                assert share.figures.entries == sum(plain)


def one_shard() -> World:
    """Three days on which cash was debited, the last of them with an entry that is late."""
    world = World(random.Random(1), shards=1)
    cash = {"debit": "assets:cash", "credit": "income:fees"}
    fee = {"kind": "fee", "metadata": '{"producer":"core"}'}
    log = world.logs.setdefault(0, DecisionLog(0))
    for offset, amount, recorded_at, effective_at, fields in (
        (1, 500, NOON, NOON, {}),
        (2, 20, NOON + DAY, NOON + DAY, fee),
        (3, 7, NOON + DAY + 9, NOON, {}),
        (4, 1, NOON + 3 * DAY, NOON + DAY, fee),
    ):
        each = moved(offset, amount, **cash, recorded_at=recorded_at, effective_at=effective_at,
                     **fields)  # fmt: skip
        log.run(each, end=offset + 1)
    return world


def test_a_figure_is_what_was_before_the_last_day_and_its_lines(opener: Opener) -> None:
    [why] = opener(one_shard()).why(WhyQuery("assets:cash")).found
    assert (why.figures, why.before, why.later) == (Figures(528, 0, 4), Figures(527, 0, 3), ZERO)
    assert [line.key.offset for line in why.lines] == [4]
    assert (why.start, why.is_whole_day) == (NOW + 3 * DAY, True)
    assert why.by_shard == [Share("CAD", 0, Figures(528, 0, 4))]


def test_a_figure_of_a_time_ends_with_its_day_and_what_came_late(opener: Opener) -> None:
    asked = WhyQuery("assets:cash", effective_before=NOON + DAY + 1)
    [why] = opener(one_shard()).why(asked).found
    assert why.figures == Figures(528, 0, 4)
    assert (why.before, why.later) == (Figures(500, 0, 1), Figures(1, 0, 1))
    assert [line.key.offset for line in why.lines] == [2, 3]
    assert (why.start, why.is_whole_day) == (NOW + DAY, True)


def test_a_figure_of_a_time_before_anything_was_recorded_has_the_lines_of_the_last_day(
    opener: Opener,
) -> None:
    world = World(random.Random(1), shards=1)
    log = world.logs.setdefault(0, DecisionLog(0))
    for offset, amount in ((1, 500), (2, 20)):
        late = moved(offset, amount, debit="assets:cash", credit="income:fees", effective_at=NOON,
                     recorded_at=NOON + (offset + 1) * DAY)  # fmt: skip
        log.run(late, end=offset + 1)
    asked = WhyQuery("assets:cash", effective_before=NOON + 1)
    [why] = opener(world).why(asked).found
    assert [line.key.offset for line in why.lines] == [2]
    assert (why.before, why.later) == (Figures(500, 0, 1), ZERO)
    assert not list(why.differences())


def test_of_a_busy_day_the_last_lines_are_shown(opener: Opener) -> None:
    asked = WhyQuery("assets:cash", most=1, recorded_before=NOON + DAY + 10)
    [why] = opener(one_shard()).why(asked).found
    assert (why.start, why.is_whole_day) == (NOON + DAY + 9, False)
    assert (why.before, why.later) == (Figures(520, 0, 2), ZERO)
    assert [line.key.offset for line in why.lines] == [3]


def test_lines_are_grouped_by_kind_and_producer() -> None:
    asked = WhyQuery("assets:cash", effective_before=NOON + DAY + 1)
    [why] = in_memory(one_shard()).why(asked).found
    fee, deposit = Figures(20, 0, 1), Figures(7, 0, 1)
    assert why.by_kind == [Group("deposit", 1, deposit), Group("fee", 1, fee)]
    assert why.by_producer == [Group("", 1, deposit), Group("core", 1, fee)]


def test_parts_that_do_not_add_up_are_named() -> None:
    [why] = in_memory(one_shard()).why(WhyQuery("assets:cash")).found
    wrong = type(why)(
        why.account, why.currency, why.scale, why.figures, why.start, why.is_whole_day,
        Figures(1, 0, 1), why.lines, why.later, [],
    )  # fmt: skip
    assert list(wrong.differences()) == [
        ("before, lines and later", Figures(2, 0, 2)),
        ("shards", ZERO),
    ]


def test_an_account_without_a_figure_has_no_parts(opener: Opener) -> None:
    history = opener(one_shard())
    assert history.why(WhyQuery("assets:none")).found == []
    assert history.why(WhyQuery("assets:cash", "JPY")).found == []
    assert history.why(WhyQuery("assets:cash", recorded_before=NOW)).found == []
