"""One seed's world: workers, groups, producers, and what goes wrong with them."""

import asyncio
import gc
import logging
import random
from copy import deepcopy
from types import SimpleNamespace

import tenacity.wait
from faust.types import TP

import schemas  # noqa: F401 - read before the clock is replaced
from agents import (
    balances,
    clock_limit,
    comparing,
    folding,
    history,
    intake,
    poster,
    posting,
    reconciliation,
    summing,
)
from ledger.domain import compare, sums
from ledger.domain.policy import DAY, Policy
from ledger.domain.reference import Account, Asset, ClockLimit, Leave, PolicyChange
from ledger.domain.transaction import ordering_key
from ledger.gl.history.memory import MemoryHistory
from ledger.gl.journal import NotPostable
from ledger.gl.memory import MemoryJournal
from ledger.health.rows import partition_rows, reasons
from ledger.settings import Settings
from ledger.streaming import accepted, account_store, append_queue, table
from ledger.streaming.reference import key_and_row
from ledger.streaming.registry import Codec
from ledger.streaming.topics import topics
from tests.builders import NOW, KnownReader, wire
from tests.simulation import remembered
from tests.simulation.kafka import Partition
from tests.simulation.load import ACCOUNTS, ASSET, CURRENCIES, Producers
from tests.simulation.loop import Idle, Loop, now
from tests.simulation.oracle import Oracle
from tests.simulation.process import Dead, MemoryStore, Process

FAULTS = (
    "crash", "lost_disk", "old_disk", "unflushed", "rebalance", "zombie", "lost_ack", "failed_append",
    "late_append", "leader_change", "lost_run", "repeat", "holes", "compaction", "journal_no",
    "journal_hang", "journal_unknown", "journal_away", "journal_backup", "reference", "slow", "small",
    "days", "clock", "settings", "void", "foreign", "history",
)  # fmt: skip
"""Classes of faults; a seed has some, half or most of them. The last three are in a fifth of them: a
shard that waits for a void hides others, an append that lands elsewhere is decided again, and history
is no fault but more workers, which meet those that there are."""
RARE = VOID, FOREIGN, HISTORY = FAULTS[-3:]
NOT_TAKEN = "the database does not take"
CALM_SECONDS = 600.0
"""Virtual; within it everything must be reconciled once faults have stopped."""
CODEC = Codec({name: number for number, name in enumerate(
    ("Transaction", "Decision", "Stripe", "Balance", "Posted", "Progress", "Coverage", "Reject", "Break", "Reference"), 1)}
)  # fmt: skip


class Violated(AssertionError):
    """Something that must always be true was not."""


