"""The outcomes of published transactions, folded from the decision log by the chain rule."""

import asyncio
from types import SimpleNamespace
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from ledger.client.outcomes import OpenBreak, OutcomeWatch, _ShardOutcomes
from ledger.client.receipt import Receipt
from ledger.client.records import Records
from ledger.domain.refusal import Reason
from ledger.domain.run import Watermark
from ledger.settings import Settings
from ledger.streaming.registry import Codec
from tests.builders import CASH, DEPOSIT, KeptMemory, draft, numbered, settle, void_of

CODEC = Codec({"Decision": 2, "Progress": 8, "Break": 6})


class Record(NamedTuple):
    """What is used of a ConsumerRecord."""

    topic: str
    partition: int
    offset: int
    value: bytes


@given(st.lists(st.integers(0, 1 << 40)))
def test_a_shard_ends_after_the_last_that_was_published(offsets):
    made, _ = outcomes(*offsets)
    assert list(made._shards[0].published) == sorted(set(offsets))
    assert made._shards[0].end == max(offsets, default=-1) + 1


def outcomes(*offsets, shard=None):
    refused = []
    made = OutcomeWatch(Settings(), on_refused=lambda shard, refusal: refused.append(refusal))
    made._records = Records(None, CODEC)
    made._shards = [shard or _ShardOutcomes(Watermark(), 0)]
    for offset in offsets:
        made.add(Receipt(0, offset))
    return made, refused


def decision(run, offset):
    value = CODEC.encode("Decision", run.row())
    return Record("ledger.decisions", 0, offset, value)


def progress(end, *, digest=bytes(32)):
    row = {"shard": 0, "end": end, "decisions_offset": 0, "digest": digest, "recorded_until": 0,
           "open_breaks": 0}  # fmt: skip
    return Record("ledger.progress", 0, 0, CODEC.encode("Progress", row))


def broken(state, account=CASH):
    row = {"shard": 0, "account": account, "currency": "CAD", "start": 0, "end": 9,
           "state": state, "stream": None, "ledger": None, "detected_at": 0}  # fmt: skip
    return Record("ledger.breaks", 0, 0, CODEC.encode("Break", row))


def take(made, *records):
    asyncio.run(made._take(records))
    return made._tally()


def first_run():
    """Accepted, a duplicate, refused, accepted of somebody else's, at offsets 0 to 3."""
    drafts = [draft("a"), draft("a"), draft("b", amount="0"), draft("other")]
    return settle(numbered(drafts), memory=KeptMemory().memory())


def test_only_watched_transactions_are_counted():
    made, refused = outcomes(0, 1, 2)
    tally = take(made, decision(first_run(), 0))
    assert (tally.accepted, tally.duplicates, tally.rejected, tally.reconciled) == (1, 1, 1, 0)
    assert [each.code for each in refused] == [Reason.AMOUNT_NOT_POSITIVE]
    assert not made._shards[0].is_finished()
    assert take(made, progress(1)).reconciled == 1
    assert not made._shards[0].is_finished(), "the duplicate is not compared yet"
    take(made, progress(4))
    assert made._shards[0].is_finished()


def test_all_refused_needs_no_reconciling():
    made, _ = outcomes(0)
    take(made, decision(settle(numbered([draft(amount="0")])), 0))
    assert made._shards[0].is_finished()


def test_a_run_that_follows_another_is_dropped():
    made, _ = outcomes(0, 1)
    zombie = settle(numbered([draft("a"), draft("b")]))
    winner = settle(numbered([draft("a")]))
    tally = take(made, decision(winner, 0), decision(zombie, 1))
    assert tally.accepted == 1
    assert made._shards[0].watermark.end == 1


def test_it_folds_from_the_last_progress():
    before = settle(numbered([draft("a")]))
    mark = before.after(Watermark(), decisions_offset=7)
    made, _ = outcomes(1, shard=_ShardOutcomes(mark, 5, compared=1))
    after = settle(numbered([draft("b")], start=1), watermark=mark)
    assert take(made, decision(after, 8)).accepted == 1


def test_an_open_break_that_touches_a_transaction_is_reported():
    made, _ = outcomes(0)
    take(made, decision(settle(numbered([draft("a")])), 0), progress(1))
    tally = take(made, broken("open"), broken("open", account="assets:elsewhere"))
    assert tally.breaks == [OpenBreak(0, CASH, "CAD")]
    assert tally.reconciled == 0
    take(made, broken("open", account=DEPOSIT))
    assert take(made, broken("closed")).breaks == [OpenBreak(0, DEPOSIT, "CAD")]
    tally = take(made, broken("closed", account=DEPOSIT))
    assert (tally.breaks, tally.reconciled) == ([], 1)


def test_a_foreign_record_is_left_out():
    made, _ = outcomes(0)
    take(made, SimpleNamespace(topic="ledger.progress", partition=0, offset=0, value=b"x"))
    assert made._shards[0].compared == 0


def test_a_voided_transaction_does_not_count_and_its_request_is_counted():
    kept, asked = KeptMemory(), draft("a")
    memory = kept.memory()
    first = settle(numbered([asked, draft("b", debit="assets:b")]), memory=memory)
    kept.keep(memory)
    mark = first.after(Watermark(), decisions_offset=0)
    kept.give_leave(first, 0)
    second = settle(numbered([void_of(asked)], 2), memory=kept.memory(), watermark=mark)
    made, _ = outcomes(0, 1)
    take(made, decision(first, 0), broken("open", DEPOSIT))
    tally = take(made, decision(second, 1), progress(3))
    assert (tally.accepted, tally.voided, tally.voids, tally.reconciled) == (1, 1, 0, 0)
    assert take(made, broken("closed", DEPOSIT)).reconciled == 1
    other, _ = outcomes(2)
    tally = take(other, decision(first, 0), decision(second, 1), progress(2))
    assert (tally.accepted, tally.voided, tally.voids) == (0, 0, 1)
    assert not other._shards[0].is_finished()
    take(other, progress(3))
    assert other._shards[0].is_finished()


def test_a_transaction_has_its_line_and_its_outcome():
    """The lines of a shard rise with its offsets, and a bit is kept for each."""
    made, refused = outcomes()
    for offset, line in ((0, 2), (1, 3), (2, 900), (7, 10**9)):
        made.add(Receipt(0, offset), line)
    take(made, decision(first_run(), 0))
    receipts = [Receipt(0, offset) for offset in (0, 1, 2, 7)]
    assert [made.line_of(each) for each in receipts] == [2, 3, 900, 10**9]
    assert [made.outcome_of(each).value for each in receipts] == [
        "accepted", "duplicate", "refused", "undecided"
    ]  # fmt: skip
    assert [made.line_of(Receipt(0, each.offset)) for each in refused] == [900]
