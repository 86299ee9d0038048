"""The verdict after a fault: everything reconciled, and equal to what was published, exactly."""

import json
import time
from decimal import Decimal
from typing import Any

import psycopg
from aiokafka import TopicPartition

from tests.faults.flow import SCALES, Flow, Place
from tests.faults.watch import Seen, Watch
from tests.faults.world import World
from tests.waiting import PATIENCE, until

STANDING_SECONDS = 15
"""For which nothing may move before it is certain that nothing will."""
DEBIT_SIDE = ("assets", "expenses")


def reconciled(seen: Seen, places: list[Place]) -> bool:
    """Whether both sides were compared beyond each of them."""
    return all(
        shard in seen.progress and seen.progress[shard]["end"] > offset for shard, offset in places
    )


def recovery(flow: Flow, watch: Watch, since: float) -> float:
    """Seconds from `since` until a transaction published in every shard now is reconciled."""
    places = flow.probe()
    watch.until(lambda seen: reconciled(seen, places), f"reconciliation of {places}")
    return time.monotonic() - since


def incremental(world: World, flow: Flow, watch: Watch) -> None:
    """All is reconciled, the public balances are exactly what was published, and no break is open."""
    _published(world, flow, watch)
    no_breaks(watch.seen)
    assert json.loads(world.run("reconcile", "--json"))["breaks"] == []


def _published(world: World, flow: Flow, watch: Watch) -> tuple[dict[int, int], dict[Any, Any]]:
    """Once it is in the public balances: where each shard ends, and the book."""
    ends = watch.transactions_end()
    last = [(shard, end - 1) for shard, end in ends.items() if end]
    watch.until(lambda seen: reconciled(seen, last), f"reconciliation up to {ends}")
    wanted = {key: tuple(sums) for key, sums in flow.book.items()}
    watch.until(
        lambda seen: public(seen, flow) == wanted,
        Difference(watch, flow, wanted),
        lost=Standing(world, watch),
    )
    return ends, wanted


class Standing:
    """Why nothing comes any more: all is compared and read, every worker is well, nothing moves.

    A transaction that was lost would else be waited for by every test after it.
    """

    def __init__(self, world: World, watch: Watch) -> None:
        self._world, self._watch = world, watch
        self._ends: dict[TopicPartition, int] = {}
        self._since = 0.0

    def __call__(self) -> str:
        ends = self._watch.ends()
        well = all(self._world.health(each).get("ready") for each in self._world.supervisors())
        if ends != self._ends or not well or not self._watch.has_read(ends):
            self._ends, self._since = ends, time.monotonic()
        stood = time.monotonic() - self._since
        return f"everything is compared and nothing moves for {stood:.0f} s" * (
            stood >= STANDING_SECONDS
        )


def no_breaks(seen: Seen) -> None:
    """None is open."""
    still = [row for row in seen.breaks.values() if row["state"] == "open"]
    assert not still, f"breaks are open: {still}"
    assert not any(row["open_breaks"] for row in seen.progress.values()), seen.progress


def settled(world: World, flow: Flow, watch: Watch, *, commands: bool = True) -> None:
    """All that `flow` published, and nothing else of its name, is in every balance and journal."""
    ends, wanted = _published(world, flow, watch)
    watch.caught_up()
    seen = watch.seen
    accepted_once(seen, flow, ends)
    assert {key: tuple(seen.sums[key]) for key in wanted} == wanted, "the decisions sum otherwise"
    for key in wanted:
        newest, last_said = seen.newest[key], seen.last[key]
        assert last_said["version"] == newest["version"], f"{last_said} said after {newest}"
        assert newest["status"] == "reconciled", newest
        assert Decimal(newest["pending"]) == 0, newest
    no_breaks(seen)
    in_database(world, flow, wanted)
    in_history(world, flow, ends, wanted)
    if commands:
        by_command(world, wanted)


class Difference:
    """Said only when it has not gone in time."""

    def __init__(self, watch: Watch, flow: Flow, wanted: dict[Any, Any]) -> None:
        self._watch, self._flow, self._wanted = watch, flow, wanted

    def __str__(self) -> str:
        found = public(self._watch.seen, self._flow)
        rows = [
            f"{key}: published {self._wanted[key]}, balance {found.get(key)}, "
            f"{self._watch.seen.newest.get(key)}"
            for key in self._wanted
            if found.get(key) != self._wanted[key]
        ]
        refused = {
            name: self._watch.seen.refused[place]
            for name, place in self._flow.published.items()
            if place in self._watch.seen.refused
        }
        missing = self._flow.published.keys() - self._watch.seen.accepted.keys()
        return (
            f"balances equal to what was published; {len(rows)} differ, as {rows[:3]}; refused: "
            f"{refused}; never accepted: {sorted(missing)[:5]}"
        )


def public(seen: Seen, flow: Flow) -> dict[Any, Any]:
    """Debits, credits and entries of the newest public balances; pending ones do not count."""
    return {
        key: (
            minor(row["debits"], row["currency"]),
            minor(row["credits"], row["currency"]),
            row["entries"],
        )
        for key, row in seen.newest.items()
        if flow.name in row["account"].split(":") and row["status"] == "reconciled"
    }


