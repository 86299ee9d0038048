"""The ledger's bearer tokens in this process, as their topic is followed."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack

from ledger.client.records import Records
from ledger.client.resource import AsyncResource, cancel
from ledger.domain.access import BearerToken
from ledger.errors import Unavailable, sentence
from ledger.health.waiting import waited_for
from ledger.settings import Settings
from ledger.streaming.log import Log
from ledger.streaming.tokens import SCHEMA, TokenReader
from ledger.streaming.topics import topics

CATCH_UP_SECONDS = 2.0


class FollowedTokens(AsyncResource):
    """An async context manager; entering waits for nothing.

    `known`: the tokens by id; None before they are read. Where Kafka is away they stay as they
    were, and `problem` says so.
    """

    def __init__(self, settings: Settings, log_: Log) -> None:
        self.known: Mapping[str, BearerToken] | None = None
        self._settings, self._log = settings, log_
        self._reader: TokenReader | None = None
        self._problem: str | None = "the bearer tokens are being read"
        self._reading = asyncio.Lock()
        self._asked = self._answered = 0

    async def _enter(self, stack: AsyncExitStack) -> None:
        following = asyncio.create_task(self._follow(), name="follow the bearer tokens")
        stack.push_async_callback(cancel, following)

    def problem(self) -> str | None:
        """Why tokens that were made or revoked are not known now; None while they are."""
        return self._problem

    async def catch_up(self) -> None:
        """Return once everything that is in the topic now is in `known`.

        One reading is for all who have asked before it. Raises Unavailable.
        """
        self._asked += 1
        mine = self._asked
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS), self._reading:
                if self._answered >= mine:
                    return
                if self._problem is not None or self._reader is None:
                    why = f"Bearer tokens cannot be looked up: {self._problem}"
                    raise Unavailable(sentence(why))
                asked = self._asked
                await self._reader.read_on()
                self._answered = asked
        except TimeoutError as error:
            raise Unavailable("Kafka does not answer what bearer tokens there are.") from error

    async def _follow(self) -> None:
        await waited_for(self._follow_once, "follow the bearer tokens", endless=True)

    async def _follow_once(self) -> None:
        try:
            if self._reader is None:
                codec = (await Records.of(self._settings, SCHEMA)).codec
                topic = topics(self._settings).access.name
                self._reader = TokenReader(self._log, codec, topic)
            await self._reader.read_on()
            self.known, self._problem = self._reader.known, None
            await self._reader.follow_on()
        except Unavailable as error:
            self._problem = f"the bearer tokens are not followed: {error}"
            raise
