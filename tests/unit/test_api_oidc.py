"""Tokens of an OpenID Connect issuer, against an issuer that listens and signs."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from ledger.api.access import oidc
from ledger.api.access.oidc import Invalid, Issuer
from ledger.domain.access import Scope
from ledger.errors import SettingsError, Unavailable
from ledger.settings import Settings
from tests.oidc_issuer import (
    AUDIENCE,
    OidcIssuer,
    new_ec,
    new_ed,
    new_rsa,
    public_jwk,
    running_issuer,
)
from tests.unit.test_api_server import Api

RSA, OTHER_RSA, EC, ED = new_rsa(), new_rsa(), new_ec(), new_ed()

DAY = 86_400
"""Seconds: longer than a run of all tests, of whose beginning the times below are."""


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def issuer() -> Iterator[OidcIssuer]:
    with running_issuer() as found:
        found.publish("one", RSA, "RS256")
        yield found


@asynccontextmanager
async def checking(issuer: OidcIssuer, clock: Clock | None = None) -> AsyncIterator[Issuer]:
    found = Issuer(issuer.url, AUDIENCE, clock or Clock())
    try:
        yield found
    finally:
        await found.close()


def verified(issuer: OidcIssuer, token: str) -> oidc.Verified:
    async def scenario() -> oidc.Verified:
        async with checking(issuer) as checks:
            return await checks.verified(token)

    return asyncio.run(scenario())


def why_invalid(issuer: OidcIssuer, token: str) -> str:
    with pytest.raises(Invalid) as caught:
        verified(issuer, token)
    return str(caught.value)


def test_a_signed_token_counts(issuer: OidcIssuer) -> None:
    found = verified(issuer, issuer.sign(RSA, "RS256"))
    assert (found.subject, found.permission.scopes) == ("ann", {Scope.READ})
    assert not found.permission.is_restricted


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA, "RS256"), (RSA, "RS512"), (RSA, "PS256"), (EC, "ES256"), (ED, "EdDSA")],
)
def test_algorithms_that_count(issuer: OidcIssuer, key: Any, algorithm: str) -> None:
    named = public_jwk(key, algorithm, kid="two")
    named.pop("alg", None)
    issuer.keys.append(named)
    assert verified(issuer, issuer.sign(key, algorithm, "two")).subject == "ann"


def test_scopes_are_those_with_our_prefix(issuer: OidcIssuer) -> None:
    def scopes(**claims: Any) -> set[str]:
        return set(verified(issuer, issuer.sign(RSA, "RS256", **claims)).permission.scopes)

    assert scopes(scope="read admin openid") == set()
    assert scopes(scope="ledger:finance") == {"finance", "read"}
    assert scopes(scope=None, scp=["ledger:publish", "other"]) == {"publish"}
    assert scopes(scope=None) == set()
    assert scopes(scope="ledger:owner") == set()


def test_account_paths_are_a_claim(issuer: OidcIssuer) -> None:
    token = issuer.sign(RSA, "RS256", ledger_accounts=["assets:cash"])
    assert verified(issuer, token).permission.covers("assets:cash:till")
    assert not verified(issuer, token).permission.covers("assets:cashier")
    for wrong in ([], "assets", [1], ["nowhere"], {"assets": 1}, ["assets", ""], False, 0):
        assert "ledger_accounts" in why_invalid(
            issuer, issuer.sign(RSA, "RS256", ledger_accounts=wrong)
        )


def test_paths_that_are_null_do_not_allow_all() -> None:
    claims = {"sub": "ann", "exp": 1, "scope": "ledger:read"}
    assert not oidc._read(claims).permission.is_restricted
    with pytest.raises(Invalid, match="ledger_accounts"):
        oidc._read({**claims, "ledger_accounts": None})


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1_000_000},
        {"exp": int(time.time()) - oidc.LEEWAY_SECONDS - 5},
        {"exp": None},
        {"nbf": int(time.time()) + DAY},
        {"iat": int(time.time()) + DAY},
        {"aud": "https://another.example"},
        {"aud": []},
        {"aud": None},
        {"iss": "https://another.example"},
        {"iss": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 256},
        {"scope": 5},
        {"scope": None, "scp": [5]},
        {"scope": {"ledger:read": True}},
    ],
    # Without the values, which are of the moment.
    ids="-".join,
)
def test_claims_that_do_not_count(issuer: OidcIssuer, claims: dict[str, Any]) -> None:
    why_invalid(issuer, issuer.sign(RSA, "RS256", **claims))


def test_clocks_may_differ_a_little(issuer: OidcIssuer) -> None:
    token = issuer.sign(RSA, "RS256", exp=int(time.time()) - oidc.LEEWAY_SECONDS + 10)
    assert verified(issuer, token).subject == "ann"


def parts(*each: object) -> str:
    def encoded(part: object) -> str:
        raw = part if isinstance(part, bytes) else json.dumps(part).encode()
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    return ".".join(map(encoded, each))


def unsigned(issuer: OidcIssuer, algorithm: str) -> str:
    return parts({"alg": algorithm, "kid": "one"}, issuer.claims()) + "."


def with_public_key_as_secret(issuer: OidcIssuer) -> str:
    """The classic confusion: an HMAC whose secret is the key that everybody has."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    secret = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    text = parts({"alg": "HS256", "kid": "one"}, issuer.claims())
    return f"{text}.{parts(hmac.digest(secret, text.encode(), hashlib.sha256))}"


