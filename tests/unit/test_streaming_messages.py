"""What a posted message says of a position, without its totals."""

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.run import Watermark
from ledger.streaming import messages
from ledger.streaming.messages import posted_in, posted_parts, posted_to
from ledger.streaming.registry import Codec
from tests.builders import stripe, totals

CODEC = Codec({"Posted": 7})
NUMBERS = st.integers(0, 2**63 - 1)


def record(value: bytes | None, shard: int = 3) -> Any:
    return SimpleNamespace(topic="ledger.posted", partition=shard, offset=5, value=value)


def posted(count: int, mark: Watermark, *, after: int = 0) -> list[Any]:
    rows = {stripe(f"assets:{each}"): totals(each + 1) for each in range(count)}
    return [record(value) for _, value in posted_parts(CODEC, 3, after, mark, rows)]


@given(NUMBERS, NUMBERS, NUMBERS, st.binary(min_size=32, max_size=32), st.integers(0, 3))
def test_it_is_the_position_of_the_whole_message(
    after: int, decisions: int, end: int, digest: bytes, count: int
) -> None:
    mark = Watermark(decisions_offset=decisions, end=end, digest=digest)
    [made] = posted(count, mark, after=after)
    whole = posted_in(CODEC, made)
    assert whole is not None
    assert posted_to(CODEC, made) == whole.end == end


def test_a_part_says_nothing_before_the_last(monkeypatch: Any) -> None:
    monkeypatch.setattr(messages, "POSTED_STRIPES", 2)
    assert [posted_to(CODEC, each) for each in posted(5, Watermark(end=9))] == [None, None, 9]


def test_what_no_posting_wrote_says_nothing() -> None:
    [made] = posted(1, Watermark(end=9))
    foreign = [record(None), record(b""), record(b"\xff" * 9), record(made.value[:20]),
               record(made.value, shard=2), record(b"\0\0\0\0\x08" + made.value[5:])]  # fmt: skip
    assert [posted_to(CODEC, each) for each in foreign] == [None] * len(foreign)
