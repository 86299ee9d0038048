"""In which order tests run, and which of them share a ledger and so stay in one process."""

FOLDERS = ("unit", "property", "simulation", "stream", "integration", "hostile", "faults", "bench")
"""In this order: what is quick and closest to a mistake comes first."""
MARKED = ("integration", "hostile", "faults", "bench")
GROUPS = (
    "integration/", "faults/", "faults/test_data_centres", "integration/test_stack_", "hostile/",
    "bench/", "faults/test_runbooks", "integration/test_gl_", "faults/test_completeness",
    "faults/test_releases",
    "unit/test_texts", "unit/test_streaming_store", "unit/test_api_server",
)  # fmt: skip
"""What shares a ledger, or something else that takes long to make, by how its files are called: of
several that fit the longest counts. In the order in which they start: the slowest first, so that all
processes are busy until the end."""


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
    fitting = [each for each in GROUPS if path_of(nodeid).startswith(each)]
    return max(fitting, key=len, default=None)


def turn(nodeid: str) -> int:
    """The place of its group; those that share nothing come last."""
    group = group_of(nodeid)
    return len(GROUPS) if group is None else GROUPS.index(group)
