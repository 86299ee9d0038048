"""How a command exits."""

import subprocess
import sys

from ledger.cli.main import INTERRUPTED

STARTS_AND_STOPS = """
import time
from ledger.cli import main

def command():
    try:
        print("started", flush=True)
        time.sleep(60)
    finally:
        print("stopped")

main.app = command
main.main()
"""


def test_sigterm_runs_the_clean_up_of_a_command() -> None:
    command = subprocess.Popen(
        [sys.executable, "-c", STARTS_AND_STOPS], stdout=subprocess.PIPE, text=True
    )
    assert command.stdout is not None
    assert command.stdout.readline() == "started\n"
    command.terminate()
    assert command.communicate(timeout=20)[0] == "stopped\n"
    assert command.returncode == INTERRUPTED
