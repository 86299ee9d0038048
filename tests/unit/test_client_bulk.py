"""JSON Lines in bulk: lines are cut right wherever the chunks end, and counted right."""

import asyncio
import io
import json
import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.client import lines
from ledger.client.bulk import Feed, Splitter, first_without_time, lines_of
from ledger.client.receipt import PublishFailed, Receipt
from ledger.domain.policy import DAY
from ledger.domain.refusal import Reason, Refused
from ledger.gl.books import Accepted

NOW = 2_000_000_000_000_000
OLD = NOW - 30 * DAY
OWN = "2033-05-18T03:33:19Z"


def split(chunks):
    splitter = Splitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.end()


def test_numbers_count_blank_lines_and_leave_them_out():
    assert split([b"\xef\xbb\xbfa\r\n\n  \nb"]) == [(1, b"a\r"), (4, b"b")]


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b" ", b"\r\n", b""])), st.data())
def test_lines_do_not_depend_on_where_chunks_end(parts, data):
    text = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    expected = [(n, x) for n, x in enumerate(text.split(b"\n"), 1) if x.strip()]
    assert split(chunks) == expected


def test_an_endless_line_takes_little_memory():
    splitter = Splitter()
    for _ in range(20):
        splitter.feed(b"x" * 1_000_000)
    assert len(splitter._carry) == lines.MAX_LINE + 1
    [(number, line), after] = splitter.feed(b"\nnext\n")
    assert number == 1
    assert lines.read_object(line).reason is Reason.TOO_LARGE
    assert after == (2, b"next")


def test_lines_of_a_pipe_arrive_at_once():
    async def scenario():
        read, write = os.pipe()
        with os.fdopen(read, "rb") as source, os.fdopen(write, "wb", buffering=0) as sink:
            feed = lines_of(source)
            sink.write(b"one\ntw")
            began = time.monotonic()
            assert await anext(feed) == [(1, b"one")]
            assert time.monotonic() - began < 5
            sink.write(b"o\n")
            assert await anext(feed) == [(2, b"two")]
            await feed.aclose()

    asyncio.run(scenario())


class FakePublisher:
    """Acknowledges at the next flush; refuses the kind "bad", fails the kind "fault"."""

    shards, window = 1, 30 * DAY

    def __init__(self):
        self.sent = []

    async def check(self, draft):
        if draft["created_at"] < OLD:
            return Refused(Reason.TOO_LATE, "Too late.", "created_at")
        return Refused(Reason.NOT_BALANCED, "No.") if draft["kind"] == "bad" else None

    async def submit(self, draft):
        if refused := await self.check(draft):
            return refused
        future = asyncio.get_running_loop().create_future()
        self.sent.append((draft, future))
        return future

    async def flush(self):
        for offset, (draft, future) in enumerate(self.sent):
            if draft["kind"] == "fault":
                future.set_exception(PublishFailed("Kafka is away."))
            else:
                future.set_result(Receipt(0, offset))


class FakePast:
    """Knows these ids; None: cannot know."""

    sentence = "Give --created-at."

    def __init__(self, known):
        self.known, self.asked = known, []

    async def find(self, ids):
        self.asked.append(list(ids))
        return self.known


def line(kind="good", **more):
    entries = [
        {"account": "assets:cash", "side": side, "amount": "1", "currency": "CAD"}
        for side in ("debit", "credit")
    ]
    fields = {"transaction_id": kind, "effective_at": "2024-01-01T00:00:00Z", "entries": entries}
    return json.dumps({**fields, "kind": kind, **more}).encode()


def feed(**more):
    refused, receipts = [], []

    def take(found):
        if found.refused:
            refused.append((found.line, found.refused.reason))
        if found.receipt:
            receipts.append(found.receipt)

    made = Feed(FakePublisher(), created_at=NOW, on_outcome=take, **more)
    return made, refused, receipts


def test_good_and_bad_lines_are_counted_and_bad_ones_reported():
    made, refused, receipts = feed()

    async def scenario():
        await made.publish([(1, line()), (2, b"nope"), (4, line("bad")), (5, line())])
        assert made.counts.published == 0
        await made.finish()

    asyncio.run(scenario())
    assert (made.counts.lines, made.counts.published, made.counts.refused) == (4, 2, 2)
    assert refused == [(2, Reason.UNREADABLE), (4, Reason.NOT_BALANCED)]
    assert receipts == [Receipt(0, 0), Receipt(0, 1)]


