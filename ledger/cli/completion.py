"""Values that a shell completes for options and arguments.

What cannot be read completes nothing: a shell has no place for a message.
"""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import typer


def complete_codes(incomplete: str) -> list[str]:
    """Refusal codes."""
    from ledger.domain.refusal import Reason

    return _beginning(incomplete, Reason)


def complete_types(incomplete: str) -> list[str]:
    """Types of account."""
    from ledger.domain.account import TYPES

    return _beginning(incomplete, TYPES)


def complete_timezones(incomplete: str) -> list[str]:
    """Names of time zones."""
    from zoneinfo import available_timezones

    return _beginning(incomplete, available_timezones())


def complete_workers(ctx: typer.Context, incomplete: str) -> list[str]:
    """The workers that have files in the data directory."""
    with suppress(Exception):
        place = (_given_dir(ctx) or _default_dir()) / "workers"
        return _beginning(incomplete, [each.name for each in place.iterdir()])
    return []


def complete_shadows(ctx: typer.Context, incomplete: str) -> list[str]:
    """The shadow ledgers in the general ledger's database."""
    with suppress(Exception):
        from ledger.gl.postgresql import shadows
        from ledger.settings import load

        found = shadows.existing_shadows(load(_given_dir(ctx)).database_url)
        return _beginning(incomplete, [each.name for each in found])
    return []


BY_OPTION: dict[str, Callable[..., list[str]]] = {
    "--code": complete_codes,
    "--type": complete_types,
    "--worker": complete_workers,
}
"""What completes the value of an option of this name, in every command that has it."""


def _given_dir(ctx: typer.Context) -> Path | None:
    """The data directory of the command line or the environment."""
    given = ctx.params.get("data_dir") or os.environ.get("FAUST_LEDGER_DATA_DIR")
    return Path(given) if given else None


def _default_dir() -> Path:
    from ledger.settings import load

    return load().data_dir


def _beginning(incomplete: str, known: Iterable[str]) -> list[str]:
    return sorted(str(each) for each in known if each.startswith(incomplete))
