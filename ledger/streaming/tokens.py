"""Bearer tokens as records of their topic, read to its end and followed from then on."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aiokafka import ConsumerRecord

from ledger.domain.access import BearerToken
from ledger.errors import InvariantBroken, Unavailable
from ledger.streaming.log import Log, log_dropped
from ledger.streaming.registry import Codec

SCHEMA = "BearerToken"
log = logging.getLogger(__name__)


def message(codec: Codec, token: BearerToken) -> tuple[bytes, bytes]:
    """Key and value of a token's record."""
    return token.id.encode(), codec.encode(SCHEMA, asdict(token))


def token_in(codec: Codec, record: ConsumerRecord) -> BearerToken:
    """The token in a record. Raises ValueError for a record that is none of ours."""
    row: Mapping[str, Any] = codec.decode(SCHEMA, record.value or b"")
    if row["id"].encode() != record.key:
        raise ValueError(f"its key is not its id, {row['id']!r}")
    return BearerToken(
        **{**row, "scopes": tuple(row["scopes"]), "accounts": tuple(row["accounts"])}
    )


class TokenReader:
    """`known` has the newest record of each id. A record without a value removes its id.

    Every method raises Unavailable when Kafka or the registry does not answer.
    """

    def __init__(self, log_: Log, codec: Codec, topic: str) -> None:
        self.known: dict[str, BearerToken] = {}
        self._log, self._codec, self._topic = log_, codec, topic
        self._offset = 0

    async def read_on(self) -> None:
        """Return when everything that is in the topic now is in `known`."""
        first, end = await self._log.bounds(self._topic, 0)
        if self._offset > end:
            self._begin_again(f"it ends at {end}, and {self._offset} had been reached")
        start = max(first, self._offset)
        async for records in self._log.read(self._topic, 0, start, end):
            self._add(records)
        self._offset = max(self._offset, end)

    async def follow_on(self) -> None:
        """Read what comes, without end."""
        await self.read_on()
        try:
            async for records in self._log.follow(self._topic, 0, self._offset):
                self._add(records)
        except InvariantBroken as error:
            self._begin_again(str(error))
            raise Unavailable(str(error)) from error

    def _begin_again(self, why: str) -> None:
        """Forget all tokens: of a topic that was recreated none counts that is not in it."""
        log.critical("All bearer tokens are read again: %s", why)
        self.known.clear()
        self._offset = 0

    def _add(self, records: list[ConsumerRecord]) -> None:
        for record in records:
            # `read_on` and `follow_on` may run at once.
            if record.offset < self._offset:
                continue
            self._offset = record.offset + 1
            self._take(record)

    def _take(self, record: ConsumerRecord) -> None:
        if record.value is None:
            self.known.pop((record.key or b"").decode(errors="replace"), None)
            return
        try:
            token = token_in(self._codec, record)
        except ValueError as error:
            log_dropped(record, error)
            return
        self.known[token.id] = token
