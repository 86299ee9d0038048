"""docs/api.md names every code and every path of the API."""

import re
from pathlib import Path

from ledger.api.problems import PROBLEMS
from tests.unit.test_api_scopes import OPERATIONS

PAGE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def test_every_code_is_in_the_table_of_errors():
    table = PAGE.partition("\n## Errors\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.+) \|$", table, re.MULTILINE)
    assert {code: (int(status), title) for code, status, title in rows} == dict(PROBLEMS)


def test_every_path_is_on_the_page():
    named = re.sub(r"\{\w+\}", "{}", PAGE)
    paths = {re.sub(r"\{\w+\}", "{}", each.path) for each in OPERATIONS}
    assert [path for path in sorted(paths) if path not in named] == []
