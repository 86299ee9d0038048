"""CPU time of the whole system by part."""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress

import psutil

from ledger.stack import parts
from ledger.stack.record import Record

SERVICES = {"kafka": "broker", "registry": "registry", "postgres": "postgres"}


class CpuClock:
    """Reads CPU seconds of the stack's processes, and of `others`, pids by name."""

    def __init__(self, record: Record, others: Mapping[str, int]) -> None:
        self._processes: list[tuple[str, psutil.Process, Callable[[psutil.Process], float]]] = []
        for part in record.parts:
            process = parts.process_of(part)
            if process is not None and part.name in SERVICES:
                self._processes.append((SERVICES[part.name], process, of_tree))
        for part in record.workers:
            process = parts.process_of(part)
            if process is not None:
                self._processes.append(("supervisor", process, of_one))
                for child in process.children():
                    self._processes.append((application_of(child), child, of_tree))
        for name, pid in {**others, "observer": os.getpid()}.items():
            self._processes.append((name, psutil.Process(pid), of_one))

    def memory(self) -> dict[str, int]:
        """Resident MiB of the worker's processes, by part."""
        found = Counter[str]()
        for name, process, _ in self._processes:
            if name in ("stream", "posting", "history"):
                with suppress(psutil.NoSuchProcess):
                    found[name] += process.memory_info().rss // 2**20
        return found

    def ended(self) -> list[str]:
        """The names of parts with a process that has exited: their time is unknown."""
        return [name for name, process, _ in self._processes if not process.is_running()]

    def read(self) -> dict[str, float]:
        """Seconds by part since its processes began; `machine`: of all cores."""
        found: dict[str, float] = defaultdict(float)
        for name, process, seconds in self._processes:
            found[name] += seconds(process)
        return found | {"machine": busy()}


def application_of(worker_child: psutil.Process) -> str:
    """The name of the application that a child of a worker runs."""
    words = worker_child.cmdline()
    return words[words.index("agents") + 1] if "agents" in words else "supervisor"


def of_one(process: psutil.Process, *, ended: bool = False) -> float:
    """User and system seconds of a process; 0 if it has exited.

    With `ended` also those of its children that have exited.
    """
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    children = times.children_user + times.children_system if ended else 0
    return float(times.user + times.system + children)


def of_tree(process: psutil.Process) -> float:
    """Seconds of a process and all its descendants, including those that have exited."""
    tree = _tree(process)
    while True:
        spent = sum(of_one(each, ended=True) for each in tree)
        # A process that exits meanwhile may be counted in neither its own time nor its parent's.
        before, tree = tree, _tree(process)
        if tree == before:
            return spent


def _tree(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def busy() -> float:
    """Seconds in which the machine's cores were not idle."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Seconds by part between two readings; `elsewhere`: of other programs of the machine."""
    spent = {name: after[name] - before[name] for name in before}
    machine = spent.pop("machine")
    return spent | {"elsewhere": max(machine - sum(spent.values()), 0.0)}
