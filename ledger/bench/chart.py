"""The chart of latency over throughput, with the limits of the system and its comparators."""

from pathlib import Path

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from ledger.bench.child import Row
from ledger.bench.show import worker_count

LINES = (("p50", "o-"), ("p99", "s-"))
LIMITS = (("single", "one at a time", ":"), ("", "ledger", "-"), ("floor", "floor", "--"))


def draw(found: Row, path: Path) -> None:
    """Write the chart; the suffix of `path` chooses the format: .svg, .png or .pdf."""
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
        title=f"{found['accounts']:,} accounts, {worker_count(found['workers'])}, "
        f"{found['machine']['cores']} cores",
    )  # fmt: skip
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    # It labels minor ticks too, by default as powers of ten.
    axes.yaxis.set_minor_formatter(LogFormatter())
    axes.grid(visible=True, which="both", alpha=0.2)
    axes.legend(loc="lower right")
    # As text, not as paths: files are small, and can be searched.
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(path)
