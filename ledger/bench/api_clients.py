"""`python -m ledger.bench.api_clients`: sends HTTP requests at a rate, whatever the answers do.

A request is due at a fixed time and its delay is counted from then. If every connection waits for
an answer, it waits too and its delay shows that: no delay of the server is hidden by a client that
waits (coordinated omission).
"""

import asyncio
import json
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import cycle
from typing import Any, NamedTuple

import uvloop

from ledger.bench.child import Row, parameters, serve_orders
from ledger.bench.load import account_of
from ledger.client.drafts import rfc3339
from ledger.clock import now

TICK_SECONDS = 0.001
HEADERS_END = b"\r\n\r\n"
PERCENTILES = (("p50", 50), ("p90", 90), ("p99", 99), ("max", 100))
EXAMPLE = 500
"""Bytes of an answer of each status, for the message of a measurement that is void."""
PATIENCE_SECONDS = 30.0
"""For the last answers."""


class Request(NamedTuple):
    """Bytes to send, due at a time of the loop's clock; `kind`: under which its delay is noted."""

    content: bytes
    due: float
    kind: str = ""


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection with at most one request under way."""

    def __init__(self, clients: "Clients") -> None:
        self._clients, self._received = clients, bytearray()
        self._sent = Request(b"", 0.0)

    def connection_made(self, transport: Any) -> None:
        """It may be used."""
        self._transport = transport
        self._clients.take_free(self)

    def send(self, request: Request) -> None:
        """Send a request; its answer comes to `Clients.answered`."""
        self._sent = request
        self._transport.write(request.content)

    def data_received(self, data: bytes) -> None:
        """Collect an answer with Content-Length."""
        self._received += data
        head_end = self._received.find(HEADERS_END)
        if head_end < 0:
            return
        head = bytes(self._received[:head_end]).lower()
        _, _, rest = head.partition(b"\r\ncontent-length:")
        length = int(rest.partition(b"\r\n")[0] or 0)
        if len(self._received) >= head_end + len(HEADERS_END) + length:
            body = bytes(self._received[head_end + len(HEADERS_END) :])
            self._received.clear()
            self._clients.answered(int(head[9:12]), body, self._sent)
            self._clients.take_free(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Its request, if any, has no answer."""
        self._clients.lost(self)