class World:
    """`off`: faults left out; `only`: just these; `trace`: a list that learns what happens, or None."""

    def __init__(self, seed, *, off=frozenset(), only=None, trace=None):
        self.seed, self.trace = seed, trace
        self.made_again = {}  # by topic that was deleted and made again, its new id
        self.random = random.Random(seed)
        self._dice = {}
        much = self.random.choice((0.3, 0.5, 0.8))
        self.on = {fault for fault in FAULTS[: -len(RARE)] if self.random.random() < much}
        self.on |= {rare for rare in RARE if self.dice(rare).random() < 0.2}
        self.on -= set(off)
        self.on = self.on if only is None else set(only)
        self.loop, self.calm = Loop(), False
        self.loop.set_exception_handler(self._nobody_caught)
        shards, self.workers = self.random.choice((1, 2, 2)), self.random.choice((1, 2, 2, 3))
        self.settings = SETTINGS[shards]
        self.names, self.codec = topics(self.settings), CODEC
        names = self.names
        inside = (
            names.decisions,
            names.posted,
            names.stripes,
            names.stripes_changelog,
            names.progress,
        )
        self.internal = {topic.name for topic in inside}
        self.kinds = ("stream", "posting", *self.on & {HISTORY})
        self.journal, self.backup = MemoryJournal(), None
        self.history = MemoryHistory()
        self.partitions, self.disks, self.old_disks = {}, {}, {}
        self.database_away_until, self.failed = 0.0, None
        self.oracle = Oracle(self)
        self.groups, self.passed = {}, 0
        self.not_postable, self.voiding, self.asked = set(), set(), 0
        self._found()
        self.until = self.random.uniform(1, 5)
        if VOID in self.on:
            self.loop.call_later(self.until * self.dice(VOID).random(), self._void_any)
        if "clock" in self.on:
            self.loop.call_later(self.until * self.dice("clock").random(), self._clock_ahead)
        if "journal_away" in self.on and self.dice("journal_away").random() < 0.3:
            # Then much is posted at once.
            self.database_away_until = self.until * 0.8

    def dice(self, name):
        """Each class of faults has its own: to leave one out does not change the others."""
        if name not in self._dice:
            self._dice[name] = random.Random(f"{self.seed} {name}")
        return self._dice[name]

    def chance(self, fault, probability):
        return fault in self.on and not self.calm and self.dice(fault).random() < probability

    def _found(self):
        """The ledger is made: its policy and its currencies."""
        first = PolicyChange(Policy(), self.settings.shards, reason="the first one")
        items = [first, *(Asset(code, 2) for code in CURRENCIES)]
        where = self.partition(self.names.reference.name, 0)
        for item in items:
            self.refer(item, where)

    def refer(self, item, where=None):
        """Append to the reference data."""
        where = where or self.partition(self.names.reference.name, 0)
        key, row = key_and_row(item)
        where.land([(key, self.codec.encode("Reference", row))])

    def present(self):
        """What a clock that is right says, microseconds since 1970."""
        return NOW + int(self.loop.now * 1_000_000) + self.passed

    def _refer_something(self, dice):
        """What somebody changes; perhaps with what is out of date by now, or of no worth."""
        what, present = dice.random(), self.present()
        if what < 0.5:
            closed = dice.choice((None, present, present + 5 * DAY, present - 3 * DAY))
            currency = dice.choice((None, None, "CAD"))
            item = Account(dice.choice(ACCOUNTS), currency=currency, closed_at=closed)
        elif what < 0.75:
            item = Asset(dice.choice((ASSET, ASSET, "CAD")), dice.choice((2, 3)))
        else:
            policy = Policy(
                window=dice.choice((1, 10, 30, 90)) * DAY,
                open_unknown_accounts=dice.random() < 0.8,
            )
            last = self.oracle._known_at(1 << 60).policy_at
            follows = last if dice.random() < 0.7 else 0
            item = PolicyChange(policy, self.settings.shards, follows=follows)
        self.note(f"reference data: {item}")
        self.refer(item)

    def _clock_ahead(self):
        """A broker's clock is far ahead, for a shard that it leads, until somebody sees it."""
        if self.calm:
            return
        dice = self.dice("clock")
        where = self.partition(self.names.transactions.name, dice.randrange(self.settings.shards))
        where.ahead_ms = dice.choice((2, 31 * 24 * 60)) * 60_000
        self.note(f"the clock of shard {where.number} is {where.ahead_ms} ms ahead")

    def _clocks_right(self):
        """They are set right, and what they have stamped counts as recorded now at the latest."""
        for shard in range(self.settings.shards):
            where = self.partition(self.names.transactions.name, shard)
            if where.ahead_ms:
                where.ahead_ms = 0
                self.refer(ClockLimit(shard, where.end, self.present()))

    def require_postable(self, prepared):
        """Raises NotPostable; somebody sees that to it that it is voided."""
        for each in prepared:
            shard = each.posting.shard
            for run in each.posting.runs:
                for offset in run.posted.offsets:
                    if (shard, offset) in self.not_postable:
                        self.void(shard, offset)
                        raise NotPostable(f"{NOT_TAKEN} {offset} of shard {shard}")

    def _void_any(self):
        """Something that may well be posted."""
        dice = self.dice(VOID)
        shard = dice.randrange(self.settings.shards)
        if not self.calm and (accepted := self.oracle.shards[shard].accepted):
            self.void(shard, dice.choice(accepted))

    def void(self, shard, offset):
        if (shard, offset) not in self.voiding and offset not in self.oracle.shards[shard].voided:
            self.voiding.add((shard, offset))
            self.loop.create_task(self._void(shard, offset))

    async def _void(self, shard, offset):
        """Give leave, ask, and see that it is done; what reverses it first."""
        dice, model = self.dice(VOID), self.oracle.shards[shard]
        while offset not in model.voided:
            await asyncio.sleep(0.3 if self.calm else 2 * dice.random())
            at = model.to_void_first(offset)
            run = model.runs[at]
            if dice.random() < 0.2:
                run += dice.choice((-1, 1))
            self.note(f"leave to void {at} of shard {shard}, by the run at {run}")
            self.refer(Leave(shard, at, run, "the simulation"))
            position = self.partition(self.names.reference.name, 0).end
            for _ in range(dice.choice((1, 1, 1, 2))):
                self.asked += 1
                made = model.asking(at, f"void{self.asked}", self.present())
                await self._until(lambda at=position: self.oracle.known[shard] >= at)
                key = ordering_key(made).encode()
                self._publish(key, wire(made), shard, made)
            end = self.partition(self.names.transactions.name, shard).end
            await self._until(lambda at=end: self.oracle.chains[shard][-1][1] >= at)
        self.voiding.discard((shard, offset))
        if dice.random() < 0.5:
            self._publish_again(shard, model.made[offset])

    def _publish_again(self, shard, made):
        """What is void now, as it was; a reversal under a new id as well."""
        self._publish(ordering_key(made).encode(), wire(made), shard, made)
        if made["reverses"]:
            self.asked += 1
            changes = {"transaction_id": f"again{self.asked}", "created_at": self.present()}
            made = {**made, **changes}
            self._publish(ordering_key(made).encode(), wire(made), shard, made)

    async def _until(self, holds):
        while self.failed is None:
            if holds():
                return
            await asyncio.sleep(0.1)

    def foreign(self, topic, records):
        """What no worker writes: garbage, nothing, or what is another partition's."""
        dice = self.dice(FOREIGN)
        key, value = dice.choice(list(records))
        forms = [
            (dice.randbytes(9), dice.randbytes(30)),
            (None, None),
            (b"", value),
            (dice.randbytes(9), value),
        ]
        if topic == self.names.posted.name:
            forms.append((key, self._of_another_shard("Posted", value)))
        elif topic == self.names.progress.name:
            forms[2:] = [(dice.randbytes(9), self._of_another_shard("Progress", value))]
        elif topic == self.names.decisions.name:
            # A run is one by its content alone, whoever wrote it.
            forms = forms[:2]
        return dice.choice(forms)

    def _of_another_shard(self, name, value):
        row = self.codec.decode(name, value)
        return self.codec.encode(name, row | {"shard": row["shard"] + 1})

    def latency(self):
        """Seconds, mostly a few milliseconds."""
        if self.chance("slow", 0.02):
            return 2 * self.dice("slow").random()
        return 0.001 + 0.1 * self.random.random() ** 4

    def partition(self, topic, number):
        found = self.partitions.get((topic, number))
        if found is None:
            found = self.partitions[topic, number] = Partition(self, topic, number)
        return found

    def note(self, what, process=None):
        if self.trace is not None:
            self.trace.append(f"{self.loop.now:9.3f} {process or ''!s:12} {what}")

    def fail(self, what, cause=None):
        """The first thing that was wrong counts."""
        if self.failed is None:
            self.failed = Violated(f"seed {self.seed}: {what}")
            self.failed.__cause__ = cause
            self.note(f"VIOLATED: {what}")

    def _nobody_caught(self, loop, context):
        error = context.get("exception")
        if not (error is None or isinstance(error, Dead)):
            self.fail(f"nobody caught {error!r}", error)

    def run(self):
        """Raises Violated."""
        collecting = gc.isenabled()
        # What is collected runs code of its own, at moments that are no seed's.
        gc.disable()
        try:
            with patched(self):
                self.loop.run_until_complete(self._live())
        finally:
            if collecting:
                gc.enable()
        if self.failed is not None:
            raise self.failed

    async def _live(self):
        for kind in self.kinds:
            self.groups[kind] = group = Group(self, kind)
            for number in range(self.workers):
                group.start(f"w{number}")
            self.loop.create_task(group.run())
        self.loop.create_task(self._produce())
        await asyncio.sleep(0.01)
        while self.loop.now < self.until and self.failed is None:
            await asyncio.sleep(self.random.expovariate(1.5))
            self._strike()
        self._strike_at_rest()
        self.calm = True
        self._clocks_right()
        self.note("calm from here on")
        began, moved = self.loop.now, False
        while self.failed is None and (
            self._unsettled()
            or (missing := self.oracle.missing() or self._unwell() or remembered.missing(self))
        ):
            passed = self.loop.now - began
            if passed > CALM_SECONDS:
                self.fail(f"not within {CALM_SECONDS:.0f} s: {self._unsettled() or missing}")
            if passed > CALM_SECONDS / 2 and not moved:
                moved = True
                self._move_on()
            await asyncio.sleep(0.5)
        if self.failed is None:
            remembered.check(self)

    def _move_on(self):
        """One more transaction where an old progress record came last: see docs/simulator.md."""
        for shard, last in enumerate(self.oracle.last_progress):
            if last < self.oracle.compared[shard]:
                self.note(f"shard {shard} has an old progress record last")
                self._publish(*self.producers.another(shard))

    def _unwell(self):
        """What processes still say of themselves, where all is well."""
        return [
            f"{process}: {sentence}"
            for group in self.groups.values()
            for process in group.live()
            for sentence in reasons(partition_rows(process.app.runtime.health))
        ]

    def _unsettled(self):
        if self.voiding:
            return f"what is to be voided: {self.voiding}"
        return any(group.unsettled() for group in self.groups.values()) and "workers"

    async def _produce(self):
        dice = self.dice("producers")
        self.producers = producers = Producers(dice, self.settings.shards, self.present)
        left = dice.randint(20, 60) if dice.random() < 0.2 else dice.randint(2, 12)
        while left > 0:
            await asyncio.sleep(dice.random() ** 2 * self.until / 4)
            for _ in range(min(dice.choice((1, 1, 3, 8)), left)):
                self._publish(*producers.next())
                left -= 1

    def _publish(self, key, value, shard, made):
        where = self.partition(self.names.transactions.name, shard)
        right = made is None or self.producers.right(key) == shard
        offset = where.land([(key, value)])
        (record,) = where.between(offset, offset + 1)
        at = record.timestamp * 1000
        if self.chance(VOID, 0.1):
            self.not_postable.add((shard, offset))
        self.oracle.shards[shard].publish(offset, at, made, right_shard=right)

    def _strike(self):
        """Something happens to the world as a whole."""
        if HISTORY in self.on and self.dice(HISTORY).random() < 0.1:
            self.note("history is emptied")
            self.history._shards.clear()
        what = self.random.choice(STRIKES)
        if what not in self.on:
            return
        dice = self.dice(what)
        group = self.groups[dice.choice(("stream", *self.kinds))]
        if what == "crash":
            if live := group.live():
                victim = dice.choice(live)
                self.note("is killed", victim)
                self.died(victim)
        elif what == "rebalance":
            group.rebalance()
        elif what == "zombie":
            group.expel(dice)
        elif what == "journal_away":
            self.database_away_until = self.loop.now + dice.uniform(0.5, 10)
            self.note("the database is away")
        elif what == "journal_backup":
            self._back_up(dice)
        elif what == "old_disk":
            self.old_disks = deepcopy(self.disks)
        elif what == "compaction":
            for topic in (
                self.names.stripes,
                self.names.stripes_changelog,
                self.names.balances,
                self.names.progress,
            ):
                for number in range(topic.partitions):
                    self.partition(topic.name, number).compact()
        elif what == "reference":
            self._refer_something(dice)
        elif what == "days":
            self.passed += dice.choice((1, 8, 20, 40)) * DAY
            self.note("days pass")

    def _strike_at_rest(self):
        """After it nothing more may come that would show what was lost."""
        dice = self.dice("at rest")
        if "journal_backup" in self.on and self.backup is not None and dice.random() < 0.5:
            self._put_back(dice)
        if "crash" in self.on and dice.random() < 0.3:
            for group in self.groups.values():
                for process in group.live():
                    self.note("is killed", process)
                    self.died(process)

    def _back_up(self, dice):
        """Keep a copy of the database, or put the old one in its place."""
        if self.backup is None or dice.random() < 0.3:
            self.backup = deepcopy((self.journal._shards, self.history._shards))
        else:
            self._put_back(dice)

    def _put_back(self, dice):
        self.note("the database comes back from an old backup")
        self.journal._shards, self.history._shards = self.backup
        self.backup = None
        if dice.random() < 0.5:
            self._restart_posting()

    def _restart_posting(self):
        for process in self.groups["posting"].live():
            self.died(process)

    def died(self, process):
        """It runs no further; it is started again."""
        if not process.dead:
            process.dead = True
            self.groups[process.kind].lost(process)


