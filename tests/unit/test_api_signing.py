"""Position tokens and cursors: any process of the ledger reads them, and nobody alters them."""

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.api.cursors import Cursors
from ledger.api.positions import Position, positions_of, token_of
from ledger.api.problems import Problem
from ledger.api.signing import Altered, Signer, read_key
from ledger.errors import SettingsError
from ledger.settings import Settings

SIGNER = Signer(b"k" * 32)
SIGNED = string.ascii_letters + string.digits + "-_"


@given(st.binary(max_size=200))
def test_what_was_signed_is_read_again(content: bytes) -> None:
    assert SIGNER.read(SIGNER.sign(content, "a"), "a") == content


@given(st.binary(max_size=40), st.integers(0), st.sampled_from(SIGNED))
def test_a_text_with_any_other_character_is_refused(content: bytes, at: int, other: str) -> None:
    text = SIGNER.sign(content, "a")
    at %= len(text)
    altered = text[:at] + other + text[at + 1 :]
    if altered != text:
        with pytest.raises(Altered):
            SIGNER.read(altered, "a")


@pytest.mark.parametrize(
    "text", ["", "a", "ä" * 30, "=" * 24, " " * 24, "a" * 20_000, "aaaa\n" * 8, "a" * 25]
)
def test_what_was_never_signed_is_refused(text: str) -> None:
    with pytest.raises(Altered) as caught:
        SIGNER.read(text, "a")
    assert "base64" not in str(caught.value)


def test_a_signature_is_of_one_key_and_one_use() -> None:
    text = SIGNER.sign(b"x", "a")
    for signer, use in ((Signer(b"l" * 32), "a"), (SIGNER, "b")):
        with pytest.raises(Altered):
            signer.read(text, use)


def test_a_token_keeps_the_last_position_of_each_shard() -> None:
    token = token_of(SIGNER, [Position(3, 7), Position(0, 2**40), Position(3, 9), Position(3, 1)])
    assert positions_of(SIGNER, token) == {3: 9, 0: 2**40}


def test_what_is_no_token_is_a_problem_of_the_parameter() -> None:
    for text in ("", "x", SIGNER.sign(b"\x02", "position"), Cursors(SIGNER).write({}, [1])):
        with pytest.raises(Problem) as caught:
            positions_of(SIGNER, text)
        assert (caught.value.code, caught.value.field) == ("TOKEN_INVALID", "after")


def test_a_cursor_is_of_one_query() -> None:
    cursors = Cursors(SIGNER)
    cursor = cursors.write({"under": "assets", "limit": 10}, ["assets:cash", 7])
    assert cursors.read({"under": "assets", "limit": 500, "cursor": "x"}, cursor) == [
        "assets:cash",
        7,
    ]
    with pytest.raises(Problem, match="other parameters") as caught:
        cursors.read({"under": "income"}, cursor)
    assert (caught.value.status, caught.value.field) == (400, "cursor")
    with pytest.raises(Problem, match="no cursor"):
        cursors.read({"under": "assets"}, token_of(SIGNER, [Position(1, 1)]))


def test_the_key_is_in_a_file_that_all_processes_share(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(SettingsError, match=r"api\.key.*api_key_file"):
        read_key(settings)
    (tmp_path / "api.key").write_text("short\n")
    with pytest.raises(SettingsError, match="has 5 bytes, and needs 32"):
        read_key(settings)
    other = tmp_path / "other"
    other.write_bytes(b"z" * 44 + b"\n")
    assert read_key(Settings(data_dir=tmp_path, api_key_file=other)) == b"z" * 44
