"""Pages have the figures that are in docs/benchmarks."""

import json
from copy import deepcopy

import pytest

from tests import benchmarks_page
from tests.benchmarks_page import COLUMNS, PAGES, RESULTS, TABLE, block, in_order, load, page


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_a_page_is_what_the_results_give(file):
    text = file.read_text()
    assert page(text, load()) == text, "run: python -m tests.benchmarks_page"


def test_every_table_is_on_one_page():
    found = [table[2] for file in PAGES for table in TABLE.finditer(file.read_text())]
    assert sorted(found) == sorted([*COLUMNS, "conditions"])


def test_every_figure_has_a_column():
    for result in load():
        for name in COLUMNS.keys() - {"releases"}:
            for row in result.get(name, ()):
                assert row.keys() <= COLUMNS[name].keys(), (result["release"], name, row)


def whole(results):
    """The newest of them with all figures of the engine."""
    return next(each for each in reversed(results) if "memory" in each)


def test_another_figure_is_another_page():
    changed = deepcopy(load())
    whole(changed)["latency"][0]["p50"] += 1
    text = PAGES[0].read_text()
    assert page(text, changed) != text


def test_releases_are_named_by_their_files_and_in_order():
    assert {file.stem for file in RESULTS.glob("*.json")} == {each["release"] for each in load()}
    assert in_order([{"release": "10.0.0"}, {"release": "9.0.0"}])[0]["release"] == "9.0.0"


def test_a_table_that_the_last_release_has_not_names_its_own():
    old = whole(load())
    new = {key: old[key] for key in ("conditions", "throughput", "cpu", "latency", "measured")}
    both = [old, new | {"release": "9.0.0", "conditions": {"machine": "another"}}]
    assert block("latency", both) == block("latency", [old])
    assert block("memory", both) == (
        f"Release {old['release']}, {old['measured']}:\n\n{block('memory', [old])}"
    )
    assert f"|  | 9.0.0 | {old['release']} |\n" in block("conditions", both)
    assert block("releases", both).count("\n") == 4


def test_numbers_read_as_people_write_them():
    columns = {"case": "", "count": "count", "gone": "gone"}
    assert benchmarks_page.table(columns, [{"case": "a", "count": 20161}, {"case": "b"}]) == (
        "|  | count |\n| --- | ---: |\n| a | 20,161 |\n| b |  |\n"
    )


def test_what_nobody_has_measured_is_said_so():
    results = [{"release": "9.0.0", "conditions": {}}]
    assert block("api_live", results) == "Not measured yet.\n"
    assert block("releases", [*results, whole(load())]).count("\n") == 3


API = {
    "scenario": "api",
    "wanted": {"rounds": 5, "seconds": 10.0, "background": 500},
    "machine": {"cores": 2, "memory_gib": 24, "system": "Linux", "python": "3.11"},
    "floor": {"throughput": 41234.5},
    "reconcile": {"reconciled": 9, "accounts": 9, "breaks": []},
    "cases": {
        "constant": {"rate": 2000, "cpu_us": 100.0, "ratio": 1.0,
                     "delay_ms": {"p50": 0.4, "p90": 0.6, "p99": 1.2, "max": 3.0}},
    },
    "live": {
        "events": {"connections": 1000, "rate": 5000, "delay_ms": {"p50": 60.0, "p99": 120.5},
                   "bytes_a_connection": 41000, "cores": 0.7},
    },
    "past": {
        "as-of": {"ways": {"in a day": {
            "effective": {"few": {"p50": 3.0}, "many": {"p50": 4.5}, "ratio": 1.5},
        }}},
    },
    "targets": [
        {"target": "100 balances, p99", "unit": "ms", "limit": 15, "measured": 9.1, "met": True},
    ],
}  # fmt: skip
SIDE = {"saturated": {"cpu": 70.5}, "paced": {"cpu": 300.0}}
BEHIND = {"saturated": {"history_behind_seconds": 2.0}, "paced": {"history_behind_seconds": 0.4}}
HISTORY = {
    "scenario": "history",
    "base": SIDE,
    "other": {"saturated": {"cpu": 95.8}, "paced": {"cpu": 350.0}},
    "rounds": {"other": [BEHIND]},
}


def test_what_benches_print_becomes_tables_of_a_release(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmarks_page, "RESULTS", tmp_path)
    for name, found in (("api", API), ("history", HISTORY)):
        (tmp_path / name).write_text(json.dumps(found))
    benchmarks_page.take("9.0.0", [tmp_path / "api", tmp_path / "history"])
    (result,) = load()
    assert result["release"] == "9.0.0"
    for name in ("api_requests", "api_live", "api_past", "api_targets", "history"):
        assert all(row.keys() <= COLUMNS[name].keys() for row in result[name])
    shown = block("api_past", [result])
    assert "| as-of | in a day | effective | 3.0 | 4.5 | 1.5 |\n" in shown
    assert "| full load | 70.5 | 95.8 | 25.3 | 30 | 2.0 |" in block("history", [result])
    assert "| floor, tx/s | 41,234 |" in block("api_conditions", [result])


def test_a_second_run_replaces_what_it_measured_and_keeps_the_rest(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmarks_page, "RESULTS", tmp_path)
    file = tmp_path / "api"
    file.write_text(json.dumps(API))
    benchmarks_page.take("9.0.0", [file])
    other = {name: each for name, each in API.items() if name not in ("cases", "live")}
    other["past"] = {"trial-balance": API["past"]["as-of"]}
    other["targets"] = [{**API["targets"][0], "measured": 16.0, "met": False}]
    file.write_text(json.dumps(other))
    benchmarks_page.take("9.0.0", [file])
    (result,) = load()
    assert [row["case"] for row in result["api_past"]] == ["as-of", "trial-balance"]
    assert [row["met"] for row in result["api_targets"]] == ["no"]
    assert len(result["api_requests"]) == 1
