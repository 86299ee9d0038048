"""Whatever calls itself complete is: a log and its reader, moved at random while it is asked."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.completeness import Asked, Completeness, Position

RECORD, MARK = "record", "mark"


@dataclass
class Shard:
    """The log's append times, its own clock never behind the other one; how far it is counted."""

    times: list[tuple[str, int]] = field(default_factory=list)
    counted: int = 0

    def recorded(self) -> list[int]:
        """recorded_at of each record: the largest time so far."""
        most, found = 0, []
        for kind, time in self.times:
            most = max(most, time) if kind == RECORD else most
            found.append(most if kind == RECORD else -1)
        return found

    def before(self, as_of: int, counted: int) -> list[int]:
        """Positions of records that a sum by recorded time has, of those counted."""
        return [
            position for position, time in enumerate(self.recorded()[:counted]) if 0 <= time < as_of
        ]

    def read(self, shard: int, end: int) -> Position:
        """As the command reads it, after the log's end."""
        counted = min(self.counted, len(self.times))
        seen = [time for time in self.recorded()[:counted] if time >= 0]
        left = [time for time in self.recorded()[counted:end] if time >= 0]
        return Position(
            shard, counted, max(seen, default=0), end,
            bool(left) if counted < end else None, left[0] if left else None,
        )  # fmt: skip


ACTIONS = st.lists(
    st.tuples(st.integers(0, 2), st.sampled_from(["append", "mark", "count", "tick"]),
              st.integers(0, 5)),
    max_size=30,
)  # fmt: skip


def play(shards, now, actions):
    """Returns the clock at the end; the log's clock is up to five ahead of it."""
    for index, action, number in actions:
        shard = shards[index]
        if action == "tick":
            now += number
        elif action == "count":
            shard.counted = min(len(shard.times), shard.counted + number)
        else:
            shard.times.append((RECORD if action == "append" else MARK, now + number))
    return now


@given(ACTIONS, ACTIONS, ACTIONS, st.integers(0, 60), st.sampled_from(["effective", "recorded"]))
def test_what_is_called_complete_never_changes(before, between, after, as_of, by):
    shards = [Shard() for _ in range(3)]
    moment = play(shards, 10, before)
    ends = [len(shard.times) for shard in shards]
    now = play(shards, moment, between)
    positions = [shard.read(index, ends[index]) for index, shard in enumerate(shards)]
    found = Completeness(Asked(as_of, by), moment, positions)
    play(shards, now, after)
    if by == "recorded":
        lacking = [
            shard.before(as_of, len(shard.times)) != shard.before(as_of, position.counted)
            for shard, position in zip(shards, positions, strict=True)
        ]
        if found.complete:
            assert as_of <= moment
            assert not any(lacking)
        through = found.through
        assert through is None or not any(
            shard.before(through, len(shard.times)) != shard.before(through, position.counted)
            for shard, position in zip(shards, positions, strict=True)
        )
    else:
        lacking = [
            any(kind == RECORD for kind, _ in shard.times[position.counted : end])
            for shard, position, end in zip(shards, positions, ends, strict=True)
        ]
        assert found.complete == (not any(lacking))
        assert [each.shard for each in found.missing] == [
            index for index, lacks in enumerate(lacking) if lacks
        ]


@given(ACTIONS, st.integers(0, 60))
def test_all_that_is_counted_is_complete_up_to_the_moment(actions, as_of):
    shards = [Shard() for _ in range(3)]
    moment = play(shards, 10, actions)
    for shard in shards:
        shard.counted = len(shard.times)
    positions = [shard.read(index, shard.counted) for index, shard in enumerate(shards)]
    assert Completeness(Asked(), moment, positions).complete
    assert Completeness(Asked(as_of, "recorded"), moment, positions).complete == (as_of <= moment)
