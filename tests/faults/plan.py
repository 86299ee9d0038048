"""The fault plan: every fault with what is expected and what was measured, as a page."""

import ast
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil

NOT_RUN, FAILED = "not run", "FAILED"
HEAD = """\
# Fault plan

Every fault that the ledger is expected to stand, done to real processes under load, and what came of
it. Made by `make faults`; changes by hand are lost. Each file of tests has a ledger of its own, and can
be done alone (`make faults FAULTS=tests/faults/test_services.py`): then the rows of the others stay.

After each fault one transaction in every shard must be reconciled again, then all that was published
must be in the public balances to the minor unit, with no break; after every {full_each}th, and when a
ledger is done with, every transaction is looked for in the decision log, the journal and the balances,
once each, and `reconcile --full` and `verify` must find nothing.

A rate is what was published in the whole time, that included in which a broker was away and took nothing;
the load offers 1,050 transactions a second or more throughout.

{machine}

| fault | expected | result | seconds until all reconciles |
| --- | --- | --- | --- |
"""


@dataclass
class Entry:
    """One fault: what is done, what is expected, and what came of it so far."""

    fault: str
    expected: str
    outcome: str = NOT_RUN
    notes: list[tuple[str, float]] = field(default_factory=list)
    times: int = 0
    published: int = 0
    seconds: float = 0.0
    facts: list[str] = field(default_factory=list)
    """What else was seen, as whole clauses."""

    def row(self) -> str:
        """A row of the page's table."""
        result = self.outcome
        if self.outcome == "held":
            often = {0: "", 1: ", once"}.get(self.times, f", {self.times} times")
            result = f"held{often}"
            if self.seconds:
                result += (
                    f"; {self.published:,} transactions, {self.published / self.seconds:,.0f}/s"
                )
        result = "; ".join((result, *self.facts))
        result += time.strftime(" (%Y-%m-%d)")
        times: dict[str, list[float]] = {}
        for what, took in self.notes:
            times.setdefault(what, []).append(took)
        took = "<br>".join(
            f"{what}: {each[0]:.1f}" if len(each) == 1
            else f"{what}: median {median(each):.1f}, most {max(each):.1f}"
            for what, each in times.items()
        )  # fmt: skip
        return f"| {self.fault} | {self.expected} | {result} | {took} |"


def write(path: Path, entries: Iterable[Entry], machine: str, full_each: int) -> None:
    """The page; rows of faults that were not done this time stay as they are.

    Only what a test's marker has as its title has a row: one whose test is gone, or is called
    otherwise by now, goes.
    """
    known = titles()
    rows = {fault: row for fault, row in rows_of(path).items() if fault in known}
    # Of several with one row those that failed say what is in it.
    for entry in sorted(entries, key=lambda entry: entry.outcome.startswith(FAILED)):
        if entry.outcome != NOT_RUN and entry.fault in known:
            rows[entry.fault] = entry.row()
    text = HEAD.format(machine=machine, full_each=full_each)
    path.write_text("\n".join((text.rstrip("\n"), *rows.values(), "")))


def rows_of(path: Path) -> dict[str, str]:
    """By fault the rows of a page's table; none where there is no page yet."""
    lines = path.read_text().splitlines() if path.exists() else []
    return {fault_of(line): line for line in lines[HEAD.count("\n") :]}


def titles(folder: Path = Path(__file__).parent) -> set[str]:
    """What the tests of a folder do, as their marker `fault` has it, whether they run or not."""
    found = set()
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
                found.add(str(ast.literal_eval(node.args[0])))
    return found


def fault_of(row: str) -> str:
    """What a row of the page's table is about."""
    return row.split(" | ", maxsplit=1)[0].removeprefix("| ")


def machine() -> str:
    """What it was measured on."""
    gib = round(psutil.virtual_memory().total / 2**30)
    return (
        f"{psutil.cpu_count()} cores, {gib} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, with everything on one machine."
    )
