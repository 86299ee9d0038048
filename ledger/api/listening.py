"""The socket of an API process, and how many connections it may have."""

import resource
import socket

from ledger.errors import LedgerError, SettingsError
from ledger.settings import Settings

BACKLOG = 4_096
FILES = 65_536
"""Open files, where the system allows so many."""
SPARE_FILES = 512
"""Descriptors beside connections: Kafka, the database, the view's files."""


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
    made.listen(BACKLOG)
    made.setblocking(False)
    return made


def url_of(settings: Settings, listening: socket.socket) -> str:
    """Its address for clients on this machine."""
    scheme = "https" if settings.api_certificate_file else "http"
    host = "127.0.0.1" if settings.api_host in ("0.0.0.0", "::", "") else settings.api_host  # noqa: S104
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{listening.getsockname()[1]}"


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
