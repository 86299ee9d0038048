"""The tables of measured figures, made from the results in docs/benchmarks: one file a release.

    python -m tests.benchmarks_page    # writes them into the pages

Each stands between `<!-- table NAME -->` and `<!-- end -->`. All are of the newest release but
`releases`, which has a line for each.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
PAGES = (DOCS / "benchmarks.md", DOCS / "hostile-input.md")
RESULTS = DOCS / "benchmarks"
COLUMNS = {
    "releases": {
        "release": "release", "measured": "measured", "transactions_per_second": "tx/s",
        "cpu": "CPU µs", "p50": "p50", "p99": "p99",
    },
    "conditions": {"name": "", "value": ""},
    "throughput": {"case": "", "transactions_per_second": "tx/s", "times_floor_cpu": "× floor's CPU"},
    "cpu": {
        "case": "CPU, µs", "total": "total", "stream": "stream", "posting": "posting",
        "own": "own", "postgresql": "SQL", "kafka": "Kafka",
    },
    "profile": {"part": "part", "cpu": "CPU µs"},
    "spread": {
        "case": "run", "transactions_per_second": "tx/s", "cpu": "CPU µs",
        "times_floor_cpu": "× floor", "load_generator": "load µs",
    },
    "latency": {
        "rate": "tx/s", "workers": "workers", "p50": "p50", "p90": "p90", "p99": "p99",
        "p999": "p99.9", "cpu": "CPU µs",
    },
    "latency_limits": {"rate": "tx/s", "p50": "p50", "p99": "p99"},
    "latency_spread": {
        "case": "run", "p50_at_500": "p50, 500/s", "p99_at_500": "p99, 500/s",
        "p50_at_5000": "p50, 5,000/s", "p99_at_5000": "p99, 5,000/s",
    },
    "recovery": {
        "case": "seconds", "with_disk": "with disk", "without_disk": "without",
        "million_keys": "a million keys",
    },
    "memory": {"case": "stream application, unless named", "mib": "MiB"},
    "ratios": {"case": "case", "full": "full load", "paced": "5,000/s", "limit": "limit"},
    "ratio_costs": {
        "case": "CPU, µs", "base": "base", "other": "other", "more_stream": "stream +",
        "more_posting": "posting +", "more_postgresql": "SQL +", "more_kafka": "Kafka +",
    },
    "flood": {"case": "the nine are", "rate": "rate of good ones", "cpu": "CPU of a refusal"},
}  # fmt: skip
"""Headings by table and by key of a row."""
TABLE = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Row = Mapping[str, Any]


def page(text: str, results: Sequence[Mapping[str, Any]]) -> str:
    """`text` with its tables made anew from `results`, the oldest release first."""
    return TABLE.sub(
        lambda found: f"{found[1]}{table(COLUMNS[found[2]], rows(found[2], results))}{found[3]}",
        text,
    )


def load() -> list[dict[str, Any]]:
    """The results of every release, the oldest first."""
    # Decimals stay as they are written: 1.10 is no 1.1.
    found = [json.loads(file.read_text(), parse_float=Decimal) for file in RESULTS.glob("*.json")]
    return sorted(found, key=lambda each: [int(part) for part in each["release"].split(".")])


def rows(name: str, results: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Those of one table."""
    newest = results[-1]
    if name == "conditions":
        return [{"name": key, "value": value} for key, value in newest[name].items()]
    if name == "releases":
        return [headline(each) for each in results]
    return list(newest[name])


def headline(result: Mapping[str, Any]) -> Row:
    """What one release is compared with others by."""
    at_500 = next(row for row in result["latency"] if row["rate"] == 500 and row["workers"] == 1)
    return {
        "release": result["release"], "measured": result["measured"],
        "transactions_per_second": result["throughput"][0]["transactions_per_second"],
        "cpu": result["cpu"][0]["total"], "p50": at_500["p50"], "p99": at_500["p99"],
    }  # fmt: skip


def table(columns: Mapping[str, str], found: Sequence[Row]) -> str:
    """Markdown; a column that no row has is left out."""
    there = {key: title for key, title in columns.items() if any(key in row for row in found)}
    return "".join(f"| {' | '.join(line)} |\n" for line in lines(there, found))


def lines(columns: Mapping[str, str], found: Sequence[Row]) -> Iterator[list[str]]:
    """The cells of each line: titles, alignment, rows."""
    yield list(columns.values())
    number = [any(isinstance(row.get(key), int | Decimal) for row in found) for key in columns]
    yield ["---:" if each else "---" for each in number]
    for row in found:
        yield [cell(row.get(key, "")) for key in columns]


def cell(value: Any) -> str:
    """A number as people read it."""
    return f"{value:,}" if isinstance(value, int | Decimal) else str(value)


if __name__ == "__main__":
    for file in PAGES:
        file.write_text(page(file.read_text(), load()))
