"""Pages have the figures that are in docs/benchmarks."""

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


def test_another_figure_is_another_page():
    changed = deepcopy(load())
    changed[-1]["latency"][0]["p50"] += 1
    text = PAGES[0].read_text()
    assert page(text, changed) != text


def test_releases_are_named_by_their_files_and_in_order():
    assert {file.stem for file in RESULTS.glob("*.json")} == {each["release"] for each in load()}
    assert in_order([{"release": "10.0.0"}, {"release": "9.0.0"}])[0]["release"] == "9.0.0"


def test_a_table_that_the_last_release_has_not_names_its_own():
    old = load()[-1]
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
