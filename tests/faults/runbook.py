"""A page of docs/runbooks as what it tells to do: commands, and what they should print."""

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from tests.commands import folder
from tests.waiting import PATIENCE, until

PAGES = Path(__file__).parents[2] / "docs" / "runbooks"
_BLOCK = re.compile(r"^( *)```(\S+)(.*)\n((?:.*\n)*?)\1```$", re.MULTILINE)
SHOWN = "…"


@dataclass
class Step:
    """A block of commands; `until`: to be repeated until it ends and prints as it should."""

    commands: str
    code: int = 0
    until: bool = False
    wanted: list[str] = field(default_factory=list)

    def missing(self, printed: str) -> list[str]:
        """The lines that should be there, in this order, and are not."""
        at, lines = 0, [" ".join(line.split()) for line in printed.splitlines()]
        lines = [line for line in lines if line]
        missing = []
        for wanted in self.wanted:
            parts = map(re.escape, " ".join(wanted.split()).split(SHOWN))
            pattern = re.compile(".*".join(part.replace(r"\ ", r"\s*") for part in parts))
            found = next((i for i in range(at, len(lines)) if pattern.search(lines[i])), None)
            if found is None:
                missing.append(wanted)
            else:
                at = found + 1
        return missing


def steps_of(page: str) -> list[Step]:
    """In the order of the page. A `text` block belongs to the `sh` block before it."""
    steps: list[Step] = []
    for _, language, words, block in _BLOCK.findall((PAGES / page).read_text()):
        text = textwrap.dedent(block)
        if language == "text":
            steps[-1].wanted += text.splitlines()
        else:
            assert language == "sh", f"{page}: a block of {language}"
            code = re.search(r"exit=(\d+)", words)
            steps.append(Step(text, int(code[1]) if code else 0, "until" in words.split()))
    assert steps, f"{page} has no commands"
    return steps


def follow(
    page: str, environment: dict[str, str], programs: list[Path], *, within: Path | None = None,
    steps: slice = slice(None),
) -> list[str]:  # fmt: skip
    """Do what the page says; returns what each step printed. Fails where it is not as written.

    `within`: the working directory; default: this process's. `steps`: those of them.
    """
    path = os.pathsep.join(
        [*map(str, programs), str(folder()), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    return [
        done(page, step, {**os.environ, **environment, "PATH": path}, within)
        for step in steps_of(page)[steps]
    ]


def done(page: str, step: Step, environment: dict[str, str], within: Path | None = None) -> str:
    """What the step printed, the last time."""
    seen = ["it was not done"]

    def attempt() -> str | None:
        ended = subprocess.run(
            ["bash", "-e", "-c", step.commands], env=environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=PATIENCE, check=False, cwd=within,
        )  # fmt: skip
        printed = ended.stdout + ended.stderr
        missing = step.missing(printed)
        seen[0] = (
            f"exit code {ended.returncode}, and {step.code} is written; not seen: {missing}\n{printed}"
        )
        return None if missing or ended.returncode != step.code else printed or " "

    try:
        return str(until(attempt, page, lost=lambda: "" if step.until else "it is not as written"))
    except AssertionError as error:
        raise AssertionError(f"{error}\n{step.commands}\n{seen[0]}") from None
