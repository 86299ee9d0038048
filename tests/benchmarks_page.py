"""The tables of measured figures, made from the results in docs/benchmarks: one file a release.

    python -m tests.benchmarks_page    # writes them into the pages
    python -m tests.benchmarks_page 0.2.0 api.json history.json

The second one first takes what `faust-ledger bench api --json` and `bench history --json` printed
into that release's file. Each table stands between `<!-- table NAME -->` and `<!-- end -->`, and is of the newest release that has
it, which it names where that is not the last one. `releases` and `conditions` are of all releases.
"""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.benchmarks_results import tables

DOCS = Path(__file__).parents[1] / "docs"
PAGES = (DOCS / "benchmarks.md", DOCS / "hostile-input.md")
RESULTS = DOCS / "benchmarks"
COLUMNS = {
    "releases": {
        "release": "release", "measured": "measured", "transactions_per_second": "tx/s",
        "cpu": "CPU µs", "p50": "p50", "p99": "p99",
    },
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
    "api_requests": {
        "case": "request", "rate": "per s", "p50": "p50", "p90": "p90", "p99": "p99",
        "cpu": "CPU µs", "ratio": "× constant",
    },
    "api_live": {
        "case": "connections", "rate": "changes/s", "p50": "p50", "p99": "p99",
        "bytes": "bytes each", "cores": "cores",
    },
    "api_past": {
        "case": "question", "way": "entries", "time": "time", "few": "few", "many": "many",
        "ratio": "ratio",
    },
    "api_targets": {
        "case": "target", "limit": "at most", "measured": "measured", "unit": "", "met": "met",
    },
    "api_conditions": {"case": "", "value": "measured"},
    "history": {
        "case": "case", "without": "CPU µs without", "with": "with", "more": "more",
        "limit": "at most", "behind": "behind, s", "behind_limit": "at most",
    },
    "flood": {"case": "the nine are", "rate": "rate of good ones", "cpu": "CPU of a refusal"},
}  # fmt: skip
"""Headings by table and by key of a row."""
NAMED_BY = ("case", "way", "time")
"""What a row of a bench's table is about."""
TABLE = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)

Row = Mapping[str, Any]
Results = Sequence[Mapping[str, Any]]


def page(text: str, results: Results) -> str:
    """`text` with its tables made anew from `results`, the oldest release first."""
    return TABLE.sub(lambda found: f"{found[1]}{block(found[2], results)}{found[3]}", text)


def block(name: str, results: Results) -> str:
    """One table, after a line with its release where that is not the last one."""
    if name == "releases":
        whole = [each for each in results if {"throughput", "cpu", "latency"} <= each.keys()]
        return table(COLUMNS[name], [headline(each) for each in whole])
    if name == "conditions":
        return table(*conditions(results))
    source = next((each for each in reversed(results) if name in each), None)
    if source is None:
        return "Not measured yet.\n"
    shown = table(COLUMNS[name], source[name])
    if source is results[-1]:
        return shown
    return f"Release {source['release']}, {source['measured']}:\n\n{shown}"


def load() -> Results:
    """The results of every release, the oldest first; decimals as they are written: 1.10 is no 1.1."""
    return in_order(
        json.loads(file.read_text(), parse_float=Decimal) for file in RESULTS.glob("*.json")
    )


def in_order(results: Iterable[Mapping[str, Any]]) -> Results:
    """By release, as versions are ordered."""
    return sorted(results, key=lambda each: [int(part) for part in each["release"].split(".")])


def conditions(results: Results) -> tuple[Mapping[str, str], Sequence[Row]]:
    """A column for each release, the newest first."""
    found = {
        each["release"]: each["conditions"] for each in reversed(results) if each["conditions"]
    }
    names = dict.fromkeys(name for each in found.values() for name in each)
    rows = [
        {"": name} | {release: each.get(name, "") for release, each in found.items()}
        for name in names
    ]
    return {name: name for name in ("", *found)}, rows


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


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """The new rows, and those of the old ones that are about something else."""
    named = [[row.get(key) for key in NAMED_BY] for row in new]
    return [row for row in old if [row.get(key) for key in NAMED_BY] not in named] + list(new)


def take(release: str, files: Iterable[Path]) -> None:
    """Take what benches printed as JSON into the release's file, which is made if there is none."""
    results = RESULTS / f"{release}.json"
    kept = json.loads(results.read_text()) if results.exists() else {"release": release}
    for file in files:
        taken = tables(json.loads(file.read_text()))
        measured = datetime.fromtimestamp(file.stat().st_mtime, UTC).date().isoformat()
        kept = {"release": release, "measured": measured, "conditions": {}} | kept
        kept |= {name: merged(kept.get(name, ()), rows) for name, rows in taken.items()}
    results.write_text(f"{json.dumps(kept, indent=1, ensure_ascii=False)}\n")


if __name__ == "__main__":
    if sys.argv[1:]:
        take(sys.argv[1], map(Path, sys.argv[2:]))
    for file in PAGES:
        file.write_text(page(file.read_text(), load()))
