"""How long a restarted worker takes until it reads again, with its disk and without it."""

import asyncio
import shutil
import time
from collections.abc import Mapping

from ledger.bench.child import Row
from ledger.bench.run import Bench, Check, Report, Wanted, machine, require_clean
from ledger.domain.portions import portions
from ledger.errors import StackError
from ledger.settings import Settings
from ledger.stack import files, stack
from ledger.stack.record import Record

FILL_CHUNK = 250_000
LONGEST_SECONDS = 1_200


def measure_recovery(record: Record, accounts: int, check: Check, report: Report) -> Row:
    """Fill `accounts` accounts; then stop and start the worker, with its disk and without it.

    `keys`: rows of the worker's tables by kind: accepted ids, stripes, balances. Raises BenchFailed
    if the ledger does not reconcile afterwards.
    """
    record = stack.up(record.data_dir, worker_count=1)
    settings = stack.settings_of(record)
    report(f"filling {accounts:,} accounts")
    filled = asyncio.run(_fill(record, settings, accounts))
    found = asyncio.run(check(settings, full=False))
    require_clean(found)
    keys = {
        "ids": accounts // 2, "stripes": found["stripes"], "balances": found["accounts"],
    }  # fmt: skip
    report("a restart with its disk")
    with_disk = _restarted(record, lost=False)
    report("a restart without it")
    without = _restarted(record, lost=True)
    memory = asyncio.run(_memory(stack.up(record.data_dir), settings, accounts))
    report("a full audit")
    require_clean(asyncio.run(check(settings)))
    total = sum(keys.values())
    return {
        "accounts": accounts, "keys": keys, "filled_in_seconds": round(filled, 1),
        "with_disk_seconds": round(with_disk, 2), "without_disk_seconds": round(without, 2),
        "seconds_a_million_keys": round(without * 1e6 / total, 1),
        "memory_mib": memory, "machine": machine(),
    }  # fmt: skip


async def _fill(record: Record, settings: Settings, accounts: int) -> float:
    async with Bench(record, settings, Wanted(accounts=accounts)) as bench:
        began = time.monotonic()
        for part in portions(range(accounts // 2), count=FILL_CHUNK):
            await bench.phase(len(part), None, fill=True)
        return time.monotonic() - began


def _restarted(record: Record, *, lost: bool) -> float:
    """Seconds from the start of the worker until it reads every partition."""
    stack.up(record.data_dir, worker_count=0)
    if lost:
        for worker in record.workers:
            shutil.rmtree(files.layout(record.data_dir).worker(worker.name))
    began = time.monotonic()
    while True:
        try:
            stack.up(record.data_dir, worker_count=1)
        except StackError:
            # It is not ready yet.
            if time.monotonic() - began > LONGEST_SECONDS:
                raise
        else:
            return time.monotonic() - began


async def _memory(record: Record, settings: Settings, accounts: int) -> Mapping[str, int]:
    """MiB after the restarts, under a load as long as the one that filled the accounts."""
    async with Bench(record, settings, Wanted(accounts=accounts)) as bench:
        phase = await bench.phase(accounts // 2, None)
        return phase.memory
