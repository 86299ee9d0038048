"""What the bench prints for people."""

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from ledger.bench.child import Row
from ledger.bench.run import SYSTEM, cpu_of_system

TITLES = {
    "broker": "Kafka", "registry": "registry", "postgres": "PostgreSQL", "stream": "stream",
    "posting": "posting", "supervisor": "supervisor", "floor": "floor",
}  # fmt: skip


def results(console: Console, found: Row) -> None:
    """Throughput and cost beside the floor's, then latency and work."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("", "ledger", "floor"):
        table.add_column(title, justify="right" if title else "left")
    for row in rows(found):
        table.add_row(*row)
    console.print(table)
    for text in sentences(found):
        console.print(text, highlight=False, soft_wrap=True)


def rows(found: Row) -> Iterator[tuple[str, str, str]]:
    """Title, ours, the floor's."""
    floor, cpu = found["floor"], found["cpu_us_per_transaction"]
    floor_cpu = floor["cpu_us_per_transaction"]
    yield "transactions a second", f"{found['throughput']:,.0f}", f"{floor['throughput']:,.0f}"
    yield (
        "µs of CPU a transaction",
        f"{cpu_of_system(found):,.0f}",
        f"{sum(floor_cpu.values()):,.0f}",
    )
    for part in (*SYSTEM, "floor"):
        ours, theirs = cpu.get(part), floor_cpu.get(part)
        yield (
            f"  {TITLES[part]}",
            "" if ours is None else f"{ours:,.1f}",
            "" if theirs is None else f"{theirs:,.1f}",
        )


def sentences(found: Row) -> Iterator[str]:
    """The rest."""
    paced, latency = found["paced"], found["latency_ms"]
    cpu, checked = found["cpu_us_per_transaction"], found["reconcile"]
    yield ""
    yield (
        f"{found['transactions']:,} transactions, {found['entries']:,} entries, "
        f"{found['accounts']:,} accounts, {found['seconds']:.1f} s from the first publish to the "
        "last reconciled balance out"
    )
    yield (
        f"as fast as they go: {shown(latency['saturated']['balance'])} to the balance; "
        + counted(found["work"])
    )
    yield (
        f"at {paced['rate']:,.0f} a second: {shown(latency['paced']['balance'])} to the balance; "
        f"{cpu_of_system(paced):,.0f} µs of CPU; {counted(paced['work'])}"
    )
    yield (
        f"beside it, µs a transaction: load generator {cpu['load']:.0f}, watching "
        f"{cpu['observer']:.0f}, other programs of this machine {cpu['elsewhere']:.0f}"
    )
    yield (
        f"{checked['reconciled']:,} of {checked['accounts']:,} accounts reconciled, "
        f"{len(checked['breaks'])} breaks"
    )


def shown(percentiles: dict[str, float]) -> str:
    """`p50 12 ms, p95 20 ms, p99 31 ms`."""
    return ", ".join(f"{name} {value:,.0f} ms" for name, value in percentiles.items())


def counted(work: Row) -> str:
    """`90 runs of 2,200, 80 postings; a transaction: 1.80 stripes, 1.80 balances`."""
    records = work["per_transaction"]
    names = ("stripes-changelog", "stripes", "balances")
    return (
        f"{work['runs']:,} runs of {work['mean_run']:,.0f}, {work['postings']:,} postings; records "
        "a transaction: " + ", ".join(f"{records[name]:.2f} {name}" for name in names)
    )
