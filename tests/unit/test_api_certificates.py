"""TLS of the API: its certificate, and its renewal while connections are open."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ledger.api.certificates import Certificate
from ledger.errors import SettingsError
from ledger.settings import Settings
from ledger.stack import certificates


class Authority:
    """Issues the files of a server on this machine."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "ca.pem"
        certificates.make_authority(self.file, folder / "ca.key")
        self._made = certificates.read_authority(self.file, folder / "ca.key")

    def issue(self, file: Path) -> None:
        certificates.issue(file, "api", *self._made)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def certificate(file: Path) -> Certificate:
    found = Certificate.of(Settings(api_certificate_file=file))
    assert found is not None
    return found


def serving(
    served: Certificate,
    authority: Authority,
    work: Callable[[Callable[[], Awaitable[int]]], Awaitable[None]],
) -> None:
    """Run `work` with a function that connects and gives the serial number that it was shown."""

    async def scenario() -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=served.context)
        port = server.sockets[0].getsockname()[1]

        async def shown() -> int:
            trust = ssl.create_default_context(cafile=authority.file)
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
            found = writer.get_extra_info("ssl_object").getpeercert()
            writer.close()
            return int(found["serialNumber"], 16)

        async with server:
            await work(shown)

    asyncio.run(scenario())


def test_without_a_file_there_is_no_tls() -> None:
    assert Certificate.of(Settings()) is None


def test_a_renewed_certificate_is_shown_to_new_connections(
    authority: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "api.pem"
    authority.issue(file)
    served = certificate(file)

    async def work(shown: Callable[[], Awaitable[int]]) -> None:
        first = await shown()
        assert not served.renew()
        authority.issue(file)
        assert served.renew()
        assert await shown() != first
        assert not served.renew()

    serving(served, authority, work)


def test_half_of_a_renewal_changes_nothing(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, file, key = tmp_path / "whole.pem", tmp_path / "api.pem", tmp_path / "api.key"

    def renew(*written: Path) -> None:
        authority.issue(whole)
        text = whole.read_text()
        at = text.index("-----BEGIN CERTIFICATE")
        for each in written:
            each.write_text(text[:at] if each == key else text[at:])

    renew(file, key)
    served = Certificate(file, key)

    async def work(shown: Callable[[], Awaitable[int]]) -> None:
        first = await shown()
        renew(file)
        assert not served.renew()
        assert "not renewed" in caplog.text
        assert await shown() == first
        file.unlink()
        assert not served.renew()
        assert await shown() == first
        renew(file, key)
        assert served.renew()
        assert await shown() != first

    serving(served, authority, work)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "api.pem").write_text("no certificate")
    for file in (tmp_path / "nowhere.pem", tmp_path / "api.pem"):
        with pytest.raises(SettingsError, match=f"api_certificate_file {file}"):
            certificate(file)


def test_old_versions_of_tls_are_refused(authority: Authority, tmp_path: Path) -> None:
    authority.issue(tmp_path / "api.pem")
    assert certificate(tmp_path / "api.pem").context.minimum_version >= ssl.TLSVersion.TLSv1_2
