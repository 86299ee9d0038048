"""A balance view without Kafka: its copy and its coverage are what a test puts there."""

from pathlib import Path

from ledger.api.view.copy import BalanceCopy
from ledger.api.view.coverage import Claim
from ledger.api.view.kept import Change, Kept, Place
from ledger.api.view.view import BalanceView
from ledger.clock import now
from ledger.domain import money
from ledger.domain.account import on_normal_side
from ledger.domain.balance import Balance
from ledger.domain.partition import partition_of
from ledger.settings import Settings


def balance(account, currency="CAD", *, debits=0, credits=0, pending=0, version=1, scale=2,
            status="reconciled", entries=1):  # fmt: skip
    """A balance of minor units."""
    posted = on_normal_side(account, debits=debits, credits=credits)
    shown = (money.show(each, scale) for each in (posted, pending, debits, credits))
    return Balance(account, currency, scale, *shown, entries, status, version)


def change(*args, **more):
    """The same as a record of the topic."""
    made = balance(*args, **more)
    return Change(made.account, made.currency, made, Kept.of(made))


class PlantedView(BalanceView):
    """Of `partitions` partitions; `put` and `cover` are what would be read."""

    def __init__(self, folder: Path, partitions: int = 2) -> None:
        super().__init__(Settings(data_dir=folder), folder)
        self._copy = BalanceCopy(folder / "copy")
        self._copy.begin("topic", dict.fromkeys(range(partitions), 0))
        self._reached.begin([0] * partitions, {}, None)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()

    def close(self):
        self._copy.close()

    def put(self, *changes):
        """Records of the topic, in this order."""
        parts = self._reached.parts
        for each in changes:
            number = partition_of(each.account.encode(), len(parts))
            after = parts[number].position + 1
            changed = self._copy.take(number, [each], Place(0, after))
            if changed:
                self._tell(number, after, changed)
            parts[number].reach(after)

    def cover(self, *ends, only=None):
        """Coverage of all partitions, or of `only` one, which counts at once; all is read now."""
        for number, part in enumerate(self._reached.parts):
            if only in (None, number):
                part.coverage.hear(Claim(part.position, ends))
        self.look()

    def look(self):
        """Everything is read, as of now."""
        self._reached.ask()
        self._reached.note_ends([part.position for part in self._reached.parts], now())

    def fail(self, why):
        """Kafka does not answer."""
        self._reached.fail(why)

    def lose(self, why):
        """The topic was made again: the copy begins anew."""
        self._copy.begin("", {})
        self._reached.begin((), {}, None)
        self._reached.lost, self._reached.trouble = why, None
