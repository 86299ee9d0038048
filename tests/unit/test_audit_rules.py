"""The audit's own rules: what is decided right has no finding, and each wrong decision is named."""

import ast
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ledger.audit
from ledger.audit import reference
from ledger.audit.check import ShardCheck
from ledger.audit.findings import Break, BreakKind, Findings, Party
from ledger.audit.ids import Ids
from ledger.audit.verdicts import Verdicts
from ledger.domain.policy import DAY, MINUTE, Policy
from ledger.domain.reference import Account, Asset, ClockLimit, PolicyChange
from ledger.domain.refusal import Reason
from ledger.domain.transaction import Draft
from tests.builders import (
    CASH,
    DEPOSIT,
    NOW,
    draft,
    entry,
    id_in_shard,
    reversal,
    unreadable,
    void_of,
)
from tests.judged import SECOND, SHARDS, Ledger, at_home, at_random

T, R, S = (at_home(number) for number in range(100, 103))
MADE = draft(T)
PAST = {"REVERSAL_UNKNOWN", "REVERSAL_TOO_OLD"}
NOT_OURS = {"UNKNOWN_SCHEMA", "FOREIGN_SCHEMA"}


def only(breaks: Sequence[Break]) -> Break:
    """The single break."""
    assert len(breaks) == 1, [each.sentence for each in breaks]
    return breaks[0]


def named(found: Break, offset: int, right: str, said: str) -> None:
    """The break has all of that, for programs and for people."""
    assert (found.kind, found.between) == (BreakKind.RULE, (Party.LOG, Party.DECISIONS))
    assert found.stream is not None
    assert found.ledger is not None
    assert right in found.stream["outcome"].split(" or ")
    assert found.ledger["outcome"] == said
    assert found.stream["offset"] == offset
    for word in (f"Offset {offset} ", right, said):
        assert word in found.sentence


def decided(*drafts: Draft, ledger: Ledger | None = None, at: int = NOW) -> Ledger:
    """One run of them."""
    made = ledger or Ledger()
    for each in drafts:
        made.publish(each, at)
    made.decide()
    return made


# Logs that were decided wrong, and that add up all the same.


def test_a_transaction_reversed_three_times() -> None:
    first, again, third = (reversal(MADE, each) for each in ("r-1", R, "r-3"))
    ledger = decided(MADE, first, again, third)
    assert list(ledger.said().values()) == ["accepted", "accepted"] + 2 * ["REVERSED_ALREADY"]
    for offset in (2, 3):
        ledger.force(offset, "accepted")
    found = ledger.breaks()
    for offset, each in zip((2, 3), found, strict=True):
        named(each, offset, "REVERSED_ALREADY", "accepted")
    assert f"{T!r} was reversed at offset 1" in found[0].sentence
    assert f"{T!r} was reversed at offset 2" in found[1].sentence


def test_a_currency_with_other_decimals_than_it_has() -> None:
    ledger = decided(draft(T, amount="1.0001"), draft(R, amount="5"))
    ledger.force(0, "accepted")
    named(only(ledger.breaks()), 0, "TOO_MANY_DECIMALS", "accepted")


@pytest.mark.parametrize("code", ["NOT_BALANCED", "TOO_LATE", "UNKNOWN_SCHEMA", "ACCOUNT_CLOSED"])
def test_a_good_transaction_refused(code: str) -> None:
    ledger = decided(MADE, draft(R))
    ledger.force(1, code)
    found = only(ledger.breaks())
    named(found, 1, "accepted", code)
    assert "nothing in it is against the rules" in found.sentence


def test_a_closed_account_posted_to() -> None:
    ledger = decided(MADE, ledger=Ledger(Account(CASH, closed_at=NOW)))
    ledger.force(0, "accepted")
    found = only(ledger.breaks())
    named(found, 0, "ACCOUNT_CLOSED", "accepted")
    assert f"{CASH} was closed" in found.sentence
    assert found.as_json()["account"] == CASH


def test_a_created_at_of_ten_years_ago() -> None:
    ledger = decided(MADE | {"created_at": NOW - 3_652 * DAY})  # type: ignore[arg-type]
    ledger.force(0, "accepted")
    found = only(ledger.breaks())
    named(found, 0, "TOO_LATE", "accepted")
    assert "3652.0 days of a window of 30" in found.sentence


