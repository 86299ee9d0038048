"""A Redis that all API processes share: a cache of balances, and what changes as one publication.

It lies over the balance view and takes nothing from it. Each process publishes what its view has
read and nobody has published yet; a script in Redis compares positions, so the newest value of a
balance wins, whoever is late. What others have read already is served before this process's own
view has it. Positions, and so resume tokens, stay the view's: without Redis nothing is missing.

Keys, for other applications (P is the setting prefix):
  P:balance:ACCOUNT  a hash: CURRENCY has a balance's JSON, `end:CURRENCY` the position it is as of
  P:live             exists as long as API processes keep these up to date; `topic` names the ledger
  P:changes          the channel; a message has a line a balance: partition, position, account,
                     currency and JSON, with tabs between
"""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, NamedTuple, Self

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from ledger.api.live.encoding import removed
from ledger.api.live.measures import Measures
from ledger.api.live.source import Key, Listener, Source
from ledger.api.view import keys
from ledger.api.view.figures import Figures
from ledger.api.view.kept import Change
from ledger.api.view.shown import json_of
from ledger.client.resource import cancel
from ledger.domain.access import is_under
from ledger.domain.balance import Balance
from ledger.hiding import shown_url

PUBLISH_SECONDS = 0.1
ALIVE_SECONDS = 5
"""For which P:live outlives the last process that keeps it."""
KEPT_SECONDS = 3_600
"""For which a balance that does not change stays in the cache."""
AT_ONCE = 1_000
"""Balances of a publication."""
MOST = 20_000
"""Balances that wait to be published, and that are ahead of this process's view."""
TIMEOUT_SECONDS = 5
AGAIN_SECONDS = (0.2, 5.0)

OTHER = "OTHERLEDGER"
PUBLISH = """
local topic = redis.call('HGET', KEYS[1], 'topic')
if topic and topic ~= ARGV[1] then return redis.error_reply('OTHERLEDGER') end
redis.call('HSET', KEYS[1], 'topic', ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
local lines = {}
for at = 6, #ARGV, 5 do
  local row = ARGV[4] .. ARGV[at + 2]
  local position = 'end:' .. ARGV[at + 3]
  local known = redis.call('HGET', row, position)
  if not known or tonumber(known) < tonumber(ARGV[at + 1]) then
    redis.call('HSET', row, ARGV[at + 3], ARGV[at + 4], position, ARGV[at + 1])
    redis.call('EXPIRE', row, ARGV[3])
    lines[#lines + 1] = table.concat(ARGV, '\\t', at, at + 4)
  end
end
if #lines > 0 then redis.call('PUBLISH', ARGV[5], table.concat(lines, '\\n')) end
return #lines
"""

log = logging.getLogger(__name__)


class AsOf(NamedTuple):
    """A balance as of a position of its partition; None where it is no more."""

    partition: int
    end: int
    balance: Balance | None


