"""Asks a worker or an API process for its health, as `up`, `status` and `doctor` do."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from ledger.health.server import read_address

ANSWER_SECONDS = 6.0
"""More than a worker takes to find out that its applications do not answer."""

Report = Mapping[str, Any]
"""What it answers at /ready."""


def ask(folder: Path, process: psutil.Process | None, ca_file: Path | None = None) -> Report | str:
    """What the one with this folder and process answers; a sentence where it does not.

    `ca_file`: the authority of its certificate, where it answers by TLS.
    """
    if process is None:
        return "it does not run"
    if (stopped := stopped_process(process)) is not None:
        return stopped
    address = read_address(folder, process.pid)
    if address is None:
        return "it has not written its address yet"
    try:
        found: Report = json.loads(_fetch(f"{address}/ready", ca_file))
    except OSError as error:
        # It may have been stopped just after the first look.
        silent = f"it does not answer at {address}: {getattr(error, 'reason', error)}"
        return stopped_process(process) or silent
    except ValueError:
        return f"its answer at {address} is not JSON"
    return found


def _fetch(url: str, ca_file: Path | None) -> bytes:
    tls = ssl.create_default_context(cafile=ca_file) if url.startswith("https:") else None
    # Proxies of the environment are not for 127.0.0.1.
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=tls)
    )
    try:
        with opener.open(url, timeout=ANSWER_SECONDS) as response:
            body: bytes = response.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    return body


def problem(answer: Report | str) -> str | None:
    """Why it makes no progress, from what `ask` returned; None if it does."""
    if isinstance(answer, str):
        return answer
    return None if answer["ready"] else "; ".join(answer["why"])


def stopped_process(top: psutil.Process | None) -> str | None:
    """That `top` or one below it is stopped (SIGSTOP); None if all run or none is left."""
    try:
        for each in (top, *top.children(recursive=True)) if top else ():
            if each.status() == psutil.STATUS_STOPPED:
                return (
                    f"process {each.pid} is stopped (SIGSTOP) and neither runs nor ends: "
                    f"`kill -CONT {each.pid}` resumes it"
                )
    except psutil.NoSuchProcess:
        return None
    return None
