"""The audit's rules against the decider's: what was decided has no finding; any other verdict has."""

import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.audit.findings import BreakKind
from ledger.audit.judge import ACCEPTED, DUPLICATE
from ledger.domain.decide import Received
from ledger.domain.policy import DAY, MINUTE, Policy
from ledger.domain.reference import Account, Asset, ClockLimit, PolicyChange
from ledger.domain.refusal import Reason
from tests.audited import AuditedLog
from tests.builders import CASH, DEPOSIT, FEES, NOW, received, reversal, unreadable
from tests.property.test_properties_decide import DRAFTS, right
from tests.reference_topic import founded

POLICY = Policy(window=2 * DAY, max_bytes=1_000)
POLICIES = [
    POLICY,
    Policy(window=6 * DAY, max_bytes=1_000),
    Policy(window=DAY, early=0, open_unknown_accounts=False, max_bytes=1_000),
]
AHEAD = st.sampled_from([0] * 8 + [1, MINUTE, DAY, DAY + 1, 3 * DAY])
CREATED = st.sampled_from([0] * 20 + [-DAY, -2 * DAY, -2 * DAY - 1, -5 * DAY, 5 * MINUTE, DAY])
TIMES = st.none() | st.sampled_from([NOW, NOW + 2 * DAY, NOW + 3 * DAY])
CHANGED = st.one_of(
    st.builds(
        Account,
        st.sampled_from([CASH, DEPOSIT, FEES, "assets:closed", "expenses:strict"]),
        currency=st.sampled_from([None, None, "CAD"]),
        opened_at=TIMES,
        closed_at=TIMES,
    ),
    st.builds(Asset, st.sampled_from(["BTC", "CAD", "XYZ"]), st.sampled_from([0, 2, 8])),
    st.builds(ClockLimit, st.just(0), st.integers(0, 12), st.just(NOW + DAY)),
    st.sampled_from(POLICIES),
)


KINDS = ["new"] * 5 + ["again"] * 2 + ["back"] * 3 + ["wild"] * 2 + ["unread"]


@st.composite
def decided(draw: Callable[..., Any]) -> AuditedLog:
    """Runs with changes of reference data between them; the log's time goes on by days."""
    topic = founded(
        Asset("BTC", 8), Account("assets:closed", closed_at=NOW),
        Account("expenses:strict", currency="CAD", opened_at=NOW), policy=POLICY,
    )  # fmt: skip
    log, offset, now = AuditedLog(topic, forgets=draw(st.booleans())), 0, NOW
    for _ in range(draw(st.integers(1, 6))):
        for item in draw(st.lists(CHANGED, max_size=1)):
            last = topic.reference.policies[-1][0]
            topic.add(PolicyChange(item, 1, last) if isinstance(item, Policy) else item)
        run: list[Received] = []
        for kind in draw(st.lists(st.sampled_from(KINDS), max_size=6)):
            offset += draw(st.sampled_from([1, 1, 4]))
            now += draw(AHEAD)
            before = [*log.records.values(), *run]
            run.append(draw(record(kind, offset, now, [each.draft for each in before])))
        log.decide(run)
    return log


@st.composite
def record(
    draw: Callable[..., Any], kind: str, offset: int, now: int, before: Sequence[Any]
) -> Received:
    """At `offset` and `now`: new, wild, garbage, or about one of `before`."""
    drafts = [each for each in before if isinstance(each, dict)]
    key: Any = draw(st.sampled_from(["right"] * 19 + [b"x"]))
    at = now - draw(st.sampled_from([0] * 9 + [DAY]))
    if kind == "unread":
        reason = draw(st.sampled_from([Reason.UNREADABLE, Reason.TOO_LARGE]))
        size = 1_001 if reason is Reason.TOO_LARGE else 5
        return received(unreadable(reason), offset, recorded_at=now, value=b"x" * size)
    if kind in ("again", "back") and drafts:
        of = draw(st.sampled_from(drafts))
        made = of if kind == "again" else reversal(of, f"r-{offset}", at=now)
        changes = [("created_at", now), ("amount", None), ("effective_at", of["effective_at"] - 1)]
        name, value = draw(st.sampled_from([(None, None)] * 5 + changes))
        made = {**made, name: value} if name in made else {**made}
        if name == "amount" and made["entries"]:
            made["entries"] = [made["entries"][0] | {"amount": "4"}, *made["entries"][1:]]
        return received(made, offset, recorded_at=at, key=key, value=b"value")
    made = {**draw(DRAFTS if kind == "wild" else right())}
    if made["created_at"] == NOW:
        made["created_at"] = now + draw(CREATED)
        made["effective_at"] += now - NOW
    return received(made, offset, recorded_at=at, key=key, value=b"value")


@given(decided())
def test_what_was_decided_by_the_rules_has_no_finding(log: AuditedLog) -> None:
    found = log.audit()
    # An id used again past the window is told in any case.
    assert [each.sentence for each in found if each.kind is not BreakKind.ID_TWICE] == []


@given(decided(), st.data())
def test_any_other_verdict_is_found(log: AuditedLog, data: st.DataObject) -> None:
    was = log.verdicts()
    if not was:
        return
    offset = data.draw(st.sampled_from(sorted(was)))
    others = [ACCEPTED, DUPLICATE, *map(str, Reason)]
    new = data.draw(st.sampled_from([each for each in others if each != was[offset]]))
    if not is_sure(log, offset, was[offset], new):
        return
    log.forge_verdict(offset, new)
    told = [each.sentence for each in log.audit() if each.kind is not BreakKind.ID_TWICE]
    assert any(f"ffset {offset} " in each for each in told), (was[offset], new, told)


def is_sure(log: AuditedLog, offset: int, was: str, new: str) -> bool:
    """Whether it can be forged, and the rules say."""
    made: Any = log.records[offset].draft
    if not isinstance(made, dict):
        return new != ACCEPTED
    if new == ACCEPTED:
        try:
            amounts = [float(each["amount"]) for each in made["entries"]]
        except ValueError:
            return False
        if not all(abs(each) < 1e9 for each in amounts):
            return False
    if {was, new} == {"REVERSAL_UNKNOWN", "REVERSAL_TOO_OLD"} or new in (
        "UNKNOWN_SCHEMA",
        "FOREIGN_SCHEMA",
    ):
        return False
    names = [made[name] or "" for name in ("transaction_id", "kind", "ordering_key", "reverses")]
    return not any(unicodedata.category(letter) == "Cn" for letter in "".join(names))
