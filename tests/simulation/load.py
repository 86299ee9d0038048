"""What producers send, and what a plain model says must become of each record."""

from dataclasses import dataclass, field

from ledger.domain.partition import partition_of
from ledger.domain.transaction import ordering_key
from tests.builders import NOW, draft, entry, reversal, wire

ACCOUNTS = ("assets:cash", "assets:bank", "liabilities:deposits:1", "income:fees")
CURRENCIES = ("CAD", "EUR")


@dataclass
class Shard:
    """A shard by the book: what was accepted, in order, and the totals after each transaction.

    `expected`: by offset `accepted`, `duplicate` or a refusal's code. `history`: by (account,
    currency) the totals (debits, credits, entries, offset), rising; minor units.
    """

    drafts: dict = field(default_factory=dict)
    reversed: set = field(default_factory=set)
    expected: dict = field(default_factory=dict)
    accepted: list = field(default_factory=list)
    history: dict = field(default_factory=dict)

    def take(self, offset, made, *, right_shard):
        """Note what must become of the record at `offset`."""
        self.expected[offset] = verdict = self._verdict(made, right_shard)
        if verdict != "accepted":
            return
        self.accepted.append(offset)
        self.drafts[made["transaction_id"]] = made
        if made["reverses"]:
            self.reversed.add(made["reverses"])
        for each in made["entries"]:
            history = self.history.setdefault((each["account"], each["currency"]), [(0, 0, 0, -1)])
            debits, credits, entries, last = history[-1]
            if last == offset:
                history.pop()
            minor = int(each["amount"].replace(".", ""))
            if each["side"] == "debit":
                debits += minor
            else:
                credits += minor
            history.append((debits, credits, entries + 1, offset))

    def _verdict(self, made, right_shard):
        if made is None:
            return "UNREADABLE"
        if not right_shard:
            return "WRONG_PARTITION"
        name, of = made["transaction_id"], made["reverses"]
        if name in self.drafts:
            return "duplicate" if self.drafts[name] == made else "ID_REUSED"
        if not balanced(made):
            return "NOT_BALANCED"
        if of and of not in self.drafts:
            return "REVERSAL_UNKNOWN"
        return "REVERSED_ALREADY" if of in self.reversed else "accepted"


def balanced(made):
    net = {}
    for each in made["entries"]:
        sign = 1 if each["side"] == "debit" else -1
        minor = int(each["amount"].replace(".", ""))
        net[each["currency"]] = net.get(each["currency"], 0) + sign * minor
    return not any(net.values())


class Producers:
    """Makes records: (key, value, shard, draft or None)."""

    def __init__(self, dice, shards):
        self._dice, self._shards, self._made, self._count = dice, shards, [], 0

    def next(self):
        dice = self._dice
        what, shard = dice.random(), None
        old = dice.choice(self._made) if self._made else None
        if what < 0.03:
            return b"k", b"garbage", dice.randrange(self._shards), None
        if old is None or what < 0.65:
            made = self._new()
        elif what < 0.77:
            made = old
        elif what < 0.82:
            made = old | {"description": f"another {dice.randrange(3)}"}
        elif what < 0.95:
            made = reversal(old, f"r{dice.randrange(3)}-{old['transaction_id']}")
        else:
            made = self._new()
            key = ordering_key(made).encode()
            shard = (partition_of(key, self._shards) + 1) % self._shards
        self._made.append(made)
        key = ordering_key(made).encode()
        return key, wire(made), partition_of(key, self._shards) if shard is None else shard, made

    def another(self, shard):
        """A good one, for that shard."""
        while True:
            key, value, where, made = self.next()
            if where == shard and made is not None and made["transaction_id"].startswith("t"):
                return key, value, where, made

    def _new(self):
        dice = self._dice
        self._count += 1
        debit, credit = dice.sample(ACCOUNTS, 2)
        amount = f"{dice.randint(1, 99)}.{dice.randint(10, 99)}"
        currency = dice.choice(CURRENCIES)
        legs = [entry(debit, "debit", amount, currency), entry(credit, "credit", amount, currency)]
        if dice.random() < 0.2:
            legs += [entry(credit, "debit", "7.01", "EUR"), entry(debit, "credit", "7.01", "EUR")]
        if dice.random() < 0.05:
            legs[0] = entry(debit, "debit", "100.00", currency)
        return draft(f"t{self._count}", entries=legs, at=NOW)

    def right(self, key):
        """The shard that a key belongs to."""
        return partition_of(key, self._shards)
