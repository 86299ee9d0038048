"""Programs of the bench in processes of their own, so that their CPU time is known apart.

A program takes what it needs as JSON in its only argument, then says `ready`; from then on each
line of its input is an order and each line of its output the report on it, both JSON.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from ledger.errors import LedgerError
from ledger.stack.environment import INTERPRETER, for_clients

READY = {"ready": True}
LINE_BYTES = 256 * 1024 * 1024
STOP_SECONDS = 10.0

Row = dict[str, Any]


class Child:
    """Runs `python -m module`; an async context manager that returns once it is ready."""

    def __init__(self, module: str, needs: Mapping[str, Any]) -> None:
        self._command = (*INTERPRETER, "-m", module, json.dumps(needs))
        self._name = module.rpartition(".")[2]

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES, env=for_clients(),
        )  # fmt: skip
        self.pid = self._process.pid
        await self._answer()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def order(self, what: Mapping[str, Any]) -> Row:
        """The report on it. Raises LedgerError when the process ends instead."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        await self._process.stdin.drain()
        return await self._answer()

    async def _answer(self) -> Row:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            code = await self._process.wait()
            raise LedgerError(f"The bench's {self._name} ended with {code}; it has said why above.")
        found: Row = json.loads(line)
        return found


async def obey(carry_out: Callable[[Row], Awaitable[Row]]) -> None:
    """In the child: say ready, then carry out orders until there are no more."""
    loop = asyncio.get_running_loop()
    tell(READY)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        tell(await carry_out(json.loads(line)))


def tell(row: Mapping[str, Any]) -> None:
    """A line to the parent."""
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def needs() -> Row:
    """In the child: what the parent gave."""
    found: Row = json.loads(sys.argv[1])
    return found