@pytest.mark.parametrize(
    ("fees", "said"), [("0.01 0.02", "accepted"), ("0.02 0.01", "REVERSAL_NOT_MIRRORED")]
)
def test_a_reversal_that_exchanges_two_amounts(fees: str, said: str) -> None:
    def legs(amounts: str) -> list[Any]:
        one, other = amounts.split()
        credits = [entry(DEPOSIT, "credit", one), entry("income:x", "credit", other)]
        return [entry(CASH, "debit", "0.03"), *credits]

    first = draft(T, entries=legs("0.01 0.02"))
    back = reversal(draft(T, entries=legs(fees)), R)
    ledger = decided(first, back)
    assert ledger.said() == {0: "accepted", 1: said}
    assert ledger.breaks() == []
    ledger.force(1, "accepted")
    assert [each.kind for each in ledger.breaks()] == [BreakKind.RULE] * (said != "accepted")


def test_a_repetition_effective_two_microseconds_before_1970() -> None:
    first = MADE | {"effective_at": -1}
    ledger = decided(first, first | {"effective_at": -2})  # type: ignore[arg-type]
    assert ledger.said() == {0: "accepted", 1: "ID_REUSED"}
    assert ledger.breaks() == []
    ledger.force(1, "duplicate")
    assert {each.kind for each in ledger.breaks(*BreakKind)} == {
        BreakKind.RULE,
        BreakKind.FALSE_DUPLICATE,
    }


def checked(ledger: Ledger) -> list[Break]:
    """Its runs as the whole check of a shard takes them, from the decision log's rows on."""
    ids, findings = Ids(), Findings()
    check = ShardCheck(0, ids, findings, Verdicts(0, ledger.noted, SHARDS, ids, findings))
    check.begin()
    for offset, row in enumerate(ledger.rows):
        settled = check.follow(offset, row)
        assert settled is not None
        check.take(settled, ledger.originals(settled.head), None)
    check.finish(len(ledger.log))
    return findings.breaks()


def test_a_worker_that_decides_by_other_rules() -> None:
    """The chain is whole, everything adds up, and the reference data are those of the topic."""
    ledger = decided(
        draft(T, currency="JPY", amount="10"), draft(R, currency="BTC", amount="1.0001")
    )
    assert checked(ledger) == []
    ledger.reference.scales["CAD"] = 4
    ledger.floor = NOW - DAY
    late = draft(at_home(9), currency="JPY", amount="7", at=NOW - 2 * DAY)
    decided(draft(S, amount="1.0001"), late, ledger=ledger)
    found = checked(ledger)
    assert [each.kind for each in found] == [BreakKind.RULE, BreakKind.RULE]
    named(found[0], 2, "TOO_MANY_DECIMALS", "accepted")
    named(found[1], 3, "accepted", "TOO_LATE")


def test_the_check_of_a_shard_follows_the_floor_and_the_clock() -> None:
    ledger = Ledger(ClockLimit(0, 1, NOW), policy=Policy(window=DAY))
    ledger.publish(MADE, NOW + 400 * DAY)
    ledger.decide()
    decided(draft(R, at=NOW + 3 * DAY), ledger=ledger, at=NOW + 3 * DAY)
    ledger.change(Policy(window=9 * DAY))
    decided(draft(S), ledger=ledger, at=NOW + 3 * DAY)
    assert ledger.said() == {0: "accepted", 1: "accepted", 2: "TOO_LATE"}
    assert checked(ledger) == []


# Everything at random.


@pytest.mark.parametrize("seed", range(40))
def test_what_the_product_decides_is_right(seed: int) -> None:
    assert at_random(seed).breaks() == []


def test_random_logs_have_every_kind_of_decision() -> None:
    said = {each for seed in range(40) for each in at_random(seed).said().values()}
    assert said == {"accepted", "duplicate", "void", *Reason} - {"SCALE_CHANGED"}


@pytest.mark.parametrize("seed", range(20))
def test_any_one_changed_verdict_is_found(seed: int) -> None:
    some = random.Random(seed)
    runs = 12
    tried = 0
    codes = ["accepted", "accepted", "duplicate", *map(str, Reason)]
    for offset, said in some.sample(sorted(at_random(seed, runs).said().items()), 12):
        ledger = at_random(seed, runs)
        wrong = some.choice([each for each in codes if each != said])
        if {said, wrong} in (PAST, NOT_OURS) or not isinstance(ledger.log[offset].draft, dict):
            continue
        if wrong in NOT_OURS and not any(isinstance(each.draft, dict) for each in
                                         ledger.log[:offset]):  # fmt: skip
            continue
        ledger.force(offset, wrong)
        found = {each.stream["offset"]: each for each in ledger.breaks() if each.stream}
        named(found[offset], offset, said, wrong)
        tried += 1
    assert tried


