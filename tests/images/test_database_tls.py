"""PostgreSQL of compose.three-centres.yaml takes its roles by TLS alone.

The embedded PostgreSQL was built without TLS, so this is Debian's, of an older version, with the
service's own entrypoint, command, secrets and files.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from ledger.stack.ports import choose
from tests.images.compose import STANDINS
from tests.images.engine import BUILD_BASE, LIMITS, ROOT, Ended, Engine, done, environment, run
from tests.waiting import until

IMAGE = "localhost/postgres-tls"
NAME = "postgres-tls"
BIN = "/usr/lib/postgresql/15/bin"
RECIPE = f"""FROM {BUILD_BASE.image}
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy \
    --no-install-recommends postgresql
COPY docker-entrypoint.sh /usr/local/bin/
ENV PGBIN={BIN}
"""


class Database:
    """The running service, asked from inside its container."""

    def __init__(self, engine: Engine, secrets: Path, port: int) -> None:
        self.engine, self.secrets, self.port = engine, secrets, port

    def ask(self, role: str, query: str, **parameters: str) -> Ended:
        """What psql gets as `role`, by TCP."""
        given = {
            "host": "localhost",
            "port": self.port,
            "user": role,
            "dbname": "ledger",
            **parameters,
        }
        password = (self.secrets / f"{role}.password").read_text().strip()
        finished = run(*self.engine.podman(
            "exec", "--env", f"PGPASSWORD={password}", NAME, f"{BIN}/psql", "--tuples-only",
            " ".join(f"{name}={value}" for name, value in given.items()), "--command", query,
        ))  # fmt: skip
        return Ended(finished.returncode, finished.stdout, finished.stderr)


@pytest.fixture(scope="module")
def database(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = tmp_path_factory.mktemp("tls")
    shutil.copytree(STANDINS, folder / "standins")
    (folder / "standins" / "Dockerfile").write_text(RECIPE)
    engine.build_recipe(folder / "standins" / "Dockerfile", IMAGE, folder / "standins")
    shutil.copytree(ROOT / "docker", folder / "docker", ignore=shutil.ignore_patterns("secrets*"))
    done("bash", folder / "docker" / "make-secrets.sh", "--secure")
    content = yaml.safe_load((folder / "docker" / "compose.three-centres.yaml").read_text())
    service, secrets = content["services"]["postgres"], folder / "docker" / "secrets-secure"
    # The volume `postgres` is the container's own; so is every secret.
    mounts = [each for each in service["volumes"] if each.startswith("./")]
    volumes = [str(folder / "docker" / each.removeprefix("./")) for each in mounts]
    volumes += [
        f"{secrets / each}:/run/secrets/{each}:ro" for each in (*service["secrets"], "ca.pem")
    ]
    made = Database(engine, secrets, choose(set()))
    variables = {**service["environment"], "POSTGRES_INITDB_ARGS": "--encoding=UTF8",
                 "PGPORT": str(made.port)}  # fmt: skip
    first, *rest = (
        each.replace("$$", "$") for each in (*service["entrypoint"], *service["command"])
    )
    engine.started.append(NAME)
    done(*engine.podman(
        "run", "--detach", "--name", NAME, "--network", "host", *LIMITS, *environment(variables),
        *(word for each in volumes for word in ("--volume", each)), "--entrypoint", first, IMAGE, *rest,
    ))  # fmt: skip
    until(
        lambda: made.ask("ledger_owner", "SELECT 1", sslmode="require").code == 0,
        lambda: engine.logs(NAME)[-4000:],
        60,
    )
    yield made
    run(*engine.podman("rm", "--force", "--time", 0, "--volumes", NAME))


@pytest.mark.parametrize("role", ["ledger_owner", "ledger_service", "ledger_finance"])
def test_a_role_connects_by_tls_to_the_server_that_the_authority_names(
    database: Database, role: str
) -> None:
    query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    tls = {"sslmode": "verify-full", "sslrootcert": "/run/secrets/ca.pem"}
    found = database.ask(role, query, **tls)
    assert found.out.strip() == "t", found


def test_without_tls_nobody_connects(database: Database) -> None:
    found = database.ask("ledger_owner", "SELECT 1", sslmode="disable")
    assert found.code != 0
    assert "no encryption" in found.err