class Group:
    """The processes of a kind, and who of them has which partitions."""

    def __init__(self, world, kind):
        self.world, self.kind = world, kind
        self.members, self.starting, self.generation = [], 0, 0
        self.due, self.turn, self.zombies = asyncio.Event(), 0, []
        self.busy, self.kept = False, {}

    def live(self):
        return [each for each in self.members if not each.dead]

    def unsettled(self):
        return self.starting or self.due.is_set() or self.busy or self.zombies

    def start(self, name):
        member = Process(self.world, name, self.kind)
        self.members.append(member)
        self.world.note("starts", member)
        generation, tps = self.kept.pop(name, (None, ()))
        if generation == self.generation and not (self.busy or self.due.is_set()):
            # Known by its member id: it takes its partitions back, and nobody else notices.
            self.world.loop.create_task(self._assign(member, tps))
        else:
            self.due.set()

    def lost(self, process):
        """Started again after a while, perhaps on another disk."""
        world, dice = self.world, self.world.dice("crash")
        if process in self.members:
            self.members.remove(process)
        if process in self.zombies:
            self.zombies.remove(process)
        self.starting += 1
        if dice.random() < 0.5 or self.busy:
            self.due.set()
        else:
            self.kept[process.name] = self.generation, list(process.app.consumer.assignment())
        if world.chance("lost_disk", 0.4):
            world.disks.pop((process.name, self.kind), None)
            world.note("loses its disk", process)
        elif world.chance("old_disk", 0.4):
            old = world.old_disks.get((process.name, self.kind), {})
            world.disks[process.name, self.kind] = {path: dict(kept) for path, kept in old.items()}
            world.note("gets an old disk", process)
        elif world.chance("unflushed", 0.6):
            process.lose_unflushed(world.dice("unflushed"))
        world.loop.call_later(dice.random() ** 2 * 5, self._again, process.name)

    def _again(self, name):
        self.starting -= 1
        self.start(name)

    def rebalance(self):
        self.turn += 1
        self.due.set()

    def expel(self, dice):
        """One is replaced, and does not know yet: at the latest its lease tells."""
        live = self.live()
        if len(live) < 2:
            return
        zombie, world = dice.choice(live), self.world
        seconds = dice.uniform(0.1, 2)
        zombie.confirmed = world.loop.now - 10.0 + seconds
        world.note(f"is replaced and does not know for {seconds:.1f} s", zombie)
        self.members.remove(zombie)
        self.zombies.append(zombie)
        self.due.set()
        world.loop.call_later(
            seconds + 3 * dice.random(), self._found_out, zombie, dice.random() < 0.5
        )

    def _found_out(self, zombie, stays):
        if zombie in self.zombies and stays:
            self.zombies.remove(zombie)
            self.members.append(zombie)
            zombie.confirmed = None
            self.due.set()
        elif zombie in self.zombies:
            self.world.died(zombie)

    async def run(self):
        """Without end: rebalance when that is due, as the eager protocol does."""
        world = self.world
        while True:
            await self.due.wait()
            self.due.clear()
            self.busy = True
            for member in self.live():
                await asyncio.sleep(world.latency())
                await self._in(
                    member,
                    lambda m: m.app.consumer.on_partitions_revoked(
                        set(m.app.consumer.assignment())
                    ),
                )
                member.app.consumer._thread.assign(())
            self.generation += 1
            members = self.live()
            if members:
                shares = self._shares(members)
                for member, tps in zip(members, shares, strict=True):
                    await asyncio.sleep(world.latency())
                    if not member.dead:
                        await self._assign(member, tps)
            self.busy = False

    async def _assign(self, member, tps):
        self.world.note(f"has {', '.join(f'{tp.topic}[{tp.partition}]' for tp in tps)}", member)
        consumer = member.app.consumer
        member.app.consumer_generation_id = self.generation
        consumer._thread.assign(tps)
        await self._in(member, lambda m: m.app.consumer.perform_seek())
        member.app.runtime.membership.rebalance_ended()

    async def _in(self, member, call):
        """As the member's own code."""
        if not member.dead:
            await member.spawn(call(member))

    def _shares(self, members):
        names, shares = self.world.names, [[] for _ in members]
        if self.kind in ("posting", HISTORY):
            of = [(names.decisions,)]
        else:
            of = [(names.transactions, names.posted), (names.stripes,)]
        for together in of:
            for number in range(together[0].partitions):
                share = shares[(number + self.turn) % len(members)]
                share += [TP(topic.name, number) for topic in together]
        return shares


