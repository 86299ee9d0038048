"""In which order tests run, and which of them share a ledger and so stay in one process."""

from collections.abc import Mapping

FOLDERS = ("unit", "property", "simulation", "stream", "integration", "hostile", "faults", "bench")
"""In this order: what is quick and closest to a mistake comes first."""
MARKED = ("integration", "hostile", "faults", "bench")
GROUPS: Mapping[str, tuple[str, ...]] = {
    "faults": ("faults",),
    "integration": ("integration",),
    "runbooks": ("faults/test_runbooks.py",),
    "centres": ("faults/test_data_centres.py", "faults/test_data_centres_rights.py"),
    "hostile": ("hostile",),
    "strange": (
        "integration/test_stack_surroundings.py", "integration/test_stack_up_and_down.py",
    ),
    "completeness": ("faults/test_completeness.py",),
    "bench": ("bench",),
}  # fmt: skip
"""What shares a ledger: folders, and of them without those files that are named elsewhere. The longest
first, so that all processes are busy until the end."""
_OF = {part: name for name, parts in GROUPS.items() for part in parts}


def path_of(nodeid: str) -> str:
    """A test's file below tests/."""
    return nodeid.partition("::")[0].partition("/")[2]


def folder_of(nodeid: str) -> str:
    """unit, faults, …"""
    return path_of(nodeid).partition("/")[0]


def rank(nodeid: str) -> int:
    """The place of its folder."""
    folder = folder_of(nodeid)
    return FOLDERS.index(folder) if folder in FOLDERS else len(FOLDERS)


def group_of(nodeid: str) -> str | None:
    """Of GROUPS the one that a test belongs to; None if it shares nothing."""
    return _OF.get(path_of(nodeid)) or _OF.get(folder_of(nodeid))


def turn(nodeid: str) -> int:
    """The place of its group; those that share nothing come last."""
    group = group_of(nodeid)
    return len(GROUPS) if group is None else list(GROUPS).index(group)