class SharedSource:
    """The view, with what other processes have read already; an async context manager.

    Entering waits for nothing: without Redis it is the view alone.
    """

    def __init__(self, view: Source, url: str, prefix: str, measures: Measures) -> None:
        self._view, self._url, self._measures = view, url, measures
        self._prefix = f"{prefix}:balance:"
        self._live, self._channel = f"{prefix}:live", f"{prefix}:changes"
        self._listeners: list[Listener] = []
        self._ahead: dict[Key, AsOf] = {}
        self._waiting: dict[Key, AsOf] = {}
        self._missed = False
        self._origin = self._redis_run = ""
        self._problem: str | None = "it has not connected yet"

    async def __aenter__(self) -> Self:
        self._unsubscribe = self._view.subscribe(self._own)
        self._task = asyncio.create_task(self._run(), name="shared balances")
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel(self._task)
        self._unsubscribe()

    def report(self) -> dict[str, Any]:
        """For `/ready`: whether Redis is used, and why not."""
        return {"redis": self._problem is None, "redis_why": self._problem}

    # What it is a source of: see `Source`.

    @property
    def origin(self) -> str:
        """The view's."""
        return self._view.origin

    @property
    def is_ready(self) -> bool:
        """The view's."""
        return self._view.is_ready

    def positions(self) -> Sequence[int]:
        """The view's: what is ahead of them is more than a client is promised."""
        return self._view.positions()

    def balances(self, account: str) -> Sequence[Balance]:
        """The view's, or those that are newer."""
        found = {each.currency: each for each in self._view.balances(account)}
        for (of, currency), newer in self._ahead.items() if self._ahead else ():
            if of == account:
                _replace(found, currency, newer)
        return [found[currency] for currency in sorted(found)]

    def under(self, path: str, *, after: Key | None = None, limit: int) -> Sequence[Balance]:
        """The view's, or those that are newer."""
        page = list(self._view.under(path, after=after, limit=limit))
        if not self._ahead:
            return page
        is_last = len(page) < limit
        first = None if after is None else _place(after)
        last = None if is_last else _place((page[-1].account, page[-1].currency))
        found = {_place((each.account, each.currency)): each for each in page}
        for key, newer in self._ahead.items():
            place = _place(key)
            if not is_under(key[0], path) or (first is not None and place <= first):
                continue
            if last is None or place <= last:
                _replace(found, place, newer)
        if not found and not is_last:
            # All of these were removed meanwhile, and an empty page would be the last one.
            return self.under(path, after=(page[-1].account, page[-1].currency), limit=limit)
        return [found[place] for place in sorted(found)]

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """As the view does, and with what is newer."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    # Changes.

    def _own(self, partition: int, end: int, changes: Sequence[Change]) -> None:
        """The view has read on."""
        told = []
        for change in changes:
            key = change.account, change.currency
            newer = self._ahead.get(key)
            if newer is not None and newer.end > end:
                told.append(change._replace(balance=newer.balance, kept=None))
                continue
            if newer is not None:
                del self._ahead[key]
            told.append(change)
            self._waiting[key] = AsOf(partition, end, change.balance)
        if len(self._waiting) > MOST:
            self._missed = True
            self._waiting.clear()
        self._tell(partition, end, told)

    def _tell(self, partition: int, end: int, changes: Sequence[Change]) -> None:
        for listener in list(self._listeners):
            listener(partition, end, changes)

    def _others(self, message: str) -> None:
        """Somebody has published."""
        positions = self._view.positions()
        for line in message.split("\n"):
            number, at, account, currency, text = line.split("\t")
            partition, end, key = int(number), int(at), (account, currency)
            waiting = self._waiting.get(key)
            if waiting is not None and waiting.end <= end:
                del self._waiting[key]
            if partition >= len(positions) or end <= positions[partition]:
                continue
            known = self._ahead.get(key)
            if len(self._ahead) < MOST and (known is None or known.end < end):
                balance = _balance(json.loads(text))
                self._ahead[key] = AsOf(partition, end, balance)
                self._tell(partition, positions[partition], [Change(account, currency, balance)])

    def _forget_reached(self) -> None:
        """What the view has by now is no longer ahead of it."""
        positions = self._view.positions()
        reached = [
            (key, newer)
            for key, newer in self._ahead.items()
            if newer.partition >= len(positions) or newer.end <= positions[newer.partition]
        ]
        for key, newer in reached:
            del self._ahead[key]
            own = {each.currency: each for each in self._view.balances(key[0])}.get(key[1])
            if own != newer.balance and newer.partition < len(positions):
                self._tell(newer.partition, positions[newer.partition], [Change(*key, own)])

    # Redis.

    async def _run(self) -> None:
        pause = AGAIN_SECONDS[0]
        while True:
            try:
                await self._share()
            except (RedisError, OSError, ValueError) as error:
                if self._problem is None:
                    pause = AGAIN_SECONDS[0]
                why = str(error) or type(error).__name__
                if why.startswith(OTHER):
                    why = "another ledger keeps its balances there: give each a database of its own"
                self._note(f"{shown_url(self._url)}: {why}")
            await asyncio.sleep(pause)
            self._forget_reached()
            pause = min(2 * pause, AGAIN_SECONDS[1])

    def _note(self, problem: str | None) -> None:
        if problem != self._problem:
            if problem is not None:
                log.warning("Live updates go on without Redis. %s", problem)
            elif self._problem is not None:
                log.warning("Live updates use Redis at %s.", shown_url(self._url))
        self._problem = problem
        self._measures.redis.set(problem is None)

    async def _share(self) -> None:
        """Publish and read until Redis fails, which is raised."""
        client = Redis.from_url(
            self._url, decode_responses=True, socket_timeout=TIMEOUT_SECONDS,
            socket_connect_timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
        async with client, client.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(self._channel)
            await self._begin(client)
            publish = client.register_script(PUBLISH)
            while True:
                self._require_same()
                await self._publish(publish)
                self._note(None)
                await self._read(channel)
                self._forget_reached()

    def _require_same(self) -> None:
        """Raises ValueError where the view does not know its topic, or has another one by now."""
        if self._view.origin != self._origin:
            if self._origin:
                self._ahead.clear()
                self._waiting.clear()
                self._missed = True
            self._origin = self._view.origin
        if not self._origin:
            raise ValueError("the balance view has not begun yet")

    async def _begin(self, client: Redis) -> None:
        """Empty the cache where some change may be missing in it."""
        run = (await client.info("server"))["run_id"]
        if self._missed or self._redis_run not in ("", run) or not await client.exists(self._live):
            async for key in client.scan_iter(f"{self._prefix}*", count=AT_ONCE):
                await client.unlink(key)
        self._redis_run, self._missed = run, False

    async def _publish(self, publish: Any) -> None:
        if self._missed:
            raise ValueError("the cache lacks some changes, and is emptied")
        while True:
            some = list(islice(self._waiting.items(), AT_ONCE))
            arguments: list[str | int] = [
                self._view.origin, ALIVE_SECONDS, KEPT_SECONDS, self._prefix, self._channel
            ]  # fmt: skip
            for (account, currency), (partition, end, balance) in some:
                text = removed(account, currency) if balance is None else json_of(balance)
                arguments += [partition, end, account, currency, text]
            await publish(keys=[self._live], args=arguments)
            for key, sent in some:
                if self._waiting.get(key) is sent:
                    del self._waiting[key]
            if not self._waiting:
                return

    async def _read(self, channel: PubSub) -> None:
        """Take what is published within the time from one publication to the next."""
        loop = asyncio.get_running_loop()
        until = loop.time() + PUBLISH_SECONDS
        while (left := until - loop.time()) > 0:
            message = await channel.get_message(timeout=left)
            if message is not None:
                self._others(message["data"])


def _place(key: Key) -> bytes:
    return keys.key(keys.BALANCE, *key)


def _replace(found: dict[Any, Balance], place: Any, newer: AsOf) -> None:
    if newer.balance is None:
        found.pop(place, None)
    else:
        found[place] = newer.balance


def _balance(row: dict[str, Any]) -> Balance | None:
    """What another process has published. Raises ValueError for what is no balance."""
    if "removed" in row:
        return None
    found = Balance(scale=len(row["posted"].partition(".")[2]), **row)
    Figures.of(found)
    return found