STRIKES = (
    "crash",
    "crash",
    "rebalance",
    "zombie",
    "zombie",
    "journal_away",
    "journal_backup",
    "old_disk",
    "compaction",
    "reference",
    "reference",
    "days",
)
SMALL = (
    (summing, "CACHED", 2), (sums, "MAX_AHEAD", 3),
    (summing, "RESTORED_AT_ONCE", 2), (comparing, "CACHED", 2), (folding, "FOLD_BYTES", 1),
    (reconciliation, "SCANNED_BEYOND", 1), (posting, "POST_BYTES", 1), (poster, "POST_BYTES", 1), (compare, "MAX_WAITING", 3),
    (append_queue, "TOGETHER_BYTES", 1), (history, "FOLD_BYTES", 1),
)  # fmt: skip
"""Limits that are never reached otherwise."""
SETTINGS = {
    shards: Settings(prefix="l", shards=shards, balance_partitions=2, pending_after_ms=2000)
    for shards in (1, 2, 3)
}


class Loudly(logging.Handler):
    """A shard that stops is a failure; in a trace all that is said is shown."""

    def __init__(self, world):
        super().__init__()
        self._world = world

    def emit(self, record):
        # Of these the world has some on purpose.
        said = record.getMessage()
        expected = any(each in said for each in ("is ignored: ", NOT_TAKEN, "counts for nothing"))
        if record.levelno >= logging.CRITICAL and not expected:
            self._world.fail(record.getMessage())
        else:
            self._world.note(f"{record.name}: {record.getMessage()}")


