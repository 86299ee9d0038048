"""Choosing ports, and saying who has one that we want."""

import socket
from pathlib import Path
from random import SystemRandom

import psutil

from ledger.errors import StackError

HOST = "127.0.0.1"
# Below the range from which the system takes ports for outgoing connections (32768 on Linux):
# a port from that range could be in use by any client at the next `up`.
LOWEST, HIGHEST = 20_000, 32_000
ATTEMPTS = 50


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of the last server that linger in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def is_open(port: int) -> bool:
    """Whether somebody accepts connections on 127.0.0.1:`port`."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


def choose(avoid: set[int]) -> int:
    """A free port that is not in `avoid`."""
    random = SystemRandom()
    for _ in range(ATTEMPTS):
        port = random.randrange(LOWEST, HIGHEST)
        if port not in avoid and is_free(port):
            return port
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def owner(port: int) -> str:
    """Who listens on `port`, in words: 'nginx (pid 12, user www)', or that it is not known."""
    try:
        listening = [
            each.pid
            for each in psutil.net_connections("tcp")
            if each.status == psutil.CONN_LISTEN and each.laddr.port == port and each.pid
        ]
        if listening:
            found = psutil.Process(listening[0])
            return f"{found.name()} (pid {found.pid}, user {found.username()})"
    except psutil.Error:
        pass
    return "a process that this user may not look at (as root: ss -ltnp)"


def require_free(part: str, port: int, remembered_in: Path) -> None:
    """A `StackError` that names the port, who has it and what to do, unless it is free."""
    if is_free(port):
        return
    raise StackError(
        f"Port {port}, which {part} listens on, is taken by {owner(port)}. Stop that process, or "
        f"give {part} another port with --{part}-port (it is remembered in {remembered_in}; "
        "clients that were given the old address need the new one)."
    )
