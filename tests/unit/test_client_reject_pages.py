"""Pages of refused records: in the order of their times over all shards, each row once."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.client.reject_pages import Place, RejectPage, _ShardPage, merged
from ledger.client.rejects import Rejected


def row(shard: int, offset: int, at: int) -> Rejected:
    return Rejected({"shard": shard, "offset": offset, "recorded_at": at}, None)


def read(
    topics: dict[int, list[Rejected]], places: dict[int, Place], limit: int, most: int
) -> RejectPage:
    """As RejectPages.page, of topics in memory."""
    shards = {}
    for shard, rows in topics.items():
        place = places.get(shard, Place(0))
        until = min(place.offset + most, len(rows))
        page = shards[shard] = _ShardPage(place, until, len(rows), limit)
        for offset in range(place.offset, until):
            if page.is_full:
                break
            page.read_to, page.last = offset + 1, max(page.last, rows[offset].row["recorded_at"])
            if rows[offset].row["offset"] > page.shown:
                page.shown = rows[offset].row["offset"]
                page.found.append((offset, rows[offset]))
        if not page.is_full:
            page.read_to = page.until
    return merged(shards, limit)


SHARDS = st.dictionaries(
    st.integers(0, 3), st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=12),
    min_size=1,
)  # fmt: skip


@given(SHARDS, st.integers(1, 5), st.integers(1, 4))
def test_the_pages_together_have_each_row_once_in_order(
    steps: dict[int, list[tuple[int, bool]]], limit: int, most: int
) -> None:
    topics, expected = {}, []
    for shard, made in steps.items():
        at, rows = 0, list[Rejected]()
        for offset, (step, twice) in enumerate(made):
            at += step
            rows += [row(shard, offset, at)] * (2 if twice else 1)
            expected.append((at, shard, offset))
        topics[shard] = rows
    places: Any = {}
    shown = []
    for _ in range(1_000):
        page = read(topics, places, limit, most)
        assert len(page.rows) <= limit
        shown += [(each.row["recorded_at"], each.row["shard"], each.row["offset"])
                  for each in page.rows]  # fmt: skip
        if page.next is None:
            break
        assert page.next != places, "each page goes on"
        places = dict(page.next)
    assert [each[0] for each in shown] == sorted(each[0] for each in shown)
    assert sorted(shown) == sorted(expected)