class patched:
    """The modules' stores, clocks and reader are the simulation's meanwhile."""

    def __init__(self, world):
        clock = SimpleNamespace(
            monotonic=now,
            time_ns=lambda: world.present() * 1000,
            time=lambda: world.present() / 1_000_000,
        )
        self._places = [
            (account_store, "Store", MemoryStore), (accepted, "Store", MemoryStore),
            (table, "Store", MemoryStore), (balances, "time", clock), (summing, "time", clock), (account_store, "time", clock),
            (comparing, "time", clock), (intake, "TransactionReader", KnownReader),
            (clock_limit, "time", clock), (history, "time", clock),
            (history, "TransactionReader", KnownReader),
        ]  # fmt: skip
        self._places.append((account_store, "KEPT_EACH", world.random.choice((0.0, 0.2, 1.0))))
        # Not the module's own: other tests' threads (aiokafka picks a broker) draw from that too.
        self._places.append((tenacity.wait, "random", random.Random(world.seed)))
        if "small" in world.on:
            dice = world.dice("small")
            self._places += [
                (place, name, dice.choice((small, getattr(place, name))))
                for place, name, small in SMALL
            ]
        self._handler, self._quiet = Loudly(world), world.trace is None

    def __enter__(self):
        self._before = [(place, name, getattr(place, name)) for place, name, _ in self._places]
        for place, name, value in self._places:
            setattr(place, name, value)
        root = logging.getLogger()
        root.addHandler(self._handler)
        logging.disable(logging.ERROR if self._quiet else logging.NOTSET)

    def __exit__(self, *_):
        for place, name, value in self._before:
            setattr(place, name, value)
        logging.getLogger().removeHandler(self._handler)
        logging.disable(logging.NOTSET)


def run(seed, **how):
    """Raises Violated."""
    try:
        World(seed, **how).run()
    except Idle:
        raise Violated(f"seed {seed}: everybody waits") from None
