"""Maven's part where there is no Maven: the jars of `pom.xml` into target/dependency, by jgo."""

import dataclasses
import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

from jgo.maven import MavenContext
from jgo.parse import Coordinate

from ledger.stack.cache import cache_dir
from ledger.stack.downloads import CheckedResolver
from ledger.stack.progress import Meter

POM = "{http://maven.apache.org/POM/4.0.0}"


def main() -> None:
    """In the folder of a `pom.xml`."""
    context = MavenContext(resolver=CheckedResolver(Meter()), repo_cache=cache_dir() / "maven")
    wanted = []
    for each in ET.parse("pom.xml").iter(f"{POM}dependency"):
        name = ":".join(
            str(each.findtext(f"{POM}{part}")) for part in ("groupId", "artifactId", "version")
        )
        found = dataclasses.replace(Coordinate.parse(name), scope="compile")
        wanted.append(context.create_dependency(found))
    given, needed = context.resolver.resolve(wanted)
    folder = Path("target/dependency")
    folder.mkdir(parents=True)
    for each in (*given, *needed):
        if each.scope in ("compile", "runtime"):
            shutil.copy(each.artifact.resolve(), folder)


if __name__ == "__main__":
    main()
