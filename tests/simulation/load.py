"""What producers send."""

from ledger.domain.partition import partition_of
from ledger.domain.policy import DAY, MINUTE
from ledger.domain.transaction import ordering_key
from tests.builders import draft, entry, reversal, wire

ACCOUNTS = ("assets:cash", "assets:bank", "liabilities:deposits:1", "income:fees")
CURRENCIES = ("CAD", "EUR")
PRODUCER = "load"
ASSET = "PTS"
"""Registered while the ledger runs, perhaps twice with different decimals."""
AGES = (0,) * 20 + (DAY, 5 * DAY, 29 * DAY, 31 * DAY, 50 * DAY, 61 * DAY, 100 * DAY, -10 * MINUTE)
"""How long ago a transaction says that it was made, microseconds."""


class Producers:
    """Makes records: (key, value, shard, draft or None). `present`: microseconds since 1970."""

    def __init__(self, dice, shards, present):
        self._dice, self._shards, self._present = dice, shards, present
        self._made, self._count = [], 0

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
            made |= {"created_at": self._present() - dice.choice(AGES)}
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
            self._count += 1
            legs = [entry(ACCOUNTS[0], "debit"), entry(ACCOUNTS[1], "credit")]
            made = draft(f"t{self._count}", entries=legs, at=self._present())
            key = ordering_key(made).encode()
            if partition_of(key, self._shards) == shard:
                return key, wire(made), shard, made

    def _new(self):
        dice = self._dice
        self._count += 1
        debit, credit = dice.sample(ACCOUNTS, 2)
        amount = f"{dice.randint(1, 99)}.{dice.randint(10, 99)}"
        currency = dice.choice((*CURRENCIES, *CURRENCIES, ASSET))
        legs = [entry(debit, "debit", amount, currency), entry(credit, "credit", amount, currency)]
        if dice.random() < 0.2:
            legs += [entry(credit, "debit", "7.01", "EUR"), entry(debit, "credit", "7.01", "EUR")]
        if dice.random() < 0.05:
            legs[0] = entry(debit, "debit", "100.00", currency)
        at = self._present() - dice.choice(AGES)
        names = {"producer": PRODUCER}
        return draft(f"t{self._count}", entries=legs, at=at, metadata=names)

    def right(self, key):
        """The shard that a key belongs to."""
        return partition_of(key, self._shards)
