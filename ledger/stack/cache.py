"""The programs that are not Python packages: downloaded once, then used without the network.

<cache>/kafka-4.3.1.json        the manifest of Kafka: its class path with sizes and digests
<cache>/maven/...               the jars
<cache>/registry-3.3.3.json     the manifest of the unpacked registry
<cache>/registry-3.3.3/...
<cache>/kafka-4.3.1-java-25.0.2.aot, and the registry's: `ledger.stack.aot_cache`
"""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event

import platformdirs
import psutil

from ledger.errors import StackError
from ledger.stack import aot_cache
from ledger.stack.files import PARTIAL
from ledger.stack.progress import Meter, Meters, Stoppable

KAFKA_VERSION = "4.3.1"
KAFKA = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
# Kafka logs through SLF4J and depends on nothing that writes the log; this does. The version is
# that of the log4j on which Kafka depends.
LOG4J = "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4"
REGISTRY_VERSION = "3.3.3"
REGISTRY = ("io.apicurio", "apicurio-registry-app", REGISTRY_VERSION)
PROGRAMS = KAFKA_NAME, REGISTRY_NAME = (f"kafka-{KAFKA_VERSION}", f"registry-{REGISTRY_VERSION}")
CONNECTIONS = 6
_WRITER = re.compile(rf"\.(?P<pid>\d+)(?:\.\d+)?{re.escape(PARTIAL)}(?:\.config)?$")
"""The process in the name of a partial file."""


@dataclasses.dataclass(frozen=True)
class CachedFile:
    """`path` is relative to the cache directory; `size` in bytes; `sha256` in hex."""

    path: str
    size: int
    sha256: str


def cache_dir() -> Path:
    """FAUST_LEDGER_CACHE_DIR, else the user's cache directory."""
    given = os.environ.get("FAUST_LEDGER_CACHE_DIR")
    if given:
        return Path(given).expanduser().absolute()
    return platformdirs.user_cache_path("faust-ledger")


def kafka_jars(cache: Path) -> list[Path]:
    """Kafka's class path; empty before `provide`."""
    return [cache / file.path for file in read_manifest(cache, KAFKA_NAME) or ()]


def registry_dir(cache: Path) -> Path:
    """The directory of the unpacked registry, which `provide` fills."""
    return cache / REGISTRY_NAME


def provide(cache: Path, meters: Meters | None = None) -> None:
    """Download Kafka and the registry to `cache`, unless both are whole there; `StackError`."""
    if all(is_whole(cache, name) for name in PROGRAMS):
        return
    with cache_lock(cache):
        # Another `up` may have filled the cache while this one waited for the lock.
        missing = [name for name in PROGRAMS if not is_whole(cache, name)]
        if missing:
            remove_leftovers(cache)
        for name in missing:
            # jgo takes any file of the right name for the right file.
            for path in damaged(cache, name, digests=False):
                (cache / path).unlink(missing_ok=True)
        fill_all(cache, missing, meters or Meters())


def fill_all(cache: Path, missing: Sequence[str], meters: Meters) -> None:
    """Fill the `missing` programs in parallel; when one fails, or on Ctrl-C, the others stop."""
    stop = Event()

    def fill(name: str) -> None:
        with meters.meter(name) as meter:
            files = FILL[name](cache, Stoppable(meter, stop))
            # Last: files without a manifest do not count.
            write_manifest(cache, name, files)

    with ThreadPoolExecutor(len(PROGRAMS)) as pool:
        try:
            for _ in pool.map(fill, missing):
                pass
        except BaseException:
            stop.set()
            raise


def fill_kafka(cache: Path, meter: Meter) -> list[Path]:
    """Resolve Kafka's dependencies and download the jars, several at once."""
    # Imported here: slow to import, and needed once in the life of a cache.
    from jgo.maven import MavenContext
    from jgo.parse import Coordinate

    from ledger.stack.downloads import CheckedResolver

    context = MavenContext(resolver=CheckedResolver(meter), repo_cache=cache / "maven")
    kafka = dataclasses.replace(Coordinate.parse(KAFKA), scope="compile")
    given, needed = context.resolver.resolve([context.create_dependency(kafka)])
    artifacts = [
        each.artifact for each in (*given, *needed) if each.scope in ("compile", "runtime")
    ]
    artifacts.append(context.create_dependency(LOG4J).artifact)
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(lambda artifact: artifact.resolve(), artifacts))


