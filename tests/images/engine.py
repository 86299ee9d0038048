"""Images and containers on a machine without a registry: mmdebstrap, buildah and podman, as root.

A base is bootstrapped from Debian's packages once and kept in the cache of faust-ledger, as are the
wheels that pip downloads. Storage is a directory of its own: nothing of the machine's own images or
containers is touched.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import psutil

from ledger.stack.cache import cache_dir
from tests.waiting import PATIENCE

ROOT = Path(__file__).parents[2]
PROGRAMS = ("buildah", "podman", "runc", "mmdebstrap")
SUITE = "bookworm"
IMAGE = "localhost/faust-ledger"
UID = 10001
CERTIFICATES = Path("/etc/ssl/certs")
PIP = Path("/etc/pip.conf")
# Without a limit of its own a container gets one that this machine may not give.
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
API_CONNECTIONS = "200"
"""As many as those limits have room for."""


@dataclass(frozen=True)
class Base:
    """A base of Debian's packages; `without`: files that are removed."""

    name: str
    variant: str
    packages: str
    without: tuple[str, ...] = ()

    @property
    def options(self) -> list[str]:
        """For mmdebstrap."""
        unread = (f"--dpkgopt=path-exclude=/usr/share/{x}/*" for x in ("doc", "man", "locale"))
        given = [f"--variant={self.variant}", f"--include={self.packages}", *unread]
        if self.without:
            removed = " ".join(f'"$1/{each}"' for each in self.without)
            given.append(f"--customize-hook=rm -f {removed}")
        return given

    @property
    def digest(self) -> str:
        """Of what it is made of."""
        return sha256(" ".join((SUITE, *self.options)).encode()).hexdigest()[:12]

    @property
    def image(self) -> str:
        """Its name as an image."""
        return f"localhost/{self.name}:{self.digest}"


BUILD_BASE = Base("debian-build", "apt", "python3,python3-venv,ca-certificates")
RUN_BASE = Base(
    "debian-run", "essential", "python3,ca-certificates,libstdc++6",
    without=("bin/sh", "bin/dash", "bin/bash", "bin/rbash"),
)  # fmt: skip
"""With Python, and without a shell."""


def missing() -> str | None:
    """Why no container can run here; None if one can."""
    if os.geteuid() != 0:
        return "building and running containers without a daemon needs root here"
    if absent := [each for each in PROGRAMS if shutil.which(each) is None]:
        return f"not installed: {', '.join(absent)} (apt-get install {' '.join(PROGRAMS)})"
    return None


def run(*words: object, **given: Any) -> "subprocess.CompletedProcess[str]":
    """A command to its end; whoever calls looks at its status."""
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False,
        **{"timeout": PATIENCE, **given},
    )  # fmt: skip


def done(*words: object, **given: Any) -> str:
    """What a command prints that ends with 0."""
    finished = run(*words, **given)
    assert finished.returncode == 0, f"{words}: {finished.stdout[-4000:]}{finished.stderr[-4000:]}"
    return finished.stdout


@dataclass(frozen=True)
class Ended:
    """A container of one command that ended."""

    code: int
    out: str
    err: str


