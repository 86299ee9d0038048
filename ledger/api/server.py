"""Serves the API: uvicorn with uvloop and httptools, TLS where set, and an orderly end."""

import asyncio
import logging
import resource
import signal
import socket
import ssl
from collections.abc import Generator
from contextlib import contextmanager, suppress

import uvicorn
import uvloop
from starlette.types import ASGIApp

from ledger.api.app import build_app
from ledger.api.connections import BoundedProtocol, Idle
from ledger.api.wiring import Services, wired
from ledger.errors import LedgerError, SettingsError
from ledger.health.server import write_address
from ledger.settings import Settings

KEEP_ALIVE_SECONDS = 75
"""Longer than the usual proxy's, so that it is the proxy that closes an idle connection."""
STOP_SECONDS = 20
"""What runs may take so long to end; then it is cut off."""
BACKLOG = 4_096
SPARE_FILES = 512
"""Descriptors beside connections: Kafka, the database, the view's files."""
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
        server = Server(config_of(settings, build_app(services)), services)
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


def config_of(settings: Settings, app: ASGIApp) -> uvicorn.Config:
    """How uvicorn runs `app`."""
    idle = Idle(settings.api_connections)
    protocol = type("Protocol", (BoundedProtocol,), {"idle_ones": idle})
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
    config.ssl = tls_context(settings)
    return config


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS with the setting's certificate; None without one. Raises SettingsError."""
    file = settings.api_certificate_file
    if file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(file, settings.api_certificate_key_file or file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"The API's certificate cannot be read: {error} (api_certificate_file {file}, "
            f"api_certificate_key_file {settings.api_certificate_key_file or 'the same file'})."
        ) from error
    return context


def allow_connections(most: int) -> None:
    """Raise the limit of open files for `most` connections. Raises SettingsError."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + SPARE_FILES
    if soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise SettingsError(
            f"api_connections is {most}, and this process may have {hard} files open: raise that "
            f"limit (ulimit -n {wanted}), or lower api_connections."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Server(uvicorn.Server):
    """Ends on a signal, with what runs finished, and leaves the process's status alone."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

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
