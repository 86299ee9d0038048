"""Whether lines without created_at may be given one: only if no repetition can be new money."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from ledger.cli.output import print_note
from ledger.clock import now

if TYPE_CHECKING:
    from ledger.cli.line_input import Input
    from ledger.cli.publish import PublishRequest
    from ledger.client.past import IdLookup, Past
    from ledger.settings import Settings

TOO_OLD = (
    "Repetitions are recognised for that long only. Nothing was sent. Give the lines their "
    "created_at, or pass `--created-at now`: ids that were accepted before are then looked up in "
    "the general ledger, where it can be asked, and are not sent again."
)


def open_past(settings: "Settings", stack: AsyncExitStack) -> "Past":
    """The `Past` of this ledger; it connects to the database at the first question."""
    from ledger.client.past import Past

    return Past(settings, connector(settings, stack), clock=now)


def connector(settings: "Settings", stack: AsyncExitStack) -> "Callable[[], IdLookup]":
    """What connects to the general ledger, or raises LedgerError; `stack` closes the connection."""
    from ledger.gl.databases import open_journal

    def journal() -> "IdLookup":
        found = open_journal(settings.database_url)
        stack.callback(found.close)
        return found

    return journal


async def is_undatable(request: "PublishRequest", source: "Input", past: "Past") -> bool:
    """Whether repetitions of these lines could be taken for new money; prints why."""
    from ledger.client.bulk import first_without_time

    if request.created_at is not None or not source.is_seekable:
        return False
    is_known = await past.find([]) is not None
    # Only now is the window the ledger's, and not the setting's.
    why = _too_old(source, past.window) if request.check else None
    if why is None and is_known:
        return False
    number = await first_without_time(source.lines())
    source.rewind()
    if number is None:
        return False
    if why:
        print_note(f"{request.file} {why}, and line {number} has no created_at. {TOO_OLD}")
    else:
        print_note(f"Line {number} has no created_at. {past.sentence} Nothing was sent.")
    return True


def _too_old(source: "Input", window: int) -> str | None:
    """A clause about a file that was last modified longer ago than `window`, in microseconds."""
    from ledger.domain.policy import DAY

    if source.modified is None:
        return None
    if now() - source.modified <= window:
        return None
    return f"was last modified more than {window // DAY} days ago"
