"""Who sends a request: bearer tokens of the ledger, their end, and rates."""

import asyncio
import secrets
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field, replace

import pytest

from ledger.api.access.access import FAILURES_AT_ONCE, Access
from ledger.api.access.caller import Caller
from ledger.api.access.oidc import Issuer
from ledger.api.access.rates import KEYS, SECOND, Rate, network_of
from ledger.api.problems import Problem
from ledger.domain.access import BearerToken, Permission, hash_of, token_of
from ledger.errors import Unavailable
from tests.oidc_issuer import AUDIENCE, OidcIssuer, new_rsa, running_issuer

HERE = "192.0.2.1"
IDS = iter(f"{number:010}" for number in range(10**6))
RSA = new_rsa()


@dataclass
class Kept:
    """Tokens as the topic has them."""

    known: dict[str, BearerToken] | None = field(default_factory=dict)
    coming: dict[str, BearerToken] = field(default_factory=dict)
    away: bool = False
    asked: int = 0

    async def catch_up(self) -> None:
        self.asked += 1
        if self.away:
            raise Unavailable("Kafka does not answer.")
        assert self.known is not None
        self.known |= self.coming

    def problem(self) -> str | None:
        return None if self.known is not None else "they are being read"

    def make(self, *scopes: str, accounts: tuple[str, ...] = ()) -> tuple[str, BearerToken]:
        token = token_of(next(IDS), secrets.randbits(256))
        made = BearerToken(token[4:14], hash_of(token), scopes, accounts, "", 0, "command:ann")
        assert self.known is not None
        self.known[made.id] = made
        return token, made


@dataclass
class Clock:
    micros: int = 1_000_000

    def __call__(self) -> int:
        return self.micros


@pytest.fixture
def kept() -> Kept:
    return Kept()


def access(kept: Kept, clock: Clock | None = None, per_second: int = 1_000) -> Access:
    return Access(kept, per_second=per_second, clock=clock or Clock())


def who(found: Access, header: str | None, address: str = HERE) -> Caller:
    return asyncio.run(one(found.who(header, address)))


async def one(found: Awaitable[Caller]) -> Caller:
    return await found


def problem(found: Access, header: str | None, address: str = HERE) -> Problem:
    with pytest.raises(Problem) as caught:
        who(found, header, address)
    return caught.value


def test_a_caller_is_what_his_token_says(kept: Kept) -> None:
    token, made = kept.make("publish", "read", accounts=("assets:cash",))
    for scheme in ("Bearer", "bearer", "BEARER"):
        caller = who(access(kept), f"{scheme} {token}")
        assert (caller.id, caller.scopes) == (f"token:{made.id}", {"publish", "read"})
        assert (caller.paths, caller.source) == (("assets:cash",), HERE)
    assert (caller.actor.who, caller.actor.source) == (f"token:{made.id}", HERE)


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "flt_x"])
def test_without_a_token_one_is_asked_for(kept: Kept, header: str | None) -> None:
    found = problem(access(kept), header)
    assert (found.status, found.code) == (401, "UNAUTHENTICATED")
    assert found.headers == {"WWW-Authenticate": 'Bearer realm="faust-ledger"'}


def test_tokens_that_do_not_count(kept: Kept) -> None:
    token, made = kept.make("admin")
    other = token_of(made.id, 1)
    for wrong in (other, token[:-1], token + "x", "flt_", "flt_" + "é" * 59, "a.b.c", "x" * 20_000):
        found = problem(access(kept), f"Bearer {wrong}")
        assert found.status == 401, wrong
        assert wrong not in found.detail
    assert 'error="invalid_token"' in problem(access(kept), f"Bearer {other}").headers[
        "WWW-Authenticate"
    ]  # fmt: skip
    assert "cut or mistyped" in problem(access(kept), f"Bearer {token[:-1]}").detail
    assert "no such" in problem(access(kept), f"Bearer {other}").detail