def accepted_once(seen: Seen, flow: Flow, ends: dict[int, int]) -> None:
    """Each transaction once, and every record of the log with one outcome."""
    ours = {name: places for name, places in seen.accepted.items() if name.startswith(flow.name)}
    missing = flow.published.keys() - ours.keys()
    assert not missing, f"published and never accepted: {sorted(missing)[:5]} of {len(missing)}"
    strange = ours.keys() - flow.published.keys()
    assert not strange, f"accepted and never published: {sorted(strange)[:5]}"
    twice = {name: places for name, places in ours.items() if len(places) > 1}
    assert not twice, f"accepted twice: {dict(list(twice.items())[:5])} of {len(twice)}"
    settled_ = [place for places in seen.accepted.values() for place in places]
    settled_ += [*seen.duplicates, *seen.refused]
    assert len(settled_) == len(set(settled_)), "a record has two outcomes"
    for shard, end in ends.items():
        assert seen.ends.get(shard, 0) >= end, f"shard {shard} is decided to {seen.ends.get(shard)}"
        offsets = {offset for at, offset in settled_ if at == shard and offset < end}
        assert offsets == set(range(end)), f"shard {shard}: {set(range(end)) - offsets} undecided"
    assert flow.garbage <= seen.refused.keys()


def in_database(world: World, flow: Flow, wanted: dict[Any, Any]) -> None:
    """The journal itself: every id once, its entries' sums, its stripes' sums."""
    address = world.settings.database_url.replace("+psycopg", "")
    under = f"%:{flow.name}:%"
    with psycopg.connect(address, connect_timeout=10) as connection:

        def rows(query: str, *arguments: Any) -> list[tuple[Any, ...]]:
            return connection.execute(query, arguments).fetchall()

        names = rows(
            "SELECT transaction_id, count(*) FROM transactions WHERE transaction_id LIKE %s"
            " GROUP BY transaction_id", f"{flow.name}-%",
        )  # fmt: skip
        assert {name for name, _ in names} == flow.published.keys()
        assert all(count == 1 for _, count in names)
        entries = rows(
            "SELECT account, currency, coalesce(sum(amount) FILTER (WHERE side = 'D'), 0),"
            " coalesce(sum(amount) FILTER (WHERE side = 'C'), 0), count(*) FROM entries"
            " WHERE account LIKE %s GROUP BY account, currency", under,
        )  # fmt: skip
        assert {tuple(row[:2]): tuple(map(int, row[2:])) for row in entries} == wanted
        stripes = rows(
            "SELECT account, currency, sum(debits), sum(credits), sum(entries) FROM stripes"
            " WHERE account LIKE %s GROUP BY account, currency", under,
        )  # fmt: skip
        assert {tuple(row[:2]): tuple(map(int, row[2:])) for row in stripes} == wanted
        for currency, difference in rows(
            "SELECT currency, sum(CASE side WHEN 'D' THEN amount ELSE -amount END) FROM entries"
            " GROUP BY currency"
        ):
            assert difference == 0, f"{currency} does not balance: {difference}"


def in_history(world: World, flow: Flow, ends: dict[int, int], wanted: dict[Any, Any]) -> None:
    """History has it all, soon: its last lines' sums, and those of all its periods."""
    address = world.settings.database_url.replace("+psycopg", "")
    last = (
        "SELECT DISTINCT ON (stripe) stripe, debits, credits, entries FROM ledger_history.lines"
        " ORDER BY stripe, recorded_at DESC, n DESC"
    )
    named = (
        "SELECT account, currency, sum(debits), sum(credits), sum(entries) FROM {} JOIN"
        " ledger_history.accounts AS a ON a.id = account_id WHERE account LIKE %s {} GROUP BY 1, 2"
    )
    of_lines = named.format(f"({last}) AS l JOIN ledger_history.stripes AS s ON s.id = stripe", "")
    of_totals = named.format("ledger_history.totals", "AND level = 48")
    with psycopg.connect(address, connect_timeout=10, autocommit=True) as connection:

        def reached() -> bool:
            query = "SELECT shard, end_offset FROM ledger_history.positions"
            found = dict(connection.execute(query).fetchall())
            return all(found.get(shard, 0) >= end for shard, end in ends.items())

        def sums(query: str) -> dict[Any, Any]:
            rows = connection.execute(query, [f"%:{flow.name}:%"]).fetchall()
            return {tuple(row[:2]): tuple(map(int, row[2:])) for row in rows}

        until(reached, f"history up to {ends}")
        assert sums(of_lines) == wanted
        until(lambda: sums(of_totals) == wanted, "the totals of history's periods")


def by_command(world: World, wanted: dict[Any, Any]) -> None:
    """What a person would ask, all at once."""
    asked = {
        name: world.start(*words)
        for name, words in {
            "balances": ("balances", "--json"),
            "trial": ("trial-balance", "--json"),
            "verify": ("verify", "--json"),
        }.items()
    }
    full = world.start("reconcile", "--full", "--json")
    said = {name: world.finish(child) for name, child in asked.items()}
    rows = {(row["account"], row["currency"]): row for row in jsonl(said["balances"])}
    for key, (debits, credits, entries) in wanted.items():
        row = rows[key]
        net = debits - credits if key[0].split(":")[0] in DEBIT_SIDE else credits - debits
        found = [minor(row[name], key[1]) for name in ("debits", "credits", "posted", "pending")]
        assert found == [debits, credits, net, 0], row
        assert (row["entries"], row["status"]) == (entries, "reconciled"), row
    for currency, sums in json.loads(said["trial"])["currencies"].items():
        assert sums["debits"] == sums["credits"], (currency, sums)
    assert json.loads(said["verify"])["findings"] == []
    out, err = full.communicate(timeout=PATIENCE)
    if "No such command" not in err:
        assert full.returncode == 0, f"{out}\n{err}"
        assert json.loads(out)["breaks"] == []


def jsonl(text: str) -> list[Any]:
    """JSON Lines."""
    return [json.loads(line) for line in text.splitlines()]


def minor(amount: str, currency: str) -> int:
    """Whole minor units, exactly."""
    units = Decimal(amount).scaleb(SCALES[currency])
    assert units == int(units), amount
    return int(units)
