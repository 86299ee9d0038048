"""Bearer tokens of the API: made, listed and revoked, by whoever may write `ledger.access`."""

import secrets
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from ledger.client.audit_log import Actor, AuditLog
from ledger.client.records import Records
from ledger.client.resource import AsyncResource
from ledger.clock import now
from ledger.domain.access import (
    ALPHABET,
    ID_LENGTH,
    SECRET_BITS,
    BearerToken,
    hash_of,
    token_of,
)
from ledger.settings import Settings
from ledger.streaming import tokens
from ledger.streaming.log import Log
from ledger.streaming.topics import topics


@dataclass(frozen=True, slots=True)
class TokenGrant:
    """What a new token is to allow, until when (microseconds; None: for ever), and its note."""

    scopes: Sequence[str]
    accounts: Sequence[str] = ()
    expires_at: int | None = None
    note: str = ""


class Tokens(AsyncResource):
    """An async context manager; what it changes is in the audit log.

    Entering and calls raise LedgerError when Kafka or the registry cannot be used.
    """

    def __init__(self, settings: Settings, actor: Actor) -> None:
        self._settings, self._actor = settings, actor
        self._log = Log(settings)
        self._topic = topics(settings).access.name

    async def _enter(self, stack: AsyncExitStack) -> None:
        stack.push_async_callback(self._log.close)
        self._codec = (await Records.of(self._settings, tokens.SCHEMA)).codec
        self._audit = AuditLog(self._settings, self._log)
        stack.push_async_callback(self._audit.close)

    async def present(self) -> list[BearerToken]:
        """All tokens, those too that expired or were revoked, the oldest first."""
        self.require_open()
        reader = tokens.TokenReader(self._log, self._codec, self._topic)
        await reader.read_on()
        return sorted(reader.known.values(), key=lambda each: (each.created_at, each.id))

    async def create(self, grant: TokenGrant) -> tuple[str, BearerToken]:
        """Make a token. Returns it with its secret, which is kept nowhere, and what is stored."""
        self.require_open()
        id_ = "".join(secrets.choice(ALPHABET) for _ in range(ID_LENGTH))
        token = token_of(id_, secrets.randbits(SECRET_BITS))
        stored = BearerToken(
            id_, hash_of(token), tuple(grant.scopes), tuple(grant.accounts), grant.note, now(),
            self._actor.who, grant.expires_at,
        )  # fmt: skip
        where = f" for {', '.join(grant.accounts)}" if grant.accounts else ""
        await self._put(stored, "tokens.create", f"{', '.join(grant.scopes)}{where}")
        return token, stored

    async def revoke(self, id_: str) -> BearerToken | None:
        """Revoke a token; one that was revoked before stays as it is. None: no token has the id."""
        known = {each.id: each for each in await self.present()}
        found = known.get(id_)
        if found is None:
            return None
        if found.revoked_at is not None:
            return found
        revoked = replace(found, revoked_at=now(), revoked_by=self._actor.who)
        await self._put(revoked, "tokens.revoke", revoked.note)
        return revoked

    async def _put(self, token: BearerToken, action: str, detail: str) -> None:
        async with self._audit.action(self._actor, action, [token.id], detail):
            await self._log.append(self._topic, 0, [tokens.message(self._codec, token)])
