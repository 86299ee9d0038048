"""Who sends a request: its bearer token, looked up and checked.

A token of the ledger's own is looked up in memory, where its topic is followed, so it works while
the database is away, and a token that was revoked is refused within moments. Any other is one of
the OpenID Connect issuer, where one is configured.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Protocol

from ledger.api.access.caller import CHALLENGE, Caller
from ledger.api.access.oidc import Invalid, Issuer
from ledger.api.access.rates import Rate, network_of
from ledger.api.access.tokens import FollowedTokens
from ledger.api.problems import Problem
from ledger.clock import now
from ledger.domain.access import ID_LENGTH, PREFIX, BearerToken, Permission, id_in
from ledger.errors import Unavailable, sentence
from ledger.settings import Settings
from ledger.streaming.log import Log

FAILURES_PER_SECOND = 5
FAILURES_AT_ONCE = 100
"""Requests without a valid bearer token, of one address."""
LONGEST_HEADER = 16_384
OWN = "token:"
"""Begins the name of a caller with a token of the ledger's own."""
INVALID = f'{CHALLENGE}, error="invalid_token"'
_ID = slice(len(PREFIX), len(PREFIX) + ID_LENGTH)

permission_of = lru_cache(10_000)(Permission.of)


class Tokens(Protocol):
    """Where the ledger's tokens are known from."""

    @property
    def known(self) -> Mapping[str, BearerToken] | None:
        """By id; None before they are read."""

    def problem(self) -> str | None:
        """Why they may not be the newest."""

    async def catch_up(self) -> None:
        """Return once `known` has what there is now. Raises Unavailable."""


class Access:
    """Answers who sends a request; the rates of requests are those of this process alone."""

    def __init__(
        self,
        tokens: Tokens,
        issuer: Issuer | None = None,
        *,
        per_second: int,
        clock: Callable[[], int] = now,
    ) -> None:
        self._tokens, self._issuer, self._clock = tokens, issuer, clock
        self._per_second = per_second
        self._requests = Rate(per_second, per_second)
        self._failures = Rate(FAILURES_PER_SECOND, FAILURES_AT_ONCE)

    def problem(self) -> str | None:
        """Why tokens that were made or revoked are not known now; None while they are."""
        return self._tokens.problem()

    async def who(self, authorization: str | None, address: str) -> Caller:
        """Who has the token in this header, at that address.

        Raises Problem: 401 without a valid token, 429 past the rate of the token, or of an address
        without one, and 503 as long as tokens cannot be checked.
        """
        token = _bearer(authorization)
        if token is None:
            why = "Send a bearer token: Authorization: Bearer flt_..."
            raise self._unauthenticated(address, why, challenge=CHALLENGE)
        if token.startswith(PREFIX):
            known = await self._own(token, address)
            caller = Caller(
                f"{OWN}{known.id}", permission_of(known.scopes, known.accounts), address,
                known.expires_at,
            )  # fmt: skip
        else:
            caller = await self._of_issuer(token, address)
        wait = self._requests.take(caller.id)
        if wait:
            raise Problem(
                "TOO_MANY_REQUESTS",
                f"This bearer token may have {self._per_second} requests a second.",
                retry_after=wait,
            )
        return caller

    async def require_still(self, caller: Caller, authorization: str) -> None:
        """Raises Problem once the header with which a caller came in is not good any more.

        What is known here comes first: an issuer that is away makes no token last longer.
        """
        self.require_active(caller)
        await self.who(authorization, caller.source)

    def require_active(self, caller: Caller) -> None:
        """Raises Problem 401 once what a caller came in with has expired or is revoked."""
        state = "active"
        if caller.until is not None and self._clock() >= caller.until:
            state = "expired"
        tokens = self._tokens.known
        if tokens is not None and caller.id.startswith(OWN):
            known = tokens.get(caller.id.removeprefix(OWN))
            state = "unknown" if known is None else known.state(self._clock())
        if state != "active":
            raise Problem(
                "UNAUTHENTICATED", f"This bearer token is {state}.",
                headers={"WWW-Authenticate": INVALID},
            )  # fmt: skip

    async def _own(self, token: str, address: str) -> BearerToken:
        known = self._known(token)
        if known is None and id_in(token) is not None:
            # It may have been made a moment ago.
            known = await self._newest(token, address)
        if known is None or not known.is_of(token):
            cut = id_in(token) is None
            why = (
                "The bearer token is cut or mistyped"
                if cut
                else "This ledger has no such bearer token"
            )
            raise self._unauthenticated(address, f"{why}.")
        state = known.state(self._clock())
        if state != "active":
            raise self._unauthenticated(address, f"This bearer token is {state}.")
        return known

    def _known(self, token: str) -> BearerToken | None:
        tokens = self._tokens.known
        if tokens is None:
            why = sentence(f"Bearer tokens are not known yet: {self._tokens.problem()}")
            raise Problem("KAFKA_UNAVAILABLE", why)
        return tokens.get(token[_ID])

    async def _newest(self, token: str, address: str) -> BearerToken | None:
        """The token as its topic has it now. To ask for that counts as a failure of the address."""
        if wait := self._failures.take(network_of(address)):
            raise _too_many_failures(wait)
        try:
            await self._tokens.catch_up()
        except Unavailable as error:
            raise Problem("KAFKA_UNAVAILABLE", str(error)) from error
        return self._known(token)

    async def _of_issuer(self, token: str, address: str) -> Caller:
        if self._issuer is None:
            raise self._unauthenticated(address, "This is no bearer token of a ledger.")
        wait = self._failures.wait(network_of(address))
        if wait and not self._issuer.knows(token):
            raise _too_many_failures(wait)
        try:
            found = await self._issuer.verified(token)
        except Invalid as error:
            raise self._unauthenticated(address, str(error)) from error
        except Unavailable as error:
            raise Problem("ISSUER_UNAVAILABLE", str(error)) from error
        return Caller(f"oidc:{found.subject}", found.permission, address, found.until)

    def _unauthenticated(self, address: str, why: str, challenge: str = INVALID) -> Problem:
        if wait := self._failures.take(network_of(address)):
            return _too_many_failures(wait)
        return Problem("UNAUTHENTICATED", why, headers={"WWW-Authenticate": challenge})


@asynccontextmanager
async def open_access(settings: Settings, log: Log) -> AsyncIterator[Access]:
    """The access of an API process; nothing is waited for.

    Raises SettingsError for settings of an issuer that cannot work.
    """
    issuer = Issuer.of(settings)
    async with FollowedTokens(settings, log) as tokens:
        try:
            yield Access(tokens, issuer, per_second=settings.api_requests_per_second)
        finally:
            if issuer is not None:
                await issuer.close()


def _too_many_failures(wait: float) -> Problem:
    return Problem(
        "TOO_MANY_REQUESTS",
        "Too many requests without a valid bearer token came from this address.",
        retry_after=wait,
    )


def _bearer(authorization: str | None) -> str | None:
    """The token in the header; None where there is none."""
    if authorization is None or len(authorization) > LONGEST_HEADER:
        return None
    scheme, _, token = authorization.partition(" ")
    token = token.strip(" ")
    return token if scheme.lower() == "bearer" and token else None