# Rules by themselves, where the logs at random are thin.


def test_values_close_to_a_limit() -> None:
    limits = Policy()
    for field, age, said in (
        ("created_at", limits.window, "accepted"), ("created_at", limits.window + 1, "TOO_LATE"),
        ("created_at", -limits.early, "accepted"), ("created_at", -limits.early - 1, "TOO_EARLY"),
    ):  # fmt: skip
        ledger = decided(MADE | {field: NOW - age})  # type: ignore[arg-type]
        assert list(ledger.said().values()) == [said]
        assert ledger.breaks() == []
        wrong = "accepted" if said != "accepted" else "TOO_LATE"
        ledger.force(0, wrong)
        named(only(ledger.breaks()), 0, said, wrong)


def test_an_id_counts_until_the_window_is_over() -> None:
    for later, said in ((0, "duplicate"), (1, "accepted")):
        ledger = decided(MADE)
        at = NOW + 30 * DAY + later
        again: Any = MADE | {"created_at": at}
        decided(again, ledger=ledger, at=at)
        assert ledger.said()[1] == said
        assert ledger.breaks() == []


def test_the_window_of_an_id_counts_from_what_is_later() -> None:
    """`created_at` ahead of the log's time: the id is known as long as its draft is not too late."""
    ahead: Any = MADE | {"created_at": NOW + 5 * MINUTE}
    ledger = decided(ahead)
    decided(ahead, ledger=ledger, at=NOW + 30 * DAY + 5 * MINUTE)
    assert list(ledger.said().values()) == ["accepted", "duplicate"]
    assert ledger.breaks() == []


def test_an_account_takes_what_is_effective_from_its_opening_on() -> None:
    ledger = Ledger(Account(CASH, opened_at=NOW))
    decided(MADE, draft(R, effective_at=NOW - 1), ledger=ledger)
    assert list(ledger.said().values()) == ["accepted", "ACCOUNT_NOT_OPEN"]
    assert ledger.breaks() == []


def test_what_repeats_an_id_that_was_used_again_is_a_repetition() -> None:
    ledger = decided(MADE)
    at = NOW + 31 * DAY
    again: Any = MADE | {"created_at": at, "description": "another one"}
    decided(again, again, ledger=ledger, at=at)
    assert list(ledger.said().values()) == ["accepted", "accepted", "duplicate"]
    assert [each.kind for each in ledger.breaks(*BreakKind)] == [BreakKind.ID_TWICE]


def test_a_longer_window_does_not_bring_back_what_was_forgotten() -> None:
    ledger = Ledger(policy=Policy(window=DAY))
    decided(MADE, ledger=ledger)
    decided(draft(R, at=NOW + 3 * DAY), ledger=ledger, at=NOW + 3 * DAY)
    ledger.change(Policy(window=90 * DAY))
    back = reversal(MADE, S, created_at=NOW + 3 * DAY)
    decided(MADE, back, ledger=ledger, at=NOW + 3 * DAY)
    assert ledger.said() | {3: ""} == {0: "accepted", 1: "accepted", 2: "TOO_LATE", 3: ""}
    for said in PAST:
        ledger.force(3, said)
        assert ledger.breaks() == []
    ledger.force(2, "duplicate")
    named(only(ledger.breaks()), 2, "TOO_LATE", "duplicate")


def test_a_limit_of_the_clock_counts_from_the_run_that_knew_it() -> None:
    ledger = Ledger()
    ahead = NOW + 365 * DAY
    ledger.note(ClockLimit(0, 1, NOW), ClockLimit(1, 99, 0))
    ledger.publish(MADE, ahead)
    ledger.publish(draft(R), NOW + SECOND)
    ledger.decide()
    assert set(ledger.said().values()) == {"accepted"}
    assert ledger.breaks(*BreakKind) == []
    ledger.publish(draft(S, at=ahead), ahead)
    ledger.decide()
    assert ledger.breaks(*BreakKind) == []


