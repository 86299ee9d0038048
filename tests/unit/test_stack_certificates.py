"""The stack's own authority, what it signs, and who reads the files."""

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger.errors import StackError
from ledger.stack import certificates, files
from ledger.stack.files import Layout


@pytest.fixture
def place(tmp_path: Path) -> Layout:
    made = files.layout(tmp_path / "ledger")
    files.create_directories(made)
    return made


def test_a_certificate_is_trusted_by_its_authority_alone(place: Layout, tmp_path: Path) -> None:
    certificates.ensure_certificates(place, ["kafka-1"])
    other = files.layout(tmp_path / "other")
    files.create_directories(other)
    certificates.ensure_certificates(other, ["kafka-1"])
    assert shaken(place, place.ca_file) is None
    assert "unable to get local issuer" in str(shaken(place, other.ca_file))


def shaken(place: Layout, trusted: Path) -> ssl.SSLError | None:
    """A handshake in memory, as 127.0.0.1; why it failed, if it did."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(place.certificate("kafka-1"))
    client = ssl.create_default_context(cafile=trusted)
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(down, up, server_hostname="127.0.0.1"),
        server.wrap_bio(up, down, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                return error
    return None


def test_they_stay_until_they_end_soon(place: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    certificates.ensure_certificates(place, ["registry"])
    first = place.certificate("registry").read_bytes()
    authority = place.ca_file.read_bytes()
    certificates.ensure_certificates(place, ["registry"])
    assert place.certificate("registry").read_bytes() == first
    left = certificates.expires_at(place.certificate("registry")) - datetime.now(UTC)
    assert timedelta(days=396) < left < timedelta(days=397)
    monkeypatch.setattr(certificates, "RENEW_DAYS", 398)
    certificates.ensure_certificates(place, ["registry"])
    assert place.certificate("registry").read_bytes() != first
    assert place.ca_file.read_bytes() == authority


def test_keys_are_for_the_owner_alone(place: Layout) -> None:
    certificates.ensure_certificates(place, ["postgres"])
    for path in place.secrets.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert stat.S_IMODE(place.secrets.stat().st_mode) == 0o700


def test_a_damaged_authority_says_what_to_do(place: Layout) -> None:
    certificates.ensure_certificates(place, ["postgres"])
    (place.secrets / "ca.key").write_text("")
    with pytest.raises(StackError, match="from a backup"):
        certificates.ensure_certificates(place, ["postgres"])
