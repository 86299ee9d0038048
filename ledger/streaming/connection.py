"""How every client of Kafka and of the registry connects: where to, trusting whom, and as whom."""

import ssl
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import Any, TypeVar

import httpx
from aiokafka.conn import AIOKafkaConnection, CloseReason, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError, SaslAuthenticationFailed
from schema_registry.client import AsyncSchemaRegistryClient, SchemaRegistryClient

from ledger.errors import LedgerError
from ledger.settings import Settings

REGISTRY_SECONDS = 10
REASON_SECONDS = 5
C = TypeVar("C", SchemaRegistryClient, AsyncSchemaRegistryClient)
SCRAM = "SCRAM-SHA-512"


_close = AIOKafkaConnection.close


def _close_at_once(
    self: AIOKafkaConnection, reason: Any = None, exc: BaseException | None = None
) -> Any:
    """As aiokafka's, but over TLS without waiting for the broker's farewell.

    uvloop waits up to 30 s for it, and a broker says nothing while it holds an open fetch of this
    connection (https://github.com/MagicStack/uvloop/issues/471). Whatever had to be answered has
    been when a connection is closed.
    """
    if self._writer is not None and self._security_protocol.endswith("SSL"):
        self._writer.transport.abort()
    return _close(self, reason, exc)


AIOKafkaConnection.close = _close_at_once


def _broken_where_closed(send: Callable[..., Any]) -> Callable[..., Any]:
    """As aiokafka's, but what uvloop has closed by itself is a broken connection.

    After a write that failed uvloop raises RuntimeError where asyncio raises nothing or OSError
    (https://github.com/aio-libs/aiokafka/issues/1038). It ends whichever task of aiokafka's it
    meets; where that is the one that asks for metadata, whoever waits for a coordinator or a
    leader waits for ever, without a word.
    """

    @wraps(send)
    def sent(self: AIOKafkaConnection, *args: Any, **options: Any) -> Any:
        try:
            return send(self, *args, **options)
        except RuntimeError as error:
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} broken") from error

    return sent


AIOKafkaConnection.send = _broken_where_closed(AIOKafkaConnection.send)
AIOKafkaConnection._send_sasl_token = _broken_where_closed(AIOKafkaConnection._send_sasl_token)


def kafka(settings: Settings) -> dict[str, Any]:
    """What any client of aiokafka is given. Raises LedgerError for a password nobody can read."""
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
    """What a client of httpx is given. Raises LedgerError as `kafka` does."""
    given: dict[str, Any] = {"base_url": settings.registry_url, "timeout": REGISTRY_SECONDS}
    if settings.registry_url.startswith("https:"):
        given["verify"] = trust(settings.ca_file)
    if auth := _registry_auth(settings):
        given["auth"] = auth
    return given


def schemas(settings: Settings, kind: type[C]) -> C:
    """The registry's own client. Raises LedgerError as `kafka` does."""
    client = kind(settings.registry_url, auth=_registry_auth(settings))
    # Its own `ca_location` counts only beside a client's certificate (2.6.1, _get_client_kwargs).
    client.client_kwargs["verify"] = trust(settings.ca_file)
    return client


def _registry_auth(settings: Settings) -> httpx.BasicAuth | None:
    """Who we are to it; None where it asks nobody."""
    if not settings.registry_user:
        return None
    password = _password("registry", settings.registry_password_file)
    return httpx.BasicAuth(settings.registry_user, password)


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


async def why_away(settings: Settings) -> str:
    """Why no broker lets us in, in a sentence: what aiokafka logs and does not raise.

    Its bootstrap tries every address and says only that none answered.
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
