"""Of a worker with FAUST_LEDGER_WORKER_PYTHONPATH: it reads late what others tell, as a busy one does.

What it is told in its own process is then always ahead of what it has read. And what it keeps of the
balances is on its disk at once, not when there is more of it: a crash goes on from there.
"""

import sys

if "agents" in sys.orig_argv and "stream" in sys.orig_argv:
    import asyncio
    from typing import Any

    from agents.runtime.runs import Run
    from agents.summing import BalancesPart
    from ledger.streaming.account_store import AccountStore

    SECONDS = 0.3
    take = BalancesPart.take

    async def take_late(self: BalancesPart, run: Run) -> int:
        await asyncio.sleep(SECONDS)
        return await take(self, run)

    BalancesPart.take = take_late  # type: ignore[method-assign]
    write_due = AccountStore.write_due

    def write_to_disk(self: AccountStore, *what: Any) -> None:
        write_due(self, *what)
        self._store._db.flush()

    AccountStore.write_due = write_to_disk  # type: ignore[method-assign]
