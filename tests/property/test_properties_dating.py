"""What was accepted is never accepted again by the time that a line without one is given."""

from hypothesis import given
from hypothesis import strategies as st

from ledger.client.past import with_time_of
from ledger.domain.decide import decide
from ledger.domain.memory import Memory
from ledger.domain.policy import DAY, Policy
from ledger.domain.reference import Reference
from ledger.domain.run import Watermark
from ledger.gl.books import Accepted
from tests.builders import NOW, KeptMemory, draft, received

POLICY = Policy()
TIMES = st.integers(-90 * DAY, 90 * DAY)


def settled(made, recorded_at, memory, offset):
    return decide(
        [received(made, offset, recorded_at=recorded_at)],
        shard=0, shards=1, end=offset + 1, watermark=Watermark(end=offset), memory=memory,
        reference=Reference(), policy=POLICY,
    )  # fmt: skip


@given(
    st.integers(-POLICY.window, POLICY.early), TIMES.map(abs), TIMES, st.booleans(), st.booleans()
)
def test_never_new(created, later, default, forgets, reads_posted):
    """`default`: what the line would be given, whatever a file's time or a clock says."""
    kept = KeptMemory()
    memory = kept.memory()
    first = settled(draft(created_at=NOW + created), NOW, memory, 0)
    assert first.decision.accepted == 1
    kept.keep(memory)
    seen = kept.ids["t-1"]
    again = NOW + later
    if forgets and again - seen.known_from > POLICY.window:
        memory = Memory(lambda _: None, lambda _: None)
    else:
        memory = kept.memory()
    made = draft(created_at=again + default)
    if reads_posted or again - seen.known_from > POLICY.window:
        made = with_time_of(Accepted(0, 0, seen.known_from), made, shards=1)
    assert settled(made, again, memory, 1).decision.accepted == 0
