"""The environment variables of the processes that we start: only what they need.

Variables that are meant for other programs (JAVA_TOOL_OPTIONS, PYTHONPATH, PGDATA, QUARKUS_…) would
otherwise change what ours do, silently.
"""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ledger.proxies import around_proxies

INTERPRETER = (sys.executable, "-P")
"""The command of our Python programs; with -P they import nothing from the working directory."""
PRIVATE_UMASK = 0o077
"""Only the user of these processes reads and writes their files."""
SETTINGS_PREFIX = "FAUST_LEDGER_"
EXTRA_IMPORTS = "FAUST_LEDGER_WORKER_PYTHONPATH"
"""Names a folder that workers import from before all others; for tests."""

_SYSTEM = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR")
# An interpreter other than the system's may not start without the first.
_PYTHON = ("LD_LIBRARY_PATH", "XDG_DATA_HOME", "XDG_CACHE_HOME")
_CLIENTS = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "SSL_CERT_FILE",
            "SSL_CERT_DIR", "PGPASSWORD", "PGPASSFILE", "PGREQUIREAUTH", "PGCHANNELBINDING",
            "PGSSLMODE", "PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT", "PGSSLCRL", "PGSSLCRLDIR",
            "PGSSLNEGOTIATION", "PGGSSENCMODE", "PGKRBSRVNAME")  # fmt: skip
_TERMINAL = ("TERM", "COLORTERM", "PAGER", "PSQL_PAGER", "LESS", "EDITOR", "VISUAL")
_SAME_EVERYWHERE = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def for_programs() -> dict[str, str]:
    """For the programs of others: Java and PostgreSQL."""
    return _kept(_SYSTEM) | _SAME_EVERYWHERE


def as_user(user: tuple[int, int] | None) -> dict[str, Any]:
    """For `subprocess`: a process of that (uid, gid); None is the present user."""
    return {} if user is None else {"user": user[0], "group": user[1], "extra_groups": []}


def run_program(
    command: Sequence[str],
    *,
    cwd: Path | None = None,
    user: tuple[int, int] | None = None,
    env: Mapping[str, str] | None = None,
    output: int = subprocess.PIPE,
) -> "subprocess.CompletedProcess[str]":
    """Run a program of others to its end; whoever calls looks at its status.

    `env` None: the plain one. `output`: a file that takes what it prints.
    """
    return subprocess.run(
        list(command), check=False, stdin=subprocess.DEVNULL, stdout=output,
        stderr=subprocess.PIPE, encoding="utf-8", errors="replace", cwd=cwd,
        env=dict(for_programs() if env is None else env), umask=PRIVATE_UMASK, **as_user(user),
    )  # fmt: skip


def for_python() -> dict[str, str]:
    """For our own programs that connect to nothing but the embedded stack."""
    own = {name: value for name, value in os.environ.items() if name.startswith(SETTINGS_PREFIX)}
    given = os.environ.get(EXTRA_IMPORTS)
    imports = {"PYTHONPATH": given} if given else {}
    # What -P of INTERPRETER does, for the programs that these start.
    return for_programs() | _kept(_PYTHON) | own | imports | {"PYTHONSAFEPATH": "1"}


def for_clients() -> dict[str, str]:
    """For our own programs that may connect to another Kafka, registry and database."""
    return for_python() | _kept(_CLIENTS) | around_proxies()


def for_database_tools() -> dict[str, str]:
    """For PostgreSQL's own clients, which a person may use on a terminal."""
    credentials = tuple(name for name in _CLIENTS if name.startswith("PG"))
    return for_programs() | _kept((*_TERMINAL, *credentials))


def _kept(names: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}
