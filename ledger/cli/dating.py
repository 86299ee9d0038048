"""Whether lines without a created_at of their own may be given one, and by whose knowledge."""

import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from ledger.cli.output import say

if TYPE_CHECKING:
    from ledger.cli.publish import Source, Wish
    from ledger.client.past import Past
    from ledger.settings import Settings

TOO_OLD = (
    "Repetitions are recognised for that long only. Nothing was sent. Give the lines their "
    "created_at, or pass `--created-at now`: what was published before is looked up, where the "
    "general ledger can be asked, and not sent again."
)


def opened(settings: "Settings", stack: AsyncExitStack) -> "Past":
    """Connects when it is first asked."""
    from sqlalchemy.exc import ArgumentError

    from ledger.client.past import Past
    from ledger.client.publisher import present
    from ledger.gl.journal import JournalUnavailable
    from ledger.gl.postgresql import PostgresJournal

    def journal() -> PostgresJournal:
        try:
            found = PostgresJournal(settings.database_url)
        except ArgumentError as error:
            raise JournalUnavailable("the setting database_url is no address") from error
        stack.callback(found.close)
        return found

    return Past(settings, journal, clock=present)


async def undatable(wish: "Wish", source: "Source", past: "Past") -> bool:
    """Say so if nobody could tell a repetition of these lines from new money."""
    from ledger.client.bulk import first_without_time

    if wish.created_at is not None or not source.again:
        return False
    is_known = await past.find([]) is not None
    # After that: by then the window is the ledger's, and not what is set here.
    why = _too_old(source, past.window) if wish.check else None
    if why is None and is_known:
        return False
    number = await first_without_time(source.stream)
    source.stream.seek(0)
    if number is None:
        return False
    if why:
        say(f"{wish.file} {why}, and line {number} says no created_at of its own. {TOO_OLD}")
    else:
        say(f"Line {number} says no created_at of its own. {past.sentence} Nothing was sent.")
    return True


def _too_old(source: "Source", window: int) -> str | None:
    """Of a file that was last modified before the window, microseconds."""
    from ledger.domain.policy import DAY

    if source.modified is None:
        return None
    age = time.time_ns() // 1000 - source.modified
    if age <= window:
        return None
    return f"was last modified more than {window // DAY} days ago"
