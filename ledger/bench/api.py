"""The API's figures, in rounds beside a plain Starlette route, while the ledger takes transactions.

In each round the comparator and what is measured take turns. The CPU of an API process while nobody
asks is subtracted from what requests cost: it follows the topics all the time.
"""

import asyncio
from dataclasses import asdict
from statistics import median

from aiokafka import TopicPartition

from ledger.bench import comparators
from ledger.bench.api_live import KINDS, live_medians, live_round
from ledger.bench.api_past import QUESTIONS, measure_past
from ledger.bench.api_programs import ApiWanted, Programs, programs
from ledger.bench.api_requests import RATES, medians, request_round
from ledger.bench.api_targets import judged
from ledger.bench.child import Row
from ledger.bench.history_load import WAYS
from ledger.bench.run import Bench, Check, Report, Wanted, machine
from ledger.bench.run import require_clean as require_reconciled
from ledger.settings import Settings
from ledger.stack import stack
from ledger.stack.record import Record
from ledger.streaming.reader import Reader
from ledger.streaming.topics import topics

REQUESTS, LIVE = "requests", "live"
PARTS = (REQUESTS, LIVE, *QUESTIONS)
"""What can be measured alone."""
UNLIMITED = {"api_requests_per_second": 100_000, "history": "on"}
"""Settings of the ledger that is measured: all requests have one token."""
FLOOR_RECORDS = 25_000
"""Of each shard, at most, that the floor posts."""
FIXED_SECONDS = {REQUESTS: 4.0, LIVE: 18.0, "as-of": 4.0, "trial-balance": 4.0}
"""Of each turn beside those of load: warm-up, and what is waited for."""
LOAD_SECONDS = {"as-of": 20.0, "trial-balance": 120.0}
"""To make history of one way, about."""
START_SECONDS = 90.0


def parts_of(wanted: ApiWanted) -> tuple[str, ...]:
    """Those that are measured, in their order."""
    return tuple(part for part in PARTS if not wanted.only or part in wanted.only)


def expected_seconds(wanted: ApiWanted) -> float:
    """How long it takes, about."""
    total = START_SECONDS
    for part in parts_of(wanted):
        turns = {REQUESTS: len(RATES), LIVE: len(KINDS), "as-of": 1}.get(part, 2)
        own = turns * (wanted.seconds + FIXED_SECONDS[part])
        constant = wanted.seconds + FIXED_SECONDS[REQUESTS]
        ways = len(WAYS) if part in QUESTIONS else 1
        total += ways * (wanted.rounds * (own + constant) + LOAD_SECONDS.get(part, 0.0))
    return total


def measure_api(record: Record, wanted: ApiWanted, check: Check, report: Report) -> Row:
    """Medians of the rounds. Raises BenchFailed if a request fails or the ledger has breaks."""
    report(f"about {expected_seconds(wanted) / 60:.0f} minutes: {', '.join(parts_of(wanted))}")
    record = stack.up(record.data_dir, worker_count=1, api_count=1)
    settings = stack.settings_of(record)
    found = asyncio.run(_measured(record, settings, wanted, report))
    report("a full audit")
    audited = asyncio.run(check(settings))
    require_reconciled(audited)
    found |= {"wanted": asdict(wanted), "reconcile": audited, "machine": machine()}
    return found | {"targets": judged(found)}


async def _measured(record: Record, settings: Settings, wanted: ApiWanted, report: Report) -> Row:
    report(f"filling {wanted.accounts:,} accounts")
    async with Bench(record, settings, Wanted(accounts=wanted.accounts)) as bench:
        await bench.phase(wanted.accounts // 2, None, fill=True)
        await bench.warm_up(wanted.seconds)
    floors = [await _floor(record, settings, report)]
    found: Row = {}
    async with programs(record, settings, wanted) as running:
        chosen = parts_of(wanted)
        if REQUESTS in chosen:
            rounds = await _rounds(running, REQUESTS, report)
            found |= {"cases": medians(rounds), "rounds": rounds}
        if LIVE in chosen:
            rounds = await _rounds(running, LIVE, report)
            found |= {"live": live_medians(rounds), "live_rounds": rounds}
        past = {
            part: await measure_past(record, settings, running, part, report)
            for part in QUESTIONS
            if part in chosen
        }
        if past:
            found["past"] = past
    floors.append(await _floor(record, settings, report))
    rates = [each["throughput"] for each in floors]
    return found | {"floor": {"throughput": round(median(rates), 1), "rounds": floors}}


async def _rounds(running: Programs, part: str, report: Report) -> list[Row]:
    rounds = []
    for number in range(running.wanted.rounds):
        report(f"{part}: round {number + 1} of {running.wanted.rounds}")
        if part == REQUESTS:
            rounds.append(await request_round(running, list(RATES)))
        else:
            rounds.append(await live_round(running, KINDS))
    return rounds


async def _floor(record: Record, settings: Settings, report: Report) -> Row:
    """The floor's rate now, over the last transactions of each shard."""
    report("the floor: getmany, fastavro and the same posting, nothing else")
    name = topics(settings).transactions.name
    wanted = [TopicPartition(name, shard) for shard in range(settings.shards)]
    async with Reader(settings) as reader:
        bounds = await reader.bounds(wanted)
    starts = {tp: max(first, end - FLOOR_RECORDS) for tp, (first, end) in bounds.items()}
    ends = {tp: end for tp, (_, end) in bounds.items()}
    return await comparators.floor(record, settings, starts, ends)
