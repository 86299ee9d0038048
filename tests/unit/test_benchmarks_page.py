"""Pages have the figures that are in docs/benchmarks."""

from copy import deepcopy

import pytest

from tests import benchmarks_page
from tests.benchmarks_page import COLUMNS, PAGES, RESULTS, TABLE, load, page, rows


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_a_page_is_what_the_results_give(file):
    text = file.read_text()
    assert page(text, load()) == text, "run: python -m tests.benchmarks_page"


def test_every_table_is_on_one_page():
    found = [table[2] for file in PAGES for table in TABLE.finditer(file.read_text())]
    assert sorted(found) == sorted(COLUMNS)


def test_every_figure_has_a_column():
    for result in load():
        for name in COLUMNS.keys() - {"conditions", "releases"}:
            for row in result[name]:
                assert row.keys() <= COLUMNS[name].keys(), (result["release"], name, row)


def test_another_figure_is_another_page():
    changed = deepcopy(load())
    changed[-1]["latency"][0]["p50"] += 1
    text = PAGES[0].read_text()
    assert page(text, changed) != text


def test_releases_are_in_order_and_named_by_their_files():
    assert {file.stem for file in RESULTS.glob("*.json")} == {each["release"] for each in load()}
    two = [load()[-1] | {"release": "9.0.0"}, load()[-1] | {"release": "10.0.0"}]
    assert [row["release"] for row in rows("releases", two)] == ["9.0.0", "10.0.0"]


def test_numbers_read_as_people_write_them():
    columns = {"case": "", "count": "count", "gone": "gone"}
    assert benchmarks_page.table(columns, [{"case": "a", "count": 20161}, {"case": "b"}]) == (
        "|  | count |\n| --- | ---: |\n| a | 20,161 |\n| b |  |\n"
    )