FORGED: dict[str, Callable[[OidcIssuer], str]] = {
    "no algorithm": lambda issuer: unsigned(issuer, "none"),
    "none, written otherwise": lambda issuer: unsigned(issuer, "nOnE"),
    "no signature": lambda issuer: unsigned(issuer, "RS256"),
    "a secret that is public": with_public_key_as_secret,
    "another's key": lambda issuer: issuer.sign(OTHER_RSA, "RS256"),
    "a key that is not published": lambda issuer: issuer.sign(OTHER_RSA, "RS256", "two"),
    "a key without a name": lambda issuer: issuer.sign(RSA, "RS256", None),
    "another kind of key": lambda issuer: issuer.sign(EC, "ES256"),
    "altered claims": lambda issuer: altered(issuer.sign(RSA, "RS256")),
    "critical extensions": lambda issuer: parts(
        {"alg": "RS256", "kid": "one", "crit": ["x"], "x": 1}, issuer.claims(), b"x"
    ),
    "a kid that is no text": lambda issuer: parts({"alg": "RS256", "kid": [1]}, {}, b"x"),
    "claims that are a list": lambda issuer: parts({"alg": "RS256", "kid": "one"}, [], b"x"),
    "a header that is a list": lambda _: parts([], {}, b"x"),
    "deeply nested": lambda _: parts(b"[" * 5_000 + b"]" * 5_000, {}, b"x"),
    "no token": lambda _: "abc",
    "dots": lambda _: "...",
    "not ASCII": lambda _: "é.é.é",
}


def altered(token: str) -> str:
    head, claims, signature = token.split(".")
    row = json.loads(base64.urlsafe_b64decode(claims + "==="))
    return f"{head}.{parts({**row, 'scope': 'ledger:admin'})}.{signature}"


@pytest.mark.parametrize("how", FORGED)
def test_what_the_issuer_has_not_signed(issuer: OidcIssuer, how: str) -> None:
    why_invalid(issuer, FORGED[how](issuer))