def test_each_line_has_one_outcome_with_its_id():
    found = []
    made = Feed(FakePublisher(), created_at=NOW, on_outcome=found.append)

    async def scenario():
        await made.publish([(1, line()), (2, b"nope"), (4, line("bad")), (5, line("fault"))])
        with pytest.raises(PublishFailed):
            await made.finish()

    asyncio.run(scenario())
    assert [(each.line, each.transaction_id) for each in found] == [
        (2, None), (4, "bad"), (1, "good"), (5, "fault")
    ]  # fmt: skip
    assert [bool(each.refused) for each in found] == [True, True, False, False]
    assert found[2].receipt == Receipt(0, 0)
    assert found[3].failure == "Kafka is away."


def test_what_was_under_way_when_the_command_ended_is_unknown():
    found = []
    made = Feed(FakePublisher(), created_at=NOW, on_outcome=found.append)

    async def scenario():
        await made.publish([(1, line())])
        [(_, future)] = made._publisher.sent
        future.cancel()
        await asyncio.sleep(0)

    asyncio.run(scenario())
    [outcome] = found
    assert (outcome.receipt, outcome.refused, outcome.transaction_id) == (None, None, "good")
    assert "before Kafka had acknowledged it" in outcome.failure


def test_an_outcome_that_cannot_be_written_ends_the_publishing():
    def full(found):
        raise PublishFailed("The disk is full.")

    made = Feed(FakePublisher(), created_at=NOW, on_outcome=full)

    async def scenario():
        await made.publish([(1, line())])
        await made.finish()

    with pytest.raises(PublishFailed, match="disk is full"):
        asyncio.run(scenario())


def test_checking_sends_nothing():
    made, refused, _ = feed()
    asyncio.run(made.check([(1, line()), (2, line("bad")), (3, b"{}")]))
    assert refused == [(2, Reason.NOT_BALANCED), (3, Reason.FIELD_MISSING)]
    assert made._publisher.sent == []


def dates(made):
    return {draft["transaction_id"]: draft["created_at"] for draft, _ in made._publisher.sent}


def test_ids_of_lines_without_a_time_are_looked_up_together_before_they_are_sent():
    known = {"known": Accepted(0, 7, NOW - 5), "long ago": Accepted(0, 3, OLD - 1)}
    past = FakePast(known)
    made, refused, _ = feed(past=past)
    lines_ = [line("new"), line("own", created_at=OWN), line("known"), line("long ago"), b"nope"]
    asyncio.run(made.publish(list(enumerate(lines_, 1))))
    assert past.asked == [["new", "known", "long ago"]]
    assert dates(made) == {"new": NOW, "own": NOW - 1_000_000, "known": NOW - 5}
    assert refused == [(4, Reason.TOO_LATE), (5, Reason.UNREADABLE)]


def test_an_id_known_later_than_the_files_time_keeps_the_files_time():
    """The earlier of the two is recognised, or too late; never new."""
    made, _, _ = feed(past=FakePast({"known": Accepted(0, 7, NOW + 5)}))
    asyncio.run(made.publish([(1, line("known"))]))
    assert dates(made) == {"known": NOW}


def test_an_id_of_another_shard_is_refused():
    made, refused, _ = feed(past=FakePast({"known": Accepted(1, 7, NOW)}))
    asyncio.run(made.publish([(1, line("known"))]))
    assert refused == [(1, Reason.ID_REUSED)]
    assert made._publisher.sent == []


@pytest.mark.parametrize("promised", [False, True])
def test_without_the_general_ledger_lines_need_a_promise(promised):
    made, refused, _ = feed(past=FakePast(None), promised=promised)
    asyncio.run(made.publish([(1, line("new")), (2, line("own", created_at=OWN))]))
    assert refused == ([] if promised else [(1, Reason.FIELD_MISSING)])
    assert set(dates(made)) == ({"new", "own"} if promised else {"own"})


def test_lines_with_created_at_are_not_looked_up():
    past = FakePast({})
    made, _, _ = feed(past=past)
    asyncio.run(made.check([(1, line("own", created_at=OWN))]))
    assert past.asked == []


def test_a_failure_is_raised_and_other_lines_are_counted():
    made, _, _ = feed()

    async def scenario():
        await made.publish([(1, line()), (2, line("fault"))])
        await made.finish()

    with pytest.raises(PublishFailed):
        asyncio.run(scenario())
    assert made.counts.published == 1


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"", None),
        (b'{"created_at": "2024-01-01T00:00:00Z"}\n', None),
        (b'{"created_at": "2024-01-01T00:00:00Z"}\n\n{"kind": "x"}\n', 3),
        (b'{"created_at": null}', 1),
        (b'{"description": "\\"created_at\\""}', 1),
        (b'{"description": "the \\"created_at\\" of it", "created_at": "x"}', None),
    ],
)
def test_the_first_line_without_created_at_is_found(text, number):
    assert asyncio.run(first_without_time(lines_of(io.BytesIO(text)))) == number
