"""The fault plan's page has rows of faults that tests do, and of no others."""

from pathlib import Path

from tests.faults.plan import Entry, rows_of, titles, write

PAGE = Path(__file__).parents[2] / "docs" / "fault-plan.md"
LEAVES = "a worker leaves, and joins again"


def test_each_row_is_of_a_fault_that_a_test_does() -> None:
    rows = rows_of(PAGE)
    assert LEAVES in rows
    assert rows.keys() - titles() == set()


def test_titles_are_found_in_all_forms_of_the_marker(tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "test_a.py").write_text(
        '@pytest.mark.fault("one", "it goes on")\n'
        "def test_one(): ...\n"
        '@pytest.mark.fault(\n    "two, " "in two parts",\n    "it goes on",\n)\n'
        "@pytest.mark.faults\n"
        "class TestTwo: ...\n"
    )
    assert titles(tmp_path) == {"one", "two, in two parts"}


def test_a_row_without_its_test_goes_and_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "plan.md"
    kept = Entry(LEAVES, "shards change hands", outcome="held")
    write(page, [kept], "2 cores.", full_each=10)
    before = page.read_text()
    row = rows_of(page)[LEAVES]
    page.write_text(before + row.replace(LEAVES, "a worker leaves for good") + "\n")
    assert len(rows_of(page)) == 2
    write(page, [Entry("a worker told to stop", "it ends")], "2 cores.", full_each=10)
    assert page.read_text() == before
    assert rows_of(page) == {LEAVES: row}
