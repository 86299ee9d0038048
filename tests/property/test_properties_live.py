"""Whatever drops, resumes, slow reads and changes there are, a client ends up with what is there."""

import asyncio
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from ledger.api.live.encoding import removed
from ledger.api.live.live import Live
from ledger.api.live.measures import Measures
from ledger.api.live.shared import SharedSource
from ledger.api.view import keys
from ledger.api.view.shown import json_of
from tests.live_client import SIGNER, Client
from tests.live_source import MemorySource, balance, is_under, shown
from tests.virtual_time import run_virtually

ACCOUNTS = [f"assets:{group}:{number}" for group in "ab" for number in range(4)] + ["assets:a"]
WANTED: dict[str, tuple[str, Any]] = {
    "some": ("accounts", ["assets:a:1", "assets:b:2", "assets:a"]),
    "path": ("under", "assets:a"),
    "top": ("list", (("assets", "posted", "CAD", True), 1, 3)),
    "all": ("list", (("assets:a", "account", "", False), 0, 50)),
}

SEEDS = int(os.environ.get("SEEDS", "60"))
STEPS = (
    ("put", 30), ("remove", 2), ("wait", 12), ("drop", 3), ("resume", 4), ("stall", 2), ("read", 4),
    ("subscribe", 3), ("rebuild", 0.3), ("unready", 1),
)  # fmt: skip


def plan_of(chance: random.Random) -> list[tuple[Any, ...]]:
    kinds, weights = zip(*STEPS, strict=True)
    how: dict[str, Callable[[], tuple[Any, ...]]] = {
        "put": lambda: (
            chance.choice(ACCOUNTS),
            chance.choice(["CAD", "USD"]),
            chance.randint(-5_000, 5_000),
        ),
        "remove": lambda: (chance.choice(ACCOUNTS),),
        "wait": lambda: (chance.choice([0.001, 0.02, 0.02, 0.3, 20.0]),),
        "resume": lambda: (chance.randint(0, 1),),
        "subscribe": lambda: (chance.choice(sorted(WANTED)),),
    }
    return [
        (kind, *how.get(kind, tuple)())
        for kind in chance.choices(kinds, weights, k=chance.randint(20, 300))
    ]


class World:
    """Two API processes of one ledger, one of which may be behind, and one client."""

    def __init__(self, remembered: int = 100, *, shared: bool = False) -> None:
        self.remembered = remembered
        self.sources = [MemorySource(), MemorySource()]
        measures = Measures()
        # Redis itself is not there: what each has published is handed to both.
        self.shared = [SharedSource(each, "", "", measures) for each in self.sources if shared]
        for each in self.shared:
            each._view.subscribe(each._own)
        self.versions = self.generation = 0
        self.behind: list[Any] = []
        self.client = Client()

    def live(self, number: int) -> Live:
        source = self.shared[number] if self.shared else self.sources[number]
        return Live(source, SIGNER, remembered=self.remembered)

    async def run(self, plan: list[tuple[Any, ...]]) -> None:
        async with self.live(0) as one, self.live(1) as two:
            self.lives = [one, two]
            self.client.connect(one)
            for step in plan:
                await self.step(*step)
            await self.step("read")
            for source in self.sources:
                source.is_ready = True
            if self.client.session is None:
                await self.step("resume", 1)
            for id_, (kind, wanted) in WANTED.items():
                if id_ not in self.client.wanted:
                    self.client.subscribe(id_, kind, wanted)
            self.catch_up()
            await asyncio.sleep(30)
            self.check()
            await self.client.drop()

    async def step(self, what: str, *how: Any) -> None:
        client = self.client
        if what == "put":
            account, currency, minor = how
            self.versions += 1
            self.change(
                lambda source: source.put(made),
                made=(made := balance(account, minor, self.versions, currency)),
            )
        elif what == "remove":
            self.change(lambda source: source.remove(how[0], "CAD"), made=None)
        elif what == "wait":
            await asyncio.sleep(how[0])
        elif what == "drop" and client.session:
            await client.drop()
        elif what == "resume" and not client.session:
            client.connect(self.lives[how[0]])
        elif what == "stall" and client.session:
            client.wire.open.clear()
        elif what == "read" and client.session:
            client.wire.open.set()
            if client.wire.is_cut or client.session.ending:
                await client.drop()
        elif what == "subscribe":
            if how[0] not in client.wanted:
                client.subscribe(how[0], *WANTED[how[0]])
        elif what == "rebuild":
            self.catch_up()
            self.generation += 1
            for each in self.shared:
                each._ahead.clear()
                each._waiting.clear()
            for source in self.sources:
                source.be_another(f"topic {self.generation}")
        elif what == "unready":
            self.sources[0].is_ready = not self.sources[0].is_ready

    def change(self, make: Any, made: Any) -> None:
        make(self.sources[0])
        self.behind.append(make)
        if len(self.behind) > 3:
            self.behind.pop(0)(self.sources[1])
        self.publish(0 if self.versions % 2 else 1)

    def publish(self, by: int) -> None:
        for one in self.shared[by : by + 1]:
            lines = [
                f"{of.partition}\t{of.end}\t{account}\t{currency}\t"
                f"{json_of(of.balance) if of.balance else removed(account, currency)}"
                for (account, currency), of in one._waiting.items()
            ]
            for each in self.shared if lines else ():
                each._others("\n".join(lines))
                each._forget_reached()

    def catch_up(self) -> None:
        while self.behind:
            self.behind.pop(0)(self.sources[1])

    def check(self) -> None:
        rows = self.sources[0].rows
        assert rows == self.sources[1].rows
        for each in self.shared:
            each._forget_reached()
            assert not each._ahead
        state = self.client.state
        some, path = WANTED["some"][1], WANTED["path"][1]
        assert state.balances["some"] == {k: shown(r) for k, r in rows.items() if k[0] in some}
        assert state.balances["path"] == {
            k: shown(r) for k, r in rows.items() if is_under(k[0], path)
        }
        place = lambda row: keys.key(keys.BALANCE, row.account, row.currency)  # noqa: E731
        cad = [row for row in rows.values() if row.currency == "CAD"]
        cad.sort(key=lambda row: (int(row.posted.replace(".", "")), place(row)), reverse=True)
        assert state.rows["top"] == [shown(row) for row in cad[1:4]]
        assert state.totals["top"] == len(cad)
        under = sorted(
            (row for row in rows.values() if is_under(row.account, "assets:a")), key=place
        )
        assert state.rows["all"] == [shown(row) for row in under]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("remembered", [100, 4, 12])
def test_a_client_ends_up_with_what_is_there(remembered: int, *, shared: bool) -> None:
    for seed in range(SEEDS):
        chance = random.Random(f"{remembered} {seed}")
        world = World(remembered, shared=shared)
        try:
            run_virtually(world.run(plan_of(chance)))
        except BaseException as error:
            error.add_note(f"seed {seed}; the client has had: {world.client.state.kinds}")
            raise
