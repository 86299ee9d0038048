"""Checks of what is on disk: the programs in the cache and the data directory."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ledger.health.checks.installation import Installation
from ledger.health.findings import Finding
from ledger.settings import load as load_settings
from ledger.stack import cache, files
from ledger.stack import record as records
from ledger.stack.files import PARTIAL
from ledger.stack.postgres_user import MAJOR_VERSION

NAME = "data directory"


def programs(installation: Installation) -> Iterator[Finding]:
    """Whether every file in the cache has its published digest; reads all of them."""
    for name in cache.PROGRAMS:
        known = cache.read_manifest(installation.cache, name)
        if known is None:
            yield Finding(name, True, "not downloaded yet: the next `up` downloads it")
            continue
        wrong = cache.damaged(installation.cache, name, digests=True)
        detail = (
            f"{len(known)} files, all as published"
            if not wrong
            else f"{len(wrong)} of {len(known)} files missing or changed, first {wrong[0]}"
        )
        manifest = installation.cache / f"{name}.json"
        advice = (
            f"remove {manifest} and the named files under {installation.cache}; the next `up` "
            "downloads them again"
        )
        yield Finding(name, not wrong, detail, advice)


def ownership(installation: Installation) -> Iterator[Finding]:
    """Whether the data directory belongs to this user."""
    root = installation.place.root
    if not root.exists():
        yield Finding(NAME, True, f"{root} does not exist yet: `up` creates it")
        return
    found = root.stat()
    yield Finding(
        NAME,
        found.st_uid == os.geteuid() and os.access(root, os.W_OK),
        f"{root}, mode {_mode(found)}",
        "it belongs to another user: run this as that user, or choose another --data-dir",
    )


def secrecy(installation: Installation) -> Iterator[Finding]:
    """Whether other users can read the data directory and the passwords in it."""
    root = installation.place.root
    if not root.exists():
        return
    if (found := root.stat()).st_mode & files.OTHERS_BITS:
        detail = f"{root} is open to other users (mode {_mode(found)})"
        advice = f"chmod 700 {root}; the next `faust-ledger up` closes everything below it as well"
        yield Finding(NAME, False, detail, advice)
    for file in (installation.place.identity_file, installation.place.stack_file):
        if file.exists():
            found = file.stat()
            yield Finding(
                file.name,
                found.st_mode & 0o077 == 0,
                f"mode {_mode(found)}",
                f"it holds passwords that other users can read: chmod 600 {file}",
            )


def _mode(found: os.stat_result) -> str:
    return f"{stat.S_IMODE(found.st_mode):o}"


def stack_file(installation: Installation) -> Iterator[Finding]:
    """Whether clients are given the addresses on which the stack listens."""
    if installation.me is None:
        return
    own = records.new_record(installation.place, installation.me).addresses
    known = installation.record.addresses if installation.record else None
    yield Finding(
        "addresses",
        known == own,
        f"{installation.place.stack_file}",
        "it is missing, or differs from the stack's ports and passwords: `faust-ledger up` "
        "writes it again",
    )
    if known == own:
        yield _settings(installation.place.root, own)


def _settings(root: Path, own: dict[str, object]) -> Finding:
    settings = load_settings(root)
    other = [name for name, value in own.items() if str(getattr(settings, name)) != str(value)]
    return Finding(
        "settings",
        not other,
        f"differ from this stack's: {', '.join(other)}" if other else "those of this stack",
        "commands use something else than this stack: look for FAUST_LEDGER_... in the "
        "environment and in faust-ledger.toml",
    )


def leftovers(installation: Installation) -> Iterator[Finding]:
    """Files of crashes and broken downloads; `up` copes with them."""
    left = partial_files(installation)
    yield Finding(
        "leftovers",
        not left,
        ", ".join(map(str, left[:3])) if left else "none",
        "they are of a crash or a broken download, and harmless: `faust-ledger doctor --clean` "
        "removes them",
    )


def partial_files(installation: Installation) -> list[Path]:
    """What crashes and broken downloads left, in the cache and in the data directory."""
    own = installation.place.root.glob(f".*{PARTIAL}")
    return [*cache.leftovers(installation.cache), *filter(cache.is_left, own)]


def database_version(installation: Installation) -> Iterator[Finding]:
    """Whether this release of PostgreSQL can read the database on disk."""
    file = installation.place.postgres / "PG_VERSION"
    if file.exists():
        found, wanted = file.read_text().strip(), str(MAJOR_VERSION)
        yield Finding(
            "database",
            found == wanted,
            f"made by PostgreSQL {found}",
            f"this release runs {wanted}: dump with the old release, restore with this one",
        )