def test_a_token_ends_when_it_is_revoked_and_at_its_time(kept: Kept) -> None:
    token, made = kept.make("read")
    clock = Clock(1_999)
    found = access(kept, clock)
    assert kept.known is not None
    kept.known[made.id] = replace(made, expires_at=2_000)
    assert who(found, f"Bearer {token}").scopes == {"read"}
    clock.micros = 2_000
    assert "is expired" in problem(found, f"Bearer {token}").detail
    kept.known[made.id] = replace(made, revoked_at=1)
    assert "is revoked" in problem(found, f"Bearer {token}").detail


def test_a_caller_that_stays_is_asked_again(kept: Kept) -> None:
    token, made = kept.make("read")
    clock = Clock(1_000)
    found = access(kept, clock)
    assert kept.known is not None
    kept.known[made.id] = replace(made, expires_at=2_000)
    caller = who(found, f"Bearer {token}")
    found.require_active(caller)
    stays = Caller("oidc:ann", caller.permission, HERE, 2_000)
    found.require_active(stays)

    def why(of: Caller) -> str:
        with pytest.raises(Problem) as caught:
            found.require_active(of)
        assert caught.value.status == 401
        return caught.value.detail

    clock.micros = 2_000
    assert "expired" in why(caller)
    assert "expired" in why(stays)
    clock.micros = 1_000
    kept.known[made.id] = replace(made, revoked_at=1)
    assert "revoked" in why(caller)
    # Its topic was made anew, and it is not in it.
    del kept.known[made.id]
    assert "unknown" in why(caller)


def test_while_the_issuer_is_away_a_token_ends_at_its_time(kept: Kept, issuer: OidcIssuer) -> None:
    async def scenario() -> None:
        issuer.away = True
        checks = Issuer(issuer.url, AUDIENCE)
        found = Access(kept, checks, per_second=1, clock=Clock(2_000))
        caller = Caller("oidc:ann", Permission.of(["read"], []), HERE, 2_000)
        with pytest.raises(Problem) as caught:
            await found.require_still(caller, "Bearer a.b.c")
        assert (caught.value.status, "expired" in caught.value.detail) == (401, True)
        await checks.close()

    asyncio.run(scenario())


def test_before_tokens_are_read_nobody_is_told_that_his_is_wrong() -> None:
    found = problem(Access(Kept(None), per_second=1), f"Bearer {token_of('0' * 10, 1)}")
    assert (found.status, found.code) == (503, "KAFKA_UNAVAILABLE")
    assert int(found.headers["Retry-After"]) >= 1


def test_scopes_and_accounts_are_required(kept: Kept) -> None:
    caller = Caller("token:x", Permission.of(["read"], ["assets:cash"]), HERE)
    caller.require("read")
    caller.require("read", ["assets:cash", "assets:cash:till"])
    with pytest.raises(Problem) as caught:
        caller.require("publish")
    assert (caught.value.status, caught.value.code) == (403, "FORBIDDEN")
    assert 'scope="publish"' in caught.value.headers["WWW-Authenticate"]
    with pytest.raises(Problem, match="does not cover assets:cashier") as caught:
        caller.require("read", ["assets:cash", "assets:cashier"])
    assert caught.value.status == 403
    with pytest.raises(Problem, match="restricted to assets:cash"):
        caller.require_all_accounts()
    named = ["assets:cashier", "assets:cash:till", "assets:cash"]
    assert list(filter(caller.covers, named)) == named[1:]
    free = Caller("token:x", Permission.of(["read"], ()), HERE)
    free.require_all_accounts()
    assert list(filter(free.covers, named)) == named


def test_a_token_that_was_made_a_moment_ago_counts(kept: Kept) -> None:
    token, made = kept.make("read")
    assert kept.known is not None
    kept.coming[made.id] = kept.known.pop(made.id)
    found = access(kept)
    assert who(found, f"Bearer {token}").id == f"token:{made.id}"
    who(found, f"Bearer {token}")
    assert problem(found, f"Bearer {token[:-1]}").status == 401
    assert kept.asked == 1


def test_while_kafka_is_away_an_unknown_token_may_be_a_new_one(kept: Kept) -> None:
    token, _ = kept.make("read")
    found = access(kept)
    kept.away = True
    other = token_of(next(IDS), 1)
    assert problem(found, f"Bearer {other}").code == "KAFKA_UNAVAILABLE"
    assert who(found, f"Bearer {token}").scopes == {"read"}


