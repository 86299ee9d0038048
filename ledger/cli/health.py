"""`faust-ledger health`: the health check of a container, by the program that runs in it."""

import json
import os
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from ledger.cli.output import FINDINGS, OK, AsJson, DataDir, print_json, print_plain

ANSWER_SECONDS = 6.0
"""More than a worker takes to find out that its applications do not answer."""
SHOWN = ("worker", "api", "live", "ready", "still_seconds", "dead", "why")
"""What is shown of an answer."""


def print_health(
    data_dir: DataDir = None,
    ready: Annotated[
        bool, typer.Option("--ready", help="Ask /ready and not /live: whether it makes progress.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Ask the worker or the API process of this data directory whether it is live.

    For the health check of a container, in which one of them runs.

    --json prints {"ok", "answers": [sentence]}. Exit codes: 0 it is, 1 it is not, or nothing
    answers, 3 a fault.
    """
    place = data_dir or _data_dir()
    path = "/ready" if ready else "/live"
    found = [_ask(f"{url}{path}") for url in _addresses(place)]
    well = bool(found) and all(each for each, _ in found)
    texts = [text for _, text in found] or [f"nothing has written its address below {place}"]
    if as_json:
        print_json({"ok": well, "answers": texts})
    else:
        print_plain("\n".join(texts))
    raise typer.Exit(OK if well else FINDINGS)


def _data_dir() -> Path:
    # Imported here: a container names its directory, and the check runs every few seconds.
    from ledger.settings import Settings

    return Settings().data_dir


def _addresses(place: Path) -> Iterator[str]:
    """Where the processes of the data directory answer that run on this machine."""
    from ledger.health.server import ADDRESS_FILE, read_last_address

    for group in ("workers", "api"):
        for file in sorted(place.glob(f"{group}/*/{ADDRESS_FILE}")):
            found = read_last_address(file.parent)
            # A directory outlives a container, and the next one's process may have another name.
            if found is not None and _exists(found[0]):
                yield found[1]


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _ask(url: str) -> tuple[bool, str]:
    """Whether it answers 200, and what it answers."""
    tls = ssl.create_default_context()
    # This machine's own process, which is asked for no secret; its certificate has the name by
    # which clients elsewhere know it.
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls)
    )
    try:
        with opener.open(url, timeout=ANSWER_SECONDS) as response:
            return True, _line(response.read())
    except urllib.error.HTTPError as error:
        return False, _line(error.read())
    except OSError as error:
        return False, f"{url} does not answer: {getattr(error, 'reason', error)}"


def _line(body: bytes) -> str:
    """The answer in one line, without its long lists."""
    try:
        found = json.loads(body)
        return json.dumps({name: found[name] for name in SHOWN if name in found})
    except (ValueError, TypeError):
        return body.decode(errors="replace").strip()
