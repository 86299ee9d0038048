"""Every command, option, file, setting, target and module that a text of the repository names.

Texts are documents, docstrings, comments, help texts and messages; those of tests are docstrings
and comments, for a test may well use what does not exist. `tests/unit/naming.py` does the looking.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.settings_sources import PREFIX
from tests.unit import naming
from tests.unit.naming import CODE, ROOT

THIS = ("tests/unit/test_texts.py", "tests/unit/naming.py")


def listed(found: list[str]) -> str:
    """For the message of a test: one a line."""
    return "\n" + "\n".join(found)


def documents() -> list[str]:
    """Every document; of the changelog what is newer than the second last release."""
    return sorted(name for name in naming.files() if name.endswith(".md"))


def text_of(name: str) -> str:
    text = (ROOT / name).read_text()
    if name == "CHANGELOG.md":
        # What older releases had may be gone.
        return "## [".join(re.split(r"^## \[", text, flags=re.MULTILINE)[:3])
    return text


def links(text: str, file: Path) -> Iterator[str]:
    """Links of a document to files, and to headings, that there are not."""
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, heading = target.partition("#")
        other = (file.parent / name).resolve() if name else file
        if not other.exists():
            yield f"the link to {target} leads nowhere"
        elif heading and heading not in headings(other.read_text()):
            yield f"the link to {target} names no heading"


def headings(text: str) -> set[str]:
    """As links name them."""
    found = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in found}


def test_there_is_what_documents_name():
    found = []
    for name in documents():
        text = text_of(name)
        found += naming.wrong(text, name)
        found += [f"{name}: {each}" for each in links(text, ROOT / name)]
        found += [f"{name}: {each}" for each in naming.unknown_names(text)]
    assert not found, listed(found)


def test_there_is_what_docstrings_comments_and_messages_name():
    found = []
    for name in sorted(naming.files()):
        if name.endswith(".py") and name.split("/")[0] in CODE:
            for text, line in naming.texts_of(name):
                found += naming.wrong(text, f"{name}:{line}")
            for text, line in naming.explanations_of(name):
                found += [f"{name}:{line}: {each}" for each in naming.unknown_names(text)]
    assert not found, listed(found)


def test_there_is_what_schemas_the_makefile_and_tests_name():
    found = []
    for name in sorted(naming.files()):
        if name.endswith(".avsc") or "." not in name.rpartition("/")[2]:
            found += naming.wrong((ROOT / name).read_text(), name)
        elif name.startswith("tests/") and name.endswith(".py") and name not in THIS:
            for text, line in naming.explanations_of(name):
                found += naming.wrong(text, f"{name}:{line}")
                found += [f"{name}:{line}: {each}" for each in naming.unknown_names(text)]
    assert not found, listed(found)


@pytest.mark.parametrize(
    "text",
    [
        "run `faust-ledger audit`",
        "run faust-ledger audit on it",
        "`faust-ledger topics mend`",
        "`faust-ledger reconcile --everything`",
        "`reconcile --everything`",
        "faust-ledger topics\n    mend",
        "echo x | faust-ledger assets export -",
        "see docs/nowhere.md",
        "`ledger/streaming/nowhere.py`",
        "in `nowhere.py`",
        "tests/unit/nowhere_*.py",
        f"{PREFIX}NOWHERE=1",
        "the setting `nowhere`",
        "settings `shards`, `nowhere`",
        "`make nowhere`",
        "```\nmake nowhere  # does it\n```",
        "`ledger.domain.nowhere`",
        "by `ledger.domain.money.nowhere`",
    ],
)
def test_what_is_not_there_is_found(text):
    assert naming.wrong(text, "here") != []


@pytest.mark.parametrize(
    "text",
    [
        "`faust-ledger reconcile --full` and `topics create`",
        "$ FAUST_LEDGER_CONFIG=x faust-ledger publish day.jsonl --wait  # sends",
        "`FAUST_LEDGER_…` variables, docs/runbooks/…, docs/runbooks/*.md",
        "the setting `shards`, `make test`, `ledger.domain.money`, the topic `ledger.balances`",
        "faust-ledger is a ledger",
    ],
)
def test_what_is_there_is_not_found_wrong(text):
    assert naming.wrong(text, "here") == []


def test_names_in_backticks_are_looked_for_in_the_code():
    assert list(naming.unknown_names("`NoSuchThing`, `no_such_thing`")) != []
    assert list(naming.unknown_names("`Settings`, `max_run_bytes`, `Journal.post_nothing`")) == [
        "`post_nothing` is in no code"
    ]


def test_a_link_to_nowhere_is_found():
    page = ROOT / "docs" / "architecture.md"
    assert list(links("[a](nowhere.md) [b](security.md#nowhere)", page)) == [
        "the link to nowhere.md leads nowhere",
        "the link to security.md#nowhere names no heading",
    ]
    assert list(links("[a](security.md) [b](https://example.com)", page)) == []


WORDS = """
    account entry transaction journal posting stripe shard run position break decided posted compared
    reconciled pending void leave reverse as-of effective recorded sealed hold settle topic partition
    offset publish append consume fetch assign revoke seek poll changelog compaction lag commit
    watermark mark window floor early policy digest chain worker application supervisor stage lane
"""


def test_the_glossary_has_each_word_once():
    text = (ROOT / "docs" / "glossary.md").read_text()
    items = re.findall(r"^- (\*\*.+?\*\*): ", text, re.MULTILINE | re.DOTALL)
    words = [word for item in items for word in re.findall(r"\*\*(.+?)\*\*", item)]
    assert sorted(words) == sorted(set(words))
    assert {*WORDS.split(), "left out", "reference data"} <= set(words)


def test_nobody_is_sent_to_an_index_for_this_package() -> None:
    """It is installed from its directory: no index has it."""
    found = [
        f"{name}: {line.strip()}"
        for name in naming.files()
        if name.endswith((".md", ".py")) and not name.startswith("tests/")
        for line in (ROOT / name).read_text().splitlines()
        if re.search(r"pip3? install\s+\S*faust[-_]ledger", line) and "install /" not in line
    ]
    assert not found, listed(found)
