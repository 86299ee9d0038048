"""Tables of the results file, from what `faust-ledger bench api` and `bench history` print as JSON."""

from collections.abc import Iterator, Mapping
from statistics import median
from typing import Any

from ledger.bench.show_api import CASES, LIVE

Found = Mapping[str, Any]
COST_LIMIT = 30
"""Microseconds of CPU that history takes of a transaction, at saturation."""
BEHIND_LIMIT = 1
"""Seconds, at 5,000 transactions a second."""


def tables(found: Found) -> dict[str, list[dict[str, Any]]]:
    """By name, of the scenario that was measured. Raises ValueError for another one."""
    if found["scenario"] == "history":
        return {"history": list(_history(found))}
    if found["scenario"] != "api":
        raise ValueError(f"There is no table of the scenario {found['scenario']}.")
    made = {
        "api_requests": list(_requests(found)),
        "api_live": list(_live(found)),
        "api_past": list(_past(found)),
        "api_targets": [
            {"case": each["target"], "limit": each["limit"], "measured": each["measured"],
             "unit": "" if each["unit"] == "ratio" else each["unit"],
             "met": "yes" if each["met"] else "no"}
            for each in found["targets"]
        ],
        "api_conditions": list(_conditions(found)),
    }  # fmt: skip
    # One run may measure the requests, and another one the rest.
    return {name: rows for name, rows in made.items() if rows}


def _requests(found: Found) -> Iterator[dict[str, Any]]:
    for case, each in found.get("cases", {}).items():
        delays = {name: each["delay_ms"][name] for name in ("p50", "p90", "p99")}
        yield {"case": CASES[case], "rate": each["rate"], **delays, "cpu": each["cpu_us"],
               "ratio": each["ratio"]}  # fmt: skip


def _live(found: Found) -> Iterator[dict[str, Any]]:
    for kind, each in found.get("live", {}).items():
        delays = {name: each["delay_ms"][name] for name in ("p50", "p99")}
        yield {"case": f"{each['connections']:,} {LIVE[kind]}", "rate": each["rate"], **delays,
               "bytes": each["bytes_a_connection"], "cores": each["cores"]}  # fmt: skip


def _past(found: Found) -> Iterator[dict[str, Any]]:
    for part, each in found.get("past", {}).items():
        for way, questions in each["ways"].items():
            for time, row in questions.items():
                yield {"case": part, "way": way, "time": time, "few": row["few"]["p50"],
                       "many": row["many"]["p50"], "ratio": row["ratio"]}  # fmt: skip


def _conditions(found: Found) -> Iterator[dict[str, Any]]:
    wanted, machine, audited = found["wanted"], found["machine"], found["reconcile"]
    known = f"{audited['reconciled']:,} of {audited['accounts']:,} accounts reconciled"
    values = {
        "machine": f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}",
        "python": machine["python"],
        "floor, tx/s": f"{found['floor']['throughput']:,.0f}",
        "rounds": f"{wanted['rounds']}, {wanted['seconds']:g} s of each kind",
        "meanwhile": f"{wanted['background']:,} transactions per second",
        "audit": f"{known}, {len(audited['breaks'])} breaks",
    }
    return ({"case": case, "value": value} for case, value in values.items())


def _history(found: Found) -> Iterator[dict[str, Any]]:
    base, other = found["base"], found["other"]
    for load, title in (("saturated", "full load"), ("paced", "5,000/s")):
        without, costs = base[load]["cpu"], other[load]["cpu"]
        behind = median(row[load]["history_behind_seconds"] for row in found["rounds"]["other"])
        row = {"case": title, "without": without, "with": costs,
               "more": round(costs - without, 1), "behind": round(behind, 2)}  # fmt: skip
        limit = {"limit": COST_LIMIT} if load == "saturated" else {"behind_limit": BEHIND_LIMIT}
        yield row | limit
