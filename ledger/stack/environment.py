"""The environment of the processes that we start: made here, of what they need and nothing else.

What somebody has set for other programs (JAVA_TOOL_OPTIONS, PYTHONPATH, PGDATA, QUARKUS_…) would
else change what ours do, without a word in any log.
"""

import os
import sys

from ledger.stack.prepare import around_proxies

INTERPRETER = (sys.executable, "-P")
"""How a Python program of ours begins: the working directory is no place to import from."""
PRIVATE_UMASK = 0o077
"""Files of these processes are for their own user alone."""
OURS = "FAUST_LEDGER_"
EXTRA_IMPORTS = "FAUST_LEDGER_WORKER_PYTHONPATH"
"""A folder from which workers import as well, before all others: for tests."""

_SYSTEM = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR")
# An interpreter that is not the system's may not start without the first.
_PYTHON = ("LD_LIBRARY_PATH", "XDG_DATA_HOME", "XDG_CACHE_HOME")
_OUTWARD = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "SSL_CERT_FILE",
            "SSL_CERT_DIR", "PGPASSWORD", "PGPASSFILE", "PGREQUIREAUTH", "PGCHANNELBINDING",
            "PGSSLMODE", "PGSSLCERT", "PGSSLKEY", "PGSSLROOTCERT", "PGSSLCRL", "PGSSLCRLDIR",
            "PGSSLNEGOTIATION", "PGGSSENCMODE", "PGKRBSRVNAME")  # fmt: skip
_SAME_EVERYWHERE = {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


def plain() -> dict[str, str]:
    """For programs that are not ours: Java, PostgreSQL's."""
    return _kept(_SYSTEM) | _SAME_EVERYWHERE


def python() -> dict[str, str]:
    """For our own programs that speak to the embedded stack alone."""
    own = {name: value for name, value in os.environ.items() if name.startswith(OURS)}
    given = os.environ.get(EXTRA_IMPORTS)
    imports = {"PYTHONPATH": given} if given else {}
    # As INTERPRETER has it, for what they start themselves.
    return plain() | _kept(_PYTHON) | own | imports | {"PYTHONSAFEPATH": "1"}


def outward() -> dict[str, str]:
    """For those that may speak to somebody's own Kafka, registry and database."""
    return python() | _kept(_OUTWARD) | around_proxies()


def _kept(names: tuple[str, ...]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}
