"""Makes subscriptions of what clients ask for, within what they may see and have."""

from ledger.api.access.caller import Caller
from ledger.api.live.encoding import refused, unsubscribed
from ledger.api.live.index import MAX_LISTS
from ledger.api.live.lists import Order
from ledger.api.live.live import Live
from ledger.api.live.messages import (
    Ack,
    Authenticate,
    Message,
    SortedList,
    Subscribe,
    Unfit,
    Unsubscribe,
    Window,
)
from ledger.api.live.session import Session
from ledger.api.live.subscriptions import (
    AccountsSubscription,
    ListSubscription,
    PathSubscription,
    Subscription,
)
from ledger.api.live.tokens import Place
from ledger.api.problems import Problem

MAX_SUBSCRIPTIONS = 50
"""Of a connection."""
MAX_WATCHED = 5_000
"""Accounts of all subscriptions of a connection."""


class Subscribing:
    """The messages of one connection, whose client is `caller`."""

    def __init__(self, live: Live, session: Session, caller: Caller) -> None:
        self._live, self._session, self._caller = live, session, caller

    def take(self, message: Message | Unfit) -> None:
        """Do what a message asks for. Raises Problem for one that breaks the protocol.

        What cannot be had is refused in an answer, and the connection goes on with what it has.
        """
        session = self._session
        match message:
            case Subscribe():
                try:
                    self.subscribe(message)
                except Problem as problem:
                    session.reply("refused", refused(message.id, problem))
            case Window():
                self._move(message)
            case Unsubscribe():
                session.remove(message.id)
                session.reply("unsubscribed", unsubscribed(message.id))
            case Ack():
                session.acknowledge()
            case Unfit():
                session.reply("refused", refused(message.id, message.problem))
            case Authenticate():
                raise Problem("INVALID_BODY", "The client is known already.", field="type")

    def _move(self, message: Window) -> None:
        one = self._session.subscriptions.get(message.id)
        if isinstance(one, ListSubscription):
            one.move(offset=message.offset, count=message.count)
            return
        # Its subscription may have been refused a moment ago.
        problem = Problem("INVALID_BODY", f"{message.id} is no sorted list.", field="id")
        self._session.reply("refused", refused(message.id, problem))

    def subscribe(self, message: Subscribe) -> None:
        """Subscribe. Raises Problem where the client may not."""
        self._caller.require("read", message.covered)
        after = self._live.tokens.place(message.after) if message.after is not None else None
        self._require_room(message)
        self._session.add(self._made(message, after))

    def _require_room(self, message: Subscribe) -> None:
        others = [each for id_, each in self._session.subscriptions.items() if id_ != message.id]
        if len(others) >= MAX_SUBSCRIPTIONS:
            raise Problem(
                "TOO_MANY_SUBSCRIPTIONS", f"A connection has at most {MAX_SUBSCRIPTIONS}."
            )
        watched = sum(
            len(each.accounts) for each in others if isinstance(each, AccountsSubscription)
        )
        if watched + len(message.accounts or ()) > MAX_WATCHED:
            raise Problem(
                "TOO_MANY_SUBSCRIPTIONS",
                f"A connection watches at most {MAX_WATCHED} accounts: subscribe to a path.",
            )

    def _made(self, message: Subscribe, after: Place | None) -> Subscription:
        ask, index = self._session.ask, self._live.index
        if message.accounts is not None:
            return AccountsSubscription(message.id, ask, after, message.accounts)
        if message.under is not None:
            return PathSubscription(message.id, ask, after, index.path(message.under))
        assert message.seen is not None
        wanted = message.seen
        watched = index.watched(_order(wanted))
        if watched is None:
            raise Problem(
                "TOO_MANY_SUBSCRIPTIONS",
                f"This API process keeps {MAX_LISTS} different sorted lists, and no more.",
            )
        return ListSubscription(
            message.id, ask, watched.rows, offset=wanted.offset, count=wanted.count
        )


def _order(wanted: SortedList) -> Order:
    return Order(wanted.under, wanted.sort, wanted.currency or "", wanted.order == "desc")
