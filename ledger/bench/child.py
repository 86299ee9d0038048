"""Programs of the bench in their own processes, so that their CPU time is measured separately.

A program takes its parameters as JSON in its only argument, and prints `ready`. Then each line of
its input is an order and each line of its output the report on it, both as JSON.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self

from ledger.errors import LedgerError
from ledger.stack.environment import INTERPRETER, for_clients

READY = {"ready": True}
LINE_BYTES = 256 * 1024 * 1024
STOP_SECONDS = 10.0

Row = dict[str, Any]


class BenchProgram:
    """Runs `python -m module`; an async context manager that is entered once it is ready."""

    def __init__(self, module: str, parameters: Mapping[str, Any]) -> None:
        self._command = (*INTERPRETER, "-m", module, json.dumps(parameters))
        self._name = module.rpartition(".")[2]

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES, env=for_clients(),
        )  # fmt: skip
        self.pid = self._process.pid
        await self._report()
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def order(self, what: Mapping[str, Any]) -> Row:
        """Send an order; returns the report on it. Raises LedgerError if the process exits."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what).encode() + b"\n")
        await self._process.stdin.drain()
        return await self._report()

    async def _report(self) -> Row:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            code = await self._process.wait()
            raise LedgerError(f"The bench's {self._name} exited with {code}; its message is above.")
        found: Row = json.loads(line)
        return found


async def serve_orders(carry_out: Callable[[Row], Awaitable[Row]]) -> None:
    """In the program: print ready, then carry out orders until there are no more."""
    loop = asyncio.get_running_loop()
    _write_line(READY)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        _write_line(await carry_out(json.loads(line)))


def _write_line(row: Mapping[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(row)}\n")
    sys.stdout.flush()


def parameters() -> Row:
    """In the program: the parameters."""
    found: Row = json.loads(sys.argv[1])
    return found
