"""The clients of `examples/`, built once in the user's cache and run against a ledger.

<cache>/examples/<language>-<digest>/...   a copy of examples/<language>, built; the digest is that
of its files, so that a change builds it again. What was not used for a week is removed.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ledger.settings import addresses_in
from ledger.stack.cache import cache_dir, cache_lock
from ledger.streaming.registry import Codec
from tests.unit.naming import MADE
from tests.waiting import PATIENCE, until

PROJECT = Path(__file__).parents[1]
BUILT = ".built"
WEEK = 7 * 24 * 3600
BUILD_SECONDS = 400
NO_NETWORK = re.compile(
    "EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|dial tcp|no such host|i/o timeout"
    "|NewConnectionError|Failed to establish a new connection|Temporary failure in name resolution"
    "|Could not transfer|Unknown host|Connection refused|Connection timed out"
)
"""What npm, go, pip and Maven say where their registry cannot be reached."""
STARTED = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
"""When all of these deposits happened."""


@dataclass(frozen=True)
class Language:
    """`tools` must be there; `build` are commands in the copy; the rest are commands that run it."""

    name: str
    tools: tuple[str, ...]
    build: tuple[tuple[str, ...], ...]
    publisher: tuple[str, ...]
    reader: tuple[str, ...]
    environment: tuple[tuple[str, str], ...] = ()


def java_build() -> tuple[tuple[str, ...], ...]:
    """By Maven, as the first lines of an example say; where there is none, by jgo and javac."""
    if shutil.which("mvn"):
        return (("mvn", "-q", "-B", "compile", "dependency:copy-dependencies"),)
    compiled = (
        "javac -d target/classes -cp 'target/dependency/*' src/main/java/*.java"
        " && cp src/main/resources/* ../../schemas/Transaction.avsc target/classes"
    )
    return ((sys.executable, str(PROJECT / "tests" / "jars.py")), ("sh", "-c", compiled))


GO_FLAGS = ("-gcflags=all=-N -l -dwarf=false", "-ldflags=-s -w")
"""Not optimised, without what a debugger needs: Go's own packages too are compiled, here for two runs."""
NPM_BUILD = ("npm", "run", "build", "--", "--skipLibCheck")
"""The types of other people's packages take longer to check than the clients."""
JAVA = ("java", "-XX:TieredStopAtLevel=1", "-cp", "target/classes:target/dependency/*")
LANGUAGES = {
    each.name: each
    for each in (
        Language(
            "python", (sys.executable,),
            ((sys.executable, "-m", "pip", "install", "--quiet", "--target", "lib", "-r", "requirements.txt"),),
            (sys.executable, "publisher.py"), (sys.executable, "balances.py"), (("PYTHONPATH", "lib"),),
        ),
        Language(
            "go", ("go",), (("go", "build", *GO_FLAGS, "-o", "build/", "./..."),),
            ("build/publisher",), ("build/balances",),
        ),
        Language(
            "typescript", ("node", "npm"),
            (("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"), NPM_BUILD),
            ("node", "build/publisher.js"), ("node", "build/balances.js"),
        ),
        Language(
            "java", ("java", "javac"), java_build(),
            (*JAVA, "Publisher"), (*JAVA, "BalanceReader"),
        ),
    )
}  # fmt: skip


# Building.


@cache
def path() -> str:
    """PATH, with the folder in which Go's own archive is unpacked."""
    return f"{os.environ['PATH']}:/usr/local/go/bin"


def built(language: Language) -> Path:
    """The folder of the built clients; skips where they cannot be built on this machine."""
    for tool in language.tools:
        if shutil.which(tool, path=path()) is None:
            pytest.skip(f"{tool} is not installed")
    sources = sources_of(language)
    programs = " ".join(Path(command[0]).name for command in language.build)
    digest = hashlib.sha256(f"{sys.version} {programs}".encode())
    for file in sources:
        digest.update(str(file.relative_to(PROJECT)).encode() + b"\0" + file.read_bytes())
    shelf = cache_dir() / "examples"
    home = shelf / f"{language.name}-{digest.hexdigest()[:16]}"
    place = home / "examples" / language.name
    with cache_lock(shelf):
        remove_unused(shelf)
        if not (home / BUILT).exists():
            shutil.rmtree(home, ignore_errors=True)
            for file in sources:
                copy = home / file.relative_to(PROJECT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, copy)
            for command in language.build:
                build(command, place)
        (home / BUILT).touch()
    return place


def sources_of(language: Language) -> list[Path]:
    """Its files, without what was built beside them, and the schema that Java takes with it."""
    folder = PROJECT / "examples" / language.name
    found = [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and MADE.isdisjoint(file.relative_to(folder).parts)
    ]
    return [*found, PROJECT / "schemas" / "Transaction.avsc"]


def remove_unused(shelf: Path) -> None:
    """Delete what no test has used for a week."""
    for marker in shelf.glob(f"*/{BUILT}"):
        if time.time() - marker.stat().st_mtime > WEEK:
            shutil.rmtree(marker.parent)


