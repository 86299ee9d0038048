"""Signs what clients keep for us (position tokens, cursors), so that altered ones are refused."""

import base64
import hmac
from hashlib import sha256
from pathlib import Path

from ledger.errors import SettingsError
from ledger.settings import Settings

KEY_FILE = "api.key"
"""In the data directory, where `api_key_file` is not set."""
LEAST_KEY_BYTES = 32
MAC_BYTES = 16
MAX_SIGNED = 16_384
"""Characters of a signed text; no token and no cursor of ours is longer."""


class Altered(ValueError):
    """A text that this ledger's key has not signed for this use."""


class Signer:
    """Signs bytes with HMAC-SHA256; `use` keeps a text of one kind from passing as another."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, content: bytes, use: str) -> str:
        """The content and its signature, urlsafe."""
        return base64.urlsafe_b64encode(content + self._mac(content, use)).rstrip(b"=").decode()

    def read(self, text: str, use: str) -> bytes:
        """The content that was signed for this use; raises Altered for any other text."""
        signed = _decoded(text)
        content, mac = signed[:-MAC_BYTES], signed[-MAC_BYTES:]
        if len(mac) < MAC_BYTES or not hmac.compare_digest(mac, self._mac(content, use)):
            raise Altered("It was altered, or another ledger has signed it.")
        return content

    def _mac(self, content: bytes, use: str) -> bytes:
        return hmac.digest(self._key, use.encode() + b"\0" + content, sha256)[:MAC_BYTES]


def _decoded(text: str) -> bytes:
    if len(text) > MAX_SIGNED:
        raise Altered("It is longer than any that a ledger has signed.")
    try:
        encoded = text.encode("ascii")
        found = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), b"-_", validate=True)
    except UnicodeEncodeError:
        raise Altered("It has characters that no signed text has.") from None
    except ValueError:
        raise Altered("It is cut or mistyped.") from None
    # The last character has bits to spare, which must not be free to choose.
    if base64.urlsafe_b64encode(found).rstrip(b"=") != encoded:
        raise Altered("It was altered in its last character.")
    return found


def key_file(settings: Settings) -> Path:
    """Where the ledger's signing key is."""
    return settings.api_key_file or settings.data_dir / KEY_FILE


def read_key(settings: Settings) -> bytes:
    """The ledger's signing key. Raises SettingsError when the file cannot be read."""
    file = key_file(settings)
    try:
        key = file.read_bytes().strip()
    except OSError as error:
        raise SettingsError(
            f"The key that signs position tokens cannot be read: {error.strerror} ({file}). "
            "`faust-ledger up` makes it in the data directory; elsewhere make one for all API "
            f"processes of the ledger, `head -c 32 /dev/urandom | base64 > {file.name}`, and name "
            "it in api_key_file."
        ) from error
    if len(key) < LEAST_KEY_BYTES:
        raise SettingsError(
            f"The key in {file} has {len(key)} bytes, and needs {LEAST_KEY_BYTES}: make a new one "
            f"with `head -c 32 /dev/urandom | base64 > {file.name}`."
        )
    return key