def test_the_reversal_of_a_reversal_asks_for_the_accounts() -> None:
    ledger = decided(MADE)
    ledger.note(Account(CASH, closed_at=NOW))
    back = reversal(MADE, R)
    decided(back, reversal(back, S), ledger=ledger)
    assert list(ledger.said().values()) == ["accepted", "accepted", "ACCOUNT_CLOSED"]
    assert ledger.breaks() == []
    ledger.force(2, "accepted")
    named(only(ledger.breaks()), 2, "ACCOUNT_CLOSED", "accepted")


def test_a_foreign_schema_may_have_been_registered_since() -> None:
    ledger = Ledger()
    ledger.publish(unreadable(), value=b"?\0\0\0\1")
    decided(MADE, draft(R), ledger=ledger)
    ledger.force(1, "UNKNOWN_SCHEMA")
    assert ledger.breaks() == []
    ledger.force(2, "FOREIGN_SCHEMA")
    assert ledger.breaks() == []
    decided(draft(S), ledger=ledger)
    ledger.force(2, "accepted")
    ledger.force(3, "UNKNOWN_SCHEMA")
    named(only(ledger.breaks()), 3, "accepted", "UNKNOWN_SCHEMA")


@pytest.mark.parametrize("reason", ["UNREADABLE", "FOREIGN_SCHEMA", "UNKNOWN_SCHEMA"])
def test_what_cannot_be_read_is_refused_as_that(reason: str) -> None:
    ledger = Ledger()
    ledger.publish(unreadable(Reason(reason)))
    ledger.decide()
    assert ledger.breaks() == []
    ledger.force(0, "NOT_BALANCED")
    assert "(unreadable)" in only(ledger.breaks()).sentence


def test_a_character_that_this_python_does_not_know_is_not_judged() -> None:
    ledger = decided(MADE | {"kind": "\u0378"})  # type: ignore[arg-type]
    for said in ("accepted", "FIELD_MALFORMED"):
        ledger.force(0, said)
        assert ledger.breaks() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ordering_key": id_in_shard(1, SHARDS)}, "WRONG_PARTITION"),
        ({"kind": "a\u00ad"}, "FIELD_MALFORMED"),
        ({"kind": "\u2003a"}, "FIELD_MALFORMED"),
        ({"kind": "a\u3164"}, "FIELD_MALFORMED"),
        ({"kind": "a\ufe0f"}, "FIELD_MALFORMED"),
        ({"kind": "a\U000e0fff"}, "FIELD_MALFORMED"),
        ({"kind": "a\u00a0b"}, "FIELD_MALFORMED"),
        ({"kind": "a b"}, "accepted"),
        ({"description": "\t\n\r"}, "accepted"),
        ({"metadata": {"a": "\x7f"}}, "FIELD_MALFORMED"),
        ({"effective_at": 7_258_118_400_000_000}, "TIME_OUT_OF_RANGE"),
        ({"entries": [entry(CASH, "debit", "-.5"), entry(DEPOSIT, "credit")]},
         "AMOUNT_NOT_POSITIVE"),
        ({"entries": [entry(CASH, "debit", "1", "JPY"), entry(DEPOSIT, "credit", "1")]},
         "NOT_BALANCED"),
        ({"entries": [entry("assets:" + "a" * 249, "debit"), entry(DEPOSIT, "credit")]},
         "ACCOUNT_MALFORMED"),
    ],
)  # fmt: skip
def test_a_rule(changes: dict[str, Any], said: str) -> None:
    ledger = decided(MADE | changes)  # type: ignore[arg-type]
    assert list(ledger.said().values()) == [said]
    assert ledger.breaks() == []
    ledger.force(0, "SUM_TOO_LARGE")
    named(only(ledger.breaks()), 0, said, "SUM_TOO_LARGE")


