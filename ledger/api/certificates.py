"""The API's certificate: read for TLS, and read again when its file is renewed."""

import asyncio
import logging
import ssl
from pathlib import Path

from ledger.errors import SettingsError
from ledger.settings import Settings

LOOK_SECONDS = 30.0
"""Between two looks at the files."""

log = logging.getLogger(__name__)


class Certificate:
    """A TLS context with the settings' certificate; `follow` renews it in place.

    Raises SettingsError for files that cannot be read. New connections get the renewed certificate,
    those that are open keep theirs.
    """

    def __init__(self, file: Path, key_file: Path) -> None:
        self._files = (file, key_file)
        self._seen = self._stamps()
        self.context = self._read()

    @classmethod
    def of(cls, settings: Settings) -> "Certificate | None":
        """That of the settings; None where they name none."""
        file = settings.api_certificate_file
        return None if file is None else cls(file, settings.api_certificate_key_file or file)

    async def follow(self) -> None:
        """Look at the files without end, and read them when they have changed."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.renew()

    def renew(self) -> bool:
        """Read the files if they have changed; whether there is a new certificate.

        Files that do not go together, for one is not written yet, leave the old one as it is.
        """
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        try:
            # Into another context first: one that fails half-way has the new certificate without
            # its key.
            self._read()
            self.context.load_cert_chain(*self._files)
        except (SettingsError, OSError) as error:
            log.error("The API's certificate is not renewed: %s", error)
            return False
        self._seen = stamps
        log.warning("The API's certificate is renewed from %s", self._files[0])
        return True

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(*self._files)
        except OSError as error:
            file, key_file = self._files
            raise SettingsError(
                f"The API's certificate cannot be read: {error} (api_certificate_file {file}, "
                f"api_certificate_key_file {key_file})."
            ) from error
        return context

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        """What changes when a file is replaced or written."""
        return [_stamp(file) for file in self._files]


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