def test_made_up_tokens_do_not_make_it_ask_kafka_without_end(kept: Kept) -> None:
    found = access(kept)
    for _ in range(2 * FAILURES_AT_ONCE):
        assert problem(found, f"Bearer {token_of(next(IDS), 1)}").status in (401, 429)
    assert kept.asked <= FAILURES_AT_ONCE


def test_past_its_rate_a_token_waits_and_others_do_not(kept: Kept) -> None:
    (token, _), (other, _) = kept.make("read"), kept.make("read")
    found = access(kept, per_second=3)
    for _ in range(3):
        who(found, f"Bearer {token}")
    refused = problem(found, f"Bearer {token}")
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert who(found, f"Bearer {other}").scopes == {"read"}


def test_an_address_without_valid_tokens_waits_and_valid_ones_there_do_not(kept: Kept) -> None:
    token, _ = kept.make("read")
    found = access(kept)
    statuses = {problem(found, None).status for _ in range(FAILURES_AT_ONCE)}
    assert statuses == {401}
    assert problem(found, "Bearer flt_x").status == 429
    assert problem(found, None, "192.0.2.2").status == 401
    assert who(found, f"Bearer {token}").scopes == {"read"}


@pytest.fixture
def issuer() -> Iterator[OidcIssuer]:
    with running_issuer() as found:
        found.publish("one", RSA, "RS256")
        yield found


def test_a_token_of_the_issuer(kept: Kept, issuer: OidcIssuer) -> None:
    async def scenario() -> None:
        checks = Issuer(issuer.url, AUDIENCE)
        found = Access(kept, checks, per_second=1_000)
        good = f"Bearer {issuer.sign(RSA, 'RS256')}"
        caller = await found.who(good, HERE)
        assert (caller.id, caller.scopes) == ("oidc:ann", {"read"})
        for _ in range(FAILURES_AT_ONCE):
            with pytest.raises(Problem) as caught:
                await found.who("Bearer a.b.c", HERE)
            assert caught.value.status == 401
        # No signature is checked for an address that has failed so often, but what is known counts.
        with pytest.raises(Problem) as caught:
            await found.who(f"Bearer {issuer.sign(RSA, 'RS256', sub='eve')}", HERE)
        assert caught.value.status == 429
        assert (await found.who(good, HERE)).id == "oidc:ann"
        await checks.close()

    asyncio.run(scenario())


def test_an_issuer_that_is_away_is_a_503(kept: Kept, issuer: OidcIssuer) -> None:
    async def scenario() -> None:
        issuer.away = True
        checks = Issuer(issuer.url, AUDIENCE)
        with pytest.raises(Problem) as caught:
            await Access(kept, checks, per_second=1).who("Bearer a.b.c", HERE)
        assert caught.value.code == "ISSUER_UNAVAILABLE"
        await checks.close()

    asyncio.run(scenario())


class Nanoseconds:
    def __init__(self) -> None:
        self.now = 50 * SECOND

    def __call__(self) -> int:
        return self.now


def test_a_bucket_fills_again() -> None:
    clock = Nanoseconds()
    rate = Rate(10, 5, clock)
    assert [rate.take("a") for _ in range(5)] == [0] * 5
    assert rate.take("a") == pytest.approx(0.1)
    assert rate.wait("a") == pytest.approx(0.1)
    clock.now += SECOND // 10
    assert rate.take("a") == 0
    assert rate.take("a") > 0
    clock.now += 100 * SECOND
    assert [rate.take("a") == 0 for _ in range(6)] == [True] * 5 + [False]
    assert rate.wait("never seen") == 0


def test_what_clients_make_up_is_forgotten() -> None:
    rate = Rate(1, 2, Nanoseconds())
    for _ in range(2):
        rate.take("busy")
    for number in range(KEYS - 1):
        rate.take(str(number))
    assert rate.take("busy") > 0
    for number in range(KEYS):
        rate.take(f"more {number}")
    assert len(rate._full_at) == KEYS
    assert rate.take("busy") == 0


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("/run/socket", "/run/socket"),
        ("", ""),
    ],
)
def test_an_ipv6_client_has_a_whole_network(address: str, network: str) -> None:
    assert network_of(address) == network