def test_decimals_that_changed_since_they_were_accepted() -> None:
    """What a version before 0.2 accepted by ISO 4217, registered with other decimals since."""
    ledger = Ledger(Asset("EUR", 3))
    _of_old(ledger, lambda: decided(draft(T, currency="EUR"), ledger=ledger))
    ledger.scales = {"EUR": 2}
    decided(draft(R, currency="EUR"), ledger=ledger)
    assert ledger.said()[1] == "SCALE_CHANGED"
    run = ledger.settled[0]
    entries = [(account, code, 2, minor // 10)
               for account, code, _, minor in run.transactions[0].entries]  # fmt: skip
    accepted = run.transactions[0]._replace(entries=entries)
    ledger.settled[0] = replace(run, transactions=[accepted])
    assert ledger.breaks() == []
    ledger.force(1, "accepted")
    named(only(ledger.breaks()), 1, "SCALE_CHANGED", "accepted")


# Runs of versions before 0.2.


def _of_old(ledger: Ledger, work: Callable[[], object], first: int | None = None) -> None:
    """What `work` decides, it decides without a digest of the reference data."""
    first = len(ledger.settled) if first is None else first
    work()
    for at, run in enumerate(ledger.settled[first:], first):
        head = run.head._replace(reference_digest=b"", reference_offset=0)
        ledger.settled[at] = replace(run, head=head)


def test_what_was_decided_before_is_judged_by_what_never_changed() -> None:
    ledger = Ledger(Account(CASH, closed_at=NOW))
    late: Any = draft(at_home(7), at=NOW - 99 * DAY)
    odd: Any = draft(at_home(8), kind=" k", entries=[entry(CASH, "debit"), entry(CASH, "credit")])
    back = reversal(MADE, R)
    _of_old(ledger, lambda: decided(late, odd, MADE, back, reversal(MADE, S), ledger=ledger))
    for offset in range(4):
        ledger.force(offset, "accepted")
    ledger.force(4, "REVERSED_ALREADY")
    assert ledger.breaks() == []
    ledger.force(4, "accepted")
    named(only(ledger.breaks()), 4, "REVERSED_ALREADY", "accepted")
    ledger.force(4, "REVERSED_ALREADY")
    ledger.force(1, "NOT_BALANCED")
    named(only(ledger.breaks()), 1, "accepted", "NOT_BALANCED")


@pytest.mark.parametrize("seed", range(20))
def test_what_was_decided_before_has_no_finding(seed: int) -> None:
    ledger = at_random(seed, kinds=4)
    _of_old(ledger, lambda: None, first=0)
    assert ledger.breaks() == []


@pytest.mark.parametrize("unseen", ["\n", "\u3164", "\ufe0f", "\u00a0"])
def test_transactions_with_old_names_stay_reversible(unseen: str) -> None:
    ledger, old = Ledger(), at_home(9) + unseen
    while id_in_shard(0, SHARDS, old) != old + "-0":
        old += unseen
    made = draft(old, ordering_key=T)
    _of_old(ledger, lambda: decided(made, ledger=ledger))
    ledger.force(0, "accepted")
    back = reversal(made, R)
    decided(back, made, ledger=ledger)
    for offset, said in ((1, "accepted"), (2, "duplicate")):
        ledger.force(offset, said)
    assert ledger.breaks() == []
    ledger.force(2, "FIELD_MALFORMED")
    named(only(ledger.breaks()), 2, "duplicate", "FIELD_MALFORMED")


def test_a_run_without_reference_digest_after_one_with_it_is_a_break() -> None:
    ledger = decided(MADE)
    _of_old(ledger, lambda: decided(draft(R), ledger=ledger))
    assert "names no digest" in only(ledger.breaks()).sentence


# Reference data.


def reference_break(ledger: Ledger, **changes: Any) -> Break:
    """The break of a ledger whose second run has another head."""
    ledger.settled[1] = replace(ledger.settled[1], head=ledger.settled[1].head._replace(**changes))
    found = ledger.breaks(BreakKind.REFERENCE)[0]
    assert found.between == (Party.REFERENCE, Party.DECISIONS)
    return found


def two_runs() -> Ledger:
    """The second one knows more."""
    ledger = decided(MADE)
    ledger.note(Account(CASH))
    return decided(draft(R), ledger=ledger)


def test_a_wrong_digest_of_the_reference_data() -> None:
    found = reference_break(two_runs(), reference_digest=b"x" * 32)
    assert found.ledger == {"position": 5, "digest": (b"x" * 32).hex()}
    assert found.stream is not None
    assert found.stream["digest"] != found.ledger["digest"]


def test_a_position_that_falls_or_is_beyond_the_end() -> None:
    first = two_runs().settled[0].head
    found = reference_break(two_runs(), reference_offset=3, reference_digest=first.reference_digest)
    assert "before 3, a run before it those before 4" in found.sentence
    assert "the topic ends at 5" in reference_break(two_runs(), reference_offset=6).sentence


def test_a_record_of_the_reference_topic_altered() -> None:
    ledger = two_runs()
    ledger.noted[1] = ledger.noted[1]._replace(value=b"?", row=None)
    # What the run was decided with is unknown now, so rules that depend on it are not judged.
    assert {each.kind for each in ledger.breaks()} == {BreakKind.REFERENCE}


def test_the_fold_takes_what_the_product_takes() -> None:
    ledger = Ledger()
    ledger.note(
        Asset("CAD", 4), Asset("X Y", 2), Asset("NEW", 19), Asset("NEW", 3), Account("assets:a"),
        PolicyChange(Policy(window=DAY), SHARDS, 99), PolicyChange(Policy(window=DAY), 9, 0),
        PolicyChange(Policy(early=MINUTE), SHARDS, 0), PolicyChange(Policy(), SHARDS, 0),
        Account("assets:a", closed_at=5), ClockLimit(0, 9, 9), ClockLimit(1, 9, 7),
    )  # fmt: skip
    made = reference.ReferenceAt(0, ledger.noted)
    made.advance(len(ledger.noted))
    assert made.scales == ledger.reference.scales
    assert made.accounts == {"assets:a": reference.DeclaredAccount(None, None, 5)}
    assert made.policy == reference.PolicyInForce(early=MINUTE, shards=SHARDS)
    assert made.limits == [(9, 9)]
    assert made.digest == ledger.reference.digest
    assert made.recorded_at(8, 10) == 9
    assert made.recorded_at(9, 10) == 10


# What makes it an audit.


def test_the_audit_takes_no_rule_from_the_domain() -> None:
    rules = {"intake", "transaction", "money", "names", "reference", "policy", "account"}
    for path in Path(ledger.audit.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
            elif isinstance(node, ast.Import):
                names = [each.name for each in node.names]
            else:
                continue
            assert not {f"ledger.domain.{each}" for each in rules} & set(names), path


# Voids.


def voiding() -> Ledger:
    """Two transactions, and a run that voids the first of them by leave."""
    ledger = decided(MADE, draft(R, amount="5", currency="JPY"))
    ledger.leave(0)
    decided(void_of(MADE, at_home(200)), ledger=ledger)
    assert ledger.said() == {0: "accepted", 1: "accepted", 2: "void"}
    assert ledger.breaks(*BreakKind) == []
    return ledger


def test_a_void_without_leave() -> None:
    ledger = voiding()
    ledger.noted = ledger.noted[:-1]
    found = ledger.breaks(BreakKind.RULE)
    # The run names more reference data than the topic has, so its rules are not judged.
    assert found == []
    assert [each.kind for each in ledger.breaks()] == [BreakKind.REFERENCE]
    ledger = voiding()
    void = ledger.settled[1].voids[0]
    decided(void_of(draft(R), at_home(201)), ledger=ledger)
    other = ledger.settled[0].transactions[1]
    refused = ledger.settled[2].refused
    assert [each.code for each in refused] == ["VOID_WITHOUT_LEAVE"]
    forged = void._replace(offset=3, accepted=other)
    ledger.settled[2] = replace(ledger.settled[2], refused=[], voids=[forged])
    named(only(ledger.breaks()), 3, "VOID_WITHOUT_LEAVE", "void")


def test_a_request_that_was_not_followed_and_one_that_was_followed_twice() -> None:
    ledger = voiding()
    ledger.force(2, "VOID_WITHOUT_LEAVE")
    named(only(ledger.breaks()), 2, "void", "VOID_WITHOUT_LEAVE")
    ledger = decided(void_of(MADE, at_home(201)), ledger=voiding())
    assert ledger.said()[3] == "duplicate"
    again = ledger.settled[1].voids[0]._replace(offset=3)
    ledger.settled[2] = replace(ledger.settled[2], duplicates=[], voids=[again])
    named(only(ledger.breaks()), 3, "duplicate", "void")


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"authority": 3}, BreakKind.RULE, "it names another"),
        ({"reason": "somebody else"}, BreakKind.RULE, "it names another"),
        ({"run": 1}, BreakKind.RULE, "it names another"),
        ({"decimals": frozenset({("CAD", 3)})}, BreakKind.RULE, "[('CAD', 2)] are right"),
        ({"transaction_id": R}, BreakKind.DIFFERS, "its record does not ask for that"),
        ({"amount": 1}, BreakKind.DIFFERS, "with another content than was accepted"),
        ({"offset": 1}, BreakKind.DIFFERS, "was accepted in shard 0 at 0 last"),
    ],
)
def test_a_void_of_something_else_than_was_allowed(
    changes: dict[str, Any], kind: BreakKind, said: str
) -> None:
    ledger = voiding()
    (void,) = ledger.settled[1].voids
    accepted = void.accepted
    if "amount" in changes:
        account, code, scale, amount = accepted.entries[0]
        entries = [(account, code, scale, amount + 1), *accepted.entries[1:]]
        accepted, changes = accepted._replace(entries=entries), {}
    elif changes.keys() & {"transaction_id", "offset"}:
        accepted, changes = accepted._replace(**changes), {}
    forged = void._replace(accepted=accepted, **changes)
    ledger.settled[1] = replace(ledger.settled[1], voids=[forged])
    found = [each for each in ledger.breaks(*BreakKind) if each.kind is kind]
    assert any(said in each.sentence for each in found), [each.sentence for each in found]