@dataclass
class Engine:
    """Builds and runs, in `place`."""

    place: Path
    started: list[str] = field(default_factory=list)

    @cached_property
    def storage(self) -> tuple[str, ...]:
        """Where images and containers are; vfs, which copies all of an image, where it must be."""
        overlay = self._stored("overlay")
        works = run("podman", *overlay, "info").returncode == 0
        return overlay if works else self._stored("vfs")

    def _stored(self, driver: str) -> tuple[str, ...]:
        where = self.place / driver
        return ("--root", str(where / "storage"), "--runroot", str(where / "run"),
                "--storage-driver", driver)  # fmt: skip

    def podman(self, *words: object) -> tuple[str, ...]:
        """The command line of podman."""
        options = ("--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "file")
        return ("podman", *self.storage, *options, *(str(word) for word in words))

    def provide_bases(self) -> None:
        """Bootstrap what is not there yet: a minute each, once."""
        have = done("buildah", *self.storage, "images", "--format", "{{.Name}}:{{.Tag}}").split()
        for base in (BUILD_BASE, RUN_BASE):
            if base.image not in have:
                self._bootstrap(base)

    def _bootstrap(self, base: Base) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        archive = self.place / f"{base.name}-{base.digest}.tar"
        if not archive.exists():
            partial = archive.with_suffix(".partial.tar")
            done("mmdebstrap", *base.options, SUITE, partial)
            partial.rename(archive)
        recipe = archive.with_suffix(".Dockerfile")
        recipe.write_text(f"FROM scratch\nADD {archive.name} /\n")
        self.build_recipe(recipe, base.image, self.place)

    def build(self) -> None:
        """The project's image, from docker/Dockerfile as it is."""
        given = ["--build-arg", f"BUILD_IMAGE={BUILD_BASE.image}"]
        given += ["--build-arg", f"RUN_IMAGE={RUN_BASE.image}"]
        if PIP.exists():
            given += ["--secret", f"id=pip,src={PIP}"]
        # What this machine trusts, pip trusts in the container.
        given += ["--volume", f"{CERTIFICATES}:{CERTIFICATES}:ro"]
        self.build_recipe(ROOT / "docker" / "Dockerfile", IMAGE, ROOT, *given)

    def build_recipe(self, recipe: Path, name: str, context: Path, *given: str) -> None:
        """Build an image, and forget the one that had its name before."""
        done(
            "buildah", *self.storage, "bud", "--isolation", "chroot", "--network", "host",
            # Docker's format, for the OCI's has no health check.
            "--format", "docker", "--pull-never", *given, "--tag", name, "--file", recipe, context,
            timeout=3 * PATIENCE,
        )  # fmt: skip
        run("buildah", *self.storage, "rmi", "--prune")

    def inspect(self, name: str = IMAGE) -> Any:
        """What podman knows of an image or a container."""
        return json.loads(done(*self.podman("inspect", name)))[0]

    def command(
        self, *words: object, options: Iterable[object] = (), stdin: str = "", image: str = IMAGE
    ) -> Ended:
        """Run a container of one command to its end, its root file system read-only."""
        given = self.podman(
            "run", "--rm", "--no-healthcheck", "--interactive", "--read-only", "--read-only-tmpfs=false", *HARDENED,
            *options, image, *words,
        )  # fmt: skip
        finished = run(*given, input=stdin)
        return Ended(finished.returncode, finished.stdout, finished.stderr)

    def start(self, name: str, *words: object, options: Iterable[object] = ()) -> None:
        """Start a container that goes on."""
        self.started.append(name)
        done(*self.podman("run", "--detach", "--name", name, *HARDENED, *options, IMAGE, *words))

    def stop(self, name: str, seconds: int = 40) -> int:
        """End it as `docker stop` does, by SIGTERM to its first process; its exit status."""
        done(*self.podman("stop", "--time", seconds, name))
        return self.status(name)

    def status(self, name: str) -> int:
        """Its exit status."""
        return int(self.inspect(name)["State"]["ExitCode"])

    def execute(self, name: str, *words: object) -> Ended:
        """Run a command in a container that runs."""
        finished = run(*self.podman("exec", name, *words))
        return Ended(finished.returncode, finished.stdout, finished.stderr)

    def written(self, name: str) -> list[str]:
        """What a container has added or changed outside of its volumes, as podman sees it."""
        return done(*self.podman("diff", name)).splitlines()

    def processes(self, name: str) -> list[psutil.Process]:
        """Its processes, as this machine sees them: the first one, and those below it."""
        first = psutil.Process(int(self.inspect(name)["State"]["Pid"]))
        return [first, *first.children(recursive=True)]

    def logs(self, name: str) -> str:
        """What it printed."""
        finished = run(*self.podman("logs", name))
        return finished.stdout + finished.stderr

    def clean(self) -> None:
        """Remove what was started, with its volumes."""
        for name in self.started:
            run(*self.podman("rm", "--force", "--time", 0, "--volumes", name))


HARDENED = (
    "--network",
    "host",
    # Otherwise podman gives the user a name, in files that a diff then shows.
    "--passwd=false",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
    *LIMITS,
)
"""Options of every container."""


def environment(variables: Mapping[str, str]) -> list[str]:
    """As options."""
    return [word for name, value in variables.items() for word in ("--env", f"{name}={value}")]


@contextmanager
def opened() -> Iterator[Engine]:
    """An engine with the image, built from what the project is now."""
    engine = Engine(cache_dir() / "images")
    engine.provide_bases()
    engine.build()
    try:
        yield engine
    finally:
        engine.clean()
