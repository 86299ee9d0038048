"""The bench's output for people."""

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console

from ledger.bench.child import Row
from ledger.bench.run import SYSTEM, cpu_of_system
from ledger.bench.watch import PERCENTILES
from ledger.terminal import print_table

TITLES = {
    "broker": "Kafka", "registry": "registry", "postgres": "PostgreSQL", "stream": "stream",
    "posting": "posting", "history": "history", "supervisor": "supervisor", "floor": "floor",
    "single": "Faust",
}  # fmt: skip


def show_results(console: Console, found: Row) -> None:
    """Print throughput and cost beside the comparators', latency by rate, and the rest."""
    print_rows(console, ("", "ledger", "floor", "one at a time"), comparison(found))
    console.print()
    titles = ("reconciled balance, ms", *PERCENTILES, "µs of CPU")
    print_rows(console, titles, latencies(found))
    for text in remarks(found):
        console.print(text, highlight=False, soft_wrap=True)


def show_comparison(console: Console, found: Row) -> None:
    """Print two cases and their ratio."""
    titles = ("µs of CPU a transaction", found["base"]["name"], found["other"]["name"], "ratio")
    print_rows(console, titles, ratios(found))
    console.print(
        f"medians of {len(found['rounds']['base'])} rounds; the limit of the ratio at full speed "
        f"is {found['limit']}",
        highlight=False,
    )


def show_recovery(console: Console, found: Row) -> None:
    """Print what was restored, how fast, and the memory."""
    keys = ", ".join(f"{count:,} {name}" for name, count in found["keys"].items())
    memory = ", ".join(f"{name} {mib:,} MiB" for name, mib in found["memory_mib"].items())
    for text in (
        f"tables of {keys}",
        (
            f"reading again after {found['with_disk_seconds']:.1f} s with its disk, "
            f"{found['without_disk_seconds']:.1f} s without it, "
            f"{found['seconds_a_million_keys']:.1f} s for each million keys"
        ),
        f"memory under load: {memory}",
    ):
        console.print(text, highlight=False, soft_wrap=True)


def print_rows(console: Console, titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; all columns but the first are numbers."""
    columns = {title: "right" if index else "left" for index, title in enumerate(titles)}
    print_table(columns, rows, console)


def comparison(found: Row) -> Iterator[tuple[str, ...]]:
    """Rows of title, ledger, floor and one at a time."""
    sides = (found, found["floor"], found["single"])
    costs = [side["cpu_us_per_transaction"] for side in sides]
    yield "transactions a second", *(f"{side['throughput']:,.0f}" for side in sides)
    sums = (cpu_of_system(found), *(sum(cost.values()) for cost in costs[1:]))
    yield "µs of CPU a transaction", *(f"{each:,.0f}" for each in sums)
    for part in (*SYSTEM, "floor", "single"):
        shown = [cost.get(part) for cost in costs]
        if part == "history" and not any(shown):
            continue
        yield f"  {TITLES[part]}", *("" if each is None else f"{each:,.1f}" for each in shown)


def latencies(found: Row) -> Iterator[tuple[str, ...]]:
    """A row for each rate, and one for full speed."""
    everything = [(f"at {each['rate']:,} a second", each) for each in found["rates"]]
    for title, each in (*everything, ("full speed", found)):
        balance = each["latency_ms"]["balance"]
        yield (
            title,
            *(f"{balance[name]:,.0f}" if balance else "" for name in PERCENTILES),
            f"{cpu_of_system(each):,.0f}",
        )


def ratios(found: Row) -> Iterator[tuple[str, ...]]:
    """Rows for each load."""
    for load, title in (("saturated", "full speed"), ("paced", "at 5,000 a second")):
        sides = [found[name][load] for name in ("base", "other")]
        yield title, *(f"{side['cpu']:,.0f}" for side in sides), f"{found['ratio'][load]:.2f}"
        yield "  transactions a second", *(f"{side['throughput']:,.0f}" for side in sides), ""
        yield "  transactions a run", *(f"{side['mean_run']:,.0f}" for side in sides), ""


def worker_count(count: int) -> str:
    """The number of workers in words."""
    return "1 worker" if count == 1 else f"{count} workers"


def remarks(found: Row) -> Iterator[str]:
    """Lines below the tables."""
    cpu, checked, ratio = found["cpu_us_per_transaction"], found["reconcile"], found["ratio"]
    yield ""
    yield (
        f"{found['transactions']:,} transactions, {found['entries']:,} entries, "
        f"{found['accounts']:,} accounts, {worker_count(found['workers'])}, "
        f"{found['seconds']:.1f} s from the first publication to the last reconciled balance"
    )
    yield counted(found["work"])
    yield "memory: " + ", ".join(f"{name} {mib:,} MiB" for name, mib in found["memory_mib"].items())
    yield (
        f"{ratio['cpu']:.2f} times the floor's CPU, {ratio['single']:.0f} times as fast as one at "
        "a time"
    )
    yield (
        f"beside it, µs a transaction: load generator {cpu['load']:.0f}, watching "
        f"{cpu['observer']:.0f}, other programs of this machine {cpu['elsewhere']:.0f}"
    )
    yield (
        f"{checked['reconciled']:,} of {checked['accounts']:,} accounts reconciled, "
        f"{len(checked['breaks'])} breaks"
    )


def counted(work: Row) -> str:
    """`90 runs of 2,200, 80 postings; a transaction: 1.80 stripes, 1.80 balances`."""
    records = work["per_transaction"]
    names = ("stripes-changelog", "stripes", "balances")
    return (
        f"{work['runs']:,} runs of {work['mean_run']:,.0f}, {work['postings']:,} postings; records "
        "a transaction: " + ", ".join(f"{records[name]:.2f} {name}" for name in names)
    )
