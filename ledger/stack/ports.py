"""Choosing free ports, and naming the process that holds a wanted one."""

import socket
from pathlib import Path
from random import SystemRandom

import psutil

from ledger.errors import StackError

HOST = "127.0.0.1"
# Below the system's range for outgoing connections (from 32768 on Linux): any client may hold a
# port of that range at the next `up`.
LOWEST, HIGHEST = 20_000, 32_000
ATTEMPTS = 50


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do: connections of an earlier server in TIME_WAIT do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def is_open(port: int) -> bool:
    """Whether a process accepts connections on 127.0.0.1:`port`."""
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
    """The process that listens on `port`, for people: `nginx (pid 12, user www)`."""
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
    return "a process that this user cannot see (as root: ss -ltnp)"


def require_free_port(part: str, port: int, recorded_in: Path) -> None:
    """A `StackError` that names the port, its holder and what to do, unless the port is free."""
    if is_free(port):
        return
    raise StackError(
        f"Port {port}, on which {part} listens, is taken by {owner(port)}. Stop that process, or "
        f"give {part} another port with --{part}-port (it is recorded in {recorded_in}; clients "
        "that have the old address need the new one)."
    )
