"""Questions about the past in rounds: balances as-of and trial balances, over few and many entries.

An API process of their own reads history from a database of its own in the stack's server, which is
made, filled and dropped here. It is asked as every API process is; that of the ledger goes on.
"""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import NamedTuple
from urllib.parse import urlencode

from ledger.bench import history_load
from ledger.bench.api_programs import Asked, Programs, clients_of, process_of
from ledger.bench.api_requests import median_delays
from ledger.bench.child import Row
from ledger.bench.comparators import empty_database, within
from ledger.bench.history_load import Holding, instants, way_of
from ledger.bench.run import BenchFailed, Report
from ledger.client.drafts import rfc3339
from ledger.health.server import read_last_address
from ledger.settings import Settings
from ledger.settings_sources import variable_of
from ledger.stack import api, credentials, identity, parts, workers
from ledger.stack.files import Layout
from ledger.stack.parts import Part
from ledger.stack.record import Record

FEW, MANY = "few", "many"
FIRST_NUMBER = 101
"""Of the API processes here: those of the ledger are counted from 1."""
ANSWER_SECONDS = 60


class Past(NamedTuple):
    """A question: what holds `few` and `many` entries, and how many requests a second there are.

    `is_shared`: both are in one database, of one process.
    """

    few: Holding
    many: Holding
    path: str
    rate: float
    is_shared: bool

    def holdings(self) -> list[dict[str, Holding]]:
        """What is in each database, by size."""
        sizes = {FEW: self.few, MANY: self.many}
        return [sizes] if self.is_shared else [{name: each} for name, each in sizes.items()]


QUESTIONS = {
    "as-of": Past(
        Holding(0, 1, 1_000), Holding(1, 1, 1_000_000), "/v1/balances/assets:a{first:07}?", 30.0,
        is_shared=True,
    ),
    "trial-balance": Past(
        Holding(0, 10_000, 500_000), Holding(0, 10_000, 5_000_000),
        "/v1/trial-balance?limit=20000&", 1.0, is_shared=False,
    ),
}  # fmt: skip


async def measure_past(
    record: Record, settings: Settings, programs: Programs, name: str, report: Report
) -> Row:
    """By way in which entries came, and by time that is asked about: delays over few and many.

    Raises BenchFailed where an answer counts other entries than there are.
    """
    past = QUESTIONS[name]
    ways, rounds = Row(), Row()
    for way in history_load.WAYS:
        report(f"{name}: {past.many.lines:,} entries, {way}")
        async with _served(record, settings, programs, past, way) as served:
            rounds[way] = []
            for number in range(programs.wanted.rounds):
                report(f"{name}, {way}: round {number + 1} of {programs.wanted.rounds}")
                rounds[way].append(await _round(programs, name, served))
        ways[way] = past_medians(rounds[way])
    every = [question for each in ways.values() for question in each.values()]
    return {
        "entries": {FEW: past.few.lines, MANY: past.many.lines},
        "accounts": past.many.accounts,
        "ways": ways,
        "worst": {
            "delay_ms": max(each[MANY]["p50"] for each in every),
            "ratio": max(each["ratio"] for each in every),
        },
        "rounds": rounds,
    }


async def _round(programs: Programs, name: str, asked: Sequence[Asked]) -> Row:
    found: Row = {"constant": await programs.constant_row(), "delay_ms": {}}
    for each in asked:
        row = await programs.measured(name, each)
        found["delay_ms"] |= row["kinds"]
    return found


def past_medians(rounds: Sequence[Row]) -> Row:
    """By time that is asked about, medians of the delays over few and many, and their ratio."""
    found: Row = {}
    for kind in rounds[0]["delay_ms"]:
        question, size = kind.split()
        delays = median_delays([each["delay_ms"][kind] for each in rounds])
        found.setdefault(question, {})[size] = delays
    for each in found.values():
        each["ratio"] = round(each[MANY]["p50"] / each[FEW]["p50"], 2)
    return found


@asynccontextmanager
async def _served(
    record: Record, settings: Settings, programs: Programs, past: Past, way: str
) -> AsyncIterator[Sequence[Asked]]:
    """A process for each database, and what it is asked."""
    async with AsyncExitStack() as stack:
        made = []
        for number, holdings in enumerate(past.holdings()):
            database = f"ledger_bench_{number}"
            stack.enter_context(empty_database(record, settings, database))
            owner = within(settings.database_url, database)
            await asyncio.to_thread(history_load.fill, owner, list(holdings.values()), way)
            process = stack.enter_context(
                _api_process(record, api.name_of(FIRST_NUMBER + number), database)
            )
            url = _address(record, process)
            paths = {}
            for kind, path, count in _questions(past, holdings, owner, way):
                answer = await asyncio.to_thread(_fetch, url + path, programs.token)
                require_entries(answer, count, path)
                paths[kind] = path
            clients = clients_of(programs.wanted, programs.token, url)
            made.append(
                Asked(
                    await stack.enter_async_context(clients),
                    process_of(process),
                    past.rate,
                    {"paths": paths},
                )
            )
        yield made


def _questions(
    past: Past, holdings: Mapping[str, Holding], owner: str, way: str
) -> Iterator[tuple[str, str, int]]:
    """Name, path, and how many entries the answer counts."""
    for size, holding in holdings.items():
        for question, times in instants(way_of(way, holding.lines)).items():
            query = urlencode({name: rfc3339(time) for name, time in times.items()})
            path = past.path.format(first=holding.first) + query
            yield f"{question} {size}", path, history_load.entries(owner, holding, times)


def require_entries(answer: Row, count: int, path: str) -> None:
    """Raises BenchFailed unless the balances of the answer count so many entries."""
    rows = answer.get("balances") or answer["accounts"]
    if (found := sum(row["entries"] for row in rows)) != count:
        raise BenchFailed(f"{path}: the answer counts {found:,} entries, the lines are {count:,}.")


def _fetch(url: str, token: str) -> Row:
    headers = {"Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - a process of ours
    # Proxies of the environment are not for 127.0.0.1.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=ANSWER_SECONDS) as response:
        found: Row = json.load(response)
    return found


@contextmanager
def _api_process(record: Record, name: str, database: str) -> Iterator[Part]:
    """An API process that reads history from this database, ready."""
    place = Layout(record.data_dir)
    me = identity.require_identity(place)
    url = within(credentials.database_url(place, me, "ledger_finance"), database)
    command = [*workers.PROGRAM, *api.arguments(place, name), "--port", "0"]
    env = api.environment(place, me) | {variable_of("history_database_url"): url}
    part = parts.spawn(name, command, port=None, log=place.log(name), env=env)
    try:
        parts.await_ready(part, lambda: api.missing(place, part), seconds=api.READY_SECONDS)
        yield part
    finally:
        parts.stop(part, seconds=api.STOP_SECONDS)


def _address(record: Record, part: Part) -> str:
    found = read_last_address(Layout(record.data_dir).api(part.name))
    assert found is not None, "it is ready, and has written its address"
    return found[1]
