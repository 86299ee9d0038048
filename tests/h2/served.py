"""An H2 that the processes of a running ledger share: this process keeps it and listens.

    with served() as database:
        environment = database.environment   # of `faust-ledger worker` and every other command

Processes with that environment import python-oracledb from `tests/h2/imports`. No code of the
ledger knows of it.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger.gl.tables import metadata
from ledger.stack.environment import EXTRA_IMPORTS
from tests.h2.database import OF_SESSION, H2Database
from tests.h2.dictionary import DICTIONARY
from tests.h2.java import start

SERVICE, OWNER = "ledger_service", "ledger_owner"
IMPORTS, PROJECT = Path(__file__).parent / "imports", Path(__file__).parents[2]
MOVED = ("shards", "stripes")
"""Tables of which the service may change rows."""


def address(user: str) -> str:
    """As the settings have it; where H2 is the driver knows."""
    return f"oracle://{user}@h2.invalid:1521/?service_name=ledger"


@dataclass
class ServedDatabase(H2Database):
    """The same for other processes, while `server` listens on `port`."""

    server: Any = None
    port: int = 0
    served_url: str = field(init=False, default="")

    def listen(self) -> None:
        """On the port of before, if there was one."""
        kind = start().JClass("org.h2.tools.Server")
        self.server = kind.createTcpServer("-tcpPort", str(self.port), "-tcpDaemon")
        self.server.start()
        self.port = int(self.server.getPort())
        self.served_url = f"jdbc:h2:tcp://127.0.0.1:{self.port}/mem:{self.name};{OF_SESSION}"

    def hang_up(self) -> None:
        """Whoever is connected is not any more, and nobody can connect."""
        self.server.stop()

    @property
    def environment(self) -> Mapping[str, str]:
        """Of a process whose general ledger this is to be."""
        imports = os.pathsep.join(map(str, (IMPORTS, PROJECT)))
        return {
            "FAUST_LEDGER_DATABASE_URL": address(OWNER),
            "FAUST_LEDGER_SERVICE_DATABASE_URL": address(SERVICE),
            "FAUST_LEDGER_HISTORY": "off",
            "FAUST_LEDGER_TEST_H2": self.served_url,
            EXTRA_IMPORTS: imports,
            "PYTHONPATH": imports,
        }

    def add_service(self) -> None:
        """The user that posts; H2 has rights on tables, and none on columns."""
        rights = [f"GRANT INSERT ON {table} TO {SERVICE}" for table in metadata.tables]
        rights += [f"GRANT UPDATE ON {table} TO {SERVICE}" for table in MOVED]
        self.run(
            f"CREATE USER {SERVICE} PASSWORD ''", f"GRANT SELECT ON SCHEMA PUBLIC TO {SERVICE}",
            *rights,
        )  # fmt: skip


@contextmanager
def served() -> Iterator[ServedDatabase]:
    """A new one without the ledger's tables, which `faust-ledger setup` makes."""
    start()
    made = ServedDatabase()
    made.run(*DICTIONARY)
    made.listen()
    try:
        yield made
    finally:
        made.hang_up()
        # It goes with its last connection then.
        made.run("SET DB_CLOSE_DELAY 0")
