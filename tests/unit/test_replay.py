"""Replay: what is at the same place of two ledgers, and what would be decided otherwise today."""

import asyncio
import subprocess
import sys
from types import SimpleNamespace

import pytest

from ledger.client.resend import originals
from ledger.domain.decide import decide
from ledger.domain.reference import Account, Asset, Reference
from ledger.domain.run import Watermark
from ledger.domain.valid_run import ValidRun
from ledger.errors import InvariantBroken, LedgerError
from ledger.gl import shadows
from ledger.replay import tables
from ledger.replay.again import BY_REFERENCE, BY_RULES, Judge, ReferenceData
from ledger.replay.compare import merged
from ledger.replay.shadow import Span
from ledger.settings import Settings
from ledger.streaming.decisions import require_known
from ledger.streaming.reader import out_of_reach
from ledger.streaming.reference import key_and_row, policy_of
from ledger.streaming.store import Store
from ledger.streaming.table import ChangelogTable, begin_anew
from tests.builders import NOW, KnownReader, draft, no_memory, pair, received, wire

ONE = Settings(shards=1)
HELD = """
import sys
from pathlib import Path
from ledger.streaming.store import Store
from ledger.streaming.table import ChangelogTable, begin_anew
made = Store(Path(sys.argv[1]))
print(1, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("live", "shadow", "pairs"),
    [
        ([], [], []),
        ([1, 2], [1, 2], [(1, 1), (2, 2)]),
        ([1, 3], [2, 3, 4], [(1, None), (None, 2), (3, 3), (None, 4)]),
        ([5], [], [(5, None)]),
    ],
)
def test_merged_pairs_what_is_at_one_place(live, shadow, pairs):
    assert list(merged(lambda each: each, iter(live), iter(shadow))) == pairs


def decided(drafts, reference, settings=ONE):
    """The records, and the run that they were decided in."""
    records = [received(each, offset, value=wire(each)) for offset, each in enumerate(drafts)]
    settled = decide(
        records, shard=0, shards=1, end=len(records), watermark=Watermark(), memory=no_memory(),
        reference=reference, policy=policy_of(settings),
    )  # fmt: skip
    return records, ValidRun.of(settled, 0, Watermark())


def otherwise(tmp_path, drafts, before, today, settings=ONE):
    """What of `drafts`, decided with what was known `before`, `today` would decide otherwise."""
    reference = ReferenceData()
    for offset, item in enumerate([*before, *today]):
        record = SimpleNamespace(offset=offset, key=b"", value=b"")
        reference.add(record, key_and_row(item)[1])
    then = Reference(offset=len(before))
    then.add(before)
    records, run = decided(drafts, then)
    judge = Judge(settings, KnownReader.of(settings), reference, 0, tmp_path)
    kafka = [
        SimpleNamespace(
            offset=each.offset, timestamp=each.recorded_at // 1000, key=each.key, value=each.value
        )
        for each in records
    ]
    try:
        return asyncio.run(judge.judge(run, kafka))
    finally:
        judge.close()


def test_the_same_is_decided_again(tmp_path):
    drafts = [draft("t-1"), draft("t-1"), draft("t-2", kind="")]
    assert otherwise(tmp_path, drafts, [], []) == []


def test_an_asset_registered_since_is_reference_data(tmp_path):
    coin = draft("t-1", entries=pair("1.5", "COIN", debit="assets:a", credit="assets:b"))
    (found,) = otherwise(tmp_path, [coin], [], [Asset("COIN", 2)])
    assert (found.was, found.now, found.cause) == ("UNKNOWN_CURRENCY", "accepted", BY_REFERENCE)
    assert found.transaction_id == "t-1"


def test_an_account_closed_since_is_reference_data(tmp_path):
    closed = Account("assets:a", closed_at=NOW - 1)
    made = draft("t-1", entries=pair("1.50", debit="assets:a", credit="assets:b"))
    (found,) = otherwise(tmp_path, [made], [], [closed])
    assert (found.was, found.now, found.cause) == ("accepted", "ACCOUNT_CLOSED", BY_REFERENCE)


def test_another_setting_is_rules_or_settings(tmp_path):
    strict = Settings(shards=1, unknown_accounts="refuse")
    (found,) = otherwise(tmp_path, [draft("t-1")], [], [], strict)
    assert (found.was, found.now, found.cause) == ("accepted", "ACCOUNT_UNKNOWN", BY_RULES)


def test_a_span_is_half_open_in_recorded_time():
    _, run = decided([draft("t-1")], Reference())
    assert not Span().is_before(run)
    assert not Span().is_past(run)
    assert not Span(start=NOW).is_before(run)
    assert Span(start=NOW + 1).is_before(run)
    assert Span(end=NOW).is_past(run)
    assert not Span(end=NOW + 1).is_past(run)


class OneRun:
    """A decision log of one shard, with `values` at 0, 1, ...; what is before `first` is gone."""

    def __init__(self, *values, first=0):
        self.values, self.first = values, first

    async def bounds(self, topic, partition):
        return self.first, len(self.values)

    async def read(self, topic, partition, start, until):
        yield [SimpleNamespace(offset=at, value=self.values[at]) for at in range(start, until)]


CODEC = SimpleNamespace(decode=lambda name, value: value)


def known(log, mark):
    return asyncio.run(require_known(log, CODEC, "ledger.decisions", 0, mark))


def test_a_log_made_anew_is_known_by_its_digest():
    _, run = decided([draft("t-1")], Reference())
    _, other = decided([draft("t-2")], Reference())
    known(OneRun(run.decision.row()), run.after)
    known(OneRun(run.decision.row()), Watermark())
    for row in (other.decision.row(), {"shard": "foreign"}):
        with pytest.raises(InvariantBroken, match="another run at 0"):
            known(OneRun(row), run.after)
    with pytest.raises(InvariantBroken, match="ends at 0, but 1 had been reached"):
        known(OneRun(), run.after)
    # It begins where this goes on: there is nothing to compare, and nothing missing.
    known(OneRun(None, first=1), run.after)


def test_an_alarm_names_the_offsets_and_the_page():
    cut = out_of_reach("ledger.decisions", 3, 17, (40, 99))
    assert "ledger.decisions[3] holds offsets from 40 on, but 17 is needed next: 17 to 39" in cut
    assert "docs/runbooks/log-cut.md" in cut
    short = out_of_reach("ledger.decisions", 3, 17, (0, 12))
    assert "ends at 12, but 17 had been reached" in short
    assert "docs/runbooks/topic-lost.md" in short


def test_each_refused_record_is_sent_once_and_hopeless_ones_never():
    rows = [
        {"key": b"k", "value": b"v"}, {"key": b"k", "value": b"v"}, {"key": b"k", "value": b"w"},
        {"key": None, "value": b"v"}, {"key": b"k", "value": None}, {"key": b"", "value": b"v"},
        {"key": b"k", "value": bytes(1 << 20)},
    ]  # fmt: skip
    assert originals(rows) == [(b"k", b"v"), (b"k", b"w")]


@pytest.mark.parametrize("name", ["public", "pg_mine", "Upper", "a b", "", "a;b", "1a", "x" * 51])
def test_a_shadow_is_not_named_so(name):
    with pytest.raises(LedgerError, match="cannot name a shadow"):
        shadows.require_name(name)


def test_tables_in_use_are_not_removed(tmp_path):
    folder = tmp_path / "workers" / "worker-9" / "stream" / "intake" / "0"
    Store(folder).close()
    settings = Settings(data_dir=tmp_path)
    found = tables.tables_of(settings, "worker-9", tables.TABLES)
    assert [(each.kind, each.partition) for each in found] == [("intake", 0)]
    held = subprocess.Popen(
        [sys.executable, "-c", HELD, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert held.stdout.readline() == b"1\n"
    with pytest.raises(LedgerError, match="worker-9 runs"):
        tables.require_stopped(settings, "worker-9", found)
    held.communicate()
    tables.require_stopped(settings, "worker-9", found)
    assert tables.remove(found) == 1
    assert not folder.exists()
    with pytest.raises(LedgerError, match="no worker worker-8"):
        tables.tables_of(settings, "worker-8", tables.TABLES)


def test_a_table_begun_anew_takes_nothing_from_its_changelog(tmp_path):
    """Whatever the changelog has before the position: the store has it on disk once it is closed."""
    begin_anew(tmp_path / "stripes" / "0", 17)
    asked = []

    class Changelog:
        async def bounds(self, topic, partition):
            return 0, 20

        async def read(self, topic, partition, start, until):
            asked.append((start, until))
            for _ in ():
                yield

    table = ChangelogTable(tmp_path / "stripes" / "0", Changelog(), "c", 0, lambda key, value: 0)
    asyncio.run(table.open())
    assert asked == [(17, 20)]
