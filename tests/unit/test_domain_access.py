"""Scopes, account paths, and what a bearer token looks like."""

import re
import secrets
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.domain.access import (
    ALPHABET,
    ID_LENGTH,
    BearerToken,
    Permission,
    Scope,
    hash_of,
    id_in,
    is_path,
    token_of,
)

PATTERN = re.compile(r"flt_[0-9A-Za-z]{59}")
"""What a scanner of secrets looks for."""
ID = "3kTMd7Qz0a"
ids = st.text(ALPHABET, min_size=ID_LENGTH, max_size=ID_LENGTH)
bits = st.integers(0, 2**256 - 1)


def stored(token: str) -> BearerToken:
    return BearerToken(ID, hash_of(token), ("read",), (), "", 1_000, "command:ann")


@given(ids, bits)
def test_a_token_is_known_by_its_form(id_: str, secret: int) -> None:
    token = token_of(id_, secret)
    assert PATTERN.fullmatch(token)
    assert id_in(token) == id_


@given(ids, bits, st.integers(0, 62), st.sampled_from(ALPHABET))
def test_a_mistyped_token_is_none(id_: str, secret: int, at: int, letter: str) -> None:
    token = token_of(id_, secret)
    typed = token[:at] + letter + token[at + 1 :]
    assert (id_in(typed) is None) == (typed != token)


@given(ids, bits, st.integers(0, 62))
def test_a_cut_token_is_none(id_: str, secret: int, length: int) -> None:
    assert id_in(token_of(id_, secret)[:length]) is None


@pytest.mark.parametrize("text", ["", "flt_", "é" * 63, "flt_" + "é" * 59, "ghp_" + "a" * 59])
def test_other_texts_are_no_tokens(text: str) -> None:
    assert id_in(text) is None


def test_every_bit_of_the_secret_counts() -> None:
    made = {token_of(ID, 1 << bit) for bit in range(256)} | {token_of(ID, 0)}
    assert len(made) == 257


def test_the_store_has_the_hash_and_not_the_token() -> None:
    token = token_of(ID, secrets.randbits(256))
    kept = stored(token)
    assert kept.is_of(token)
    assert not kept.is_of(token_of(ID, 1))
    assert token[len("flt_") + ID_LENGTH :] not in repr(kept)


def test_a_token_ends_at_its_time_and_when_it_is_revoked() -> None:
    kept = stored("x")
    assert kept.state(10**18) == "active"
    until = replace(kept, expires_at=2_000)
    assert [until.state(at) for at in (1_999, 2_000)] == ["active", "expired"]
    assert replace(until, revoked_at=1_500).state(3_000) == "revoked"


@pytest.mark.parametrize(
    ("given_", "allowed"),
    [
        (["read"], {"read"}),
        (["publish"], {"publish"}),
        (["finance"], {"finance", "read"}),
        (["admin"], {"publish", "read", "finance", "admin"}),
        (["read", "of a later version"], {"read"}),
        ([], set()),
    ],
)
def test_what_a_scope_includes(given_: list[str], allowed: set[str]) -> None:
    assert Permission.of(given_, ()).scopes == {Scope(each) for each in allowed}


@pytest.mark.parametrize(
    ("paths", "account", "covered"),
    [
        ((), "assets:cash", True),
        (("assets:cash",), "assets:cash", True),
        (("assets:cash",), "assets:cash:till", True),
        (("assets:cash",), "assets:cashier", False),
        (("assets:cash",), "assets", False),
        (("assets:cash", "income"), "income:fees", True),
        (("liabilities:deposits:1",), "liabilities:deposits:10", False),
    ],
)
def test_paths_are_by_whole_segments(
    paths: tuple[str, ...], account: str, *, covered: bool
) -> None:
    assert Permission.of(["read"], paths).covers(account) is covered


@pytest.mark.parametrize("path", ["assets", "assets:cash", "income:fees:card-2.x"])
def test_a_path_is_an_account_or_its_beginning(path: str) -> None:
    assert is_path(path)


@pytest.mark.parametrize(
    "path", ["", "asset", "assets:", ":assets", "assets::x", "assets:" + "x" * 255]
)
def test_what_is_no_path(path: str) -> None:
    assert not is_path(path)
