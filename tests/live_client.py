"""A client of live updates: what docs/api.md asks of one, over any connection."""

import asyncio
import json
from contextlib import suppress
from typing import Any

from ledger.api.live.lists import Order
from ledger.api.live.live import Live
from ledger.api.live.session import Session
from ledger.api.live.subscriptions import (
    AccountsSubscription,
    ListSubscription,
    PathSubscription,
    Subscription,
)
from ledger.api.live.tokens import place_of
from ledger.api.signing import Signer

SIGNER = Signer(b"k" * 32)


class State:
    """What a client has of each subscription, and the token that each resumes from."""

    def __init__(self) -> None:
        self.balances: dict[str, dict[tuple[str, str], dict[str, Any]]] = {}
        self.rows: dict[str, list[dict[str, Any]]] = {}
        self.totals: dict[str, int] = {}
        self.tokens: dict[str, str] = {}
        self.complete: set[str] = set()
        self.kinds: list[str] = []
        self.token = ""

    def take(self, text: str) -> None:
        message = json.loads(text)
        kind = message["type"]
        self.kinds.append(f"{kind} {message['reason']}" if "reason" in message else kind)
        if kind in ("snapshot", "resumed"):
            self._begin(kind, message)
        elif kind in ("changes", "heartbeat"):
            for id_, changes in message.get("changes", {}).items():
                self._change(id_, changes)
            if message["token"]:
                self.token = message["token"]
                self.tokens |= dict.fromkeys(self.complete, message["token"])

    def _begin(self, kind: str, message: dict[str, Any]) -> None:
        id_ = message["id"]
        if "list" in message:
            self.rows[id_] = []
            self._change(id_, message["list"])
            return
        if kind == "snapshot" and message["part"] == 0:
            self.balances[id_] = {}
            self.complete.discard(id_)
            self.tokens.pop(id_, None)
        self._change(id_, message["balances"])
        if not message["more"]:
            self.complete.add(id_)

    def _change(self, id_: str, changes: Any) -> None:
        if isinstance(changes, dict):
            had = self.rows[id_]
            self.rows[id_] = [had[row] if isinstance(row, int) else row for row in changes["rows"]]
            self.totals[id_] = changes["total"]
            return
        for each in changes:
            key = each["account"], each["currency"]
            if "removed" in each:
                self.balances[id_].pop(key, None)
            else:
                self.balances[id_][key] = each


class Wire:
    """The client's end: it reads while it is open, and breaks off when it is cut."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.open = asyncio.Event()
        self.open.set()
        self.is_cut = False
        self.sent_at: list[float] = []

    async def send(self, kind: str, text: str, token: str) -> None:
        await self.open.wait()
        if self.is_cut:
            raise ConnectionResetError
        self.sent_at.append(asyncio.get_running_loop().time())
        self.state.take(text)

    def abort(self) -> None:
        self.is_cut = True
        self.open.set()


class Client:
    """Connects to `live`, and again, with the same subscriptions and what it has by then."""

    def __init__(self) -> None:
        self.state = State()
        self.wanted: dict[str, tuple[str, Any]] = {}
        self.session: Session | None = None

    def connect(self, live: Live) -> None:
        self.live, self.wire = live, Wire(self.state)
        self.session = Session(live, self.wire)
        self.task = asyncio.create_task(self._run(self.session))
        # Once it is entered.
        asyncio.get_running_loop().call_soon(self._subscribe_again)

    def _subscribe_again(self) -> None:
        for id_ in self.wanted:
            self._subscribe(id_)

    async def _run(self, session: Session) -> None:
        with self.live.entered(session, "test"), suppress(ConnectionResetError):
            await session.run()

    async def drop(self) -> None:
        self.wire.abort()
        self.session.end(1006, "dropped")
        await self.task
        self.session = None

    def subscribe(self, id_: str, kind: str, what: Any) -> None:
        self.wanted[id_] = kind, what
        self.state.balances.setdefault(id_, {})
        if self.session:
            self._subscribe(id_)

    def _subscribe(self, id_: str) -> None:
        assert self.session is not None
        kind, what = self.wanted[id_]
        token = self.state.tokens.get(id_)
        after = place_of(SIGNER, token) if token else None
        index, ask = self.live.index, self.session.ask
        made: Subscription
        if kind == "accounts":
            made = AccountsSubscription(id_, ask, after, what)
        elif kind == "under":
            made = PathSubscription(id_, ask, after, index.path(what))
        else:
            order, offset, count = what
            watched = index.watched(Order(*order))
            assert watched is not None
            made = ListSubscription(id_, ask, watched.rows, offset=offset, count=count)
        self.session.add(made)
