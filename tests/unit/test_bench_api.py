"""The load on the API: no delay of the server is hidden, and costs are compared with the constant's."""

import asyncio
from collections.abc import Callable

from ledger.bench.api import CASES, medians
from ledger.bench.api_clients import Clients, percentiles
from ledger.bench.child import Row

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LATE_SECONDS = 0.3


async def asked(clients: int, late: Callable[[int], bool]) -> Row:
    """100 requests in half a second, of which the server answers some late."""
    number = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal number
        while await reader.readuntil(b"\r\n\r\n"):
            number += 1
            if late(number):
                await asyncio.sleep(LATE_SECONDS)
            writer.write(ANSWER)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    sender = Clients(host, port, clients)
    found = await sender.run(lambda: b"GET / HTTP/1.1\r\n\r\n", 200, 0.5)
    server.close()
    return found


def test_one_late_answer_is_in_the_delay_of_all_that_were_due_meanwhile() -> None:
    found = asyncio.run(asked(1, lambda number: number == 10))
    assert found["requests"] == 100
    assert found["unanswered"] == 0
    assert found["statuses"] == {"200": 100}
    late = found["delay_ms"]["max"]
    assert late >= 1e3 * LATE_SECONDS
    # A client that waits before it goes on would have one late answer in a hundred.
    assert found["delay_ms"]["p90"] > late / 10


def test_without_a_free_connection_a_request_waits_and_is_sent() -> None:
    found = asyncio.run(asked(3, lambda number: number % 10 == 0))
    assert found["statuses"] == {"200": 100}


def test_percentiles_are_of_all_delays_in_milliseconds() -> None:
    delays = [each / 1000 for each in range(1, 102)]
    assert percentiles(delays) == {"p50": 51.0, "p90": 91.0, "p99": 100.0, "max": 101.0}
    assert percentiles([]) == {}


def test_the_ratio_is_to_the_constant_of_the_same_rounds() -> None:
    def row(cpu: int) -> Row:
        return {"delay_ms": {"p50": cpu}, "cpu_us": cpu}

    rounds = [
        {case: row(cost * (place + 1)) for place, case in enumerate(CASES)}
        for cost in (100, 300, 200)
    ]
    found = medians(rounds)
    assert found["constant"]["cpu_us"] == 200
    assert found["balance"]["cpu_us"] == 400
    assert found["balance"]["ratio"] == 2
