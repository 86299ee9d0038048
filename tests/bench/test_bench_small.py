"""The bench and the demo end to end, small, on a stack of their own: both end reconciled.

Measurements must exist and be consistent; their values are not checked.
"""

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram

from tests import warden
from tests.commands import faust_ledger
from tests.waiting import PATIENCE

pytestmark = pytest.mark.integration

PERCENTILES = {"p50", "p90", "p99", "p99.9", "max", "hdr"}
RATES = [200, 400]
SECONDS = 0.3
"""At full speed. `make bench` takes 60."""
PARTS = {"broker", "registry", "postgres", "stream", "posting", "history", "supervisor"}


def finished(*words: object) -> "subprocess.CompletedProcess[str]":
    """A command that succeeds."""
    ended = subprocess.run(
        faust_ledger(*words),
        capture_output=True, text=True, check=False, timeout=3 * PATIENCE,
    )  # fmt: skip
    assert ended.returncode == 0, ended
    return ended


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where both play, one after the other."""
    path = warden.watched(tmp_path_factory.mktemp("bench"))
    yield path
    finished("down", "--data-dir", path)
    warden.left(path)


@pytest.fixture(scope="module")
def demo(data_dir: Path) -> str:
    """The demo's output in a pipe."""
    return finished("demo", "--data-dir", data_dir, "--transactions", 300, "--keep").stdout


@pytest.fixture(scope="module")
def bench(demo: str, data_dir: Path) -> dict[str, Any]:
    """The bench on the ledger that the demo has left running."""
    words = (
        "--seconds", SECONDS, "--warm-up", SECONDS, "--rates", "200,400", "--rate-seconds", 2,
        "--accounts", 500, "--single", 200, "--chart", data_dir / "chart.svg",
    )  # fmt: skip
    found: dict[str, Any] = json.loads(
        finished("bench", *words, "--data-dir", data_dir, "--json").stdout
    )
    return found


def test_the_demo_shows_everything_reconciled_and_the_mistakes_refused(demo):
    assert "294 accepted, 5 refused, 1 published twice and counted once" in demo
    assert ", 0 breaks" in demo
    for code in ("NOT_BALANCED", "TOO_MANY_DECIMALS", "UNKNOWN_CURRENCY", "ID_REUSED"):
        assert code in demo
    assert "assets:bank:operating" in demo


def test_the_demo_writes_plain_text_into_a_pipe(demo):
    assert "\x1b" not in demo


def test_the_commands_to_look_at_next_can_be_copied(demo):
    # The requests to the API are run by test_api_demo.py.
    look, _, api = demo.partition("Look at it")[2].partition("Or through the API")
    assert "`faust-ledger down`" in api
    lines = look.splitlines()
    commands = [line.strip() for line in lines if line.startswith("  ")]
    assert commands.pop(0).startswith("export FAUST_LEDGER_DATA_DIR=")
    assert {shlex.split(each)[1] for each in commands} >= {"balances", "register", "transaction"}
    place = demo.partition("FAUST_LEDGER_DATA_DIR=")[2].splitlines()[0]
    for command in commands:
        _, *words = shlex.split(command)
        finished(*words, "--data-dir", place)


def test_a_second_demo_moves_money_again(bench, data_dir):
    again = finished("demo", "--data-dir", data_dir, "--transactions", 300).stdout
    assert "294 accepted, 5 refused, 1 published twice and counted once" in again
    assert ", 0 breaks" in again


def test_the_bench_ends_reconciled(bench):
    checked = bench["reconcile"]
    assert checked["breaks"] == []
    assert checked["reconciled"] == checked["accounts"] >= 500


def test_the_result_counts_the_work(bench):
    count = bench["transactions"]
    assert bench["entries"] == 2 * count
    assert (bench["scenario"], bench["accounts"], bench["workers"]) == ("reference", 500, 1)
    assert bench["seconds"] >= SECONDS
    assert bench["throughput"] == pytest.approx(count / bench["seconds"], rel=0.01)
    work = bench["work"]
    assert work["mean_run"] == pytest.approx(count / work["runs"], rel=0.01)
    assert work["postings"] > 0
    assert work["per_transaction"].keys() == {
        "decisions", "posted", "stripes", "stripes-changelog", "balances",
    }  # fmt: skip
    assert bench["machine"]["cores"] > 0


def test_cpu_time_is_counted_by_process(bench):
    assert bench["cpu_us_per_transaction"].keys() == PARTS | {"load", "observer", "elsewhere"}
    assert bench["cpu_us_per_transaction"]["stream"] > 0
    assert bench["floor"]["cpu_us_per_transaction"].keys() == {"broker", "postgres", "floor"}
    assert bench["single"]["cpu_us_per_transaction"].keys() == {"broker", "postgres", "single"}


def test_latency_is_that_of_sampled_transactions(bench):
    assert [each["rate"] for each in bench["rates"]] == RATES
    for each in (bench, *bench["rates"]):
        found = each["latency_ms"]
        assert found["samples"] > 1
        for what in ("progress", "balance"):
            assert found[what].keys() == PERCENTILES
            assert 0 < found[what]["p50"] <= found[what]["p99"] <= found[what]["max"]
            assert HdrHistogram.decode(found[what]["hdr"]).total_count == found["samples"]


def test_the_comparators_posted_the_same_transactions(bench):
    assert bench["floor"]["transactions"] == bench["transactions"]
    assert bench["single"]["transactions"] == bench["single"]["postings"] == 200
    ratio = bench["throughput"] / bench["floor"]["throughput"]
    assert bench["ratio"]["throughput"] == pytest.approx(ratio, abs=0.001)
    assert bench["ratio"]["single"] > 1


def test_the_chart_has_its_labels(bench, data_dir):
    drawn = (data_dir / "chart.svg").read_text()
    for words in ("transactions a second", "milliseconds", "p50 to", "p99 to", "one at a time",
                  f"ledger {bench['throughput']:,.0f}/s", "500 accounts"):  # fmt: skip
        assert words in drawn
