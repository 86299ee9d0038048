"""The API processes of the session's ledger, and clients of them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.conftest import Finished
from tests.waiting import until


@dataclass
class ApiLedger:
    """`urls` are those of the processes."""

    data_dir: Path
    urls: tuple[str, ...]
    cli: Callable[..., Finished]
    _tokens: dict[tuple[str, ...], str] = field(default_factory=dict)

    def token(self, *scopes: str, accounts: str | None = None) -> str:
        """A bearer token with these scopes, which every process knows; the same for the same."""
        words = [word for scope in scopes for word in ("--scope", scope)]
        words += ["--accounts", accounts] if accounts else []
        if tuple(words) not in self._tokens:
            made = self.cli("tokens", "create", *words, "--json").json["token"]
            self._tokens[tuple(words)] = made
            for url in self.urls:
                until(lambda url=url: self._knows(url, made), "the token is known")
        return self._tokens[tuple(words)]

    def _knows(self, url: str, token: str) -> bool:
        found = httpx.get(f"{url}/v1/status", headers=bearer(token), trust_env=False, timeout=60)
        return found.status_code != 401

    def client(self, *scopes: str, accounts: str | None = None, process: int = 0) -> httpx.Client:
        """A client of one process, with a token of these scopes."""
        headers = bearer(self.token(*(scopes or ("admin",)), accounts=accounts))
        return httpx.Client(
            base_url=self.urls[process], headers=headers, trust_env=False, timeout=60
        )


def bearer(token: str) -> dict[str, str]:
    """The header that has a token."""
    return {"Authorization": f"Bearer {token}"}
