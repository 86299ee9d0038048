"""One API process, as its supervisor starts it: `python -m ledger.api`."""

import argparse
import logging
import os
import socket
import sys
from pathlib import Path

from ledger import settings as configuration
from ledger.api.server import serve
from ledger.errors import LedgerError, SettingsError
from ledger.health.exits import Exit
from ledger.hiding import log_to_stderr

log = logging.getLogger("ledger.api")


def main() -> int:
    """Serve until a signal; the status is that of health.exits."""
    parser = argparse.ArgumentParser(prog="python -m ledger.api")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--socket", type=int, required=True, help="Descriptor that it accepts at.")
    parser.add_argument("--parent", type=int, required=True, help="Pipe that ends with its parent.")
    given = parser.parse_args()
    log_to_stderr()
    # It warns of each request that is not HTTP, and whoever sends them would fill the disk.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    try:
        settings = configuration.load(given.data_dir)
        serve(settings, given.name, socket.socket(fileno=given.socket), given.parent)
    except SettingsError as error:
        log.critical("%s", error)
        return Exit.SETTINGS
    except LedgerError as error:
        log.critical("%s", error)
        return Exit.FAULT
    except OSError as error:
        log.critical("The files of this API process cannot be written: %s", error)
        return Exit.DISK
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
