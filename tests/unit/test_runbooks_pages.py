"""The pages of docs/runbooks: each is listed and tried, and trying one can fail."""

from pathlib import Path

from tests.faults.runbook import PAGES, Step, steps_of

TRIED = Path(__file__).parents[1] / "faults" / "test_runbooks.py"


def test_every_page_is_listed_and_tried():
    pages = {page.name for page in PAGES.glob("*.md")} - {"README.md"}
    assert len(pages) == 13
    for page in pages:
        assert f'follow("{page}"' in TRIED.read_text(), f"{page} is not tried"
        assert f"]({page})" in (PAGES / "README.md").read_text()


def test_a_step_knows_what_is_not_there():
    (step, *_) = steps_of("ledger-damaged.md")
    assert (step.commands, step.code, step.until) == ("faust-ledger verify\n", 1, False)
    assert step.missing("0 findings") == step.wanted[1:]
    assert step.missing("") == step.wanted


def test_lines_are_looked_for_in_their_order():
    step = Step("", wanted=["one … 1", "two"])
    assert step.missing("x\none and 1\ntwo\n") == []
    assert step.missing("two\none and 1\n") == ["two"]


def test_a_block_in_a_list_is_a_step_too():
    commands = [step.commands for step in steps_of("log-cut.md")]
    assert any("$NEWER_BACKUP" in each for each in commands)
    assert not any(each.startswith(" ") for each in commands)
