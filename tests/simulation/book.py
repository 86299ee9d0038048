"""By the book: what must become of each record, by a plain model of the rules."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ledger.domain.reference import Account, Asset, ClockLimit, Leave, PolicyChange
from tests.builders import draft


@dataclass
class Known:
    """The reference data before a position, folded once more."""

    scales: dict = field(default_factory=dict)
    accounts: dict = field(default_factory=dict)
    policy: Any = None
    policy_at: int = -1
    limits: list = field(default_factory=list)
    leaves: dict = field(default_factory=dict)

    def take(self, offset, item):
        match item:
            case Asset():
                self.scales.setdefault(item.code, item.scale)
            case Account():
                self.accounts[item.code] = item
            case PolicyChange() if item.follows == self.policy_at:
                self.policy, self.policy_at = item.policy, offset
            case ClockLimit():
                self.limits.append(item)
            case Leave():
                self.leaves[item.shard, item.offset] = offset, item.run

    def recorded_at(self, shard, offset, time):
        cuts = [each.at_most for each in self.limits if each.shard == shard and offset < each.until]
        return min([time, *cuts])


class Kept(NamedTuple):
    """An accepted transaction."""

    offset: int
    known_from: int
    made: dict


class Published(NamedTuple):
    """A record of the log; `made` is None for garbage, `time` the log's own, microseconds."""

    offset: int
    time: int
    made: dict | None
    right_shard: bool


class PlainLine(NamedTuple):
    """An entry from its transaction on, or (`change` -1) what takes it back; minor units."""

    recorded_at: int
    offset: int
    entry: int
    account: str
    currency: str
    effective_at: int
    amount: int
    change: int


