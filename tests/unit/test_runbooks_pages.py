"""The pages of docs/runbooks: each is listed and tried, and trying one can fail."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.faults.runbook import PAGES, Step, steps_of
from tests.unit import naming

TRIED = (
    Path(__file__).parents[1] / "faults" / "test_runbooks.py",
    Path(__file__).parents[1] / "faults" / "test_data_centres_failover.py",
)


def test_every_page_is_listed_and_tried():
    pages = {page.name for page in PAGES.glob("*.md")} - {"README.md"}
    tried = "".join(each.read_text() for each in TRIED)
    assert len(pages) == 14
    for page in pages:
        assert f'follow("{page}"' in tried, f"{page} is not tried"
        assert f"]({page})" in (PAGES / "README.md").read_text()


def test_pages_with_commands_are_tried():
    for page in ("backup.md", "upgrading.md", "getting-started.md"):
        assert f'follow("../{page}"' in TRIED[0].read_text(), f"{page} is not tried"
        assert steps_of(f"../{page}")


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


ALIKE = 0.65
"""Of a quotation's threes of words, those that a message has; a page names a topic, or a value."""


def threes(text: str) -> Iterator[tuple[str, ...]]:
    """Words that follow each other, with no `…` between them."""
    for part in text.split(naming.HOLE):
        words = re.findall(r"[\w'-]+", part.lower())
        yield from zip(words, words[1:], words[2:], strict=False)


def quotations(page: str) -> Iterator[str]:
    """Messages that a page shows: quoted lines, and what is in italics and has a `…`."""
    prose = re.sub(r"^\s*```.*?```", "", page, flags=re.MULTILINE | re.DOTALL)
    for found in re.findall(r"(?:^> .*\n)+", prose, re.MULTILINE):
        yield found.replace("\n> ", " ").removeprefix("> ")
    for found in re.findall(r"(?<!\*)\*(?![* ])([^*]+)\*(?!\*)", prose):
        if naming.HOLE in found:
            yield found


@cache
def messages() -> frozenset[tuple[str, ...]]:
    """Threes of words of every text in the code."""
    names = [name for name in naming.files() if name.startswith(("agents/", "ledger/"))]
    texts = (text for name in names if name.endswith(".py") for text, _ in naming.texts_of(name))
    return frozenset(three for text in texts for three in threes(text))


def share(quotation: str) -> float:
    found = list(threes(quotation))
    return sum(three in messages() for three in found) / len(found) if found else 1.0


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.name)
def test_messages_that_a_page_shows_are_in_the_code(page):
    for quotation in quotations(page.read_text()):
        assert share(quotation) >= ALIKE, quotation


def test_a_message_that_is_nowhere_is_found():
    (quoted, italic) = quotations("> The broker lost\n> its temper.\n\nor *the log … is away*\n")
    assert (quoted.strip(), italic) == ("The broker lost its temper.", "the log … is away")
    assert share(quoted) == 0
