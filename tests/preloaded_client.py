"""Started in the place of `faust-ledger`: `python -I -S preloaded_client.py SOCKET FILE words…`.

Gives the command to `preloaded`, passes signals on to it and ends as it does; if this process is killed,
it is too. Imports little, for it is to start at once.
"""

import json
import os
import signal
import socket
import sys

OWN = ("PYTHON", "LD_", "LC_", "LANG", "TZ", "MALLOC_", "FORCE_COLOR", "NO_COLOR", "TERM",
       "GITHUB_ACTIONS", "PY_COLORS")  # fmt: skip
"""How variables begin of which Python or a library takes note when it starts."""


def concerning_python(environment):
    """Those variables alone."""
    return {name: value for name, value in environment.items() if name.startswith(OWN)}


def main():
    path, file, *words = sys.argv[1:]
    environment = dict(os.environ)
    with open(file, encoding="utf-8") as known:  # noqa: PTH123 - pathlib takes long to import
        if concerning_python(json.load(known)) != concerning_python(environment):
            os.execv(sys.executable, [sys.executable, "-m", "ledger.cli.main", *words])
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.connect(path)
    given = {"words": words, "environment": environment, "directory": os.getcwd()}  # noqa: PTH109
    text = json.dumps(given).encode()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: server.send(bytes([number])))
    socket.send_fds(server, [len(text).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(text)
    code = int.from_bytes(server.recv(4), "big", signed=True)
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
