"""The output of the API's bench for people."""

from collections.abc import Iterator

from rich.console import Console

from ledger.bench.child import Row
from ledger.bench.show import print_rows

PERCENTILES = ("p50", "p90", "p99", "max")
CASES = {
    "constant": "a constant", "balance": "a balance", "hundred": "100 balances",
    "write": "a write, reconciled",
}  # fmt: skip
LIVE = {"websocket": "WebSocket", "events": "server-sent events"}


def show_api(console: Console, found: Row) -> None:
    """Print what was measured, and each target with whether it is met."""
    if "cases" in found:
        titles = ["milliseconds", *PERCENTILES, "µs of CPU", "ratio"]
        print_rows(console, titles, requests(found))
        console.print()
    if "live" in found:
        print_rows(console, ("milliseconds", "p50", "p99", "bytes each", "cores"), live(found))
        console.print()
    if "past" in found:
        titles = ["median milliseconds", "time", "few", "many", "ratio"]
        print_rows(console, titles, past(found))
        console.print()
    print_rows(console, ("target", "at most", "measured", ""), targets(found))
    wanted = found["wanted"]
    console.print(
        f"Medians of {wanted['rounds']} rounds, from when a request was due. A request's ratio is "
        f"that of its CPU to the constant's. {wanted['background']:,} transactions a second "
        "meanwhile, except for live connections. The floor does "
        f"{found['floor']['throughput']:,.0f} transactions a second.",
        highlight=False,
        soft_wrap=True,
    )


def requests(found: Row) -> Iterator[tuple[str, ...]]:
    """A row for each kind of request."""
    for case, each in found["cases"].items():
        yield (
            f"{CASES[case]}, {each['rate']:,}/s",
            *(f"{each['delay_ms'][name]:,.1f}" for name in PERCENTILES),
            f"{each['cpu_us']:,.0f}",
            f"{each['ratio']:.2f}",
        )


def live(found: Row) -> Iterator[tuple[str, ...]]:
    """A row for each kind of live connection."""
    for kind, each in found["live"].items():
        yield (
            f"{each['connections']:,} {LIVE[kind]}, {each['rate']:,} changes/s",
            *(f"{each['delay_ms'][name]:,.1f}" for name in ("p50", "p99")),
            f"{each['bytes_a_connection']:,}",
            f"{each['cores']:.2f}",
        )


def past(found: Row) -> Iterator[tuple[str, ...]]:
    """A row for each way in which entries came, and time that is asked about."""
    for part, each in found["past"].items():
        for way, questions in each["ways"].items():
            for time, row in questions.items():
                sizes = (f"{row[size]['p50']:,.1f}" for size in ("few", "many"))
                yield f"{part}, {way}", time, *sizes, f"{row['ratio']:.2f}"


def targets(found: Row) -> Iterator[tuple[str, ...]]:
    """A row for each target."""
    for each in found["targets"]:
        unit = "" if each["unit"] == "ratio" else f" {each['unit']}"
        met = "met" if each["met"] else "missed"
        if met == "missed" and each["met_here"]:
            met = f"met with {each['limit_here']:,g}{unit}, as fast as this machine is"
        yield each["target"], f"{each['limit']:,g}{unit}", f"{each['measured']:,g}{unit}", met