class Clients:
    """A fixed number of connections that share what is due."""

    def __init__(self, host: str, port: int, connections: int) -> None:
        self._address, self._count = (host, port), connections
        self._free: list[Connection] = []
        self._waiting: deque[Request] = deque()
        self._delays: list[float] = []
        self._by_kind = defaultdict[str, list[float]](list)
        self._statuses: Counter[int] = Counter()
        self._examples: dict[int, bytes] = {}
        self._left, self._ended = 0, asyncio.Event()

    async def connect(self) -> None:
        """Have all connections: the server closes those that were idle for long."""
        loop = asyncio.get_running_loop()
        while len(self._free) < self._count:
            await loop.create_connection(lambda: Connection(self), *self._address)

    def take_free(self, connection: Connection) -> None:
        """The connection has had its answer."""
        if self._waiting:
            connection.send(self._waiting.popleft())
        else:
            self._free.append(connection)

    def answered(self, status: int, body: bytes, request: Request) -> None:
        """An answer has come."""
        self._examples.setdefault(status, body)
        delay = time.monotonic() - request.due
        self._delays.append(delay)
        if request.kind:
            self._by_kind[request.kind].append(delay)
        self._statuses[status] += 1
        self._left -= 1
        if not self._left:
            self._ended.set()

    def lost(self, connection: Connection) -> None:
        """A connection was closed; if it was not idle, an answer never comes."""
        if connection in self._free:
            self._free.remove(connection)
        else:
            self._ended.set()

    async def run(
        self, make: Callable[[], bytes], rate: float, seconds: float, kinds: Sequence[str] = ("",)
    ) -> Row:
        """Send `rate` requests a second; how they were answered, delays in milliseconds.

        `kinds`: of the requests in turns, each as often as the others; their delays one by one.
        """
        self._delays, self._statuses, self._examples = [], Counter(), {}
        self._by_kind.clear()
        await self.connect()
        turns = max(int(rate * seconds) // len(kinds), 1)
        began, sent, count = time.monotonic(), 0, turns * len(kinds)
        self._left = count
        self._ended.clear()
        while sent < count:
            due = min(int((time.monotonic() - began) * rate) + 1, count)
            for number in range(sent, due):
                kind = kinds[number % len(kinds)]
                self._send(Request(make(), began + number / rate, kind))
            sent = due
            await asyncio.sleep(TICK_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._ended.wait()
        return {
            "requests": count,
            "unanswered": count - len(self._delays),
            "statuses": {str(status): each for status, each in sorted(self._statuses.items())},
            "examples": {
                str(status): body[:EXAMPLE].decode(errors="replace")
                for status, body in self._examples.items()
            },
            "delay_ms": percentiles(self._delays),
            "kinds": {kind: percentiles(delays) for kind, delays in self._by_kind.items()},
        }

    def _send(self, request: Request) -> None:
        if self._free:
            self._free.pop().send(request)
        else:
            self._waiting.append(request)


def percentiles(delays: Sequence[float]) -> dict[str, float]:
    """Milliseconds; of delays in seconds."""
    if not delays:
        return {}
    ordered = sorted(delays)
    last = len(ordered) - 1
    return {name: round(1e3 * ordered[last * share // 100], 2) for name, share in PERCENTILES}


class Orders:
    """Carries out orders: {"what", "rate", "seconds"}, or {"paths", "rate", "seconds"}.

    `paths`, by name, are asked for in turns.
    """

    def __init__(self, given: Row) -> None:
        self._clients = Clients(given["host"], given["port"], given["connections"])
        self._head = f"Host: {given['host']}\r\nAuthorization: Bearer {given['token']}\r\n"
        self._names = [account_of(number) for number in range(given["accounts"])]
        self._label, self._written = given["label"], 0
        self._chance = random.Random(given["label"])  # noqa: S311 - no secret
        self._makers = {
            "constant": lambda: self._get("/"),
            "balance": lambda: self._get(f"/v1/balances/{self._account()}"),
            "hundred": self._hundred,
            "write": self._write,
        }

    async def carry_out(self, order: Row) -> Row:
        """The report on a phase of load."""
        rate, seconds = order["rate"], order["seconds"]
        if paths := order.get("paths"):
            turns = cycle(map(self._get, paths.values()))
            return await self._clients.run(lambda: next(turns), rate, seconds, list(paths))
        return await self._clients.run(self._makers[order["what"]], rate, seconds)

    def _account(self) -> str:
        return self._chance.choice(self._names)

    def _get(self, path: str) -> bytes:
        return f"GET {path} HTTP/1.1\r\n{self._head}\r\n".encode()

    def _hundred(self) -> bytes:
        return self._post("/v1/balances/query", {"accounts": self._chance.sample(self._names, 100)})

    def _write(self) -> bytes:
        self._written += 1
        debit, credit = self._chance.sample(self._names, 2)
        return self._post("/v1/transactions?timeout=20", {
            "transaction_id": f"{self._label}-{self._written}", "kind": "transfer",
            "effective_at": rfc3339(now()), "created_at": rfc3339(now()),
            "entries": [
                {"account": debit, "side": "debit", "amount": "1.00", "currency": "CAD"},
                {"account": credit, "side": "credit", "amount": "1.00", "currency": "CAD"},
            ],
        }, more="Prefer: wait=reconciled\r\n")  # fmt: skip

    def _post(self, path: str, content: Row, more: str = "") -> bytes:
        body = json.dumps(content).encode()
        head = (
            f"POST {path} HTTP/1.1\r\n{self._head}{more}Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


if __name__ == "__main__":
    uvloop.run(serve_orders(Orders(parameters()).carry_out))
