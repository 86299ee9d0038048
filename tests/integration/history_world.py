"""A ledger of several shards, its runs in a journal and in history, and the plain sums of it.

world = World(random.Random(1))
world.grow(50)
world.sums(effective_before=..., recorded_before=...)   # what every history must answer
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger.domain.run import Refusal, Stripe, Voided, Watermark
from ledger.domain.valid_run import ValidRun
from ledger.gl.books import BalanceRow
from ledger.gl.history.writing import HistoryFold
from ledger.gl.journal import Journal, PostingRun
from tests.decision_log import DecisionLog
from tests.integration.gl_runs import NOW, Leg, Made, made, void_of

ACCOUNTS = ("assets:cash", "assets:cash:till", "assets:cashier", "income:fees", "liabilities:a_b")
CURRENCIES = (("CAD", 2), ("JPY", 0))
SECOND = 1_000_000
DAY = 86_400 * SECOND


class PlainLine(NamedTuple):
    """An entry, or what takes one back; signed amount as the entry has it."""

    recorded_at: int
    shard: int
    offset: int
    entry: int
    account: str
    currency: str
    scale: int
    effective_at: int
    amount: int
    change: int
    transaction_id: str
    kind: str


@dataclass
class World:
    """Grows at random; `effective`: how effective times are chosen; `voids`: whether there are."""

    random: random.Random
    shards: int = 3
    effective: str = "mixed"
    voids: bool = True
    accounts: Sequence[str] = ACCOUNTS
    currencies: Sequence[tuple[str, int]] = CURRENCIES
    logs: dict[int, DecisionLog] = field(default_factory=dict)
    lines: list[PlainLine] = field(default_factory=list)
    voidable: list[tuple[int, ValidRun, Made]] = field(default_factory=list)
    refused: list[tuple[int, Refusal]] = field(default_factory=list)
    clock: int = NOW
    _offsets: dict[int, int] = field(default_factory=dict)
    _times: dict[int, int] = field(default_factory=dict)

    def grow(self, runs: int, most: int = 6) -> None:
        """Append runs of up to `most` transactions to any shards."""
        for _ in range(runs):
            self._run(self.random.randrange(self.shards), self.random.randint(0, most))

    def _run(self, shard: int, count: int) -> None:
        log = self.logs.setdefault(shard, DecisionLog(shard))
        transactions: list[Made] = []
        voids: list[Voided] = []
        refused: list[Refusal] = []
        for _ in range(count):
            offset = self._next_offset(shard)
            fate = self.random.random()
            chosen = [each for each in self.voidable if each[0] == shard]
            if fate < 0.12 and chosen and self.voids:
                self._void(chosen[self.random.randrange(len(chosen))], offset, voids)
            elif fate < 0.2:
                refused.append(self._refusal(shard, offset))
            else:
                transactions.append(self._transaction(shard, offset))
        end = self._next_offset(shard)
        run = log.run(*transactions, voided=voids, refused=refused, end=end)
        self.voidable += [(shard, run, each) for each in transactions]

    def _next_offset(self, shard: int) -> int:
        self._offsets[shard] = self._offsets.get(shard, 0) + self.random.randint(1, 2)
        return self._offsets[shard]

    def _recorded(self, shard: int) -> int:
        """Times of a shard never fall, and are often the same."""
        self.clock += self.random.choice((0, 0, 0, 1, 1_000, SECOND, DAY // 7))
        return self.clock

    def _effective(self, recorded_at: int) -> int:
        if self.effective == "on time":
            return recorded_at - self.random.choice((0, 1, 1_000, 2 * SECOND))
        if self.effective == "one second":
            return NOW + self.random.randrange(SECOND)
        if self.effective == "years":
            return NOW - self.random.randrange(4 * 365 * DAY)
        near = recorded_at + self.random.choice((0, 0, -1, 1, -DAY, DAY, -90 * DAY, 400 * DAY))
        return self.random.choice((near, NOW, NOW - DAY))

    def _transaction(self, shard: int, offset: int) -> Made:
        currency, scale = self.random.choice(self.currencies)
        debit, credit = self.random.choice(self.accounts), self.random.choice(self.accounts)
        amount = self.random.choice((1, 7, 250, 2**63 - 1))
        at = self._recorded(shard)
        effective_at = self._effective(at)
        legs = [Leg(debit, amount, currency, scale), Leg(credit, -amount, currency, scale)]
        fields = {"recorded_at": at, "effective_at": effective_at,
                  "transaction_id": f"t-{shard}-{offset}",
                  "kind": self.random.choice(("deposit", "fee")),
                  "metadata": self.random.choice(("", '{"producer":"core"}', '{"a":"1"}'))}  # fmt: skip
        each = made(offset, *legs, **fields)
        self._add(shard, offset, each, at, 1)
        return each

    def _add(self, shard: int, offset: int, each: Made, at: int, change: int) -> None:
        fields = each.fields
        kind = fields["kind"] if change > 0 else "ledger.void"
        for entry, (account, amount, currency, scale) in enumerate(each.legs):
            self.lines.append(
                PlainLine(at, shard, offset, entry, account, currency, scale,
                          fields["effective_at"], amount, change, fields["transaction_id"], kind)
            )  # fmt: skip

    def _void(self, chosen: tuple[int, ValidRun, Made], offset: int, voids: list[Voided]) -> None:
        self.voidable.remove(chosen)
        shard, run, each = chosen
        at = self._recorded(shard)
        posting = PostingRun(run.decision, run.decisions_offset, run.content)
        voids.append(void_of(posting, each.offset, at=offset, recorded_at=at))
        self._add(shard, offset, each, at, -1)

    def _refusal(self, shard: int, offset: int) -> Refusal:
        code = self.random.choice(("NOT_BALANCED", "DUPLICATE_ID"))
        at = self._recorded(shard)
        each = Refusal(offset, at, f"r-{offset % 5}", code, "entries", "Not so.", None, None)
        self.refused.append((shard, each))
        return each

    def folds(self) -> list[HistoryFold]:
        """All runs, each shard's at once."""
        return [HistoryFold(shard, Watermark(), log.runs) for shard, log in self.logs.items()]

    def portions(self) -> Iterator[HistoryFold]:
        """All runs, a few at a time."""
        for shard, log in self.logs.items():
            at = 0
            while at < len(log.runs):
                end = at + self.random.randint(1, 4)
                part = log.runs[at:end]
                yield HistoryFold(shard, part[0].before, part)
                at = end

    def post(self, journal: Journal) -> None:
        """All runs to a journal."""
        for shard, log in self.logs.items():
            runs = [PostingRun(run.decision, run.decisions_offset, run.content, run.voided)
                    for run in log.runs]  # fmt: skip
            journal.post(shard, Watermark(), runs)

    def positions(self) -> dict[int, Watermark]:
        """Where every shard ends."""
        return {shard: log.runs[-1].after for shard, log in sorted(self.logs.items())}

    def counted(
        self, effective_before: int | None = None, recorded_before: int | None = None
    ) -> Iterator[PlainLine]:
        """The lines before both times."""
        for line in self.lines:
            if (effective_before is None or line.effective_at < effective_before) and (
                recorded_before is None or line.recorded_at < recorded_before
            ):
                yield line

    def sums(
        self, effective_before: int | None = None, recorded_before: int | None = None
    ) -> list[BalanceRow]:
        """The plain sums."""
        found: dict[Stripe, list[int]] = {}
        scales = {}
        for line in self.counted(effective_before, recorded_before):
            sums = found.setdefault(Stripe(line.account, line.currency), [0, 0, 0])
            sums[0] += line.change * max(line.amount, 0)
            sums[1] += line.change * max(-line.amount, 0)
            sums[2] += line.change
            scales[line.currency] = line.scale
        return [
            BalanceRow(*stripe, scales[stripe.currency], *sums)
            for stripe, sums in sorted(found.items())
            if any(sums)
        ]

    def instants(self) -> list[int]:
        """Times of lines, and those just before and after; and both ends of time."""
        times = {getattr(line, name) for line in self.lines
                 for name in ("effective_at", "recorded_at")}  # fmt: skip
        near = {time + step for time in times for step in (-1, 0, 1)}
        return sorted({*near, -(2**60), 2**60})
