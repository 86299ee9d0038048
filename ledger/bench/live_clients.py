"""The clients of the bench of live connections: as little as reads a frame, a thousand times."""

import asyncio
import base64
import json
import os
import random
import re
import time
from collections import Counter
from typing import Any

import uvloop

from ledger.api.listening import allow_connections
from ledger.bench.child import Row, parameters, serve_orders
from ledger.bench.live_server import TOKEN
from ledger.domain.portions import portions

VERSION = re.compile(rb'"version":(\d+)')
FRAME = re.compile(rb'"type":"changes"')
CORE = 1
TEXT, PING, PONG, CLOSE = 1, 9, 10, 8
AT_ONCE = 50
"""Connections that are opened together."""


class Delays:
    """Delays of all clients, in milliseconds, counted by their tenths."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin again."""
        self.counts = Counter[int]()
        self.frames = self.octets = self.closed = 0
        self.began = time.monotonic()

    def note(self, data: bytes) -> None:
        """Bytes that a client received."""
        now = time.monotonic_ns() // 1_000
        self.octets += len(data)
        self.frames += len(FRAME.findall(data))
        for version in VERSION.findall(data):
            self.counts[(now - int(version)) // 100] += 1

    def report(self) -> Row:
        """Percentiles, and what was received a second."""
        total, seconds = sum(self.counts.values()), time.monotonic() - self.began
        found, seen = dict[str, float](), 0
        wanted = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999, "max": 1.0}
        for tenths, count in sorted(self.counts.items()):
            seen += count
            for name, part in wanted.items():
                if name not in found and seen >= part * total:
                    found[name] = tenths / 10
        return {
            "delay_ms": found,
            "balances_a_second": round(total / seconds),
            "frames_a_second": round(self.frames / seconds),
            "bytes_a_second": round(self.octets / seconds),
            "closed": self.closed,
        }


class _Client(asyncio.Protocol):
    def __init__(self, request: bytes, subscribe: bytes, delays: Delays) -> None:
        self._request, self._subscribe, self._delays = request, subscribe, delays
        self._held = b""
        self._is_open = False
        self.ready = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._delays.closed += 1
        if not self.ready.done():
            self.ready.set_exception(exc or ConnectionResetError(self._held[:300]))

    def data_received(self, data: bytes) -> None:
        if not self._is_open:
            self._held += data
            head, found, rest = self._held.partition(b"\r\n\r\n")
            if not found:
                return
            assert head[:12] in (b"HTTP/1.1 101", b"HTTP/1.1 200"), head
            self._is_open, self._held, data = True, b"", rest
            if self._subscribe:
                self._transport.write(self._subscribe)
        if not self.ready.done() and b'"type":"snapshot"' in data:
            self.ready.set_result(None)
        # Frames are not put together: a version that is cut in two is not counted.
        self._delays.note(data)
        if self._subscribe and len(data) <= 12 and data[:1] == bytes([0x80 | PING]):  # noqa: PLR2004
            self._transport.write(masked(PONG, data[2:]))


def masked(opcode: int, payload: bytes) -> bytes:
    """A WebSocket frame of a client."""
    size = len(payload)
    head = bytes([0x80 | opcode])
    head += bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2, "big")  # noqa: PLR2004
    # A mask of zeros leaves the payload as it is.
    return head + bytes(4) + payload


def requested(wanted: Row, number: int, chance: random.Random) -> tuple[bytes, bytes]:
    """What a client sends to connect, and then."""
    accounts = [
        f"assets:live:{each // 100}:{each}"
        for each in chance.sample(range(wanted["accounts"]), wanted["watched"])
    ]
    head = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    if wanted["kind"] == "events":
        query = "&".join(f"accounts={each}" for each in accounts)
        return f"GET /v1/live?{query} HTTP/1.1\r\n{head}\r\n".encode(), b""
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = (
        f"GET /v1/live HTTP/1.1\r\n{head}Upgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    what: Row = {"accounts": accounts}
    if wanted["mixed"] and number % 10 == 0:
        what = {"under": f"assets:live:{number // 10 % 100}"}
    elif wanted["mixed"] and number % 10 < 3:  # noqa: PLR2004
        what = {"list": {"under": "assets:live", "sort": "account", "offset": number, "count": 50}}
    message = json.dumps({"type": "subscribe", "id": "a", **what}).encode()
    return upgrade.encode(), masked(TEXT, message)


async def _main(wanted: Row) -> None:
    delays, chance = Delays(), random.Random(11)  # noqa: S311 - no secret
    loop, numbers = asyncio.get_running_loop(), list[int]()

    async def connect(number: int) -> None:
        _, client = await loop.create_connection(
            lambda: _Client(*requested(wanted, number, chance), delays), "127.0.0.1", wanted["port"]
        )
        await client.ready

    async def carry_out(order: Row) -> Row:
        if order["do"] == "connect":
            for some in portions(range(len(numbers), order["count"]), count=AT_ONCE):
                await asyncio.gather(*map(connect, some))
                numbers.extend(some)
        elif order["do"] == "reset":
            delays.reset()
        return delays.report()

    await serve_orders(carry_out)


if __name__ == "__main__":
    os.sched_setaffinity(0, {CORE})
    allow_connections(10_000)
    uvloop.run(_main(parameters()))
