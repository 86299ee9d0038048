"""Asking a worker how it is, as `up`, `status` and `doctor` do."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

import psutil

from ledger.health.server import read_address
from ledger.stack import parts
from ledger.stack.files import Layout
from ledger.stack.parts import Part

ANSWER_SECONDS = 6.0
"""More than a worker takes to find out that its applications do not answer."""

Health = Mapping[str, Any]
"""What /ready says."""


def ask(place: Layout, part: Part) -> Health | str:
    """What the worker says of itself; a sentence when it says nothing."""
    if (stopped := held(part)) is not None:
        return stopped
    address = read_address(place.worker(part.name), part.pid)
    if address is None:
        return "it has not said yet where it answers"
    # A proxy that the environment names is for the world outside, not for 127.0.0.1.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{address}/ready", timeout=ANSWER_SECONDS) as response:
            body = response.read()
    except urllib.error.HTTPError as error:
        body = error.read()
    except OSError as error:
        # Asked again: it may have been stopped just after it was looked at.
        silent = f"it does not answer at {address}: {getattr(error, 'reason', error)}"
        return held(part) or silent
    try:
        found: Health = json.loads(body)
    except ValueError:
        return f"it answers nonsense at {address}"
    return found


def missing(place: Layout, part: Part) -> str | None:
    """None when the worker makes progress; else why it does not."""
    return trouble(ask(place, part))


def trouble(said: Health | str) -> str | None:
    """What `ask` gave, as `missing` says it."""
    if isinstance(said, str):
        return said
    return None if said["ready"] else "; ".join(said["why"])


def held(part: Part) -> str | None:
    """That somebody has stopped a process of the part (SIGSTOP), or None."""
    top = parts.process_of(part)
    try:
        for each in (top, *top.children(recursive=True)) if top else ():
            if each.status() == psutil.STATUS_STOPPED:
                return (
                    f"process {each.pid} is stopped (SIGSTOP) and neither runs nor ends: "
                    f"`kill -CONT {each.pid}` lets it go on"
                )
    except psutil.NoSuchProcess:
        return None
    return None
