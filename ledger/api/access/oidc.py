"""Bearer tokens of an OpenID Connect issuer: signed claims, checked with the issuer's own keys.

Where the keys are is found by discovery (OpenID Connect Discovery 1.0). PyJWT checks signatures and
claims; fetching is ours, because PyJWT's own client blocks.
"""

import asyncio
import hashlib
import json
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import httpx
import jwt
from jwt.algorithms import get_default_algorithms

from ledger.clock import now
from ledger.domain.access import Permission, is_path
from ledger.errors import LedgerError, SettingsError, Unavailable
from ledger.settings import Settings

ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
"""By type of key. `none` is not among them, nor is HS256: with that a public key would be taken for
a shared secret."""
SCOPE_PREFIX = "ledger:"
"""Of our scopes among an issuer's: `ledger:read`."""
ACCOUNTS_CLAIM = "ledger_accounts"
LEEWAY_SECONDS = 30
"""Clocks differ."""
FETCH_SECONDS = 5.0
FRESH_SECONDS = 300.0
"""After this time the keys are fetched again."""
TRUSTED_SECONDS = 3600.0
"""Keys that could not be fetched again for so long count no more: one may have been withdrawn."""
PAUSE_SECONDS = 10.0
"""Between two fetches, whatever tokens name for a key."""
LARGEST = 1024 * 1024
LONGEST_SUBJECT = 255
RSA_BITS = 2048
REMEMBERED = 10_000
"""Tokens whose signature was checked and which have not expired."""

_SECURE = re.compile(r"https://|http://(127\.0\.0\.1|localhost)(:|/|$)")

log = logging.getLogger(__name__)


class Invalid(Exception):
    """A token that does not count, and why."""


class Verified(NamedTuple):
    """Whom the issuer speaks of, what he may do, and until when (microseconds)."""

    subject: str
    permission: Permission
    until: int


class _Key(NamedTuple):
    """`published`: the JWK as the issuer publishes it."""

    key: Any
    algorithms: tuple[str, ...]
    published: Mapping[str, Any]


class Issuer:
    """One issuer and its keys. `verified` is for one event loop."""

    def __init__(
        self, issuer: str, audience: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._issuer, self._audience, self._clock = issuer, audience, clock
        self._client = httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False)
        self._keys: dict[str | None, _Key] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching = asyncio.Lock()
        self._known: OrderedDict[bytes, Verified] = OrderedDict()

    @classmethod
    def of(cls, settings: Settings) -> Self | None:
        """The issuer of the settings; None where none is set. Raises SettingsError."""
        if not settings.oidc_issuer:
            return None
        if not settings.oidc_audience:
            raise SettingsError(
                "oidc_issuer is set and oidc_audience is not: without an audience, tokens that the "
                "issuer made for other services would count here."
            )
        if not _SECURE.match(settings.oidc_issuer):
            raise SettingsError(
                f"oidc_issuer is {settings.oidc_issuer!r} and must begin with https://: keys that "
                "come in the clear could be anybody's. On this machine, http://127.0.0.1 will do."
            )
        return cls(settings.oidc_issuer, settings.oidc_audience)

    async def close(self) -> None:
        """Close connections to the issuer."""
        await self._client.aclose()

    def knows(self, token: str) -> bool:
        """Whether this token was verified before and still counts."""
        found = self._known.get(_digest(token))
        return found is not None and now() < found.until and self._is_trusted()

    async def verified(self, token: str) -> Verified:
        """What the issuer states in a token.

        Raises Invalid for one that does not count, Unavailable where no keys are to be had.
        """
        await self._ensure_keys()
        digest = _digest(token)
        found = self._known.get(digest)
        if found is not None and now() < found.until:
            return found
        found = _read(self._claims(token, await self._key_of(token)))
        self._known[digest] = found
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def _ensure_keys(self) -> None:
        if self._clock() - self._fetched < FRESH_SECONDS:
            return
        try:
            await self._fetch()
        except Unavailable as error:
            if not self._is_trusted():
                raise
            log.warning("The issuer's keys are used as they were: %s", error)

    def _is_trusted(self) -> bool:
        return self._clock() - self._fetched < TRUSTED_SECONDS

    async def _key_of(self, token: str) -> _Key:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise Invalid("This is no token that this API takes.") from error
        if header.get("crit") is not None:
            raise Invalid("The token has critical extensions (crit), which are not known here.")
        kid = header.get("kid")
        if kid not in self._keys:
            # The issuer may sign with a newer key.
            await self._fetch()
        key = self._keys.get(kid)
        if key is None:
            raise Invalid("The token is signed with a key that its issuer does not publish.")
        if header.get("alg") not in key.algorithms:
            raise Invalid(f"The token's algorithm is not one of {', '.join(key.algorithms)}.")
        return key

    def _claims(self, token: str, key: _Key) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key.key,
                algorithms=list(key.algorithms),
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.PyJWTError, ValueError, OverflowError, TypeError) as error:
            raise Invalid(f"The token does not count: {error}.") from error

    async def _fetch(self) -> None:
        """Fetch the keys, unless that was done just now, by whomever. Raises Unavailable."""
        async with self._fetching:
            if self._clock() - self._tried < PAUSE_SECONDS:
                if self._is_trusted():
                    return
                raise Unavailable(f"The keys of {self._issuer} could not be fetched just now.")
            self._tried = self._clock()
            place = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
            described = await self._json(place)
            if described.get("issuer") != self._issuer:
                raise Unavailable(f"{place} is of the issuer {described.get('issuer')!r}.")
            keys = _keys_in(await self._json(_secure(described.get("jwks_uri"), self._issuer)))
            if _published(keys) != _published(self._keys):
                # Of a key that was withdrawn, or replaced under its name.
                self._known.clear()
            self._keys, self._fetched = keys, self._clock()

    async def _json(self, url: str) -> dict[str, Any]:
        try:
            async with (
                asyncio.timeout(FETCH_SECONDS),
                self._client.stream("GET", url) as answer,
            ):
                answer.raise_for_status()
                body = b""
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > LARGEST:
                        break
            return _object_in(body)
        except (httpx.HTTPError, TimeoutError, ValueError, RecursionError) as error:
            raise Unavailable(f"The issuer's {url} cannot be had: {error!r}") from error


