"""Parts of the bench that need no stack: the generated load, its times, and the results."""

import asyncio
import itertools
from collections import Counter
from types import SimpleNamespace

import pytest
from hdrh.histogram import HdrHistogram

from ledger.bench.cpu import between
from ledger.bench.load import FEE_ACCOUNT, SAMPLED_EACH, Generator, _ticks, account_of, sampled
from ledger.bench.pairs import Case, _to_fill
from ledger.bench.run import FIRST, BenchFailed, full_speed_phase, require_clean
from ledger.bench.watch import PERCENTILES, histogram
from ledger.domain import avro
from ledger.domain.checks import check_content, check_fields
from ledger.domain.partition import partition_of
from ledger.domain.policy import Policy
from ledger.domain.reference import Reference
from ledger.domain.refusal import Refused
from ledger.domain.transaction import ordering_key
from ledger.streaming.registry import HEADER, Codec
from tests.builders import NOW

ACCOUNTS = 200
SHARDS = 4


def source(label="bench-1", *, fees=False):
    return Generator(
        seed=1, label=label, accounts=ACCOUNTS, shards=SHARDS, codec=Codec({"Transaction": 1}),
        fees=fees,
    )  # fmt: skip


def drafts(batches):
    for shard, records in batches.items():
        for key, value in records:
            yield shard, key, avro.decode("Transaction", value, HEADER.size)


def test_every_transaction_is_valid_and_in_its_partition():
    batches, _ = source().chunk(500, NOW)
    found = list(drafts(batches))
    assert len(found) == 500
    for shard, key, draft in found:
        assert key == ordering_key(draft).encode()
        assert shard == partition_of(key, SHARDS)
        assert check_fields(draft, recorded_at=NOW, policy=Policy()) is None
        entries = check_content(draft, recorded_at=NOW, reference=Reference(), policy=Policy())
        assert not isinstance(entries, Refused)


def test_ids_are_used_once_and_accounts_alike():
    made = source()
    found = [draft for _ in range(10) for _, _, draft in drafts(made.chunk(1_000, NOW)[0])]
    assert len({draft["transaction_id"] for draft in found}) == 10_000
    touched = Counter(entry["account"] for draft in found for entry in draft["entries"])
    assert touched.keys() == {account_of(number) for number in range(ACCOUNTS)}
    # 100 entries each on average; a tenth as many again is more than three standard deviations.
    assert all(60 < count < 140 for count in touched.values())


def test_a_sampled_account_moves_under_its_own_key_and_its_entries_are_counted():
    made, counted = source(), Counter()
    for _ in range(5):
        batches, samples = made.chunk(300, NOW)
        for sample in samples:
            counted[sample.account] += 1
            assert sample.entries == counted[sample.account]
            key, value = batches[sample.shard][sample.place]
            assert key.decode() == account_of(sample.account)
            touched = [
                entry["account"] for entry in avro.decode("Transaction", value, 5)["entries"]
            ]
            assert touched.count(key.decode()) == 1
    assert counted.keys() <= set(sampled(ACCOUNTS))
    assert all(number % SAMPLED_EACH == 0 for number in counted)


def test_at_a_rate_all_go_out_and_none_before_it_is_due():
    ticks = list(_ticks(1_000, 333.0, NOW, 2_000))
    assert sum(count for count, _ in ticks) == 1_000
    for sent, (_, due) in zip(
        itertools.accumulate(count for count, _ in ticks), ticks, strict=True
    ):
        assert sent <= 333.0 * ((due - NOW) / 1e6 + 0.01) + 1


def test_as_fast_as_it_goes_all_go_out():
    assert sum(count for count, _ in _ticks(5_001, None, NOW, 2_000)) == 5_001


def test_cpu_time_of_other_programs_is_counted_separately():
    before = {"broker": 1.0, "stream": 2.0, "machine": 10.0}
    after = {"broker": 1.5, "stream": 4.0, "machine": 13.0}
    assert between(before, after) == {"broker": 0.5, "stream": 2.0, "elsewhere": 0.5}


def test_a_histogram_is_in_milliseconds_and_can_be_read_again():
    found = histogram([*[1_000] * 98, 250_000, 3_000_000])
    assert found.keys() == {*PERCENTILES, "hdr"}
    assert (found["p50"], found["p90"]) == (1.0, 1.0)
    assert found["p99"] == pytest.approx(250, rel=0.001)
    assert found["max"] == pytest.approx(3_000, rel=0.001)
    assert HdrHistogram.decode(found["hdr"]).total_count == 100
    assert histogram([]) == {}


def test_fees_have_one_account_in_every_transaction():
    made = source(fees=True)
    found = [draft for _, _, draft in drafts(made.chunk(300, NOW)[0])]
    assert {draft["entries"][1]["account"] for draft in found} == {FEE_ACCOUNT}
    assert len({draft["entries"][0]["account"] for draft in found}) > ACCOUNTS / 2


def test_filling_touches_every_account_once():
    made = source()
    found = [draft for _, _, draft in drafts(made.chunk(ACCOUNTS // 2, NOW, fill=True)[0])]
    touched = Counter(entry["account"] for draft in found for entry in draft["entries"])
    assert touched == {account_of(number): 1 for number in range(ACCOUNTS)}


def test_a_case_is_filled_to_the_last():
    filled, posted = Case("f", accounts=1_200_000, filled=True), Case("p", entries=20_000_000)
    assert list(_to_fill(filled)) == [500_000, 100_000]
    assert sum(_to_fill(posted)) == 10_000_000
    assert list(_to_fill(Case("none"))) == []


@pytest.mark.parametrize(
    "found",
    [
        {"accounts": 2, "reconciled": 1, "breaks": []},
        {"accounts": 2, "reconciled": 2, "breaks": [{"account": "assets:x"}]},
    ],
)
def test_a_ledger_that_does_not_reconcile_gives_no_result(found):
    with pytest.raises(BenchFailed):
        require_clean(found)


class FixedSpeed:
    """A bench that does so many transactions a second."""

    def __init__(self, speed: int) -> None:
        self.speed, self.counts = speed, list[int]()

    async def phase(self, count: int, rate: int | None) -> SimpleNamespace:
        self.counts.append(count)
        return SimpleNamespace(count=count, seconds=count / self.speed)


def test_a_full_speed_phase_lasts_as_long_as_wanted() -> None:
    """Also where it goes faster than in the warm-up."""
    bench, said = FixedSpeed(20_000), list[str]()
    phase = asyncio.run(full_speed_phase(bench, 5_000, 10, said.append))  # type: ignore[arg-type]
    assert bench.counts == [75_000, 300_000]
    assert phase.seconds == 15
    assert said == [f"{count:,} transactions at full speed" for count in bench.counts]
    bench = FixedSpeed(5)
    asyncio.run(full_speed_phase(bench, 5, 10, said.append))  # type: ignore[arg-type]
    assert bench.counts == [FIRST]
