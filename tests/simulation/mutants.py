"""Deliberate defects: the product's own source with one line changed, while the test runs."""

import inspect
import sys
import textwrap
from contextlib import contextmanager
from typing import NamedTuple

from agents.balances import Balances
from agents.clock_limit import ClockLimit
from agents.deciding import IntakeShard
from agents.folding import Folding
from agents.history import HistoryShard
from agents.posting import PostingShard
from agents.public_balances import PublicBalances
from agents.reconciliation import ReconciliationShard
from agents.runtime import app
from agents.runtime.run_consumer import RunConsumer
from agents.runtime.runs import Run
from agents.summing import BalancesPart
from ledger.domain import checks, decide, fold, history, reversal
from ledger.domain.balance import AccountStripes
from ledger.domain.compare import Comparison
from ledger.domain.covered import Covered
from ledger.domain.reference import Reference
from ledger.domain.run import Decision
from ledger.domain.sums import Backlog, Sums
from ledger.gl.history.memory import MemoryHistory
from ledger.gl.memory import MemoryJournal
from ledger.health.partitions import PartitionHealth
from ledger.streaming import stripe_rows
from ledger.streaming.accepted import AcceptedMark
from ledger.streaming.log import Log
from ledger.streaming.reference_follower import ReferenceFollower
from ledger.streaming.table import ChangelogTable
from tests.simulation.process import Process


class Mutant(NamedTuple):
    """`place.name` with `was` replaced by `becomes`. `fault`: the one that alone can show it."""

    place: object
    name: str
    was: str
    becomes: str
    fault: str = ""


