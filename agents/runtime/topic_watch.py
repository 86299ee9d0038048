"""The topics' settings: required when a worker starts, and looked at while it runs."""

import asyncio
import logging
import time

from agents.runtime.runtime import Runtime
from ledger.errors import LedgerError, Unavailable
from ledger.settings import Settings
from ledger.streaming.topic_look import TopicAdmin
from ledger.streaming.topic_rules import MISSING, TopicDifference, told
from ledger.streaming.topics import look

LOOK_SECONDS = 5.0
"""Two small requests: a partition added sends producers' keys elsewhere at once."""
APPEAR_SECONDS = 15.0
"""A topic that was just made does not show at every broker yet."""

log = logging.getLogger(__name__)


async def require_topics(settings: Settings) -> None:
    """Raises LedgerError, with all that differs, unless the topics are as they must be.

    What this user may not look at is a warning. Raises Unavailable while Kafka does not answer.
    """
    until = time.monotonic() + APPEAR_SECONDS
    async with TopicAdmin(settings) as broker:
        while True:
            found, hidden = await look(settings, broker=broker)
            missing = [each for each in found if each.setting == MISSING]
            if not missing or time.monotonic() > until:
                break
            await asyncio.sleep(0.5)
    if hidden:
        log.warning(
            "Whether the settings of %s are right cannot be seen: this user has no right to "
            "DESCRIBE_CONFIGS on them, see docs/security.md. This worker goes on.",
            ", ".join(hidden),
        )
    for each in found:
        if each.ignored:
            log.warning("Ignored, as the setting added_partitions says: %s", each)
    if wrong := [each for each in found if not each.ignored]:
        raise LedgerError(told(wrong))


class TopicWatch:
    """Looks on without end; what is not as it must be is an alarm until it is mended."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._known: dict[tuple[str, str], TopicDifference] = {}

    async def look_on(self) -> None:
        """Nothing that fails here stops the application: the alarms stay as they were.

        A broker that does not answer shows in the health of the membership.
        """
        settings = self._runtime.settings
        while True:
            try:
                async with TopicAdmin(settings) as broker:
                    while True:
                        self.note((await look(settings, broker=broker))[0])
                        await asyncio.sleep(LOOK_SECONDS)
            except Unavailable as error:
                log.info("The topics' settings could not be looked at: %s", error)
            except Exception:
                log.exception("The topics' settings could not be looked at")
            await asyncio.sleep(LOOK_SECONDS)

    def note(self, found: list[TopicDifference]) -> None:
        """Alarm about what is new, and log what is over."""
        now = {(each.topic, each.setting): each for each in found if not each.ignored}
        for key in now.keys() - self._known.keys():
            log.critical("%s", now[key])
        for key in self._known.keys() - now.keys():
            log.warning("No longer so: %s", self._known[key])
        self._known = now
        self._runtime.health.alarms = tuple(map(str, now.values()))
