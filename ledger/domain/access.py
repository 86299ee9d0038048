"""Who may do what at the API: scopes, account paths, and what a bearer token looks like. Pure."""

import hashlib
import hmac
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ledger.domain.account import MAX_ACCOUNT, TYPES


class Scope(StrEnum):
    """What a token allows."""

    PUBLISH = "publish"
    READ = "read"
    FINANCE = "finance"
    ADMIN = "admin"


INCLUDED: Final = {
    Scope.FINANCE: frozenset({Scope.READ}),
    Scope.ADMIN: frozenset(Scope),
}
"""By scope, those that it includes beside itself."""

PREFIX: Final = "flt_"
"""Of every token, so that scanners of repositories and logs find one that leaked."""
ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
ID_LENGTH: Final = 10
SECRET_BITS: Final = 256
SECRET_LENGTH: Final = 43
"""Characters of 256 bits in base 62."""
CHECKSUM_LENGTH: Final = 6
LENGTH: Final = len(PREFIX) + ID_LENGTH + SECRET_LENGTH + CHECKSUM_LENGTH
_PATH = re.compile(rf"(?:{'|'.join(TYPES)})(?::[A-Za-z0-9][A-Za-z0-9._-]*)*")


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A token as it is stored, which is without its secret; times in microseconds since 1970.

    `hash`: SHA-256 of the whole token. A slow hash protects what a person chose; 256 random bits
    cannot be tried through, and a fast one costs a request nothing. `accounts`: paths that it is
    restricted to; empty for all.
    """

    id: str
    hash: bytes
    scopes: tuple[str, ...]
    accounts: tuple[str, ...]
    note: str
    created_at: int
    created_by: str
    expires_at: int | None = None
    revoked_at: int | None = None
    revoked_by: str = ""

    def state(self, at: int) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and at >= self.expires_at else "active"

    def is_of(self, token: str) -> bool:
        """Whether this is the token that was given, compared in constant time."""
        return hmac.compare_digest(self.hash, hash_of(token))


@dataclass(frozen=True, slots=True)
class Permission:
    """What somebody may do: the scopes, those included too, and the accounts."""

    scopes: frozenset[Scope]
    accounts: tuple[str, ...] = field(default=())

    @classmethod
    def of(cls, scopes: Iterable[str], accounts: Iterable[str]) -> "Permission":
        """Of scopes by their names; one that this version does not know allows nothing."""
        known = {Scope(each) for each in scopes if each in set(Scope)}
        included = (INCLUDED.get(each, frozenset()) for each in known)
        return cls(frozenset(known.union(*included)), tuple(accounts))

    @property
    def is_restricted(self) -> bool:
        """Whether it is for some accounts alone."""
        return bool(self.accounts)

    def covers(self, account: str) -> bool:
        """Whether it is for this account, or for all that is below this path."""
        return not self.accounts or any(is_under(account, path) for path in self.accounts)


def is_under(account: str, path: str) -> bool:
    """Whether an account is `path` or below it, by whole segments."""
    return account == path or account.startswith(f"{path}:")


def is_path(text: str) -> bool:
    """Whether it is an account or the beginning of one, by whole segments, such as `assets`."""
    return len(text) <= MAX_ACCOUNT and _PATH.fullmatch(text) is not None


def hash_of(token: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token.encode()).digest()


def token_of(id_: str, secret: int) -> str:
    """The token: prefix, id, secret and a checksum of these, by which a cut one is known."""
    text = f"{PREFIX}{id_}{in_base_62(secret, SECRET_LENGTH)}"
    return text + _checksum(text)


def id_in(token: str) -> str | None:
    """The id of a token; None for a text that is none, or one that is cut or mistyped."""
    if len(token) != LENGTH or not token.startswith(PREFIX) or not token.isascii():
        return None
    if _checksum(token[:-CHECKSUM_LENGTH]) != token[-CHECKSUM_LENGTH:]:
        return None
    return token[len(PREFIX) : len(PREFIX) + ID_LENGTH]


def in_base_62(number: int, length: int) -> str:
    """`number` in so many digits; the higher ones are left out."""
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))


def _checksum(text: str) -> str:
    return in_base_62(zlib.crc32(text.encode()), CHECKSUM_LENGTH)