def fill_registry(cache: Path, meter: Meter) -> list[Path]:
    """Download the registry's archive, unpack it to a temporary directory and move that."""
    from jgo.maven import MavenContext

    from ledger.stack.downloads import CheckedResolver

    context = MavenContext(resolver=CheckedResolver(meter), repo_cache=cache / "maven")
    group, name, version = REGISTRY
    archive = context.project(group, name).at_version(version).artifact("all", "tar.gz").resolve()
    unpacked = cache / f".registry.{os.getpid()}{PARTIAL}"
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(unpacked, filter="data")
        else:
            # Python 3.11.0 to 3.11.3 have no filter; the archive's digest was checked.
            tar.extractall(unpacked)  # noqa: S202
    target = registry_dir(cache)
    shutil.rmtree(target, ignore_errors=True)
    unpacked.replace(target)
    archive.unlink()
    return [path for path in sorted(target.rglob("*")) if path.is_file()]


FILL: Mapping[str, Callable[[Path, Meter], list[Path]]] = dict(
    zip(PROGRAMS, (fill_kafka, fill_registry), strict=True)
)


def remove_leftovers(cache: Path) -> None:
    """Delete what interrupted downloads left; the caller holds the lock."""
    discard(cache.rglob(f".*{PARTIAL}*"))


def leftovers(cache: Path) -> list[Path]:
    """Files that are not whole, and whose process has ended."""
    return [path for path in sorted(cache.rglob(f".*{PARTIAL}*")) if is_left(path)]


def is_left(path: Path) -> bool:
    """Whether nobody writes a partial file any more, and nobody takes it to its place."""
    writer = _WRITER.search(path.name)
    if writer is None or psutil.pid_exists(int(writer["pid"])):
        return False
    # What Java finished writing, the next `up` uses.
    unfinished = path.with_name(path.name + aot_cache.UNFINISHED)
    return ".aot." not in path.name or path.name.endswith(PARTIAL) == unfinished.exists()


def discard(paths: Iterable[Path]) -> None:
    """Delete files and directories."""
    for path in list(paths):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def cache_lock(cache: Path) -> Iterator[None]:
    """Let one process fill a cache at a time; `StackError` where it cannot be written."""
    import fasteners

    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"The cache directory {cache} cannot be created: {error.strerror}. Name another with "
            "FAUST_LEDGER_CACHE_DIR."
        ) from error
    with fasteners.InterProcessLock(cache / ".lock"):
        yield


def write_manifest(cache: Path, name: str, files: Sequence[Path]) -> None:
    """Write the manifest of `files` in that order, as the last step of filling."""
    entries = [
        dataclasses.asdict(
            CachedFile(str(path.relative_to(cache)), path.stat().st_size, sha256(path))
        )
        for path in files
    ]
    partial = cache / f".{name}.{os.getpid()}{PARTIAL}"
    partial.write_text(json.dumps(entries, indent=1))
    partial.replace(cache / f"{name}.json")


def read_manifest(cache: Path, name: str) -> list[CachedFile] | None:
    """The recorded files; None when there is no readable manifest."""
    try:
        entries = json.loads((cache / f"{name}.json").read_text())
        return [CachedFile(**entry) for entry in entries]
    except (OSError, ValueError, TypeError):
        return None


def is_whole(cache: Path, name: str) -> bool:
    """Whether every recorded file exists in its recorded size; takes milliseconds."""
    return read_manifest(cache, name) is not None and not damaged(cache, name, digests=False)


def damaged(cache: Path, name: str, *, digests: bool) -> list[str]:
    """The recorded files that are missing or changed: by size, or also by `digests`."""
    wrong = []
    for file in read_manifest(cache, name) or ():
        path = cache / file.path
        same_size = path.is_file() and path.stat().st_size == file.size
        if not same_size or (digests and sha256(path) != file.sha256):
            wrong.append(file.path)
    return wrong


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
