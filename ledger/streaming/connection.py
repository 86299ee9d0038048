"""How every client of Kafka and of the registry connects: where to, trusting whom, and as whom.

No client of Kafka is made without `kafka`, so none is made without the patches.
"""

import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaError, SaslAuthenticationFailed

from ledger.errors import LedgerError
from ledger.settings import Settings, addresses_in
from ledger.streaming import patches

REGISTRY_SECONDS = 10
REASON_SECONDS = 5
SCRAM = "SCRAM-SHA-512"


def kafka(settings: Settings) -> dict[str, Any]:
    """The parameters of any client of aiokafka, which is patched for them: see `patches`.

    Raises LedgerError for a password nobody can read, and as `patches.install`.
    """
    patches.install()
    given: dict[str, Any] = {"bootstrap_servers": settings.bootstrap_servers.split(",")}
    if settings.kafka_security_protocol == "SASL_SSL":
        given |= {
            "security_protocol": "SASL_SSL",
            "ssl_context": trust(settings.ca_file),
            "sasl_mechanism": SCRAM,
            "sasl_plain_username": settings.kafka_user,
            "sasl_plain_password": _password("kafka", settings.kafka_password_file),
        }
    return given


def registry(settings: Settings) -> dict[str, Any]:
    """The parameters of a client of httpx, with the first address. Raises LedgerError as `kafka`.

    The others have the same user and authority: ask them by absolute addresses.
    """
    first = addresses_in(settings.registry_url)[0]
    given: dict[str, Any] = {"base_url": first, "timeout": REGISTRY_SECONDS}
    if settings.registry_url.startswith("https:"):
        given["verify"] = trust(settings.ca_file)
    if settings.registry_user:
        password = _password("registry", settings.registry_password_file)
        given["auth"] = httpx.BasicAuth(settings.registry_user, password)
    return given


@lru_cache
def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Checks a server's certificate and its name; None: against the system's authorities."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise LedgerError(
            f"The certificates in {ca_file} cannot be read: {error}. The setting ca_file names a "
            "PEM file with the authorities that Kafka and the registry are checked against."
        ) from error


def _password(of: str, file: Path | None) -> str:
    if file is None:
        raise LedgerError(
            f"A user of the {of} is set, but no file with its password: give the setting "
            f"{of}_password_file."
        )
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LedgerError(
            f"The password for the {of} cannot be read from {file} ({error}). The setting "
            f"{of}_password_file names a text file that this user may read."
        ) from error


async def why_unavailable(settings: Settings) -> str:
    """Why no broker can be connected to, in a sentence: what aiokafka logs and does not raise.

    Its bootstrap tries every address and raises only that none answered.
    """
    given = kafka(settings)
    reasons = {}
    for server in given.pop("bootstrap_servers"):
        host, _, port = server.rpartition(":")
        try:
            connection = await create_conn(
                host, int(port), **given, request_timeout_ms=REASON_SECONDS * 1000
            )
            connection.close()
        except SaslAuthenticationFailed:
            reasons[server] = f"it does not let user {settings.kafka_user} in with this password"
        except ssl.SSLCertVerificationError as error:
            reasons[server] = f"its certificate is not trusted ({error.verify_message})"
        except (KafkaError, OSError, ValueError) as error:
            reasons[server] = str(error) or type(error).__name__
        else:
            return "a broker answers now; try again"
    return "; ".join(f"{server}: {reason}" for server, reason in reasons.items())
