"""docs/api.md, done as it is written, in an empty directory, on the session's ledger."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.commands import folder
from tests.conftest import Stack
from tests.example_clients import LANGUAGES, PROJECT, built, path
from tests.faults.runbook import Step, done
from tests.integration.api_ledger import ApiLedger
from tests.waiting import PATIENCE, until

PAGE = PROJECT / "docs" / "api.md"
_BLOCK = re.compile(r"^```(\S+)(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
BEFORE, AFTER = "[ ! -f session.sh ] || . ./session.sh\n", "export -p > session.sh\n"
"""Of each block: it has the variables of those before it."""
FOLLOW = """
import { follow } from "./live.mjs";
follow(process.env.API, process.env.TOKEN, [process.argv[2]]);
"""


def blocks(page: str) -> list[tuple[str, str, str]]:
    """Language, other words, and content."""
    return _BLOCK.findall(page)


def renamed(page: str, tag: str) -> str:
    """The page with accounts and ids of this run alone, so that it can be done again."""
    page = re.sub(r"\bwallets\b", f"wallets-{tag}", page)
    return re.sub(r"\b(topup|pay|fee)-(\d)\b", rf"\1-{tag}-\2", page)


def steps(page: str) -> list[Step | tuple[str, str]]:
    """What is to be run, and the files to be written (name, content), in the order of the page."""
    found: list[Step | tuple[str, str]] = []
    for language, words, content in blocks(page):
        if language in ("text", "json"):
            step = found[-1]
            assert isinstance(step, Step), f"an answer to nothing: {content}"
            # JSON is printed in one line.
            step.wanted += content.splitlines() if language == "text" else [content]
        elif name := re.search(r"file=(\S+)", words):
            found.append((name[1], content))
        else:
            assert language == "sh", f"a block of {language}, which nothing runs"
            commands = "" if "npm" in words.split() else content
            found.append(Step(BEFORE + commands + AFTER, until="until" in words.split()))
    return found


@pytest.fixture
def environment(stack: Stack) -> dict[str, str]:
    """That of a shell in which the project's environment is active."""
    programs = os.pathsep.join([str(folder()), str(Path(sys.executable).parent), path()])
    own = {"FAUST_LEDGER_DATA_DIR": str(stack.data_dir), "PATH": programs, "COLUMNS": "80"}
    return {**os.environ, **own, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def test_the_page_is_as_the_api_is(
    api_ledger: ApiLedger, environment: dict[str, str], tmp_path: Path, new_id: Callable[..., str]
) -> None:
    tag = new_id()
    # As the block of npm has it, from where the examples have it too.
    (tmp_path / "node_modules").symlink_to(built(LANGUAGES["typescript"]) / "node_modules")
    for each in steps(renamed(PAGE.read_text(), tag)):
        if isinstance(each, Step):
            done("api.md", each, environment, tmp_path)
        else:
            name, content = each
            (tmp_path / name).write_text(content)
    follows_in_typescript(environment, tmp_path, f"liabilities:wallets-{tag}:bob")
    subprocess.run(["node", "--check", "events.mjs"], cwd=tmp_path, env=environment, check=True)


def follows_in_typescript(environment: dict[str, str], place: Path, account: str) -> None:
    """The page's client for a browser prints a balance; Node 20 has a WebSocket by a flag."""
    (place / "follow.mjs").write_text(FOLLOW)
    compiled = (
        "npx tsc --module nodenext --target es2023 --lib es2023,dom --types node --skipLibCheck "
        "live.mts\n"
    )
    done("live.mts", Step(compiled), environment, place)
    log = place / "follow.log"
    with log.open("wb") as out:
        following = subprocess.Popen(
            ["bash", "-e", "-c", f"{BEFORE}exec node --experimental-websocket follow.mjs {account}"],
            cwd=place, env=environment, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        until(
            lambda: f"{account} CAD 25.00" in log.read_text(), log.read_text,
            lost=lambda: "" if following.poll() is None else f"it has ended: {log.read_text()}",
        )  # fmt: skip
    finally:
        following.terminate()
        following.wait(PATIENCE)


def test_versions_are_those_of_the_examples() -> None:
    package = (PROJECT / "examples" / "typescript" / "package.json").read_text()
    [npm] = (content for _, words, content in blocks(PAGE.read_text()) if "npm" in words.split())
    found = re.findall(r"(\S+)@([\d.]+)", npm)
    assert len(found) == 2
    for name, version in found:
        assert f'"{name}": "{version}"' in package
    assert shutil.which("curl"), "the page's commands need it"
