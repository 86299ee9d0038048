"""Downloads of single files, each checked against the digest that its repository publishes.

jgo's own downloader writes to the final name and only warns about a wrong digest, so a broken
connection would leave a broken file for ever; `CheckedResolver` replaces that one step.
pooch does not fit: it reads no published digest, and a killed one leaves files of random names.
"""

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from pathlib import Path

from jgo.maven import Artifact, PythonResolver
from jgo.util import http
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from ledger.errors import StackError
from ledger.stack.files import PARTIAL
from ledger.stack.progress import Meter

# Strongest first. Every artifact has sha1; the newer ones have all.
DIGESTS = ("sha256", "sha1", "md5")
TIMEOUT_SECONDS = 30
READ_BYTES = 1 << 17


class WrongDigest(StackError):
    """The downloaded file is not the published one."""


def download(
    url: str, target: Path, meter: Meter | None = None, *, pause_seconds: float = 0.5
) -> None:
    """Download `url` to `target`; afterwards the whole, verified file is there, or none.

    Three attempts with growing pauses, as connections break; then `StackError`.
    """
    attempts = Retrying(
        retry=retry_if_exception_type((OSError, WrongDigest)),
        stop=stop_after_attempt(3),
        wait=wait_exponential(multiplier=pause_seconds, max=5),
        reraise=True,
    )
    try:
        attempts(download_once, url, target, meter or Meter())
    except OSError as error:
        raise StackError(
            f"{url} could not be downloaded: {error}. To go on, check the connection and the proxy "
            "settings (HTTPS_PROXY), then try again. Later starts need no network."
        ) from error


def download_once(url: str, target: Path, meter: Meter) -> None:
    """One attempt of `download`; OSError when the connection fails, `WrongDigest`."""
    algorithm, published = published_digest(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        partial_file(target) as file,
        closing(http.get(url, stream=True, timeout=TIMEOUT_SECONDS)) as response,
    ):
        response.raise_for_status()
        meter.expect(int(response.headers.get("content-length", 0)))
        digest = hashlib.new(algorithm)
        with file.open("wb") as output:
            for chunk in response.iter_content(READ_BYTES):
                output.write(chunk)
                digest.update(chunk)
                meter.advance(len(chunk))
            output.flush()
            os.fsync(output.fileno())
        if digest.hexdigest() != published:
            raise WrongDigest(
                f"{url} arrived with {algorithm} {digest.hexdigest()}, but {published} is "
                "published: it was changed or cut short on the way. It was not kept. Try again; "
                "if this happens every time, ask who runs the proxy or mirror in between."
            )
        file.replace(target)


@contextmanager
def partial_file(target: Path) -> Iterator[Path]:
    """A temporary path beside `target` that is removed afterwards, whatever happens."""
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
        f"{url} cannot be checked, and so is not used: its repository publishes no digest "
        f"({', '.join(DIGESTS)}) beside it. Use a repository or mirror that does."
    )


class CheckedResolver(PythonResolver):
    """jgo's resolver of dependencies, with downloads that are checked."""

    def __init__(self, meter: Meter) -> None:
        super().__init__()
        self._meter = meter

    def download(self, artifact: Artifact) -> Path:
        """The verified file of `artifact` in the cache; `StackError`."""
        target = artifact.cached_path
        assert target is not None, "a context always has a cache here"
        (repository,) = artifact.context.remote_repos.values()
        url = f"{repository}/{artifact.component.path_prefix.as_posix()}/{artifact.filename}"
        download(url, target, self._meter)
        return target
