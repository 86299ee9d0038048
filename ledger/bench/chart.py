"""The chart: latency over throughput, with what the system and its comparators can do at most."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from ledger.bench.child import Row
from ledger.bench.show import workers

LINES = (("p50", "o-"), ("p99", "s-"))
LIMITS = (("single", "one at a time", ":"), ("", "ledger", "-"), ("floor", "floor", "--"))


def draw(found: Row, path: Path) -> None:
    """Write it; the kind of file is as the path ends: .svg, .png, .pdf."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    rates = [each for each in found["rates"] if each["latency_ms"]["balance"]]
    for name, style in LINES:
        axes.plot(
            [each["rate"] for each in rates],
            [each["latency_ms"]["balance"][name] for each in rates],
            style,
            label=f"{name} to the reconciled balance",
        )
    for key, title, style in LIMITS:
        most = (found[key] if key else found)["throughput"]
        axes.axvline(most, linestyle=style, color="gray")
        axes.annotate(
            f"{title} {most:,.0f}/s", (most, 0.98), xycoords=("data", "axes fraction"),
            rotation=90, va="top", ha="right", fontsize="small", color="dimgray",
        )  # fmt: skip
    axes.set(
        xscale="log", yscale="log", xlabel="transactions a second", ylabel="milliseconds",
        title=f"{found['accounts']:,} accounts, {workers(found['workers'])}, "
        f"{found['machine']['cores']} cores",
    )  # fmt: skip
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    # It names some of the lines between too, by default as powers of ten.
    axes.yaxis.set_minor_formatter(LogFormatter())
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(loc="lower right")
    # Text stays text: small files, and a reader can search them.
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(path)
