"""The API under load, beside a plain Starlette route, while the ledger takes transactions.

In each round the comparator and the API answer in turns. The CPU of an API process while nobody
asks is subtracted from what requests cost: it follows the topics all the time.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import psutil

from ledger.bench.child import BenchProgram, Row
from ledger.bench.cpu import of_tree
from ledger.bench.run import LOAD_SEED, Bench, BenchFailed, Check, Report, Wanted, machine
from ledger.bench.run import require_clean as require_reconciled
from ledger.client.audit_log import Actor
from ledger.client.tokens import TokenGrant, Tokens
from ledger.settings import Settings
from ledger.stack import api, parts, stack
from ledger.stack.files import Layout
from ledger.stack.record import Record
from ledger.streaming.registry import codec_of
from ledger.streaming.topics import topics

CASES = {"constant": 2_000, "balance": 2_000, "hundred": 100, "write": 200}
"""Requests a second by case."""
SETTLED_SECONDS = WARM_UP_SECONDS = 2.0
UNLIMITED = {"api_requests_per_second": 100_000, "history": "on"}
"""Settings of the ledger that is measured: all requests have one token."""


@dataclass(frozen=True, slots=True)
class ApiWanted:
    """What to measure; `background`: transactions a second that the ledger takes meanwhile."""

    rounds: int = 5
    seconds: float = 10.0
    accounts: int = 10_000
    background: int = 500
    connections: int = 32


def measure_api(record: Record, wanted: ApiWanted, check: Check, report: Report) -> Row:
    """Medians of the rounds. Raises BenchFailed if a request fails or the ledger has breaks."""
    record = stack.up(record.data_dir, worker_count=1, api_count=1)
    settings = stack.settings_of(record)
    found = asyncio.run(_rounds(record, settings, wanted, report))
    report("a full audit")
    audited = asyncio.run(check(settings))
    require_reconciled(audited)
    return found | {"wanted": asdict(wanted), "reconcile": audited, "machine": machine()}


async def _rounds(record: Record, settings: Settings, wanted: ApiWanted, report: Report) -> Row:
    report(f"filling {wanted.accounts:,} accounts")
    async with Bench(record, settings, Wanted(accounts=wanted.accounts)) as bench:
        await bench.phase(wanted.accounts // 2, None, fill=True)
        await bench.warm_up(wanted.seconds)
    served = _process(record)
    async with _programs(record, settings, wanted) as programs:
        rounds = []
        for number in range(wanted.rounds):
            report(f"round {number + 1} of {wanted.rounds}")
            rounds.append(await _round(programs, served, wanted))
    return {"cases": medians(rounds), "rounds": rounds}


def medians(rounds: list[Row]) -> Row:
    """By case, the medians of its delays and costs, and the ratio to the comparator's cost."""
    found: Row = {}
    for case, rate in CASES.items():
        rows = [each[case] for each in rounds]
        found[case] = {
            "rate": rate,
            "delay_ms": {
                name: round(median(row["delay_ms"][name] for row in rows), 2)
                for name in rows[0]["delay_ms"]
            },
            "cpu_us": round(median(row["cpu_us"] for row in rows), 1),
        }
    constant = found["constant"]["cpu_us"]
    for case in found.values():
        case["ratio"] = round(case["cpu_us"] / constant, 2)
    return found


async def _round(programs: "Programs", served: psutil.Process, wanted: ApiWanted) -> Row:
    """Each case once, the comparator first; fails where an answer is not as it should be."""
    found: Row = {}
    for case, rate in CASES.items():
        is_ours = case != "constant"
        process = served if is_ours else psutil.Process(programs.constant.pid)
        clients = programs.clients if is_ours else programs.constant_clients
        async with programs.under_load(wanted):
            # Connections and code of this kind, in the server and in Kafka, are warm then.
            await clients.order({"what": case, "rate": rate, "seconds": WARM_UP_SECONDS})
            idle = await _cores(process, SETTLED_SECONDS)
            before, began = of_tree(process), time.monotonic()
            row = await clients.order({"what": case, "rate": rate, "seconds": wanted.seconds})
            spent = of_tree(process) - before - idle * (time.monotonic() - began)
        _require_answered(case, row)
        found[case] = row | {"cpu_us": round(1e6 * spent / row["requests"], 1),
                             "idle_cores": round(idle, 4)}  # fmt: skip
    return found


def _require_answered(case: str, row: Row) -> None:
    expected = "201" if case == "write" else "200"
    wrong = [body for status, body in row.pop("examples").items() if status != expected]
    if row["unanswered"] or wrong:
        raise BenchFailed(
            f"{case}: {row['unanswered']} requests unanswered, answers {row['statuses']}. {wrong}"
        )


async def _cores(process: psutil.Process, seconds: float) -> float:
    """How much of a core it uses while nobody asks."""
    before, began = of_tree(process), time.monotonic()
    await asyncio.sleep(seconds)
    return (of_tree(process) - before) / (time.monotonic() - began)


def _process(record: Record) -> psutil.Process:
    """The supervisor of the API process, with all below it."""
    found = parts.process_of(record.api[0])
    if found is None:
        raise BenchFailed("The API process has exited. See its log.")
    return found


@dataclass(frozen=True, slots=True)
class Programs:
    """The comparator, clients of both servers, and the load on the ledger."""

    constant: BenchProgram
    constant_clients: BenchProgram
    clients: BenchProgram
    load: BenchProgram

    @asynccontextmanager
    async def under_load(self, wanted: ApiWanted) -> AsyncIterator[None]:
        """The ledger takes transactions for as long as a case and its pause last."""
        seconds = wanted.seconds + SETTLED_SECONDS + WARM_UP_SECONDS
        order = {"count": int(wanted.background * seconds), "rate": wanted.background,
                 "fill": False}  # fmt: skip
        loading = asyncio.create_task(self.load.order(order))
        try:
            yield
        finally:
            await loading


@asynccontextmanager
async def _programs(
    record: Record, settings: Settings, wanted: ApiWanted
) -> AsyncIterator[Programs]:
    async with Tokens(settings, Actor("bench", "this machine")) as tokens:
        token, _ = await tokens.create(TokenGrant(["admin"], note="bench"))
    codec = await asyncio.to_thread(codec_of, settings)
    load = {
        "bootstrap_servers": settings.bootstrap_servers,
        "topic": topics(settings).transactions.name,
        "schema_id": codec.ids["Transaction"], "shards": settings.shards,
        "accounts": wanted.accounts, "fees": False, "seed": LOAD_SEED,
        "label": f"bench-{time.time_ns()}",
    }  # fmt: skip
    (url,) = api.urls(Layout(record.data_dir), record)
    address = urlsplit(url)
    same = {"token": token, "accounts": wanted.accounts, "connections": wanted.connections}
    async with BenchProgram("ledger.bench.constant", {}) as constant:
        port = (await constant.order({}))["port"]
        async with (
            BenchProgram("ledger.bench.load", load) as loading,
            _clients({**same, "host": "127.0.0.1", "port": port}) as constant_clients,
            _clients({**same, "host": address.hostname, "port": address.port}) as clients,
        ):
            yield Programs(constant, constant_clients, clients, loading)


@asynccontextmanager
async def _clients(given: Mapping[str, Any]) -> AsyncIterator[BenchProgram]:
    label = f"bench-api-{time.time_ns()}"
    async with BenchProgram("ledger.bench.api_clients", {**given, "label": label}) as clients:
        yield clients