@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits")
def test_keys_that_are_left_out(issuer: OidcIssuer) -> None:
    weak = new_rsa(1024)
    issuer.keys[:] = [
        public_jwk(weak, "RS256", kid="weak"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret", "alg": "HS256"},
        public_jwk(RSA, "RS256", kid="encrypts") | {"use": "enc"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "EC", "kid": "curve", "crv": "secp256k1", "x": "", "y": ""},
        public_jwk(RSA, "RS256", kid="named", alg="RS384"),
        public_jwk(RSA, "RS256", kid="list") | {"kid": ["list"]},
        "no key",  # type: ignore[list-item]
    ]
    for kid in ("weak", "secret", "encrypts", "broken", "curve"):
        key, algorithm = (weak, "RS256") if kid == "weak" else (RSA, "RS256")
        why_invalid(issuer, issuer.sign(key, algorithm, kid))
    why_invalid(issuer, issuer.sign(RSA, "RS256", "named"))
    assert verified(issuer, issuer.sign(RSA, "RS384", "named")).subject == "ann"


def test_keys_rotate(issuer: OidcIssuer) -> None:
    """A new key counts at its first token; a withdrawn one no longer, once keys are fetched."""
    clock = Clock()

    async def scenario() -> None:
        async with checking(issuer, clock) as checks:
            old = issuer.sign(RSA, "RS256")
            await checks.verified(old)
            issuer.keys.clear()
            issuer.publish("two", EC, "ES256")
            clock.seconds += oidc.PAUSE_SECONDS
            await checks.verified(issuer.sign(EC, "ES256", "two"))
            with pytest.raises(Invalid):
                await checks.verified(old)

    asyncio.run(scenario())


def test_a_key_that_is_replaced_under_its_name_counts_no_longer(issuer: OidcIssuer) -> None:
    clock = Clock()

    async def scenario() -> None:
        async with checking(issuer, clock) as checks:
            old = issuer.sign(RSA, "RS256")
            await checks.verified(old)
            issuer.keys.clear()
            issuer.publish("one", OTHER_RSA, "RS256")
            clock.seconds += oidc.FRESH_SECONDS
            with pytest.raises(Invalid):
                await checks.verified(old)

    asyncio.run(scenario())


def test_made_up_keys_do_not_make_it_ask_each_time(issuer: OidcIssuer) -> None:
    async def scenario() -> None:
        async with checking(issuer) as checks:
            for number in range(20):
                with pytest.raises(Invalid):
                    await checks.verified(issuer.sign(OTHER_RSA, "RS256", str(number)))
            assert len(issuer.asked) == 2
            tokens = [issuer.sign(RSA, "RS256", sub=str(each)) for each in range(20)]
            await asyncio.gather(*map(checks.verified, tokens))
            assert len(issuer.asked) == 2

    asyncio.run(scenario())


def test_an_issuer_that_is_away_is_trusted_for_an_hour(issuer: OidcIssuer) -> None:
    clock = Clock()

    async def scenario() -> None:
        async with checking(issuer, clock) as checks:
            token = issuer.sign(RSA, "RS256")
            await checks.verified(token)
            issuer.away = True
            clock.seconds += oidc.TRUSTED_SECONDS - 1
            assert checks.knows(token)
            await checks.verified(issuer.sign(RSA, "RS256", sub="eve"))
            clock.seconds += 1 + oidc.PAUSE_SECONDS
            assert not checks.knows(token)
            with pytest.raises(Unavailable, match="503"):
                await checks.verified(token)
            with pytest.raises(Unavailable, match="just now"):
                await checks.verified(token)
            issuer.away = False
            clock.seconds += oidc.PAUSE_SECONDS
            assert (await checks.verified(token)).subject == "ann"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "described",
    [{"issuer": "https://another.example"}, {"issuer": None}, {"jwks_uri": None},
     {"jwks_uri": "http://127.0.0.1:1/keys"}, {"jwks_uri": "file:///etc/passwd"}],
    ids=str,
)  # fmt: skip
def test_discovery_that_is_not_the_issuers(issuer: OidcIssuer, described: dict[str, Any]) -> None:
    issuer.described = described
    with pytest.raises(Unavailable):
        verified(issuer, issuer.sign(RSA, "RS256"))


def test_keys_of_a_secure_issuer_do_not_come_in_the_clear() -> None:
    with pytest.raises(Unavailable, match="HTTPS"):
        oidc._secure("http://issuer.example/keys", "https://issuer.example")
    assert oidc._secure("https://k.example/keys", "https://i.example") == "https://k.example/keys"


def test_settings_name_both_or_none() -> None:
    assert Issuer.of(Settings()) is None
    with pytest.raises(SettingsError, match="oidc_audience is not"):
        Issuer.of(Settings(oidc_issuer="https://issuer.example"))
    for insecure in ("http://issuer.example", "http://127.0.0.1.example", "issuer.example"):
        with pytest.raises(SettingsError, match="must begin with https"):
            Issuer.of(Settings(oidc_issuer=insecure, oidc_audience=AUDIENCE))


def test_a_process_takes_the_tokens_of_the_issuer_in_its_settings(
    issuer: OidcIssuer, tmp_path: Path
) -> None:
    """Without Kafka, where the ledger's own tokens are not known yet."""
    process = Api(tmp_path, OIDC_ISSUER=issuer.url, OIDC_AUDIENCE=AUDIENCE)
    try:

        def status(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            return process.client.get("/v1/accounts", headers=headers).status_code

        assert status(issuer.sign(RSA, "RS256")) == 503
        assert status(issuer.sign(RSA, "RS256", scope="ledger:publish")) == 403
        assert status(issuer.sign(OTHER_RSA, "RS256")) == 401
        issuer.publish("two", EC, "ES256")
        assert status(issuer.sign(RSA, "RS256", aud="https://another.example")) == 401
    finally:
        ended = process.stop()
    assert ended == 0, process.log.read_text()
