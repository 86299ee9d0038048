"""One file from a repository: to a temporary name, checked against its published digest, renamed.

jgo's own downloader writes to the final name and only warns about a wrong digest, so a broken
connection would leave a broken file for ever; `CheckedResolver` replaces that one step.
"""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from jgo.maven import Artifact, PythonResolver
from jgo.util import http
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from ledger.errors import StackError
from ledger.stack.files import PARTIAL
from ledger.stack.progress import Meter, Silent

# Strongest first. Every artifact has sha1; the newer ones have all.
DIGESTS = ("sha256", "sha1", "md5")
TIMEOUT_SECONDS = 30
CHUNK_BYTES = 1 << 17


class WrongDigest(StackError):
    """What arrived is not what was published."""


def fetch(
    url: str, target: Path, meter: Meter | None = None, *, pause_seconds: float = 0.5
) -> None:
    """Download `url` to `target`; after this either the whole, verified file is there or none.

    Three attempts with growing pauses, as connections break; then `StackError`.
    """
    attempts = Retrying(
        retry=retry_if_exception_type((OSError, WrongDigest)),
        stop=stop_after_attempt(3),
        wait=wait_exponential(multiplier=pause_seconds, max=5),
        reraise=True,
    )
    try:
        attempts(attempt, url, target, meter or Silent())
    except OSError as error:
        raise StackError(
            f"{url} could not be downloaded: {error}. Once is enough, later starts need no "
            "network: check the connection and the proxy settings (HTTPS_PROXY), then try again."
        ) from error


def attempt(url: str, target: Path, meter: Meter) -> None:
    """One attempt of `fetch`; OSError when the connection fails, `WrongDigest`."""
    algorithm, published = published_digest(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    with partial(target) as file, closing(answer(url, stream=True)) as response:
        meter.expect(int(response.headers.get("content-length", 0)))
        digest = hashlib.new(algorithm)
        with file.open("wb") as output:
            for chunk in response.iter_content(CHUNK_BYTES):
                output.write(chunk)
                digest.update(chunk)
                meter.advance(len(chunk))
            output.flush()
            os.fsync(output.fileno())
        if digest.hexdigest() != published:
            raise WrongDigest(
                f"{url} arrived with {algorithm} {digest.hexdigest()}, but {published} is "
                "published: it was changed or cut short on the way. It was not kept; try again, "
                "and if this stays, ask who runs the proxy or mirror in between."
            )
        file.replace(target)


@contextmanager
def partial(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` which is gone afterwards, whatever happens."""
    name = f".{target.name}.{os.getpid()}.{threading.get_ident()}{PARTIAL}"
    path = target.with_name(name)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def published_digest(url: str) -> tuple[str, str]:
    """(algorithm, hex) from the strongest digest file beside `url`; OSError, `StackError`."""
    for algorithm in DIGESTS:
        with closing(http.get(f"{url}.{algorithm}", timeout=TIMEOUT_SECONDS)) as response:
            if response.status_code == HTTPStatus.OK and response.text.strip():
                # Either the bare digest or "digest  filename".
                return algorithm, response.text.split()[0].lower()
            if response.status_code != HTTPStatus.NOT_FOUND:
                response.raise_for_status()
    raise StackError(
        f"No digest is published beside {url}: it cannot be checked, so it is not used."
    )


def answer(url: str, *, stream: bool) -> Any:
    """The response to a GET; OSError unless it is a success."""
    response = http.get(url, stream=stream, timeout=TIMEOUT_SECONDS)
    response.raise_for_status()
    return response


class CheckedResolver(PythonResolver):
    """jgo's resolver of dependencies, with our download."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._meter = meter

    def download(self, artifact: Artifact) -> Path:
        """The verified file of `artifact` in the cache; `StackError`."""
        target = artifact.cached_path
        assert target is not None, "a context always has a cache here"
        (repository,) = artifact.context.remote_repos.values()
        url = f"{repository}/{artifact.component.path_prefix.as_posix()}/{artifact.filename}"
        fetch(url, target, self._meter)
        return target