OF_BUILDS = {
    "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOGC": "400",
    "MAVEN_OPTS": f"{os.environ.get('MAVEN_OPTS', '')} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
}  # fmt: skip
"""Go would fetch another version of itself, compile for C as well, and often collect garbage; Java
would compile well what Maven does once."""


def build(command: tuple[str, ...], place: Path) -> None:
    """One command of a build; skips where it needs a registry that cannot be reached."""
    try:
        done = subprocess.run(
            command, cwd=place, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False,
            env={**os.environ, "PATH": path(), **OF_BUILDS},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        pytest.skip(f"{command[0]}: its registry did not answer within {BUILD_SECONDS} s")
    said = f"{done.stdout}\n{done.stderr}"
    if done.returncode and (why := NO_NETWORK.search(said)):
        pytest.skip(f"{command[0]}: its registry cannot be reached: {why[0]}")
    if done.returncode and (why := re.search(r"go.mod requires go .*", said)):
        pytest.skip(why[0])
    assert done.returncode == 0, f"{command}\n{said}"


# Running.


def environment(language: Language, settings: Mapping[str, Any]) -> dict[str, str]:
    """What a client is given, of a role's settings: those that the examples name."""
    named = ("bootstrap_servers", "registry_url", "ca_file", "kafka_user", "kafka_password_file")
    found = {name: value for name, value in os.environ.items() if "FAUST_LEDGER" not in name}
    # The libraries of other languages have their own form for several addresses.
    if "registry_url" in settings:
        settings = {**settings, "registry_url": addresses_in(settings["registry_url"])[0]}
    found |= {
        f"FAUST_LEDGER_{name.upper()}": str(settings[name]) for name in named if settings.get(name)
    }
    # The names of ids are not ASCII, whatever the locale.
    return found | dict(language.environment) | {"PATH": path(), "LC_ALL": "C.UTF-8"}


def publish(
    language: Language, settings: Mapping[str, Any], lines: list[str]
) -> dict[str, tuple[int, int]]:
    """By id, the shard and the offset that the publisher printed last."""
    done = subprocess.run(
        language.publisher, cwd=built(language), env=environment(language, settings),
        input="".join(f"{line}\n" for line in lines), capture_output=True, encoding="utf-8",
        timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    printed = [line.split(" ") for line in done.stdout.splitlines()]
    # Reports come by shard.
    names = sorted(line.split(" ")[0] for line in lines)
    assert sorted(name for name, _, _ in printed) == names, done.stderr
    return {name: (int(shard), int(offset)) for name, shard, offset in printed}


class Reading:
    """A balance reader that runs; `lines` is what it has printed so far."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.lines: list[str] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))

    def until(self, *wanted: str) -> None:
        """Wait for these lines, whatever else is printed."""
        until(lambda: {*wanted} <= {*self.lines}, lambda: wanted, lost=self._ended)

    def _ended(self) -> str:
        ended = self._process.poll()
        return "" if ended is None else f"the reader has ended with {ended}, after {self.lines}"

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE)
        self._thread.join(PATIENCE)
        if self._process.stdout:
            self._process.stdout.close()


@contextmanager
def reading(language: Language, settings: Mapping[str, Any], *accounts: str) -> Iterator[Reading]:
    """The language's reader, of these accounts; it is ended afterwards."""
    process = subprocess.Popen(
        (*language.reader, *accounts), cwd=built(language), env=environment(language, settings),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    found = Reading(process)
    try:
        yield found
    finally:
        found.close()


# What is published.


@dataclass(frozen=True)
class Deposits:
    """Lines for a publisher, and what the readers print of them once they are reconciled."""

    lines: list[str]
    accounts: tuple[str, ...]
    reconciled: tuple[str, ...]


def deposits(new_id: Callable[..., str], language: str, common: str) -> Deposits:
    """Eight of the language's own, one of them twice; and one that all languages publish.

    The keys of eight go to other partitions by any other hash. `common`: part of the one's id.
    """
    own, every = f"liabilities:deposits:{new_id(language)}", f"liabilities:deposits:{common}"
    lines = [f"{new_id('compte-été')} {STARTED} {own} 0.10 CAD" for _ in range(7)]
    lines += [f"{new_id('口座')} {STARTED} {own} 0.20 CAD {new_id('clé')}", lines[0]]
    # The same to the letter, by whoever publishes it: another content would be refused.
    lines.append(f"été-{common} {STARTED} {every} 1.00 CAD clé-{common}")
    reconciled = f"{own} CAD 0.90 0.00 reconciled", f"{every} CAD 1.00 0.00 reconciled"
    return Deposits(lines, (own, every), reconciled)


def balance(codec: Codec, account: str, *, posted: str, version: int) -> bytes:
    """A record as `ledger.balances` has it."""
    return codec.encode("Balance", {
        "account": account, "currency": "CAD", "scale": 2, "posted": posted, "pending": "0.00",
        "debits": "0.00", "credits": posted, "entries": 1, "status": "reconciled", "version": version,
    })  # fmt: skip
