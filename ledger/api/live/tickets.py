"""Tickets: who asked for server-sent events in a browser, which cannot send a header.

A ticket is good for half a minute, to open one connection with; a log that keeps the address keeps
nothing that still works. What is in it is signed, so any API process reads it.
"""

import json
from typing import NamedTuple

from ledger.api.access.caller import Caller
from ledger.api.problems import Problem
from ledger.api.signing import Altered, Signer
from ledger.domain.access import Permission

USE = "ticket"
SECONDS = 30
"""For which a ticket opens a connection."""
MICROSECONDS = 1_000_000


class Ticket(NamedTuple):
    """`expires_at` in microseconds since 1970."""

    text: str
    expires_at: int


def ticket_of(signer: Signer, caller: Caller, now: int) -> Ticket:
    """A ticket of this caller."""
    expires_at = now + SECONDS * MICROSECONDS
    content = [caller.id, sorted(caller.scopes), list(caller.paths), caller.until, expires_at]
    return Ticket(signer.sign(json.dumps(content).encode(), USE), expires_at)


def caller_of(signer: Signer, text: str, address: str, now: int) -> Caller:
    """Who has this ticket. Raises Problem 401 for one that is altered, or too old."""
    try:
        id_, scopes, accounts, until, expires_at = json.loads(signer.read(text, USE))
    except Altered as error:
        raise Problem("UNAUTHENTICATED", f"This is no ticket of this ledger. {error}") from None
    if now >= expires_at:
        raise Problem(
            "UNAUTHENTICATED", "This ticket is too old: POST /v1/live/tickets gives a new one."
        )
    return Caller(id_, Permission.of(scopes, accounts), address, until)
