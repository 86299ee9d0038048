"""docs/benchmarks.md has the results that are in docs/benchmarks."""

from copy import deepcopy

from tests import benchmarks_page
from tests.benchmarks_page import COLUMNS, PAGE, RESULTS, TABLE, load, page, rows


def test_the_page_is_what_the_results_give():
    text = PAGE.read_text()
    assert page(text, load()) == text, "run: python -m tests.benchmarks_page"


def test_the_page_has_every_table():
    assert sorted(found[2] for found in TABLE.finditer(PAGE.read_text())) == sorted(COLUMNS)


def test_every_figure_has_a_column():
    for result in load():
        for name in COLUMNS.keys() - {"conditions", "releases"}:
            for row in result[name]:
                assert row.keys() <= COLUMNS[name].keys(), (result["release"], name, row)


def test_another_figure_is_another_page():
    changed = deepcopy(load())
    changed[-1]["latency"][0]["p50"] += 1
    assert page(PAGE.read_text(), changed) != PAGE.read_text()


def test_releases_are_in_order_and_named_by_their_files():
    assert {file.stem for file in RESULTS.glob("*.json")} == {each["release"] for each in load()}
    two = [load()[-1] | {"release": "9.0.0"}, load()[-1] | {"release": "10.0.0"}]
    assert [row["release"] for row in rows("releases", two)] == ["9.0.0", "10.0.0"]


def test_numbers_read_as_people_write_them():
    columns = {"case": "", "count": "count", "gone": "gone"}
    assert benchmarks_page.table(columns, [{"case": "a", "count": 20161}, {"case": "b"}]) == (
        "|  | count |\n| --- | ---: |\n| a | 20,161 |\n| b |  |\n"
    )