MUTANTS = {
    "a run continues whatever ends where it starts": Mutant(
        Decision, "continues", " and self.follows == watermark.digest", ""
    ),
    "intake takes any offset for the expected one": Mutant(
        IntakeShard, "_append_run", "if offset != self._log_end:", "if offset < 0:"
    ),
    "intake marks a run as settled before it is appended": Mutant(
        IntakeShard, "_append_run", "    offset = await self._append",
        "    self._ids.write(memory, ValidRun.of(decided, self._log_end, self._ids.watermark),"
        " self._reference.data.policy)\n    offset = await self._append",
    ),
    "intake forgets the ids of before a crash": Mutant(
        IntakeShard, "_catch_up", "memory.remember(run.content, run.outcomes, run.voided)", "pass"
    ),
    "a run that begins further on is taken for the next": Mutant(
        Run, "from_position", "if self.start > position:", "if False:"
    ),
    "a gap is not read again": Mutant(
        RunConsumer, "rewind", "if run.seek < self._thread.seeks[tp] or", "if True or"
    ),
    "a gap is read again once": Mutant(
        RunConsumer, "rewind", "if run.seek < self._thread.seeks[tp] or",
        "if self._thread.seeks[tp] > 1 or",
    ),
    "a gap in the stripes is not noticed": Mutant(
        BalancesPart, "take", "raise Gap(self._sums.read)", "records = run.records"
    ),
    "a row is written here before it is in the changelog": Mutant(
        ChangelogTable, "write", "        first = await",
        "        self._write(rows.items(), self._end)\n        first = await",
    ),
    "a stripe's key has no currency": Mutant(
        stripe_rows, "key_of", "{stripe.currency}", "CAD"
    ),
    "an opened shard does not say again what it applied": Mutant(
        ReconciliationShard, "_republish_uncompared", "await self._publisher.stripes(", "_ = ("
    ),
    "an opened shard does not fold what the log has beyond": Mutant(
        Folding, "catch_up", "await self._fold_all(", "_ = ("
    ),
    "an opened shard does not tell how far it is compared": Mutant(
        ReconciliationShard, "_republish_uncompared", "self._comparing.publish_progress()", "pass"
    ),
    "an opened poster does not say what was posted": Mutant(
        PostingShard, "open", "if snapshot.watermark.decisions_offset >", "if False and None >"
    ),
    "a database that was put back is not looked at": Mutant(
        PostingShard, "note_position", "if found != known and", "if False and"
    ),
    "the journal posts whatever it is told": Mutant(
        MemoryJournal, "post_all", "!= posting.before", "is None"
    ),
    "a shard's new total is added to its old one": Mutant(
        AccountStripes, "reconcile", "debits + more_debits - known_debits", "debits + more_debits"
    ),
    "a balance is reconciled as soon as it is decided": Mutant(
        Sums, "reconcile", "take_compared(end_of(shard), now)", "take_compared(1 << 60, now)"
    ),
    "posted messages are read from the end": Mutant(
        Comparison, "__init__", "self.position = mark.posted", "self.position = 1 << 30"
    ),
    "an older total is heard": Mutant(
        AccountStripes, "decide", "live.offset <= self.latest(shard).offset", "False"
    ),
    "an append is not tried again": Mutant(
        Log, "append_absolute", "return await waited_for(lambda: self.append(topic, partition, kept), ",
        "from contextlib import suppress\n    with suppress(Unavailable):\n        return await self.append(topic, partition, kept)\n    return 0 * len(",
    ),
    "a crash takes rows and leaves the mark": Mutant(
        Process, "lose_unflushed", "undo.pop()", "{key: was for key, was in undo.pop().items() if key != b'w'}"
    ),
    "an open partition says that it is being opened": Mutant(
        PartitionHealth, "opened", "self._set(State.GOING_ON)", "pass"
    ),
    "nobody asks for the lease": Mutant(
        app, "lease", "raise LeaseLost", "return None and"
    ),
    "a shard is decided with less reference data than its chain has recorded": Mutant(
        IntakeShard, "_reach", "if self._reference.data.offset < offset:", "if False:"
    ),
    "new reference data is not put on record": Mutant(
        IntakeShard, "reference_moved", "self._noting.wake()", "pass"
    ),
    "the last registration of an asset decides its decimals": Mutant(
        Reference, "_add_asset", "if item.code not in self.registered:", "if True:"
    ),
    "the first record of an account counts": Mutant(
        Reference, "add", "self.accounts[item.code] = item", "self.accounts.setdefault(item.code, item)"
    ),
    "a policy that was overtaken counts": Mutant(
        Reference, "_change_policy", "if item.follows != last:", "if False:"
    ),
    "the first policy counts for ever": Mutant(
        IntakeShard, "_decide", "policy=reference.policy,", "policy=reference.policies[0][1],"
    ),
    "a worker decides by settings of its own": Mutant(
        ReferenceFollower, "_require_settings", "contradictions(self._settings, self.data)", "[]"
    ),
    "since when every id is remembered is forgotten": Mutant(
        AcceptedMark, "after", "policy.floor_after(self.floor, decision.recorded_until)", "self.floor"
    ),
    "what is older than every id remembered is new": Mutant(
        checks, "_check_times", 'if draft["created_at"] < floor:', "if False:"
    ),
    "ids are remembered by the policy of today": Mutant(
        IntakeShard, "_remember_and_offer", "policy_at(run.decision.reference_offset)", "policy"
    ),
    "a clock that is ahead is believed": Mutant(
        ClockLimit, "first_ahead", "if not records or", "if True or"
    ),
    "a limit of the clock is not heeded": Mutant(
        Reference, "recorded_at", "if offset < each.until", "if False"
    ),
    "what is void is not taken back": Mutant(
        fold, "_fold_run", "_take_back(run, changed, rows, rows_of, compared) if run.decision.voids else changed", "changed",
        "void",
    ),
    "a poster speaks of what reconciliation counts still": Mutant(
        PostingShard, "_publish", "if watermark.decisions_offset < self._silent_until:", "if False:", "void"
    ),
    "an opened poster forgets that it left something out": Mutant(
        PostingShard, "_left_out_until", "default=0)", "default=0) * 0", "void"
    ),
    "a poster that stopped does not look for voids": Mutant(
        PostingShard, "look_for_voids", "if self._must_reopen and", "if False and", "void"
    ),
    "a lane that stopped stays so": Mutant(
        RunConsumer, "_open", "self.app.stages.clear_lane(tp)", "pass", "void"
    ),
    "the journal takes out what it has left out": Mutant(
        MemoryJournal, "_take_back", "if void.offset not in", "if True or void.offset not in", "void"
    ),
    "an opened shard forgets what was taken back": Mutant(
        ReconciliationShard, "_uncompared", "run.stripes()", "run.content.stripes()", "void"
    ),
    "intake forgets voids of before a crash": Mutant(
        IntakeShard, "_catch_up", "run.outcomes, run.voided)", "run.outcomes)", "void"
    ),
    "what is void is a repetition when it comes again": Mutant(
        decide, "_known_again", "if known.offset in memory.voided:", "if False:", "void"
    ),
    "a reversal that is void still reverses": Mutant(
        reversal, "_check_taken_back", "or reversed_at in memory.voided", "or False", "void"
    ),
    "coverage counts what was published while it was opened": Mutant(
        Covered, "note", "self._wait(self._missed, own)", "self._wait(0, own)"
    ),
    "coverage counts what another process has published": Mutant(
        Covered, "note", "self._wait(end, others)", "self._wait(0, others)"
    ),
    "coverage counts totals that later ones have replaced": Mutant(
        Backlog, "_keep_latest", "self.note_unclear()", "pass"
    ),
    "coverage counts what a newer row was received before": Mutant(
        Sums, "_is_ahead", "self._backlogs[shard].note_unclear()", "pass"
    ),
    "coverage counts what compaction has left out meanwhile": Mutant(
        Covered, "note_hole", "self.has_hole, self._hole, self._hole_noted = True, None, False", "pass"
    ),
    "coverage is published before its balances": Mutant(
        BalancesPart, "cover", "await self._publish_all()", "pass"
    ),
    "an older balance that came last stays": Mutant(
        PublicBalances, "_look_at", "again.add(stripe)", "pass"
    ),
    "a balance of a worker that was replaced hides what is covered": Mutant(
        PublicBalances, "outrank", "return not self._hidden", "return True"
    ),
    "coverage counts rows that were folded together": Mutant(
        Backlog, "contained", "return min(end, self._whole)", "return end"
    ),
    "coverage is published once": Mutant(
        Balances, "publish_coverage", "time.monotonic() - looked > COVERED_EACH", "False"
    ),
    "history has what is not reconciled": Mutant(
        HistoryShard, "_ready", "if run.after.end <= end", "if True", "history"
    ),
    "history waits for what is reconciled already": Mutant(
        HistoryShard, "reconciliation_moved", "self._reconciled.set()", "pass", "history"
    ),
    "history folds on from wherever its database is": Mutant(
        MemoryHistory, "fold", "!= each.before", "is None", "history"
    ),
    "a gap in the decisions is not noticed by history": Mutant(
        HistoryShard, "_require_next", "if position > self._read:", "if False:", "history"
    ),
    "history that was emptied or put back is not looked at": Mutant(
        HistoryShard, "note_position", "elif found != known and", "elif False and", "history"
    ),
    "a shard that was opened meanwhile is folded on": Mutant(
        HistoryShard, "_require_at", "if self._watermark != reached:", "if False:", "history"
    ),
    "history has nobody who produced what was refused": Mutant(
        HistoryShard, "_producers", "if not refused:", "if True:", "history"
    ),
    "what is void was never effective": Mutant(
        history, "_take_back", "content.effective_at[0]", "voided.recorded_at", "history"
    ),
    "what is void still counts among credits": Mutant(
        history, "_take_back", "place.credits -= max(-amount, 0)", "pass", "history"
    ),
}  # fmt: skip


@contextmanager
def at_large(mutant):
    """The product has the defect meanwhile."""
    place, name, was, becomes, _ = mutant
    original = inspect.getattr_static(place, name)
    source = textwrap.dedent(inspect.getsource(original))
    assert source.count(was) == 1, f"{name} has changed: mend this mutant"
    module = inspect.getmodule(original)
    made = {}
    exec(compile(source.replace(was, becomes), f"<mutant of {name}>", "exec"), vars(module), made)
    places = [place]
    if inspect.ismodule(place):
        places = [
            each for each in list(sys.modules.values()) if getattr(each, name, None) is original
        ]
    for each in places:
        setattr(each, name, made[name])
    try:
        yield
    finally:
        for each in places:
            setattr(each, name, original)