@dataclass
class Shard:
    """A shard: what was accepted, in order, and the totals after each transaction.

    `expected`: by offset `accepted`, `duplicate` or a refusal's code, of what was decided.
    `history`: by (account, currency) the totals (debits, credits, entries, offset), rising; minor
    units. `floor`: since when every id is remembered. Of what was accepted, by offset: `runs` has
    where in the decision log, `made` the draft, `minor` its entries. `run`: where it is decided now;
    `twice`: of a run that landed again where it was first. `lines`: what history is to have.
    """

    number: int
    kept: dict = field(default_factory=dict)
    reversed: dict = field(default_factory=dict)
    published: list = field(default_factory=list)
    decided: int = 0
    expected: dict = field(default_factory=dict)
    accepted: list = field(default_factory=list)
    history: dict = field(default_factory=dict)
    scales: dict = field(default_factory=dict)
    floor: int = -(2**62)
    until: int = 0
    run: int = 0
    runs: dict = field(default_factory=dict)
    made: dict = field(default_factory=dict)
    minor: dict = field(default_factory=dict)
    voided: set = field(default_factory=set)
    twice: dict = field(default_factory=dict)
    lines: list = field(default_factory=list)

    def publish(self, offset, time, made, *, right_shard):
        self.published.append(Published(offset, time, made, right_shard))

    def end(self):
        """The position after the last record."""
        return self.published[-1].offset + 1 if self.published else 0

    def decide(self, end, known, said):
        """Check what was `said`, by offset, of the records before `end`; returns what is wrong."""
        wrong, until = [], self.until
        while self.decided < len(self.published):
            record = self.published[self.decided]
            if record.offset >= end:
                break
            self.decided += 1
            time = known.recorded_at(self.number, record.offset, record.time)
            self.until = until = max(until, time)
            wanted = self._verdict(record, known)
            found = said.get(record.offset)
            if found not in wanted:
                wrong.append(f"{record.offset}: {found}, expected {' or '.join(wanted)}")
            self.expected[record.offset] = found
            if found == "accepted":
                self._accept(record, known)
            elif found == "void":
                self._void(record, known)
        self.floor = max(self.floor, until - 2 * known.policy.window)
        return wrong

    def _verdict(self, record, known):
        made = record.made
        if made is None:
            return ["UNREADABLE"]
        if not record.right_shard:
            return ["WRONG_PARTITION"]
        policy, age = known.policy, self.until - made["created_at"]
        if age > policy.window or made["created_at"] < self.floor:
            return ["TOO_LATE"]
        if -age > policy.early:
            return ["TOO_EARLY"]
        kept = self.kept.get(made["transaction_id"])
        if kept and kept.known_from >= self.floor and self.until - kept.known_from <= policy.window:
            same = "VOIDED" if kept.offset in self.voided else "duplicate"
            return [same] if content(kept.made) == content(made) else ["ID_REUSED"]
        return self._by_content(made, known)

    def _by_content(self, made, known):
        if made["kind"] == "ledger.void":
            return self._asked_to_void(made, known)[0]
        for each in made["entries"]:
            if each["currency"] not in known.scales:
                return ["UNKNOWN_CURRENCY"]
        if not balanced(made):
            return ["NOT_BALANCED"]
        if made["reverses"]:
            return self._reversal(made, known)
        return [self._accounts(made, known) or "accepted"]

    def _asked_to_void(self, made, known):
        """The outcomes that may be, and the offset that may be void by it, or None.

        It is the last use of an id that is asked about, as long as that is remembered.
        """
        name = made["reverses"]
        kept = self.kept.get(name)
        if kept is None:
            return ["VOID_WITHOUT_LEAVE"], None
        uses = [each for each, of in self.made.items() if of["transaction_id"] == name]
        left = [each for each in uses if each not in self.voided and self._has_leave(each, known)]
        offset = left[-1] if left else None
        if kept.offset in self.voided:
            # In one run with that the use before it is not asked about yet. And the void may be
            # forgotten with its id: then the request is one without leave.
            forgotten = ["VOID_WITHOUT_LEAVE"] if kept.known_from < self.floor else []
            return ["duplicate", *(["void"] if left else []), *forgotten], offset
        if not self._has_leave(kept.offset, known):
            found = "VOID_WITHOUT_LEAVE"
        else:
            at = self.reversed.get(name, -1)
            is_reversed = at > kept.offset and at not in self.voided
            found = "REVERSED_ALREADY" if is_reversed else "void"
        if kept.known_from >= self.floor:
            return [found], offset
        # Perhaps forgotten, and then it is asked by the leave alone.
        other = "void" if left else "VOID_WITHOUT_LEAVE"
        return [found, other, "REVERSED_ALREADY"], offset

    def _has_leave(self, offset, known):
        """Whether the leave to void it names the run that has accepted it."""
        _, run = known.leaves.get((self.number, offset), (None, None))
        return run is not None and self.runs[offset] == self.twice.get(run, run)

    def to_void_first(self, offset):
        """It, or what reverses it, or what reverses that."""
        at = self.reversed.get(self.made[offset]["transaction_id"], -1)
        return self.to_void_first(at) if at > offset and at not in self.voided else offset

    def asking(self, offset, name, present):
        """A record that asks to void it."""
        of = self.made[offset]
        key = of["ordering_key"] or of["transaction_id"]
        return draft(name, kind="ledger.void", entries=[], at=present, ordering_key=key,
                     reverses=of["transaction_id"])  # fmt: skip

    def _void(self, record, known):
        _, offset = self._asked_to_void(record.made, known)
        if offset is None:
            return
        self.voided.add(offset)
        self._remember(record.offset, offset, -1)
        for key, debit, credit in self.minor[offset]:
            history = self.history[key]
            debits, credits, entries, last = history[-1]
            if last == record.offset:
                history.pop()
            history.append((debits - debit, credits - credit, entries - 1, record.offset))

    def _accounts(self, made, known):
        for each in made["entries"]:
            account = known.accounts.get(each["account"])
            if account is None:
                if not known.policy.open_unknown_accounts:
                    return "ACCOUNT_UNKNOWN"
                continue
            closed = account.closed_at
            if closed is not None and max(made["effective_at"], self.until) >= closed:
                return "ACCOUNT_CLOSED"
            if account.currency not in (None, each["currency"]):
                return "ACCOUNT_CURRENCY"
        return None

    def _reversal(self, made, known):
        window = known.policy.window
        of = self.kept.get(made["reverses"])
        if of is None:
            return ["REVERSAL_UNKNOWN"]
        if of.known_from < self.floor:
            # Whether its row is there still is a matter of when the table was tidied up.
            return ["REVERSAL_UNKNOWN", "REVERSAL_TOO_OLD"]
        if self.until - of.known_from > window:
            return ["REVERSAL_TOO_OLD"]
        if of.offset in self.voided:
            return ["VOIDED"]
        at = self.reversed.get(made["reverses"], -1)
        if at > of.offset and at not in self.voided:
            return ["REVERSED_ALREADY"]
        if made["effective_at"] < of.made["effective_at"]:
            return ["REVERSAL_BEFORE_ORIGINAL"]
        if not mirrored(of.made, made):
            return ["REVERSAL_NOT_MIRRORED"]
        # What reverses a reversal books the original once more.
        return [(of.made["reverses"] and self._accounts(made, known)) or "accepted"]

    def _accept(self, record, known):
        made, offset = record.made, record.offset
        self.accepted.append(offset)
        self.runs[offset], self.made[offset], self.minor[offset] = self.run, made, []
        known_from = max(self.until, made["created_at"])
        self.kept[made["transaction_id"]] = Kept(offset, known_from, made)
        if made["reverses"]:
            self.reversed[made["reverses"]] = offset
        for each in made["entries"]:
            history = self.history.setdefault((each["account"], each["currency"]), [(0, 0, 0, -1)])
            debits, credits, entries, last = history[-1]
            if last == offset:
                history.pop()
            minor = hundredths(each) * 10 ** (known.scales[each["currency"]] - 2)
            debit, credit = (minor, 0) if each["side"] == "debit" else (0, minor)
            self.minor[offset].append(((each["account"], each["currency"]), debit, credit))
            history.append((debits + debit, credits + credit, entries + 1, offset))
        self._remember(offset, offset, 1)

    def _remember(self, at, offset, change):
        """The lines that the record at `at` makes of the transaction at `offset`."""
        effective_at = self.made[offset]["effective_at"]
        for entry, (key, debit, credit) in enumerate(self.minor[offset]):
            line = self.until, at, entry, *key, effective_at, debit - credit, change
            self.lines.append(PlainLine(*line))


def content(made):
    """Everything that a repetition must repeat."""
    return {name: value for name, value in made.items() if name != "created_at"}


def hundredths(entry):
    """Every amount here has two decimals."""
    return int(entry["amount"].replace(".", ""))


def balanced(made):
    return not any(net(made).values())


def net(made):
    found = {}
    for each in made["entries"]:
        sign = 1 if each["side"] == "debit" else -1
        found[each["currency"]] = found.get(each["currency"], 0) + sign * hundredths(each)
    return found


def mirrored(of, made):
    """Whether the one has the other's entries with the sides exchanged."""
    swap = {"debit": "credit", "credit": "debit"}
    legs = sorted(tuple(each.values()) for each in made["entries"])
    return legs == sorted(
        tuple((each | {"side": swap[each["side"]]}).values()) for each in of["entries"]
    )


def decimal(minor, scale):
    """Minor units as text."""
    digits = f"{minor:0{scale + 1}d}"
    return f"{digits[:-scale]}.{digits[-scale:]}"
