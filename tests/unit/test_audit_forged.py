"""Forged runs through all checks of a shard: decimals, reference data, long texts."""

from ledger.audit.findings import BreakKind
from ledger.audit.ids import Ids
from ledger.audit.judge import ACCEPTED, DUPLICATE
from ledger.audit.log_records import REFUSAL_BYTES
from ledger.domain.reference import Asset
from ledger.domain.refusal import Reason
from ledger.domain.run import Content
from tests.audited import AuditedLog
from tests.builders import (
    NOW,
    draft,
    entry,
    id_in_shard,
    numbered,
    received,
    reversal,
    unreadable,
)
from tests.reference_topic import ReferenceTopic, founded

FIRST = draft("t-0")


def log_of(*records, **changes):
    log = AuditedLog(founded())
    log.decide(numbered(records), **changes)
    assert log.audit() == []
    return log


def with_four_decimals(content: Content) -> None:
    content.scales = [4 for _ in content.scales]
    content.entry_amounts = [100 * each for each in content.entry_amounts]


def test_cad_booked_with_four_decimals_adds_up_and_is_a_break() -> None:
    log = log_of(FIRST)
    log.forge_content(0, with_four_decimals)
    [found] = log.audit()
    assert found.kind is BreakKind.RULE
    assert found.stream["decimals"] == {"CAD": 2}
    assert found.ledger["decimals"] == {"CAD": 4}
    assert "Offset 0 ('t-0') was accepted with decimals of {'CAD': 4}" in found.sentence
    assert found.as_json()["account"] == "assets:cash"


def test_wrong_decimals_in_a_run_without_reference_digest() -> None:
    log = log_of(FIRST)
    log.forge(0, reference_digest=b"")
    assert log.audit() == []
    log.forge_content(0, with_four_decimals)
    assert [each.kind for each in log.audit()] == [BreakKind.RULE]


def test_an_asset_has_the_decimals_of_its_first_record() -> None:
    log = AuditedLog(founded(Asset("XYZ", 4), Asset("XYZ", 2)))
    log.decide(numbered([draft("t-0", currency="XYZ", amount="1.2345")]))
    assert log.verdicts() == {0: ACCEPTED}
    assert log.audit() == []


def test_without_the_run_s_reference_data_other_rules_are_judged() -> None:
    log = log_of(FIRST, reversal(FIRST, "r-1"), reversal(FIRST, "r-2"), draft("t-1"))
    log.forge(0, reference_digest=b"x" * 32)
    [found] = log.audit()
    assert found.kind is BreakKind.REFERENCE
    assert "rules that depend on them are not judged there" in found.sentence
    log.forge_verdict(2, ACCEPTED)
    log.forge_verdict(3, "TOO_LATE")
    assert [each.kind for each in log.audit()] == [BreakKind.REFERENCE, BreakKind.RULE]
    assert "REVERSED_ALREADY" in log.audit()[1].sentence


def test_a_refusal_keeps_a_mebibyte_of_a_record() -> None:
    """The log takes longer records: its limit is the broker's, on what may be compressed."""
    log = AuditedLog(founded())
    long = b"x" * (REFUSAL_BYTES + 9)
    log.decide([
        received(unreadable(Reason.TOO_LARGE), 0, key=long, value=long),
        received(unreadable(Reason.TOO_LARGE), 1, key=None, value=long[:REFUSAL_BYTES]),
    ])  # fmt: skip
    assert log.audit() == []
    for key, value in ((b"y" + long, long), (long, long[: REFUSAL_BYTES - 1]), (long, None)):
        log.records[0] = received(unreadable(Reason.TOO_LARGE), key=key, value=value)
        assert [each.kind for each in log.audit()] == [BreakKind.DIFFERS]


def test_an_id_of_two_shards_is_judged_in_each_by_itself() -> None:
    """The table of ids is one for all shards; what a shard remembers is its own."""
    ids, found = Ids(), []
    for shard in range(2):
        key = id_in_shard(shard, 2, "k")
        made = draft("t-1", ordering_key=key, amount=f"{shard + 1}")
        log = AuditedLog(founded(shards=2), shard)
        log.decide(numbered([made, made, reversal(made, f"r-{shard}")]))
        assert list(log.verdicts().values()) == [ACCEPTED, ACCEPTED, DUPLICATE]
        found += log.audit(ids)
    assert [each.kind for each in found] == [BreakKind.ID_TWICE]
    assert "accepted in shard 0 at offset 0, and again in shard 1 at offset 0" in found[0].sentence


def test_a_finding_about_a_long_record_is_short() -> None:
    long = "x" * 100_000
    made = draft(
        long, kind=long, reverses=long, entries=[entry(long, "debit", long, long)] * 50, at=NOW
    )
    log = log_of(made)
    log.records[0] = log.records[0]._replace(key=long.encode())
    for verdict in (DUPLICATE, *map(str, Reason)):
        log.forge_verdict(0, verdict)
        for each in log.audit():
            assert len(repr(each.as_json())) < 2_000
    log.records[0] = log.records[0]._replace(key=b"y" * 100_000)
    assert len(repr([each.as_json() for each in log.audit()])) < 2_000


def test_iso_4217_precedes_assets_in_runs_without_reference_digest() -> None:
    log = log_of(FIRST, draft("t-1", amount="1.234"))
    log.topic = ReferenceTopic(Asset("CAD", 4))
    log.forge(0, reference_digest=b"", reference_offset=1)
    assert log.audit() == []
