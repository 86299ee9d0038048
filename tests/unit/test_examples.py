"""docs/producers.md and `examples/` name the same settings, and the examples stay short."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGE = (ROOT / "docs" / "producers.md").read_text()
ELSEWHERE = ("Confluent's serializer", "lz4-napi")
"""What introduces a block that is in no example."""
FILES = {
    "Java": "java/src/main/java/*.java",
    "Go": "go/*/*.go",
    "TypeScript and JavaScript": "typescript/*.ts",
    "librdkafka: Python, Node, .NET, Rust, PHP, C++": "python/*.py",
}
SHORT = 60
"""Lines of code, without imports and comments."""


def source_of(pattern: str) -> str:
    return "\n".join(file.read_text() for file in sorted(EXAMPLES.glob(pattern)))


def code_of(text: str) -> list[str]:
    """The lines that are neither blank, an import nor a comment."""
    text = re.sub(
        r'""".*?"""|/\*\*.*?\*/|^import \(.*?^\)', "", text, flags=re.DOTALL | re.MULTILINE
    )
    told = r"\s*(?://|#|import |from |package )"
    return [line for line in text.splitlines() if line.strip() and not re.match(told, line)]


def blocks_of(section: str) -> list[tuple[str, str]]:
    """Language and lines of each block that is from an example."""
    text = PAGE.partition(f"\n### {section}\n")[2].partition("\n### ")[0]
    found = re.findall(r"(.*?)^```(\w+)\n(.*?)\n```$", text, re.MULTILINE | re.DOTALL)
    return [
        (language, lines)
        for before, language, lines in found
        if not any(each in before[-200:] for each in ELSEWHERE)
    ]


def quoted(text: str) -> str:
    """A name or a value, where a program's text has one in its place."""
    return re.escape(text).replace("USER", ".+").replace("PASSWORD", ".+")


@pytest.mark.parametrize("section", FILES)
def test_each_setting_of_the_page_is_one_of_the_example(section: str) -> None:
    source, found = source_of(FILES[section]), blocks_of(section)
    assert len(found) == 2
    for language, lines in found:
        for line in lines.splitlines():
            if language != "properties":
                assert line in source, line
                continue
            name, _, value = line.partition("=")
            assert f'"{name}"' in source, line
            if "USER" not in value and "PASSWORD" not in value and value != "ca.pem":
                as_set = rf'"{re.escape(name)}"[,:]\s*"?{re.escape(value)}"?[,)}} ]'
                assert re.search(as_set, source, re.IGNORECASE), line


def test_each_setting_of_the_examples_is_on_the_page() -> None:
    for section, skipped in (("Java", "BalanceReader.java"), (list(FILES)[-1], "balances.py")):
        [publisher] = [
            file
            for file in EXAMPLES.glob(FILES[section])
            if file.name.lower().startswith("publisher")
        ]
        assert (publisher.parent / skipped).exists()
        names = re.findall(r'"((?:[a-z]+[.-])+[a-z]+|acks|partitioner)"[,:]', publisher.read_text())
        assert len(names) > 4
        assert [name for name in names if name not in PAGE] == []


def test_versions_are_pinned() -> None:
    for line in (EXAMPLES / "python" / "requirements.txt").read_text().split():
        assert "==" in line
    package = json.loads((EXAMPLES / "typescript" / "package.json").read_text())
    for version in (package["dependencies"] | package["devDependencies"]).values():
        assert re.fullmatch(r"[\d.]+", version)
    lock = (EXAMPLES / "typescript" / "package-lock.json").read_text()
    assert '"integrity"' in lock
    assert "://" not in re.sub(r'"url": ".*"', "", lock)
    assert "github.com/twmb/franz-go v1" in (EXAMPLES / "go" / "go.sum").read_text()
    pom = (EXAMPLES / "java" / "pom.xml").read_text()
    assert pom.count("<dependency>") == len(re.findall(r"<version>\d+[\d.]+</version>", pom))


def file_types(files: list[Path]) -> set[str]:
    return {file.suffix for file in files}


@pytest.mark.parametrize("pattern", FILES.values())
def test_each_example_is_short_and_says_how_it_is_run(pattern: str) -> None:
    files = sorted(EXAMPLES.glob(pattern))
    over_http = [file for file in files if file.stem == "backend"]
    assert len(files) - len(over_http) == 3
    assert len(over_http) == (file_types(files) <= {".py", ".ts"})
    for file in files:
        text = file.read_text()
        assert len(code_of(text)) <= SHORT, file
        runs = re.search(r"(?:python|go run|node|java) ", text)
        assert runs or file.stem.lower() == "connection", file
        if runs and ("ublisher" in str(file) or file in over_http):
            assert "$(date -u +%FT%TZ) liabilities:deposits:2378 12.34 CAD" in text


@pytest.mark.parametrize("name", ["README.md", "docs/producers.md", "examples/README.md"])
def test_nothing_is_installed_from_where_it_is_not(name: str) -> None:
    assert "pip install faust-ledger" not in (ROOT / name).read_text()
