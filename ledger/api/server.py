"""Serves the API: uvicorn with uvloop and httptools, TLS where set, and an orderly end."""

import asyncio
import logging
import resource
import signal
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress

import uvicorn
import uvloop
from starlette.types import ASGIApp

from ledger.api.access.certificates import Certificate
from ledger.api.app import build_app
from ledger.api.connections import BoundedProtocol, Limits
from ledger.api.wiring import Services, wired
from ledger.client.resource import cancel
from ledger.errors import LedgerError, SettingsError
from ledger.health.server import write_address
from ledger.settings import Settings

KEEP_ALIVE_SECONDS = 75
"""Longer than the usual proxy's, so that it is the proxy that closes an idle connection."""
STOP_SECONDS = 20
"""What runs may take so long to end; then it is cut off."""
BACKLOG = 4_096
FILES = 65_536
"""Open files, where the system allows so many."""
SPARE_FILES = 512
"""Descriptors beside connections: Kafka, the database, the view's files."""
HANDSHAKE_SECONDS = 10
MAX_MESSAGE = 65_536
"""Bytes of a WebSocket message from a client."""

log = logging.getLogger(__name__)


def serve(settings: Settings, name: str) -> None:
    """Run the API process `name` until SIGTERM or SIGINT.

    Raises SettingsError for settings with which it cannot run, LedgerError where its port is taken.
    """
    allow_connections(settings.api_connections)
    uvloop.run(_serve(settings, name))


async def _serve(settings: Settings, name: str) -> None:
    listening = listen(settings)
    async with wired(settings, name) as services:
        server = Server(settings, build_app(services), services)
        folder = settings.data_dir / "api" / name
        try:
            write_address(folder, url_of(settings, listening))
        except OSError as error:
            raise LedgerError(f"{folder} cannot be written ({error.strerror}).") from error
        log.warning("%s answers at %s", name, url_of(settings, listening))
        await server.serve([listening])


def listen(settings: Settings) -> socket.socket:
    """A socket on the setting's address. Raises LedgerError where it is taken."""
    host, port = settings.api_host, settings.api_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as error:
        made.close()
        raise LedgerError(
            f"The API cannot listen on {host}:{port} ({error.strerror}). Set api_port to a port of "
            "its own, or to 0 for any that is free."
        ) from error
    made.setblocking(False)
    return made


def url_of(settings: Settings, listening: socket.socket) -> str:
    """Its address for clients on this machine."""
    scheme = "https" if settings.api_certificate_file else "http"
    host = "127.0.0.1" if settings.api_host in ("0.0.0.0", "::", "") else settings.api_host  # noqa: S104
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{listening.getsockname()[1]}"


def config_of(settings: Settings, app: ASGIApp, certificate: Certificate | None) -> uvicorn.Config:
    """How uvicorn runs `app`; with TLS if there is a certificate."""
    limits = Limits(settings.api_connections, settings.api_request_seconds)
    protocol = type("Protocol", (BoundedProtocol,), {"limits": limits})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="websockets-sansio",
        ws_max_size=MAX_MESSAGE,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    config.load()
    config.ssl = certificate.context if certificate else None
    return config


def allow_connections(most: int) -> None:
    """Raise this process's limit of open files as far as it may go.

    More connections than `most` may wait for their TLS handshake. Raises SettingsError where not
    even `most` have room.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, FILES if hard == resource.RLIM_INFINITY else min(hard, FILES))
    if wanted < most + SPARE_FILES:
        raise SettingsError(
            f"api_connections is {most}, and this process may have {wanted} files open: raise that "
            f"limit (ulimit -n {most + SPARE_FILES}), or lower api_connections."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Server(uvicorn.Server):
    """Ends on a signal, with what runs finished, and leaves the process's status alone.

    Raises SettingsError for a certificate that cannot be read.
    """

    def __init__(self, settings: Settings, app: ASGIApp, services: Services) -> None:
        self._certificate = Certificate.of(settings)
        super().__init__(config_of(settings, app, self._certificate))
        self._services = services

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal, and renew the certificate meanwhile."""
        if self._certificate is None:
            await super().serve(sockets)
            return
        renewing = asyncio.create_task(self._certificate.follow(), name="renew the certificate")
        try:
            await super().serve(sockets)
        finally:
            await cancel(renewing)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; uvicorn's own way leaves a TLS handshake a minute."""
        await self.lifespan.startup()
        loop, tls = asyncio.get_running_loop(), self.config.ssl
        self.servers = [
            await loop.create_server(
                self._connected, sock=each, ssl=tls, backlog=BACKLOG,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if tls else None,
            )
            for each in sockets or ()
        ]  # fmt: skip
        self.started = True

    def _connected(self) -> asyncio.Protocol:
        protocol: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop at a signal; uvicorn would raise it again once it has stopped."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in numbers:
                with suppress(ValueError):
                    loop.remove_signal_handler(number)

    def stop(self) -> None:
        """Take no new connections, end those that are idle, finish what runs."""
        self._services.readiness.stopping = True
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
