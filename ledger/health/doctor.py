"""What `doctor` shows: what is wrong with a machine and its stack, or soon will be, and the fix."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ledger.errors import StackError
from ledger.health.checks import (
    database,
    directory,
    machine,
    processes,
    rights,
    servers,
    topics,
)
from ledger.health.checks.installation import Installation
from ledger.health.findings import Finding
from ledger.settings import load as load_settings
from ledger.stack import cache, files, identity, postgres
from ledger.stack import record as records


def examine(data_dir: Path) -> list[Finding]:
    """The findings of every check; no finding is an exception, and nothing is changed."""
    place = files.layout(data_dir)
    try:
        files.require_own(place)
        me = identity.load_identity(place)
    except (StackError, OSError) as error:
        return [Finding("data directory", False, f"{error}", "do as it says")]
    installation = Installation(place, cache.cache_dir(), me, records.load_record(place))
    return [finding for check in CHECKS for finding in check(installation)]


def clean(data_dir: Path) -> list[Path]:
    """Remove what crashes and broken downloads left; the paths that were removed.

    Raises LedgerError where the cache cannot be written.
    """
    place = files.layout(data_dir)
    installation = Installation(place, cache.cache_dir(), None, None)
    with cache.cache_lock(installation.cache):
        left = directory.partial_files(installation)
        cache.discard(left)
    return [path for path in left if not path.exists()]


def ledger(installation: Installation) -> Iterator[Finding]:
    """The database and the topics, as far as the services that they need answer."""
    settings, answering = load_settings(installation.place.root), installation.answering()
    if installation.me is None and "bootstrap_servers" in settings.model_fields_set:
        yield from servers.servers(settings)
        return
    if (installation.me.primary if installation.me else postgres.NAME) in answering:
        yield from database.database(settings)
        yield from database.migrations(settings)
        yield from rights.database_rights(settings)
    if installation.me and any(each.name in answering for each in installation.me.brokers):
        yield from rights.kafka_rights(settings)
    if any(name.startswith("kafka") for name in answering):
        yield from topics.topic_settings(settings)
    if answering and len(answering) == len(installation.services):
        yield from topics.topic_contents(settings)


CHECKS: tuple[Callable[[Installation], Iterator[Finding]], ...] = (
    machine.python,
    machine.disk,
    machine.memory,
    directory.programs,
    directory.ownership,
    directory.secrecy,
    directory.stack_file,
    processes.services,
    processes.workers,
    processes.api,
    ledger,
    directory.leftovers,
    directory.database_version,
)


def findings_json(findings: list[Finding]) -> dict[str, Any]:
    """{"ok", "findings": [{"name", "well", "detail", "advice"}]}; no advice where all is well."""
    return {
        "ok": all(each.well for each in findings),
        "findings": [
            {**asdict(each), "advice": "" if each.well else each.advice} for each in findings
        ],
    }
