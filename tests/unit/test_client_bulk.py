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
from ledger.client.lanes import PublishFailed, Receipt
from ledger.domain.refusal import Reason, Refused


def split(chunks):
    splitter = Splitter()
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.end()


def test_numbers_count_blank_lines_and_leave_them_out():
    assert split([b"\xef\xbb\xbfa\r\n\n  \nb"]) == [(1, b"a\r"), (4, b"b")]


@given(st.lists(st.sampled_from([b"a", b"bc", b"\n", b" ", b"\r\n", b""])), st.data())
def test_wherever_the_chunks_end(parts, data):
    text = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    chunks = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    expected = [(n, x) for n, x in enumerate(text.split(b"\n"), 1) if x.strip()]
    assert split(chunks) == expected


def test_of_an_endless_line_only_enough_is_kept():
    splitter = Splitter()
    for _ in range(20):
        splitter.feed(b"x" * 1_000_000)
    assert len(splitter._carry) == lines.MAX_LINE + 1
    [(number, line), after] = splitter.feed(b"\nnext\n")
    assert number == 1
    assert lines.read_object(line).reason is Reason.TOO_LARGE
    assert after == (2, b"next")


def test_what_a_pipe_gives_comes_at_once():
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

    def __init__(self):
        self.sent = []

    async def check(self, draft):
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


def line(kind="good"):
    entries = [
        {"account": "assets:cash", "side": side, "amount": "1", "currency": "CAD"}
        for side in ("debit", "credit")
    ]
    fields = {"transaction_id": kind, "effective_at": "2024-01-01T00:00:00Z", "entries": entries}
    return json.dumps({**fields, "kind": kind}).encode()


def feed():
    refused, receipts = [], []
    made = Feed(
        FakePublisher(),
        created_at=1,
        on_refused=lambda number, why: refused.append((number, why.reason)),
        on_receipt=receipts.append,
    )
    return made, refused, receipts


def test_counts_and_tells():
    made, refused, receipts = feed()

    async def scenario():
        await made.publish([(1, line()), (2, b"nope"), (4, line("bad")), (5, line())])
        assert made.counts.published == 0
        await made.finish()

    asyncio.run(scenario())
    assert (made.counts.lines, made.counts.published, made.counts.refused) == (4, 2, 2)
    assert refused == [(2, Reason.UNREADABLE), (4, Reason.NOT_BALANCED)]
    assert receipts == [Receipt(0, 0), Receipt(0, 1)]


def test_checking_sends_nothing():
    made, refused, _ = feed()
    asyncio.run(made.check([(1, line()), (2, line("bad")), (3, b"{}")]))
    assert refused == [(2, Reason.NOT_BALANCED), (3, Reason.FIELD_MISSING)]
    assert made._publisher.sent == []


def test_a_fault_is_raised_with_the_others_counted():
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
def test_finds_the_first_line_without_a_time_of_its_own(text, number):
    assert asyncio.run(first_without_time(io.BytesIO(text))) == number
