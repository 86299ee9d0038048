"""The load on the API: no delay of the server is hidden, and costs are compared with the constant's."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from ledger.bench.api import PARTS, START_SECONDS, expected_seconds
from ledger.bench.api_clients import Clients, Orders, percentiles
from ledger.bench.api_past import past_medians, require_entries
from ledger.bench.api_programs import ApiWanted
from ledger.bench.api_requests import CASES, medians
from ledger.bench.api_targets import TARGETS, judged
from ledger.bench.child import Row
from ledger.bench.run import BenchFailed
from ledger.cli.bench import API_PARTS

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


def test_kinds_are_asked_in_turns_and_their_delays_are_apart() -> None:
    order = list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while asked := await reader.readuntil(b"\r\n\r\n"):
                order.append(asked.split()[1])
                if asked.startswith(b"GET /slow"):
                    await asyncio.sleep(LATE_SECONDS / 3)
                writer.write(ANSWER)

    async def run() -> Row:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        host, port = server.sockets[0].getsockname()
        orders = Orders({"host": host, "port": port, "connections": 1, "token": "t",
                         "accounts": 2, "label": "a"})  # fmt: skip
        paths = {"quick": "/quick", "slow": "/slow"}
        found = await orders.carry_out({"paths": paths, "rate": 5, "seconds": 1})
        server.close()
        return found

    found = asyncio.run(run())
    assert order == [b"/quick", b"/slow", b"/quick", b"/slow"]
    assert found["requests"] == 4
    assert found["kinds"].keys() == {"quick", "slow"}
    assert found["kinds"]["slow"]["p50"] >= 1e3 * LATE_SECONDS / 3 > found["kinds"]["quick"]["p50"]


def past_row(few: float, many: float) -> Row:
    return {"delay_ms": {"effective few": {"p50": few}, "effective many": {"p50": many}}}


def test_a_ratio_of_the_past_is_of_the_medians_of_rounds() -> None:
    found = past_medians([past_row(2, 5), past_row(1, 3), past_row(4, 90)])
    assert found == {"effective": {"few": {"p50": 2}, "many": {"p50": 5}, "ratio": 2.5}}


def test_an_answer_that_counts_other_entries_gives_no_figure() -> None:
    answer = {"accounts": [{"entries": 3}, {"entries": 4}]}
    require_entries(answer, 7, "/v1/trial-balance")
    with pytest.raises(BenchFailed, match="counts 7 entries"):
        require_entries(answer, 8, "/v1/trial-balance")


@pytest.mark.parametrize(
    ("floor", "measured", "met", "met_here"),
    [(80_000, 5.0, True, True), (80_000, 5.01, False, False), (20_000, 9.9, False, True),
     (20_000, 10.1, False, False)],
)  # fmt: skip
def test_a_limit_in_time_grows_where_the_floor_is_slower(
    floor: int, measured: float, met: bool, met_here: bool
) -> None:
    found = {"floor": {"throughput": floor},
             "cases": {"balance": {"delay_ms": {"p99": measured}, "ratio": 2.5}}}  # fmt: skip
    delay, ratio = judged(found)
    assert (delay["met"], delay["met_here"]) == (met, met_here)
    assert (ratio["limit_here"], ratio["met"], ratio["met_here"]) == (2, False, False)


def test_every_part_has_targets_and_a_time() -> None:
    assert {each.part for each in TARGETS} == set(PARTS) == set(API_PARTS)
    every = expected_seconds(ApiWanted())
    assert every > sum(expected_seconds(ApiWanted(only=(part,))) for part in PARTS) / 2
    for part in PARTS:
        assert START_SECONDS < expected_seconds(ApiWanted(only=(part,))) < every
