"""On a worker's PYTHONPATH: it reads late what others tell of the balances, as a busy one does.

What it is told in its own process is then always ahead of what it has read.
"""

import sys

if "agents" in sys.orig_argv and "stream" in sys.orig_argv:
    import asyncio

    from agents.balances import BalancesPart
    from ledger.streaming.delivery import Run

    SECONDS = 0.3
    take = BalancesPart.take

    async def take_late(self: BalancesPart, run: Run) -> int:
        await asyncio.sleep(SECONDS)
        return await take(self, run)

    BalancesPart.take = take_late  # type: ignore[method-assign]
