"""Requests at fixed rates: a balance, a hundred of them, and a write until it is reconciled."""

from collections.abc import Sequence
from statistics import median

from ledger.bench.api_programs import CONSTANT_RATE, Asked, Programs
from ledger.bench.child import Row

RATES = {"balance": 2_000, "hundred": 100, "write": 200}
"""Requests a second by case."""
CASES = {"constant": CONSTANT_RATE, **RATES}


async def request_round(programs: Programs, cases: Sequence[str]) -> Row:
    """The comparator, and each of these cases once."""
    found = {"constant": await programs.constant_row()}
    for case in cases:
        status = 201 if case == "write" else 200
        order = {"what": case}
        asked = Asked(programs.clients, programs.served, RATES[case], order, status)
        found[case] = await programs.measured(case, asked)
    return found


def medians(rounds: Sequence[Row]) -> Row:
    """By case, the medians of its delays and costs, and the ratio to the comparator's cost."""
    found: Row = {}
    for case in rounds[0]:
        rows = [each[case] for each in rounds]
        found[case] = {
            "rate": CASES[case],
            "delay_ms": median_delays([row["delay_ms"] for row in rows]),
            "cpu_us": round(median(row["cpu_us"] for row in rows), 1),
        }
    constant = found["constant"]["cpu_us"]
    for case in found.values():
        case["ratio"] = round(case["cpu_us"] / constant, 2)
    return found


def median_delays(rows: Sequence[Row]) -> Row:
    """By percentile, the median of the rounds; milliseconds."""
    return {name: round(median(row[name] for row in rows), 2) for name in rows[0]}