def _object_in(body: bytes) -> dict[str, Any]:
    """A JSON object. Raises ValueError for anything else."""
    if len(body) > LARGEST:
        raise ValueError(f"it has more than {LARGEST} bytes")
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError("it is no object")  # noqa: TRY004 - of what was sent
    return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _secure(url: object, issuer: str) -> str:
    """Where the keys are. Keys that come in the clear could be anybody's."""
    if isinstance(url, str) and (url.startswith("https:") or issuer.startswith("http:")):
        return url
    raise Unavailable(f"The issuer {issuer} names no place of its keys that is HTTPS: {url!r}.")


def _keys_in(found: Mapping[str, Any]) -> dict[str | None, _Key]:
    """By kid, the keys for signatures that we take."""
    keys: dict[str | None, _Key] = {}
    listed = found.get("keys")
    for each in listed if isinstance(listed, list) else ():
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        if not isinstance(each.get("kid"), str | None):
            log.warning("A key of the issuer is left out: its kid is no text")
            continue
        algorithms = ALGORITHMS.get(str(each.get("kty")), ())
        if "alg" in each:
            algorithms = tuple(name for name in algorithms if name == each["alg"])
        elif each.get("kty") == "EC":
            algorithms = _of_curve(str(each.get("crv")))
        if not algorithms:
            continue
        try:
            key = get_default_algorithms()[algorithms[0]].from_jwk(each)
        except (jwt.PyJWTError, LedgerError, ValueError, TypeError) as error:
            log.warning("A key of the issuer is left out: %s", error)
            continue
        if getattr(key, "key_size", RSA_BITS) < RSA_BITS and each.get("kty") == "RSA":
            log.warning("A key of the issuer is left out: it has less than %s bits", RSA_BITS)
            continue
        keys[each.get("kid")] = _Key(key, algorithms, each)
    return keys


def _published(keys: Mapping[str | None, _Key]) -> dict[str | None, Mapping[str, Any]]:
    return {kid: key.published for kid, key in keys.items()}


def _of_curve(curve: str) -> tuple[str, ...]:
    found = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}.get(curve)
    return (found,) if found else ()


def _read(claims: Mapping[str, Any]) -> Verified:
    """What is in claims that were verified. Raises Invalid for what is not as it must be."""
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT:
        raise Invalid(f"The token's sub is no text of at most {LONGEST_SUBJECT} characters.")
    accounts = claims.get(ACCOUNTS_CLAIM, ())
    # An issuer that knows of no paths may send null, which must not allow all.
    if ACCOUNTS_CLAIM in claims and not _are_paths(accounts):
        raise Invalid(f"The token's {ACCOUNTS_CLAIM} is no list of account paths.")
    granted = claims.get("scope", claims.get("scp", ""))
    names = granted.split() if isinstance(granted, str) else granted
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise Invalid("The token's scope is no text.")
    ours = [each.removeprefix(SCOPE_PREFIX) for each in names if each.startswith(SCOPE_PREFIX)]
    until = (int(claims["exp"]) + LEEWAY_SECONDS) * 1_000_000
    return Verified(subject, Permission.of(ours, accounts), until)


def _are_paths(accounts: object) -> bool:
    """Whether it is a list of paths, at least one: an empty one would allow none, or all."""
    return (
        isinstance(accounts, list)
        and bool(accounts)
        and all(isinstance(each, str) and is_path(each) for each in accounts)
    )