def test_a_void_of_what_was_never_accepted() -> None:
    ledger = decided(MADE)
    never = draft(S)
    decided(void_of(never, at_home(200)), ledger=ledger)
    assert ledger.said()[1] == "VOID_WITHOUT_LEAVE"
    made_up = ledger.settled[0].transactions[0]._replace(transaction_id=S, offset=77)
    forged = voiding().settled[1].voids[0]._replace(offset=1, accepted=made_up)
    ledger.settled[1] = replace(ledger.settled[1], refused=[], voids=[forged])
    found = ledger.breaks(*BreakKind)
    rule, extra = found
    assert (rule.kind, extra.kind) == (BreakKind.RULE, BreakKind.EXTRA)
    assert "nothing with that id was accepted before it" in extra.sentence


def test_leave_that_names_a_run_that_is_not_its() -> None:
    for run in (1, 99, -1):
        ledger = decided(draft(R), ledger=decided(MADE))
        ledger.leave(0, run)
        decided(void_of(MADE, at_home(200)), ledger=ledger)
        assert ledger.said()[2] == "VOID_WITHOUT_LEAVE"
        assert ledger.breaks(*BreakKind) == []


@pytest.mark.parametrize(
    ("leave", "said"),
    [
        ({"until": NOW}, "void"), ({"until": NOW - 1}, "VOID_WITHOUT_LEAVE"),
        ({"reason": "x" * 1_000}, "void"), ({"reason": "x" * 1_001}, "VOID_WITHOUT_LEAVE"),
        ({"reason": ""}, "void"), ({"reason": "a\nb"}, "VOID_WITHOUT_LEAVE"),
        ({"reason": "a\x00b"}, "VOID_WITHOUT_LEAVE"), ({"reason": "\n" * 2_000}, "VOID_WITHOUT_LEAVE"),
    ],
)  # fmt: skip
def test_leave_that_has_ended_or_that_the_database_could_not_keep(
    leave: dict[str, Any], said: str
) -> None:
    ledger = decided(MADE)
    ledger.leave(0, **leave)
    decided(void_of(MADE, at_home(200)), ledger=ledger)
    assert ledger.said()[1] == said
    assert ledger.breaks(*BreakKind) == []


def test_what_a_version_before_accepted_is_voided_too() -> None:
    """Its runs name no reference data; the first of this version takes it back."""
    ledger = decided(MADE)
    head = ledger.settled[0].head
    ledger.settled[0] = replace(
        ledger.settled[0], head=head._replace(reference_digest=b"", reference_offset=0)
    )
    ledger.leave(0)
    decided(void_of(MADE, at_home(200)), draft(R), ledger=ledger)
    assert ledger.said() == {0: "accepted", 1: "void", 2: "accepted"}
    assert ledger.breaks(*BreakKind) == []
    # No version before this one has voided anything.
    second = ledger.settled[1]
    ledger.settled[1] = replace(
        second, head=second.head._replace(reference_digest=b"", reference_offset=0)
    )
    named(only(ledger.breaks(BreakKind.RULE)), 1, "VOID_WITHOUT_LEAVE", "void")
